//! Looks for bytes that break the first things said over the link.
#![no_main]
libfuzzer_sys::fuzz_target!(|input: &[u8]| fuzz::preface::check(input));
