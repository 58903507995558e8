//! A block of the journal: memory that direct I/O can write from, and that stays after the write.
//!
//! Where packets come from plain sockets, which nobody gives back, blocks are in memory that outlives
//! the process: see [`crate::kept_blocks`]. A write then takes a copy along.

use std::rc::Rc;

use glommio::allocate_dma_buffer;
use glommio::io::DmaBuffer;
use holdfast_sys::SharedBlock;

/// One block. While a write is in flight its memory is shared with it, and nobody writes to it.
#[derive(Debug)]
pub struct Block(Memory);

#[derive(Debug)]
enum Memory {
    Own(Rc<DmaBuffer>),
    Shared(SharedBlock),
}

impl Block {
    /// In memory of this process alone.
    pub fn new(size: usize) -> Self {
        Self(Memory::Own(Rc::new(allocate_dma_buffer(size))))
    }

    /// The memory, for a write of all of it, if that can be had without a copy.
    pub fn share(&self) -> Option<Rc<DmaBuffer>> {
        match &self.0 {
            Memory::Own(buffer) => Some(buffer.clone()),
            Memory::Shared(_) => None,
        }
    }
}

impl From<SharedBlock> for Block {
    fn from(block: SharedBlock) -> Self {
        Self(Memory::Shared(block))
    }
}

impl AsRef<[u8]> for Block {
    fn as_ref(&self) -> &[u8] {
        match &self.0 {
            Memory::Own(buffer) => buffer.as_bytes(),
            Memory::Shared(block) => block.as_ref(),
        }
    }
}

impl AsMut<[u8]> for Block {
    fn as_mut(&mut self) -> &mut [u8] {
        match &mut self.0 {
            Memory::Own(buffer) => Rc::get_mut(buffer)
                .expect("no write is in flight while it is filled")
                .as_bytes_mut(),
            Memory::Shared(block) => block.as_mut(),
        }
    }
}
