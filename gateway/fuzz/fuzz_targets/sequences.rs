#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| macula_core::fuzz::sequences(data));
