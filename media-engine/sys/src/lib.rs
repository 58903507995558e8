//! Sockets, clocks and files of the media engine.
