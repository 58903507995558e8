//! File systems of a test's own, which can be filled and frozen.

use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use nix::sched::{CloneFlags, unshare};
use nix::sys::statvfs::statvfs;

use crate::tools::{Tool, is_root, skipped};

/// A file system that is mounted for as long as this lives.
#[derive(Debug)]
pub struct Disk {
    path: PathBuf,
    freezer: Tool,
}

/// Moves this thread, and what it starts, to mounts that nobody else sees; `false`, and a word about it,
/// where that may not be.
pub fn enter_mounts() -> bool {
    if !is_root() {
        return false;
    }
    if let Err(error) = unshare(CloneFlags::CLONE_NEWNS) {
        skipped(&format!("no mounts of its own: {error}"));
        return false;
    }
    let mount = Tool::find("mount");
    mount.is_some_and(|mount| succeeds(&mount, &["--make-rprivate", "/"]))
}

impl Disk {
    /// A small one in memory over a folder; `None`, and a word about it, where it cannot be.
    pub fn in_memory(path: &Path, size: &str) -> Option<Self> {
        let options = format!("mode=777,size={size}");
        let arguments = ["-t", "tmpfs", "-o", &options, "none", path.to_str()?];
        succeeds(&Tool::find("mount")?, &arguments).then_some(())?;
        Self::at(path)
    }

    /// Ext4 in a file beside a folder, over it; `None` as above.
    pub fn ext4(path: &Path, size: &str) -> Option<Self> {
        let image = path.with_extension("img");
        let image = image.to_str()?;
        let is_there = succeeds(&Tool::find("truncate")?, &["-s", size, image])
            && succeeds(&Tool::find("mkfs.ext4")?, &["-q", "-F", image])
            && succeeds(
                &Tool::find("mount")?,
                &["-o", "loop", image, path.to_str()?],
            );
        is_there.then_some(())?;
        Self::at(path)
    }

    fn at(path: &Path) -> Option<Self> {
        Some(Self {
            path: path.to_owned(),
            freezer: Tool::find("fsfreeze")?,
        })
    }

    /// Fills it up to so many percent.
    ///
    /// # Panics
    /// When it cannot be written.
    pub fn fill(&self, percent: u64) {
        let figures = statvfs(&self.path).expect("its figures");
        let block = figures.fragment_size();
        let size = figures.blocks() - figures.blocks_free() + figures.blocks_available();
        let used = size - figures.blocks_available();
        let wanted = (size * percent).div_ceil(100).saturating_sub(used);
        let mut file = File::options();
        let mut file = file
            .create(true)
            .append(true)
            .open(self.filler())
            .expect("a file");
        let zeros = vec![0; usize::try_from(block).expect("a block")];
        for _ in 0..wanted {
            if file.write_all(&zeros).is_err() {
                return;
            }
        }
    }

    /// Takes away what it was filled with.
    ///
    /// # Panics
    /// When it was not filled.
    pub fn empty(&self) {
        std::fs::remove_file(self.filler()).expect("what it was filled with");
    }

    fn filler(&self) -> PathBuf {
        self.path.join("filler")
    }

    /// Whoever writes to it waits from now on.
    ///
    /// # Panics
    /// When it cannot be frozen.
    pub fn freeze(&self) {
        self.freezer.output(Path::new("/"), &["-f", self.name()]);
    }

    /// What waited is written.
    ///
    /// # Panics
    /// When it was not frozen.
    pub fn thaw(&self) {
        self.freezer.output(Path::new("/"), &["-u", self.name()]);
    }

    fn name(&self) -> &str {
        self.path.to_str().expect("a plain path")
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // What is frozen cannot be unmounted, nor can whoever waits for it end.
        let _ = self.freezer.run(Path::new("/"), &["-u", self.name()]);
        if let Some(umount) = Tool::find("umount") {
            let _ = umount.run(Path::new("/"), &["-l", self.name()]);
        }
    }
}

fn succeeds(tool: &Tool, arguments: &[&str]) -> bool {
    let output = tool.run(Path::new("/"), arguments);
    if !output.status.success() {
        skipped(&String::from_utf8_lossy(&output.stderr));
    }
    output.status.success()
}
