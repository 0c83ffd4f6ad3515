//! What may happen in a world, one thing at a time.
//!
//! **Invariant:** every step means something in every world: numbers are taken modulo what there is,
//! and a step for which there is nothing does nothing. Any part of a list of steps can be played.

use serde::{Deserialize, Serialize};

/// One thing that a client, a server, a user or the machine does.
///
/// Plain data: a line of JSON each, so that a list of steps can be kept and read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "arbitrary", derive(arbitrary::Arbitrary))]
pub enum Step {
    /// A client comes, over a link of this kind.
    Open {
        /// By place in the list of openings.
        kind: u8,
        /// Whether its shim keeps its lines.
        keeps: bool,
    },
    /// A client says `initialize`, perhaps again.
    Hello {
        /// Which client.
        client: u8,
        /// Its id.
        id: u8,
        /// The version that it asks for.
        version: u8,
        /// What it declares.
        class: u8,
    },
    /// A client asks something.
    Request {
        /// Which client.
        client: u8,
        /// What.
        what: Want,
        /// Of which tool, resource or level.
        which: u8,
        /// Its id.
        id: u8,
        /// The token of its progress; none for a multiple of four.
        token: u8,
    },
    /// A client says several things as one.
    Batch {
        /// Which client.
        client: u8,
        /// How many.
        count: u8,
        /// What they are.
        salt: u8,
    },
    /// A client no longer wants an answer.
    Cancel {
        /// Which client.
        client: u8,
        /// Which request; one that it never made for the last.
        which: u8,
    },
    /// A client tells something.
    Tell {
        /// Which client.
        client: u8,
        /// What.
        what: Telling,
    },
    /// A client answers what it was asked.
    Reply {
        /// Which client.
        client: u8,
        /// Which question.
        which: u8,
        /// How.
        how: Replying,
    },
    /// A client writes what is no message.
    Garbage {
        /// Which client.
        client: u8,
        /// What.
        kind: u8,
    },
    /// A client subscribes and unsubscribes without waiting.
    Churn {
        /// Which client.
        client: u8,
        /// To what.
        which: u8,
        /// How often.
        count: u8,
    },
    /// A client closes its input.
    End {
        /// Which client.
        client: u8,
    },
    /// A client is gone.
    Leave {
        /// Which client.
        client: u8,
    },
    /// A client reads nothing until further notice, or reads again.
    Stall {
        /// Which client.
        client: u8,
        /// Whether it stops.
        stops: bool,
    },
    /// A link carries some of what was said on it.
    Carry {
        /// Which of those with something on them.
        link: u8,
        /// How much of it.
        count: u8,
    },
    /// A process that is being started runs, or does not.
    Start {
        /// Which of those.
        server: u8,
        /// Whether it does not.
        fails: bool,
    },
    /// A server answers the handshake.
    Greet {
        /// Which server.
        server: u8,
        /// In which version.
        version: u8,
        /// What it declares; an error for the last.
        declares: u8,
    },
    /// A server answers a request.
    Answer {
        /// Which server.
        server: u8,
        /// Which request.
        which: u8,
        /// How.
        how: Answering,
    },
    /// A server tells how far it is.
    Report {
        /// Which server.
        server: u8,
        /// With which request; one that is over for the last.
        which: u8,
    },
    /// A server asks something.
    Inquire {
        /// Which server.
        server: u8,
        /// Because of which call; because of none for the last.
        which: u8,
        /// What.
        what: u8,
        /// Its id.
        id: u8,
    },
    /// A server no longer wants to know.
    Withdraw {
        /// Which server.
        server: u8,
        /// Which question.
        which: u8,
    },
    /// A server says something that answers nothing.
    Utter {
        /// Which server.
        server: u8,
        /// What.
        what: Utterance,
        /// Because of which call, or about what.
        which: u8,
    },
    /// A server writes what is no message.
    Noise {
        /// Which server.
        server: u8,
        /// What.
        kind: u8,
    },
    /// A server's process ends by itself.
    Crash {
        /// Which server.
        server: u8,
        /// How much of what it had written is lost: none, a part, or all but half a line.
        lost: u8,
    },
    /// A server reads nothing until further notice, or reads again.
    Hang {
        /// Which server.
        server: u8,
        /// Whether it stops.
        stops: bool,
    },
    /// A server that was told to stop does.
    Exit {
        /// Which of those.
        server: u8,
        /// Whether it goes on for now.
        refuses: bool,
    },
    /// Everybody does what is expected, until there is nothing left to do.
    Settle,
    /// Time passes.
    Pass {
        /// How much, by place in a list.
        how_long: u8,
        /// Whether the core is called too late.
        late: bool,
    },
    /// An administrator restarts a server.
    Restart {
        /// Which, by place in the list of names.
        name: u8,
    },
    /// Everything is to end.
    Shutdown,
}

/// What clients ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "arbitrary", derive(arbitrary::Arbitrary))]
pub enum Want {
    /// To run a tool.
    Call,
    /// To have a prompt filled in.
    Prompt,
    /// To read a resource.
    Read,
    /// To hear of changes of a resource.
    Subscribe,
    /// No longer to.
    Unsubscribe,
    /// To hear more, or less, of the log.
    SetLevel,
    /// Whether anybody is there.
    Ping,
    /// What a modern server can do.
    Discover,
    /// One of the plain requests.
    Plain,
}

/// What clients tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "arbitrary", derive(arbitrary::Arbitrary))]
pub enum Telling {
    /// What nobody knows.
    Vendor,
    /// That the handshake is over.
    Initialized,
    /// That other folders are open now.
    Roots,
    /// How far it is with a question.
    Progress,
}

/// How clients answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "arbitrary", derive(arbitrary::Arbitrary))]
pub enum Replying {
    /// With a result.
    Result,
    /// With an error.
    Error,
    /// Twice.
    Twice,
    /// Under an id that it was not given.
    MadeUp,
}

/// How servers answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "arbitrary", derive(arbitrary::Arbitrary))]
pub enum Answering {
    /// With a result.
    Result,
    /// With an error.
    Error,
    /// With the address that a user must visit.
    Url,
    /// Twice.
    Twice,
    /// Once more what was answered before.
    Again,
    /// Under an id that it was not given.
    MadeUp,
    /// With the id as a string.
    Quoted,
    /// Together with others.
    Batch,
    /// With a line that is too long.
    TooLong,
    /// With what is no response.
    Spoilt,
}

/// What servers say of their own accord.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "arbitrary", derive(arbitrary::Arbitrary))]
pub enum Utterance {
    /// A log message because of a call.
    Log,
    /// A log message because of nothing.
    IdleLog,
    /// That a list has changed.
    ListChanged,
    /// That lists have changed many times.
    Storm,
    /// That a resource has changed.
    Updated,
    /// What nobody knows.
    Vendor,
    /// That a question is settled.
    Settled,
    /// Something on standard error.
    Complaint,
}
