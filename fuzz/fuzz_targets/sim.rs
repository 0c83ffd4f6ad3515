//! Looks for worlds in which something crosses or is lost.
#![no_main]
libfuzzer_sys::fuzz_target!(|input: &[u8]| sim::run_bytes(input));
