//! What only the machine knows, and the settings that depend on it.

use std::collections::BTreeSet;
use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use crate::check::{Checker, quoted};
use crate::problem::SettingsError;
use crate::settings::{MediaAddress, Settings};

/// What settings are held against. Nothing here changes the machine.
pub trait Machine {
    /// The numbers of the cores that are online.
    fn cores(&self) -> io::Result<BTreeSet<u32>>;

    /// The addresses of the network interfaces, of both families.
    fn addresses(&self) -> io::Result<BTreeSet<IpAddr>>;

    /// Whether files can be made in this folder, or, where it does not exist yet, whether it can
    /// be made itself.
    fn probe_dir_writable(&self, path: &Path) -> io::Result<()>;

    /// Identity of the file system that holds this path, or will once it is made.
    fn file_system(&self, path: &Path) -> io::Result<u64>;
}

impl Settings {
    /// Refuses what this machine does not have: cores, addresses, writable folders.
    pub fn check_machine(&self, machine: &dyn Machine) -> Result<(), SettingsError> {
        let mut checker = Checker::new(&self.line_by_key, Vec::new());
        self.check_listeners(&mut checker, machine);
        self.check_cores(&mut checker, machine);
        self.check_folders(&mut checker, machine);
        SettingsError::unless_none(checker.into_problems())
    }

    fn check_cores(&self, checker: &mut Checker<'_>, machine: &dyn Machine) {
        let online = match machine.cores() {
            Ok(online) => online,
            Err(error) => {
                let lack = format!("the cores cannot be listed: {error}");
                let remedy = "make /sys/devices/system/cpu/online readable";
                return checker.not_here("media.cores", listed(&self.media.cores), lack, remedy);
            }
        };
        for (index, core) in self.media.cores.iter().enumerate() {
            if !online.contains(core) {
                let key = format!("media.cores[{index}]");
                let remedy = format!("choose among {}", ranges(&online));
                checker.not_here(&key, core, "this machine has no such core online", remedy);
            }
        }
    }

    fn check_listeners(&self, checker: &mut Checker<'_>, machine: &dyn Machine) {
        let raw = &self.raw;
        let addresses = match machine.addresses() {
            Ok(addresses) => addresses,
            Err(error) => {
                let lack = format!("the addresses cannot be listed: {error}");
                let value = listed(
                    &raw.sip
                        .listen
                        .iter()
                        .map(|it| quoted(it))
                        .collect::<Vec<_>>(),
                );
                return checker.not_here("sip.listen", value, lack, "permit AF_NETLINK sockets");
            }
        };
        for (index, (listen, text)) in self.sip.listen.iter().zip(&raw.sip.listen).enumerate() {
            let key = format!("sip.listen[{index}]");
            check_address(checker, &key, text, listen.address.ip(), &addresses);
        }
        if let MediaAddress::Address(address) = self.media.address {
            check_address(
                checker,
                "media.address",
                &raw.media.address,
                address,
                &addresses,
            );
        }
    }

    fn check_folders(&self, checker: &mut Checker<'_>, machine: &dyn Machine) {
        let raw = &self.raw;
        let control_dir = folder_of(&self.node.control_socket);
        let operator_dir = folder_of(&self.node.operator_socket);
        let folders = [
            ("node.state_dir", &raw.node.state_dir, &self.node.state_dir),
            (
                "node.control_socket",
                &raw.node.control_socket,
                &control_dir,
            ),
            (
                "node.operator_socket",
                &raw.node.operator_socket,
                &operator_dir,
            ),
            ("journal.dir", &raw.journal.dir, &self.journal.dir),
            ("recordings.dir", &raw.recordings.dir, &self.recordings.dir),
            (
                "recordings.incoming_dir",
                &raw.recordings.incoming_dir,
                &self.recordings.incoming_dir,
            ),
        ];
        let mut refused: Vec<&Path> = Vec::new();
        for (key, text, path) in folders {
            // A folder below one that was refused says nothing new.
            let is_told = refused.iter().any(|above| path.starts_with(above));
            if let (false, Err(error)) = (is_told, machine.probe_dir_writable(path)) {
                let lack = format!("{} is not a folder to write to: {error}", path.display());
                let remedy = "make it writable for this user, or name another one";
                checker.not_here(key, quoted(text), lack, remedy);
                refused.push(path);
            }
        }
        if refused.is_empty() {
            self.check_publish_by_rename(checker, machine);
        }
    }

    /// Publishing is one rename, which cannot cross file systems.
    fn check_publish_by_rename(&self, checker: &mut Checker<'_>, machine: &dyn Machine) {
        let key = "recordings.incoming_dir";
        let published = machine.file_system(&self.recordings.dir);
        let incoming = machine.file_system(&self.recordings.incoming_dir);
        let lack = match (published, incoming) {
            (Ok(published), Ok(incoming)) if published == incoming => return,
            (Ok(_), Ok(_)) => "it is on another file system than recordings.dir".to_owned(),
            (Err(error), _) | (_, Err(error)) => format!("its file system is unknown: {error}"),
        };
        let remedy = "name a folder on the file system of recordings.dir, or \"auto\"";
        checker.not_here(key, quoted(&self.raw.recordings.incoming_dir), lack, remedy);
    }
}

fn check_address(
    checker: &mut Checker<'_>,
    key: &str,
    text: &str,
    address: IpAddr,
    addresses: &BTreeSet<IpAddr>,
) {
    if address.is_unspecified() {
        let has_family = addresses.iter().any(|it| it.is_ipv4() == address.is_ipv4());
        if !has_family {
            let family = if address.is_ipv4() { "IPv4" } else { "IPv6" };
            let lack = format!("this machine has no {family} address");
            checker.not_here(key, quoted(text), lack, "listen on the other family alone");
        }
        return;
    }
    // All of 127.0.0.0/8 can be bound where the loopback interface is up.
    let is_loopback = matches!(address, IpAddr::V4(v4) if v4.is_loopback());
    let is_here = addresses.contains(&address)
        || (is_loopback && addresses.iter().any(|it| it.is_ipv4() && it.is_loopback()));
    if !is_here {
        let names: Vec<String> = addresses.iter().map(ToString::to_string).collect();
        let remedy = format!("choose among {}", names.join(", "));
        checker.not_here(
            key,
            quoted(text),
            "this machine has no such address",
            remedy,
        );
    }
}

/// The folder that a file is in.
fn folder_of(path: &Path) -> PathBuf {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_path_buf(),
        Some(_) | None => PathBuf::from("."),
    }
}

fn listed<T: ToString>(items: &[T]) -> String {
    let items: Vec<String> = items.iter().map(ToString::to_string).collect();
    format!("[{}]", items.join(", "))
}

/// Numbers as the kernel lists them: `0-3,8`.
fn ranges(numbers: &BTreeSet<u32>) -> String {
    let mut runs: Vec<(u32, u32)> = Vec::new();
    for &number in numbers {
        match runs.last_mut() {
            Some((_, last)) if last.checked_add(1) == Some(number) => *last = number,
            Some(_) | None => runs.push((number, number)),
        }
    }
    let runs: Vec<String> = runs
        .into_iter()
        .map(|(first, last)| match first == last {
            true => first.to_string(),
            false => format!("{first}-{last}"),
        })
        .collect();
    runs.join(",")
}
