//! One system for many tests of a file: started by the first that asks, ended behind the last.

use std::sync::{Arc, Mutex, PoisonError, Weak};

use crate::system::{Options, System};

/// A place for a system, as a `static`.
#[derive(Debug, Default)]
pub struct Shared(Mutex<Weak<System>>);

impl Shared {
    /// A place without a system.
    pub const fn new() -> Self {
        Self(Mutex::new(Weak::new()))
    }

    /// The system that other tests use at present, or a new one. Tests that change it as a whole
    /// (stop a process, fill it up) have to start one of their own instead.
    pub fn system(&self, options: impl FnOnce() -> Options) -> Arc<System> {
        // A test that failed while it started one leaves the place empty.
        let mut place = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        place.upgrade().unwrap_or_else(|| {
            let system = Arc::new(System::start(&options()));
            *place = Arc::downgrade(&system);
            system
        })
    }
}
