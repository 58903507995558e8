//! The protocol between the two processes.
