//! Where sessions come in.

mod confinement;
mod unix;

pub(crate) use confinement::Freedom;
pub(crate) use unix::Door;
