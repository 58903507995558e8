//! What a process says of itself: to the supervisor that started it (systemd), and in figures of what it
//! takes of the machine.
//!
//! Without a supervisor that wants to know, nothing is told.

mod supervisor;
mod usage;

pub use supervisor::{tell_alive, tell_ready, tell_stopping, watchdog};
pub use usage::{cpu_us, memory};
