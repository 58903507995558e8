//! RTP and RTCP: parse, guard, order, account, without I/O.
