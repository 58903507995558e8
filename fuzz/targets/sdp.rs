#![no_main]

libfuzzer_sys::fuzz_target!(|octets: &[u8]| holdfast_recording::fuzz::any_description(octets));
