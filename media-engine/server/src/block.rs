//! A block of the journal: memory that direct I/O can write from, and that stays after the write.

use std::rc::Rc;

use glommio::allocate_dma_buffer;
use glommio::io::DmaBuffer;

/// One block. While a write is in flight its memory is shared with it, and nobody writes to it.
#[derive(Debug)]
pub struct Block(Rc<DmaBuffer>);

impl Block {
    pub fn new(size: usize) -> Self {
        Self(Rc::new(allocate_dma_buffer(size)))
    }

    /// The memory, for a write of all of it.
    pub fn share(&self) -> Rc<DmaBuffer> {
        self.0.clone()
    }
}

impl AsRef<[u8]> for Block {
    fn as_ref(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

impl AsMut<[u8]> for Block {
    fn as_mut(&mut self) -> &mut [u8] {
        Rc::get_mut(&mut self.0)
            .expect("no write is in flight while it is filled")
            .as_bytes_mut()
    }
}
