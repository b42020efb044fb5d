#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| macula_gateway::fuzz::settings(data));
