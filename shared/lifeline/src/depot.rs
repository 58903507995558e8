//! The descriptor store of systemd: a keeper that lives when both processes are dead.
//!
//! ```text
//!   FDSTORE=1 FDNAME=… FDPOLL=0, the descriptor beside it ──► NOTIFY_SOCKET       (man 3 sd_notify)
//!   FDSTOREREMOVE=1 FDNAME=…                              ──►
//!   the next life begins with LISTEN_FDS, LISTEN_FDNAMES  ◄── descriptors from 3 on (man 3 sd_listen_fds)
//!
//!   a thing of one descriptor and no note    KEY
//!   any other                                KEY/0, KEY/1, … and KEY/n, a file in memory: its item
//! ```
//!
//! A name has no colon, so `:` in a key becomes `;`. systemd gives descriptors in no certain order and may
//! have taken only some: the item says how many there have to be.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{self, IoSlice, Write as _};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::FileExt as _;
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::sync::Once;

use rustix::fs::{MemfdFlags, memfd_create};
use rustix::io::{FdFlags, fcntl_setfd};
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};
use tracing::{error, warn};

use crate::lifeline::{Kept, Thing};
use crate::limits::{NOTE_SIZE_MAX, PEER_TIMEOUT, STORED_MAX};
use crate::message::{Item, decode, encode};

/// See the module's documentation.
#[derive(Debug)]
pub struct Depot {
    /// systemd's socket; `None`: this process was not started by it.
    socket: Option<PathBuf>,
    /// What is in the store: the names of each thing's descriptors.
    stored: BTreeMap<String, Vec<String>>,
    /// Of these, what came from the life before and has not been stored again since.
    former: BTreeSet<String>,
    /// Whether what goes wrong has been told.
    is_failing: bool,
}

impl Depot {
    /// The store of this process's supervisor, and what it kept of the life before.
    pub fn open() -> (Self, Vec<Kept>) {
        static PASSED: Once = Once::new();
        let mut passed = Ok(Vec::new());
        // They belong to who takes them, so nobody may take them twice.
        PASSED.call_once(|| passed = sd_listen_fds::get());
        let passed = passed.unwrap_or_else(|error| {
            error!(%error, "what systemd kept cannot be had");
            Vec::new()
        });
        let passed = passed.into_iter().map(|(name, fd)| (name, fd.into_std()));
        let socket = std::env::var_os("NOTIFY_SOCKET").map(PathBuf::from);
        Self::with(socket, passed.collect())
    }

    fn with(socket: Option<PathBuf>, passed: Vec<(Option<String>, OwnedFd)>) -> (Self, Vec<Kept>) {
        let mut stored: BTreeMap<String, Vec<String>> = BTreeMap::new();
        let mut parts: BTreeMap<String, Parts> = BTreeMap::new();
        for (name, descriptor) in passed {
            // A program that this one starts is not to have it.
            let is_closed_on_exec = fcntl_setfd(&descriptor, FdFlags::CLOEXEC);
            let name = name.unwrap_or_default();
            let (key, part) = key_and_part(&name);
            stored.entry(key.clone()).or_default().push(name.clone());
            let is_taken = parts.entry(key).or_default().take(part, descriptor);
            if let Err(reason) = is_closed_on_exec.map_err(|it| it.to_string()).and(is_taken) {
                warn!(name, reason, "a descriptor that systemd kept is of no use");
            }
        }
        let mut kept = Vec::new();
        for (key, parts) in parts {
            match parts.whole() {
                Some((note, descriptors)) => kept.push(Kept {
                    key,
                    note,
                    descriptors,
                }),
                None => error!(key, "systemd kept only some of it: given up"),
            }
        }
        let depot = Self {
            socket,
            former: stored.keys().cloned().collect(),
            stored,
            is_failing: false,
        };
        (depot, kept)
    }

    /// Has something kept, in the place of what has its key.
    pub fn store(&mut self, key: &str, thing: &Thing) {
        self.remove(key);
        if self.socket.is_none() {
            return;
        }
        let stored: usize = self.stored.values().map(Vec::len).sum();
        // One more for the note.
        if stored + thing.descriptors.len() + 1 > STORED_MAX || key.contains([';', '/']) {
            return self.tell_failure(key, &io::ErrorKind::StorageFull.into());
        }
        let result = self.store_parts(key, thing);
        match result {
            Ok(()) => self.is_failing = false,
            Err(error) => self.tell_failure(key, &error),
        }
    }

    fn store_parts(&mut self, key: &str, thing: &Thing) -> io::Result<()> {
        let name = key.replace(':', ";");
        if let ([only], true) = (&thing.descriptors[..], thing.note.is_empty()) {
            return self.store_part(key, name, only.as_fd());
        }
        // First, so that descriptors without it are never taken for a whole.
        let item = encode(&thing.item(key));
        let mut file = File::from(memfd_create("holdfast", MemfdFlags::CLOEXEC)?);
        file.write_all(&item)?;
        self.store_part(key, format!("{name}/n"), file.as_fd())?;
        for (index, descriptor) in thing.descriptors.iter().enumerate() {
            self.store_part(key, format!("{name}/{index}"), descriptor.as_fd())?;
        }
        Ok(())
    }

    fn store_part(
        &mut self,
        key: &str,
        name: String,
        descriptor: BorrowedFd<'_>,
    ) -> io::Result<()> {
        // Without FDPOLL=0 systemd lets go of a socket at its first error, such as an answer of ICMP.
        let message = format!("FDSTORE=1\nFDNAME={name}\nFDPOLL=0\n");
        self.stored.entry(key.to_owned()).or_default().push(name);
        self.send(&message, &[descriptor])
    }

    /// Has something kept no longer.
    pub fn remove(&mut self, key: &str) {
        self.former.remove(key);
        for name in self.stored.remove(key).unwrap_or_default() {
            if let Err(error) = self.send(&format!("FDSTOREREMOVE=1\nFDNAME={name}\n"), &[]) {
                self.tell_failure(key, &error);
            }
        }
    }

    /// All that goes on has been stored: what else the life before left may go.
    pub fn settle(&mut self) {
        for key in std::mem::take(&mut self.former) {
            self.remove(&key);
        }
    }

    fn tell_failure(&mut self, key: &str, error: &io::Error) {
        if !std::mem::replace(&mut self.is_failing, true) {
            warn!(key, %error, max = STORED_MAX, "systemd does not keep it: it dies with both processes");
        }
    }

    fn send(&self, message: &str, descriptors: &[BorrowedFd<'_>]) -> io::Result<()> {
        let Some(path) = &self.socket else {
            return Ok(());
        };
        let socket = UnixDatagram::unbound()?;
        socket.set_write_timeout(Some(PEER_TIMEOUT))?;
        socket.connect(path)?;
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        if !descriptors.is_empty() {
            let fits = control.push(SendAncillaryMessage::ScmRights(descriptors));
            assert!(fits, "there is room for one");
        }
        let data = [IoSlice::new(message.as_bytes())];
        sendmsg(&socket, &data, &mut control, SendFlags::NOSIGNAL)?;
        Ok(())
    }
}

/// What came under one key.
#[derive(Debug, Default)]
struct Parts {
    item: Option<Item>,
    descriptors: BTreeMap<u16, OwnedFd>,
}

impl Parts {
    fn take(&mut self, part: Part, descriptor: OwnedFd) -> Result<(), String> {
        match part {
            Part::Whole => {
                self.descriptors.entry(0).or_insert(descriptor);
                Ok(())
            }
            Part::Descriptor(index) => {
                self.descriptors.entry(index).or_insert(descriptor);
                Ok(())
            }
            Part::Item => {
                let mut bytes = vec![0; NOTE_SIZE_MAX * 2];
                let size = File::from(descriptor).read_at(&mut bytes, 0);
                bytes.truncate(size.map_err(|error| error.to_string())?);
                self.item = Some(decode(&bytes).map_err(|error| error.to_string())?);
                Ok(())
            }
            Part::Unknown => Err("no name of ours".to_owned()),
        }
    }

    /// Note and descriptors; `None` where something is missing.
    fn whole(self) -> Option<(Vec<u8>, Vec<OwnedFd>)> {
        let (note, count) = match self.item {
            Some(item) => (item.note, item.count),
            None => (Vec::new(), 1),
        };
        let is_complete = self.descriptors.keys().copied().eq(0..count);
        is_complete.then(|| (note, self.descriptors.into_values().collect()))
    }
}

/// What a name of a descriptor says after its key.
enum Part {
    Whole,
    Descriptor(u16),
    Item,
    Unknown,
}

fn key_and_part(name: &str) -> (String, Part) {
    let (key, part) = match name.split_once('/') {
        None => (name, Part::Whole),
        Some((key, "n")) => (key, Part::Item),
        Some((key, index)) => (key, index.parse().map_or(Part::Unknown, Part::Descriptor)),
    };
    (key.replace(';', ":"), part)
}

#[cfg(test)]
mod tests {
    use std::net::UdpSocket;
    use std::path::Path;
    use std::sync::Arc;

    use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};

    use super::*;
    use crate::lifeline::Descriptor;

    /// As systemd keeps them: by what it is told.
    struct Manager {
        socket: UnixDatagram,
        store: Vec<(String, OwnedFd)>,
    }

    impl Manager {
        fn listen(path: &Path) -> Self {
            let socket = UnixDatagram::bind(path).unwrap();
            socket.set_nonblocking(true).unwrap();
            Self {
                socket,
                store: Vec::new(),
            }
        }

        fn hear(&mut self) {
            let mut bytes = [0; 512];
            let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
            loop {
                let mut control = RecvAncillaryBuffer::new(&mut space);
                let mut data = [io::IoSliceMut::new(&mut bytes)];
                let flags = RecvFlags::CMSG_CLOEXEC;
                let Ok(received) = recvmsg(&self.socket, &mut data, &mut control, flags) else {
                    return;
                };
                let descriptor = control.drain().find_map(|it| match it {
                    RecvAncillaryMessage::ScmRights(mut rights) => rights.next(),
                    _ => None,
                });
                let text = std::str::from_utf8(&bytes[..received.bytes]).unwrap();
                let name = text
                    .lines()
                    .find_map(|it| it.strip_prefix("FDNAME="))
                    .unwrap();
                assert!(
                    name.len() <= 255 && name.is_ascii() && !name.contains(':'),
                    "{name}"
                );
                match descriptor {
                    Some(descriptor) => {
                        assert_eq!(text, format!("FDSTORE=1\nFDNAME={name}\nFDPOLL=0\n"));
                        self.store.push((name.to_owned(), descriptor));
                    }
                    None => {
                        assert_eq!(text, format!("FDSTOREREMOVE=1\nFDNAME={name}\n"));
                        self.store.retain(|(known, _)| known != name);
                    }
                }
            }
        }

        fn names(&mut self) -> Vec<String> {
            self.hear();
            self.store.iter().map(|(name, _)| name.clone()).collect()
        }

        /// To the next life: the newest first, as systemd does.
        fn pass(&mut self) -> Vec<(Option<String>, OwnedFd)> {
            self.hear();
            let all = self.store.iter().rev();
            all.map(|(name, fd)| (Some(name.clone()), fd.try_clone().unwrap()))
                .collect()
        }
    }

    fn thing(note: &[u8], sockets: &[&UdpSocket]) -> Thing {
        let descriptor = |it: &&UdpSocket| -> Descriptor { Arc::new(it.try_clone().unwrap()) };
        Thing {
            note: note.to_vec(),
            descriptors: sockets.iter().map(descriptor).collect(),
        }
    }

    fn address(descriptor: &OwnedFd) -> std::net::SocketAddr {
        let socket = UdpSocket::from(descriptor.try_clone().unwrap());
        socket.local_addr().unwrap()
    }

    #[test]
    fn the_next_life_gets_what_was_stored_whole_and_in_its_order() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notify");
        let mut manager = Manager::listen(&path);
        let sockets: Vec<_> = (0..3)
            .map(|_| UdpSocket::bind("127.0.0.1:0").unwrap())
            .collect();
        let (mut depot, kept) = Depot::with(Some(path.clone()), Vec::new());
        assert!(kept.is_empty());
        depot.store("udp:[::1]:5060", &thing(b"", &[&sockets[0]]));
        depot.store("rings-1", &thing(b"of these", &[&sockets[1], &sockets[2]]));
        let names = ["udp;[;;1];5060", "rings-1/n", "rings-1/0", "rings-1/1"];
        assert_eq!(manager.names(), names);

        let (mut depot, kept) = Depot::with(Some(path), manager.pass());
        let [rings, udp] = &kept[..] else {
            panic!("{kept:?}")
        };
        assert_eq!(
            (&rings.key[..], &rings.note[..]),
            ("rings-1", &b"of these"[..])
        );
        let of = |kept: &Kept| -> Vec<_> { kept.descriptors.iter().map(address).collect() };
        let bound = |at: usize| sockets[at].local_addr().unwrap();
        assert_eq!(of(rings), [bound(1), bound(2)]);
        assert_eq!((&udp.key[..], of(udp)), ("udp:[::1]:5060", vec![bound(0)]));

        // Only one of them goes on: the other goes when all has been said.
        depot.store("udp:[::1]:5060", &thing(b"", &[&sockets[0]]));
        assert_eq!(manager.names().len(), 4);
        depot.settle();
        assert_eq!(manager.names(), ["udp;[;;1];5060"]);
        depot.remove("udp:[::1]:5060");
        depot.remove("udp:[::1]:5060");
        assert!(manager.names().is_empty());
    }

    #[test]
    fn what_is_stored_under_the_same_key_takes_the_place_of_the_other() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notify");
        let mut manager = Manager::listen(&path);
        let (one, two) = (
            UdpSocket::bind("127.0.0.1:0").unwrap(),
            UdpSocket::bind("127.0.0.1:0").unwrap(),
        );
        let (mut depot, _) = Depot::with(Some(path), Vec::new());
        depot.store("blocks-0", &thing(b"", &[&one]));
        depot.store("blocks-0", &thing(b"", &[&two]));
        assert_eq!(manager.names(), ["blocks-0"]);
        assert_eq!(address(&manager.store[0].1), two.local_addr().unwrap());
    }

    #[test]
    fn what_is_not_whole_or_not_ours_is_given_up_and_goes_when_all_has_been_said() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notify");
        let mut manager = Manager::listen(&path);
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let (mut depot, _) = Depot::with(Some(path.clone()), Vec::new());
        depot.store("rings-1", &thing(b"note", &[&socket, &socket]));
        depot.store("rings-2", &thing(b"note", &[&socket, &socket]));
        manager.hear();
        // systemd had no room for all, and the note of the other does not read.
        manager.store.retain(|(name, _)| name != "rings-1/1");
        for (name, descriptor) in &mut manager.store {
            if name == "rings-2/n" {
                *descriptor = File::open("/dev/null").unwrap().into();
            }
        }
        manager.store.push((
            "other/way".to_owned(),
            File::open("/dev/null").unwrap().into(),
        ));
        let (mut depot, kept) = Depot::with(Some(path), manager.pass());
        assert!(kept.is_empty(), "{kept:?}");
        depot.settle();
        assert!(manager.names().is_empty(), "{:?}", manager.store);
    }

    #[test]
    fn no_more_is_stored_than_the_next_life_can_be_told() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notify");
        let mut manager = Manager::listen(&path);
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let (mut depot, _) = Depot::with(Some(path), Vec::new());
        for port in 0..STORED_MAX + 10 {
            depot.store(&format!("port-{port}"), &thing(b"", &[&socket]));
            manager.hear();
        }
        assert_eq!(manager.store.len(), STORED_MAX - 1);
        depot.remove("port-0");
        depot.store("port-20000", &thing(b"", &[&socket]));
        assert!(manager.names().contains(&"port-20000".to_owned()));
    }

    #[test]
    fn the_units_allow_as_many_as_are_stored() {
        for unit in [
            include_str!("../../../systemd/holdfast-media.service"),
            include_str!("../../../systemd/holdfast-signaling.service"),
        ] {
            let line = format!("FileDescriptorStoreMax={STORED_MAX}");
            assert!(unit.lines().any(|it| it == line), "{unit}");
        }
    }

    #[test]
    fn without_systemd_nothing_is_stored() {
        let (mut depot, kept) = Depot::with(None, Vec::new());
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        depot.store("port-1", &thing(b"", &[&socket]));
        depot.settle();
        assert!(kept.is_empty() && depot.stored.is_empty());
    }
}
