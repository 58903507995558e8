//! The journal's files: opened, written past the page cache, synced.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::rc::Rc;

use glommio::io::{DmaFile, OpenOptions};
use holdfast_journal::{SegmentHeader, SegmentNumber, Shard, segment_name};

use crate::block::Block;

/// Extension of a file that is not yet a segment. Whatever has it at a start is of no use.
pub const UNFINISHED: &str = "new";

/// The segment files of one shard that are open.
#[derive(Clone)]
pub struct Segments {
    dir: PathBuf,
    shard: Shard,
    open: Rc<RefCell<BTreeMap<SegmentNumber, Rc<DmaFile>>>>,
}

impl Segments {
    pub fn new(dir: PathBuf, shard: Shard) -> Self {
        Self {
            dir,
            shard,
            open: Rc::default(),
        }
    }

    fn path(&self, number: SegmentNumber) -> PathBuf {
        self.dir.join(segment_name(self.shard, number))
    }

    /// Makes a segment ready: its file has its size, its name and its header, durably.
    pub async fn open(
        &self,
        number: SegmentNumber,
        reuse: Option<SegmentNumber>,
        header: SegmentHeader,
    ) -> io::Result<()> {
        let path = self.path(number);
        if let Some(former) = reuse {
            self.close(former).await;
            match rename(self.path(former), path.clone()).await {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        // A new file has its name when it is whole: one that is killed meanwhile leaves no segment that
        // looks damaged.
        let made = match reuse {
            Some(_) if path.exists() => path.clone(),
            _ => path.with_extension(UNFINISHED),
        };
        let mut options = OpenOptions::new();
        let file = options
            .read(true)
            .write(true)
            .create(true)
            .dma_open(&made)
            .await?;
        // A write in flight when the process is killed keeps the lock: see the journal's contract.
        holdfast_sys::file::lock(&file)?;
        if file.file_size().await? != header.size {
            file.truncate(header.size).await?;
        }
        file.pre_allocate(header.size, false).await?;
        let mut page = file.alloc_dma_buffer(holdfast_journal::PAGE_SIZE);
        header.encode(page.as_bytes_mut());
        file.write_at(page, 0).await?;
        file.fdatasync().await?;
        if made != path {
            rename(made, path).await?;
        }
        let dir = self.dir.clone();
        glommio::executor()
            .spawn_blocking(move || std::fs::File::open(dir)?.sync_all())
            .await?;
        self.open.borrow_mut().insert(number, Rc::new(file));
        Ok(())
    }

    /// Writes the first `len` octets of a block.
    pub async fn write(
        &self,
        number: SegmentNumber,
        offset: u64,
        block: &Block,
        len: usize,
    ) -> io::Result<()> {
        let segment = self.segment(number)?;
        let whole = block.as_ref();
        let shared = block.share().filter(|_| len == whole.len());
        let written = if let Some(shared) = shared {
            segment.write_rc_at(shared, offset).await?
        } else {
            // A commit before its block was full: a copy is small, and the block may not shrink.
            let mut part = segment.alloc_dma_buffer(len);
            part.as_bytes_mut().copy_from_slice(&whole[..len]);
            segment.write_at(part, offset).await?
        };
        if written == len {
            Ok(())
        } else {
            Err(io::ErrorKind::WriteZero.into())
        }
    }

    pub async fn sync(&self, number: SegmentNumber) -> io::Result<()> {
        Ok(self.segment(number)?.fdatasync().await?)
    }

    pub async fn delete(&self, number: SegmentNumber) -> io::Result<()> {
        self.close(number).await;
        let path = self.path(number);
        let remove = move || match std::fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        };
        glommio::executor().spawn_blocking(remove).await
    }

    fn segment(&self, number: SegmentNumber) -> io::Result<Rc<DmaFile>> {
        self.open
            .borrow()
            .get(&number)
            .cloned()
            .ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    async fn close(&self, number: SegmentNumber) {
        let segment = self.open.borrow_mut().remove(&number);
        if let Some(Ok(segment)) = segment.map(Rc::try_unwrap) {
            // What was written is synced; an error of the closing itself says nothing about it.
            let _ = segment.close().await;
        }
    }
}

/// A disk that stalls keeps a rename for as long: never on the shard's own thread.
async fn rename(from: PathBuf, to: PathBuf) -> io::Result<()> {
    glommio::executor()
        .spawn_blocking(move || std::fs::rename(from, to))
        .await
}
