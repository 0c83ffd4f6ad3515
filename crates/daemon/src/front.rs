//! Where sessions come in.

mod confinement;
mod descriptors;
mod http;
mod stand;
mod unix;

pub(crate) use confinement::Freedom;
pub(crate) use descriptors::Descriptors;
pub(crate) use http::{
    Caller, FrozenHttp, HttpFault, HttpStand, Key, Listening, Place, Post, Readiness, Shared,
    Tubes, Visit, Wish,
};
pub(crate) use stand::Stand;
pub(crate) use unix::{ANSWER_PATIENCE, Door, SessionPlaces, say};
