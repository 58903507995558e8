//! Everything one core owns, without I/O.
