//! SIPREC: bodies, offer and answer, call metadata, without I/O.
