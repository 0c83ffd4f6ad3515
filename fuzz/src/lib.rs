//! Promises that must hold for any bytes, each as a plain function that panics where one is broken.
//!
//! A fuzzing engine drives them as programs (`fuzz_targets/`, `cargo xtask fuzz`); the tests of this
//! package replay every input that was ever worth keeping, without an engine.
//!
//! **Invariant:** a check depends on its input alone: the same bytes hold or break for ever.

mod choices;
mod json;

pub mod clients;
pub mod codec;
pub mod configuration;
pub mod envelope;
pub mod preface;

/// Checks one input; panics if a promise is broken.
pub type Check = fn(&[u8]);

/// Every target, by the name of its program and of its folders of inputs.
pub const TARGETS: &[(&str, Check)] = &[
    ("clients", clients::check),
    ("codec", codec::check),
    ("config", configuration::check),
    ("envelope", envelope::check),
    ("preface", preface::check),
    ("sim", sim::run_bytes),
];
