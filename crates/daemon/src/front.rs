//! Where sessions come in.

mod confinement;
mod descriptors;
mod stand;
mod unix;

pub(crate) use confinement::Freedom;
pub(crate) use descriptors::Descriptors;
pub(crate) use stand::Stand;
pub(crate) use unix::{ANSWER_PATIENCE, Door, SessionPlaces, say};
