//! Where sessions come in.

mod confinement;
mod descriptors;
mod http;
mod stand;
mod unix;

pub(crate) use confinement::Freedom;
pub(crate) use descriptors::Descriptors;
pub(crate) use http::{
    AllTubes, Asked, Caller, FIRST_GENERATION, Found, FrozenHttp, Generation, HttpFault, HttpStand,
    Key, Listening, Mirroring, ModernFault, ModernPost, Param, Place, Post, Presence, Readiness,
    Shared, Tubes, Visit, Wish, at_port, check_params, encoded, is_annotated, param_headers,
    tools_of,
};
pub use http::{holder, http_addresses, token};
pub(crate) use stand::Stand;
pub(crate) use unix::{ANSWER_PATIENCE, Door, SessionPlaces, say};

/// What a session comes in over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Over {
    /// The daemon's own socket, with a preface.
    Preface,
    /// HTTP, a request at a time.
    Http,
    /// A WebSocket.
    WebSocket,
}
