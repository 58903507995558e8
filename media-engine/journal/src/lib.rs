//! The write-ahead log of a shard: format, writer, recovery, without I/O.
