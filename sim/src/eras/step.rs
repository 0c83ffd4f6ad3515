//! What may happen in a world of both eras, one thing at a time.
//!
//! **Invariant:** every step means something in every world: numbers are taken modulo what there is, and a
//! step for which there is nothing does nothing. Any part of a list of steps can be played.

use serde::{Deserialize, Serialize};

/// One thing that happens. Plain data: a line of JSON each, so that a list of steps can be kept and read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "arbitrary", derive(arbitrary::Arbitrary))]
pub struct Step {
    /// What.
    pub act: Act,
    /// Who does it, by place among those who can.
    pub who: u8,
    /// How, or to what.
    pub what: u8,
}

/// What may happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "arbitrary", derive(arbitrary::Arbitrary))]
pub enum Act {
    /// A client comes: `who` says to which server, `what` of which kind it is and what it can do.
    Open,
    /// A client says `initialize`, also one that has asked `server/discover` before.
    Hello,
    /// A client asks something.
    Ask,
    /// A client of the modern era wants to be told of changes.
    Listen,
    /// A client of the modern era comes back with an answer to what it was asked, or with a handle that is not
    /// good.
    Return,
    /// A client of the modern era comes back again and again without an answer to what it was asked.
    Dally,
    /// A client of the legacy era answers what it was asked.
    Reply,
    /// A client no longer wants an answer.
    Cancel,
    /// A client closes its input.
    End,
    /// A client is gone.
    Leave,
    /// A client reads what waits for it.
    Read,
    /// A process that is being started runs, or does not.
    Start,
    /// A server reads what waits for it.
    Take,
    /// A server answers what it was asked first.
    Greet,
    /// A server says of what it tells whoever has asked to be told.
    Acknowledge,
    /// A server answers a request: with a result, an error, or questions.
    Answer,
    /// A server of the legacy era asks something, because of a call or not.
    Question,
    /// A server of the legacy era no longer wants to know.
    Withdraw,
    /// A server tells how far it is.
    Report,
    /// A server logs, because of a call.
    Log,
    /// A server tells that a list has changed.
    Change,
    /// A server tells that a resource has changed.
    Update,
    /// A server's process ends by itself.
    Crash,
    /// A server that was told to stop does.
    Exit,
    /// Everybody does what is expected, until there is nothing left to do.
    Settle,
    /// Time passes.
    Pass,
    /// An administrator restarts a server.
    Restart,
    /// Everything is to end.
    Shutdown,
    /// A server or a client ceases to read, with much that waits for it, or reads on.
    Stall,
    /// The way to a server is cut, in the middle of what is being written there, or a client that does not read loses
    /// what waits for it.
    Cut,
    /// Something is kept of a server, from before anything happens here: `who` says of which, `what` which words.
    Keep,
}
