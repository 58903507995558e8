//! The engine is killed again and again with the packet ring, each test in a network namespace of its
//! own: not one packet is lost, not one is there twice.

#[path = "e2e_kill.rs"]
mod as_with_sockets;
