//! Looks for files of clients that are edited elsewhere than at their servers.
#![no_main]
libfuzzer_sys::fuzz_target!(|input: &[u8]| fuzz::clients::check(input));
