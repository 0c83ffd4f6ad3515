//! Looks for configuration files that are misread or edited wrongly.
#![no_main]
libfuzzer_sys::fuzz_target!(|input: &[u8]| fuzz::configuration::check(input));
