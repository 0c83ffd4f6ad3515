//! What to do: every decision of the pooler, as a state machine without effects.
//!
//! [`Mux::handle`] takes what happened and appends what must be done to an [`Outbox`];
//! [`Mux::next_deadline`] says when to call again though nothing happens. There are no sockets here,
//! no clock, threads, randomness or locks: the same events give the same actions, byte for byte.
//!
//! **Invariant:** nothing that one session sent or is owed reaches another. Whatever cannot be
//! attributed is refused, dropped or counted; never guessed, never broadcast.
#![no_std]

extern crate alloc;
#[cfg(any(test, feature = "audit"))]
extern crate std;

mod action;
mod admin;
mod agreement;
mod answers;
mod ask;
mod askable;
#[cfg(any(test, feature = "audit"))]
pub mod audit;
mod backoff;
mod bridge;
mod class;
mod client_faults;
mod devices;
mod era;
mod event;
mod exchange;
mod fact;
mod from_session;
mod from_upstream;
mod frozen;
mod ghosts;
mod handles;
mod handshake;
mod ids;
mod inherit;
mod inquiry;
mod keeping;
mod kept_words;
mod lanes;
mod leaving;
mod lifecycle;
mod limits;
mod listen;
mod lists;
mod memory;
mod missed;
mod modern;
mod moment;
mod mux;
mod noise;
mod offers;
mod once;
mod pages;
mod private;
mod pulse;
mod recall;
mod record;
mod refusal;
mod release;
mod replay;
mod resend;
mod retire;
mod root;
mod rounds;
mod routing;
mod said;
mod scales;
mod sending;
mod session;
mod silence;
mod snapshot;
mod start;
mod stream;
mod subscribe;
mod terms;
#[cfg(test)]
mod tests;
mod timers;
mod turns;
mod upstream;
mod upstream_faults;
mod verbosity;
mod verdict;
mod wishes;

pub use action::{Action, Answered, Notice, Outbox, Then};
pub use class::{Capability, Class};
pub use era::{Era, GREETING_VERSION, MODERN_VERSION, SERVED_VERSIONS, is_legacy, knows_polling};
pub use event::{
    AdminAnswer, AdminAsk, Asks, CallRules, Device, Event, Exit, Front, IdleTimeout, Joins, Link,
    OnRestart, OnceRule, Opening, Past, Program, Record, Route, Said, Scope, Start,
};
pub use fact::{DropReason, Fact};
pub use frozen::ThawError;
pub use handles::HANDLE_PREFIX;
pub use ids::{Epoch, LineNumber, SessionId, Ticket, UpstreamId};
pub use kept_words::{KeptWords, Listing, Page, VERDICT_LIFE};
pub use limits::Limits;
pub use moment::Moment;
pub use mux::Mux;
pub use refusal::Refusal;
pub use said::{check_method, check_sender, said_version};
pub use snapshot::{SessionSnapshot, Snapshot, UpstreamSnapshot};
pub use terms::Lack;
pub use timers::Timer;
pub use verdict::Finding;
