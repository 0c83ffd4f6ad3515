//! Seeded worlds around the real core: sessions, servers, users and a machine that misbehave.
//!
//! Five nouns. A [`Step`] is something that may happen. A world is a real core with scripted peers,
//! the links between them and the only clock. The model says what we expect. A [`Fault`] is a way in
//! which things go wrong. A [`Seed`] is a number that all of it follows from.
//!
//! There are two kinds of worlds. In one everybody speaks with a handshake, and everything goes wrong on the
//! links. The other, [`eras`], has clients and servers of both eras.
//!
//! **Invariant:** the same seed gives the same world, byte for byte.

pub mod eras;
mod fault;
mod generate;
mod invariants;
mod links;
mod minimise;
mod model;
mod orders;
mod payload;
mod peers;
mod pinned;
mod play;
mod queue;
mod report;
mod run;
mod seed;
mod settle;
mod show;
mod step;
mod tally;
mod trace;
mod wish;
mod world;

pub use fault::Fault;
pub use invariants::Broken;
pub use minimise::minimise;
pub use orders::{ORDERS, Order, PARTS, play_part};
pub use pinned::{Pinned, Steps};
pub use report::report;
#[cfg(feature = "arbitrary")]
pub use run::run_bytes;
pub use run::{Played, play_seed, replay};
pub use seed::{Bounds, Seed, Setting};
pub use step::{Answering, Replying, Step, Telling, Utterance, Want};
pub use tally::{Kind, Tally};
pub use trace::Trace;
