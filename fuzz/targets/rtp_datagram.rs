#![no_main]

libfuzzer_sys::fuzz_target!(|octets: &[u8]| holdfast_rtp::fuzz::any_datagram(octets));
