//! Seeded worlds around the real core: sessions, servers, users and a machine that misbehave.
//!
//! Five nouns. A [`Step`] is something that may happen. A [`World`] is a real core with scripted
//! peers, the links between them and the only clock. The [`model`] says what we expect. A [`Fault`]
//! is a way in which things go wrong. A [`Seed`] is a number that all of it follows from.
//!
//! **Invariant:** the same seed gives the same world, byte for byte.

pub mod fault;
mod generate;
pub mod invariants;
pub mod minimise;
pub mod model;
pub mod payload;
pub mod peers;
mod play;
pub mod run;
pub mod seed;
mod settle;
mod show;
pub mod step;
pub mod tally;
pub mod trace;
pub mod wish;
pub mod world;

pub use fault::Fault;
pub use seed::{Seed, Setting};
pub use step::Step;
pub use world::World;
