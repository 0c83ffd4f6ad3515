//! Worlds of both eras: clients and servers of each, on every pairing, and posts of one request.
//!
//! In the worlds of `crate::world` everybody speaks with a handshake, and what goes wrong goes wrong on
//! the links. Here the links are plain and peers differ in how they speak: what matters is what becomes of a
//! request, a question, a wish to be told or a log level on its way to somebody of the other era.
//!
//! What servers said is kept from one start to the next, and of some of them already when a world begins; it grows
//! old, and turns out to be wrong.
//!
//! A [`Step`] is something that may happen. `words` is what is said, as text. `client` and `server` are
//! scripted peers, which know only what they have read. `judge` is what we expect: it is told what reaches the
//! core before the core is, and what the core does is held against it.
//!
//! **Invariant:** the judge knows the protocol of both eras and what scripted peers mean, not how the core
//! goes about it.

mod client;
mod generate;
mod judge;
mod kept;
mod orders;
mod run;
mod server;
mod settle;
mod specs;
mod step;
mod telling;
mod words;
mod world;

pub use orders::{EraOrder, ORDERS, PARTS, play_part};
#[cfg(feature = "arbitrary")]
pub(crate) use run::run_bytes;
pub use run::{play_seed, replay};
pub use step::{Act, Step};

/// Everything that can be seen in such worlds, and counted.
pub(crate) fn sights() -> Vec<&'static str> {
    judge::Seen::NAMES.to_vec()
}
