#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| stapled_fuzz_checks::intake(bytes));
