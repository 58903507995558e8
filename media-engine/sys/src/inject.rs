//! Frames for an interface, as a network card's driver hands them to the kernel: for load tools, on
//! machines that have no second one to send from.
//!
//! The kernel's way to try out an XDP program (`BPF_PROG_TEST_RUN` with live frames) makes frames, runs
//! the program on each, and takes in what passes as if it had come by the interface. The program here
//! copies the next of the frames that lie ready for it. That leaves out all of a sender: no socket, no
//! routing, no queue; what is left is what a card costs too. Needs CAP_NET_ADMIN and CAP_BPF, and
//! Linux 5.18.
//!
//! Each call waits for a grace period of RCU or two: 0.2 ms where `/sys/kernel/rcu_expedited` is 1, and some 30 ms
//! where it is not. So a call should have a few thousand frames.

use std::ffi::CString;
use std::io;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};

use crate::mapped::Mapped;

/// Frames of one call of the kernel.
pub const FRAMES_MAX: usize = 4_096;
/// Frames that the kernel makes together: its limit.
const BATCH: u32 = 256;
/// Octets between the beginnings of two frames in the map.
const SLOT: usize = 256;
/// The number of the next frame stands before all frames.
const COUNTER: usize = 8;

/// See the module's documentation.
#[derive(Debug)]
pub struct Injector {
    program: OwnedFd,
    frames: Frames,
    interface: u32,
    frame_size: usize,
    /// What the kernel makes its frames of before the program has run.
    blank: Vec<u8>,
}

impl Injector {
    /// For frames of so many octets, Ethernet header included, 1 to 256, that come by this interface.
    ///
    /// # Errors
    ///
    /// `InvalidInput` for another size; what the kernel says: no such interface, no privilege, a kernel
    /// without live frames (at the first [`send`](Self::send)).
    pub fn new(interface: &str, frame_size: usize) -> io::Result<Self> {
        // The kernel's frames have an Ethernet header at least.
        if !(14..=SLOT).contains(&frame_size) {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        let name = CString::new(interface)?;
        let interface = nix::net::if_::if_nametoindex(name.as_c_str())?;
        let frames = Frames::new()?;
        let program = load_program(&program(frames.map.as_raw_fd(), frame_size))?;
        Ok(Self {
            program,
            frames,
            interface,
            frame_size,
            blank: vec![0; frame_size],
        })
    }

    /// Gives the interface these frames, in order; all of them have been received when it returns. What
    /// is shorter than the size is filled up with zeros, what is longer is cut.
    ///
    /// # Errors
    ///
    /// What the kernel says; how many frames were received is not known then.
    pub fn send<'a>(&mut self, frames: impl IntoIterator<Item = &'a [u8]>) -> io::Result<()> {
        let mut count = 0;
        for frame in frames {
            if count == FRAMES_MAX {
                self.run(count)?;
                count = 0;
            }
            let slot = &mut self.frames.octets()[COUNTER + count * SLOT..][..self.frame_size];
            let size = frame.len().min(slot.len());
            slot[..size].copy_from_slice(&frame[..size]);
            slot[size..].fill(0);
            count += 1;
        }
        match count {
            0 => Ok(()),
            count => self.run(count),
        }
    }

    fn run(&mut self, count: usize) -> io::Result<()> {
        // The first frame is the next one again.
        self.frames.octets()[..COUNTER].fill(0);
        let context = Context {
            data: 0,
            data_end: self.frame_size as u32,
            data_meta: 0,
            ingress_ifindex: self.interface,
            rx_queue_index: 0,
            egress_ifindex: 0,
        };
        let run = TestRun {
            program: self.program.as_raw_fd() as u32,
            retval: 0,
            data_size_in: self.blank.len() as u32,
            data_size_out: 0,
            data_in: self.blank.as_ptr() as u64,
            data_out: 0,
            repeat: count as u32,
            duration: 0,
            ctx_size_in: size_of::<Context>() as u32,
            ctx_size_out: 0,
            ctx_in: address(&context),
            ctx_out: 0,
            flags: BPF_F_TEST_XDP_LIVE_FRAMES,
            cpu: 0,
            batch_size: BATCH,
            pad: 0,
        };
        // SAFETY: data and context have the lengths that are given, and are read before the call returns;
        // nothing is asked to be written but the words of `run`.
        unsafe { bpf(BPF_PROG_TEST_RUN, run)? };
        Ok(())
    }
}

/// The map that the program takes its frames from, seen by both: a counter, then a slot for each frame.
#[derive(Debug)]
struct Frames {
    map: OwnedFd,
    mapped: Mapped,
}

impl Frames {
    const SIZE: usize = COUNTER + FRAMES_MAX * SLOT;

    fn new() -> io::Result<Self> {
        let create = CreateMap {
            map_type: BPF_MAP_TYPE_ARRAY,
            key_size: 4,
            value_size: Self::SIZE as u32,
            max_entries: 1,
            flags: BPF_F_MMAPABLE,
        };
        // SAFETY: the attributes have no address.
        let map = unsafe { bpf(BPF_MAP_CREATE, create)? };
        // SAFETY: a descriptor that the kernel has just made for us alone.
        let map = unsafe { OwnedFd::from_raw_fd(map) };
        let mapped = Mapped::new(map.as_fd(), Self::SIZE)?;
        Ok(Self { map, mapped })
    }

    fn octets(&mut self) -> &mut [u8] {
        // SAFETY: mapped, of this size, for as long as `self`, and known to nobody else but the program,
        // which runs only within `Injector::run`, when no such slice is left.
        unsafe { std::slice::from_raw_parts_mut(self.mapped.base(), Self::SIZE) }
    }
}

fn load_program(program: &[Instruction]) -> io::Result<OwnedFd> {
    let load = LoadProgram {
        program_type: BPF_PROG_TYPE_XDP,
        instruction_count: program.len() as u32,
        instructions: program.as_ptr() as u64,
        license: c"GPL".as_ptr() as u64,
        log_level: 0,
        log_size: 0,
        log: 0,
    };
    // SAFETY: the instructions are so many as is said, the licence ends with a zero, and both are read
    // before the call returns.
    let descriptor = unsafe { bpf(BPF_PROG_LOAD, load)? };
    // SAFETY: a descriptor that the kernel has just made for us alone.
    Ok(unsafe { OwnedFd::from_raw_fd(descriptor) })
}

/// Copies the next frame of the map into the one at hand, and lets it pass.
fn program(map: i32, frame_size: usize) -> Vec<Instruction> {
    let size = frame_size as i16;
    // r1: the context, then the frame in the map; r2, r3: begin and end of the frame at hand; r4: the
    // map's value; r5: the number of the frame.
    let mut code = vec![
        Instruction::new(LOAD | W32, 2, 1, 0, 0),
        Instruction::new(LOAD | W32, 3, 1, 4, 0),
        Instruction::new(MOVE, 1, 2, 0, 0),
        Instruction::new(ADD_IMMEDIATE, 1, 0, 0, i32::from(size)),
        Instruction::new(JUMP_IF_GREATER, 1, 3, 0, 0),
        Instruction::new(LOAD_IMMEDIATE_64, 4, PSEUDO_MAP_VALUE, 0, map),
        Instruction::new(0, 0, 0, 0, 0),
        Instruction::new(LOAD | W64, 5, 4, 0, 0),
        Instruction::new(MOVE, 1, 5, 0, 0),
        Instruction::new(ADD_IMMEDIATE, 1, 0, 0, 1),
        Instruction::new(STORE | W64, 4, 1, 0, 0),
        Instruction::new(JUMP_IF_GREATER_IMMEDIATE, 5, 0, 0, FRAMES_MAX as i32 - 1),
        Instruction::new(MULTIPLY_IMMEDIATE, 5, 0, 0, SLOT as i32),
        Instruction::new(MOVE, 1, 4, 0, 0),
        Instruction::new(ADD, 1, 5, 0, 0),
    ];
    let mut at = 0;
    while at < size {
        let (width, octets) = match size - at {
            8.. => (W64, 8),
            4.. => (W32, 4),
            2.. => (W16, 2),
            _ => (W8, 1),
        };
        code.push(Instruction::new(LOAD | width, 0, 1, COUNTER as i16 + at, 0));
        code.push(Instruction::new(STORE | width, 2, 0, at, 0));
        at += octets;
    }
    code.push(Instruction::new(MOVE_IMMEDIATE, 0, 0, 0, XDP_PASS));
    code.push(Instruction::new(EXIT, 0, 0, 0, 0));
    let drop = code.len();
    code.push(Instruction::new(MOVE_IMMEDIATE, 0, 0, 0, XDP_DROP));
    code.push(Instruction::new(EXIT, 0, 0, 0, 0));
    for (at, instruction) in code.iter_mut().enumerate() {
        if [JUMP_IF_GREATER, JUMP_IF_GREATER_IMMEDIATE].contains(&instruction.code) {
            instruction.offset = (drop - at - 1) as i16;
        }
    }
    code
}

/// One instruction (RFC 9669 §3).
#[repr(C)]
#[derive(Clone, Copy, Debug)]
struct Instruction {
    code: u8,
    /// Destination in the low four bits, source in the high ones.
    registers: u8,
    offset: i16,
    immediate: i32,
}

impl Instruction {
    const fn new(code: u8, to: u8, from: u8, offset: i16, immediate: i32) -> Self {
        Self {
            code,
            registers: to | from << 4,
            offset,
            immediate,
        }
    }
}

// RFC 9669 §4 and §5: classes, sources, sizes, modes.
const W32: u8 = 0x00;
const W16: u8 = 0x08;
const W8: u8 = 0x10;
const W64: u8 = 0x18;
const LOAD: u8 = 0x61;
const STORE: u8 = 0x63;
const LOAD_IMMEDIATE_64: u8 = 0x18;
const MOVE: u8 = 0xbf;
const MOVE_IMMEDIATE: u8 = 0xb7;
const ADD: u8 = 0x0f;
const ADD_IMMEDIATE: u8 = 0x07;
const MULTIPLY_IMMEDIATE: u8 = 0x27;
const JUMP_IF_GREATER: u8 = 0x2d;
const JUMP_IF_GREATER_IMMEDIATE: u8 = 0x25;
const EXIT: u8 = 0x95;
/// The immediate is a map's descriptor, the value the address of its first entry.
const PSEUDO_MAP_VALUE: u8 = 2;

// Of linux/bpf.h, which the C library's headers do not have.
const BPF_MAP_CREATE: libc::c_long = 0;
const BPF_PROG_LOAD: libc::c_long = 5;
const BPF_PROG_TEST_RUN: libc::c_long = 10;
const BPF_MAP_TYPE_ARRAY: u32 = 2;
const BPF_PROG_TYPE_XDP: u32 = 6;
const BPF_F_MMAPABLE: u32 = 1 << 10;
const BPF_F_TEST_XDP_LIVE_FRAMES: u32 = 1 << 1;
const XDP_DROP: i32 = 1;
const XDP_PASS: i32 = 2;

#[repr(C)]
struct CreateMap {
    map_type: u32,
    key_size: u32,
    value_size: u32,
    max_entries: u32,
    flags: u32,
}

#[repr(C)]
struct LoadProgram {
    program_type: u32,
    instruction_count: u32,
    instructions: u64,
    license: u64,
    log_level: u32,
    log_size: u32,
    log: u64,
}

#[repr(C)]
struct TestRun {
    program: u32,
    retval: u32,
    data_size_in: u32,
    data_size_out: u32,
    data_in: u64,
    data_out: u64,
    repeat: u32,
    duration: u32,
    ctx_size_in: u32,
    ctx_size_out: u32,
    ctx_in: u64,
    ctx_out: u64,
    flags: u32,
    cpu: u32,
    batch_size: u32,
    pad: u32,
}

/// `struct xdp_md`.
#[repr(C)]
struct Context {
    data: u32,
    data_end: u32,
    data_meta: u32,
    ingress_ifindex: u32,
    rx_queue_index: u32,
    egress_ifindex: u32,
}

fn address<T>(value: &T) -> u64 {
    std::ptr::from_ref(value) as u64
}

/// The system call, with the attributes of one command; the kernel writes into those of a test run.
///
/// # Safety
///
/// The attributes are those of the command, and each address in them is valid for what the command does
/// with it.
unsafe fn bpf<T>(command: libc::c_long, mut attributes: T) -> io::Result<i32> {
    let size = size_of::<T>();
    // SAFETY: the attributes are so long as is said, and ours alone; the rest is the caller's promise.
    let result = unsafe { libc::syscall(libc::SYS_bpf, command, &raw mut attributes, size) };
    match result {
        0.. => Ok(result as i32),
        _ => Err(io::Error::last_os_error()),
    }
}

#[cfg(test)]
mod tests {
    use nix::sys::socket::{
        AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, recv, socket,
    };

    use super::*;

    /// On the loopback interface of the machine itself, where others send too; frames of this kind
    /// (IEEE 802 local experimental EtherType 1) they do not.
    #[test]
    fn frames_come_by_the_interface_in_order_and_whole() {
        let listener = socket(
            AddressFamily::Packet,
            SockType::Raw,
            SockFlag::SOCK_CLOEXEC,
            SockProtocol::EthAll,
        );
        let listener = match listener {
            Err(nix::Error::EPERM) => {
                eprintln!("SKIPPED: frames need root");
                return;
            }
            listener => listener.unwrap(),
        };
        let frame = |number: u8| {
            let mut frame = vec![0; 14];
            frame[12..].copy_from_slice(&[0x88, 0xb5]);
            frame.extend([number; 36]);
            frame
        };
        let mut injector = Injector::new("lo", 50).unwrap();
        // Each takes a page of the socket's buffer.
        let frames: Vec<_> = (0..20).map(frame).collect();
        // Twice: the program begins at the first frame again.
        for _ in 0..2 {
            injector.send(frames.iter().map(Vec::as_slice)).unwrap();
            // What was received lies in the socket now.
            let mut received = Vec::new();
            let mut octets = [0; 65_536];
            while let Ok(size) = recv(listener.as_raw_fd(), &mut octets, MsgFlags::MSG_DONTWAIT) {
                if octets[12..14] == [0x88, 0xb5] {
                    received.push(octets[..size].to_vec());
                }
            }
            assert_eq!(received, frames);
        }
    }

    #[test]
    fn a_frame_that_has_no_room_is_refused() {
        let refused = Injector::new("lo", SLOT + 1).unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::InvalidInput);
    }
}
