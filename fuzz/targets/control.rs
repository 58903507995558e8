#![no_main]

libfuzzer_sys::fuzz_target!(|octets: &[u8]| holdfast_control::fuzz::any_message(octets));
