//! What goes wrong in a world. Each is counted when it has truly happened.

macro_rules! faults {
    ($($(#[$doc:meta])* $fault:ident = $name:literal,)*) => {
        /// A way in which a peer, a link or the machine misbehaves.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Fault {
            $($(#[$doc])* $fault,)*
        }

        impl Fault {
            /// All of them.
            pub const ALL: &'static [Fault] = &[$(Fault::$fault,)*];

            /// The name in reports.
            pub fn name(self) -> &'static str {
                match self {
                    $(Fault::$fault => $name,)*
                }
            }
        }
    };
}

faults! {
    /// Something was said on another link before a message was carried.
    Reordered = "reordered across links",
    /// A link carried only a part of what was said on it, and time passed.
    Delayed = "delayed",
    /// The core was called after its deadline, and with something else first.
    Overslept = "overslept",
    /// A process ended by itself while it owed answers.
    Crashed = "crashed in a call",
    /// A process ended by itself, and what it had written was lost in part.
    CutOff = "crashed in a line",
    /// A process ended before all that it was given had been written to it.
    Unwritten = "crashed unwritten",
    /// A process ended before it was greeted.
    DiedEarly = "died before the handshake",
    /// A process could not be started.
    StartFailed = "start failed",
    /// A server answered the handshake with an error or nonsense.
    GreetingFailed = "handshake refused",
    /// A server read nothing for a while.
    Hung = "hung",
    /// A server did not read as fast as it was written to.
    SlowServer = "slow server",
    /// A server went on though it was told to stop.
    Stubborn = "ignored its stop",
    /// A client did not read for a while.
    Stalled = "stalled reader",
    /// A client had so much to read that it was not heard.
    Unread = "reader not heard",
    /// A client did not read for so long that it was cut.
    CutReader = "cut reader",
    /// A client wrote what is no message.
    ClientGarbage = "garbage of a client",
    /// A server wrote what is no message.
    ServerGarbage = "garbage of a server",
    /// A server's answer could not be used.
    SpoiltAnswer = "spoilt answer",
    /// A line was longer than a message may be.
    TooLong = "too long a line",
    /// The same of a client, which goes on with it.
    Unended = "too long a line without an end",
    /// A response came twice.
    Doubled = "doubled response",
    /// A response had an id that was never given.
    MadeUp = "made-up response",
    /// A response had an id of another type.
    WrongType = "id of another type",
    /// A response came after its request had been cancelled.
    LateAnswer = "late response",
    /// Progress came of what was over, or never was.
    LateProgress = "late progress",
    /// Two sessions had requests under one id open at one server.
    SameId = "same id in two sessions",
    /// A client used an id again that was still open.
    IdReused = "id used twice",
    /// A server asked while several sessions had calls open.
    AskedWhileBusy = "asked while several were busy",
    /// A server asked for a session that had gone.
    AskedDeparted = "asked for a departed session",
    /// A server asked, and no call was the cause.
    AskedUncalled = "asked outside of calls",
    /// A server used an id of its own again that was still open.
    AskReused = "ask under an id in use",
    /// A client answered what it was not asked, or no longer.
    LateReply = "late or made-up reply",
    /// A client cancelled while the answer was on its way.
    CancelAtReply = "cancelled at the reply",
    /// A client cancelled what it had not asked.
    CancelUnknown = "cancelled the unknown",
    /// Many lists changed at once.
    Storm = "list_changed storm",
    /// A client subscribed and unsubscribed without waiting.
    Churn = "subscription churn",
    /// An administrator restarted a server.
    Restarted = "restart",
    /// A client sent several messages as one.
    Batched = "batch of a client",
    /// A server sent several messages as one.
    ServerBatched = "batch of a server",
    /// A client said hello twice.
    HelloAgain = "hello twice",
    /// A client asked before it had said hello.
    TooEarly = "request before hello",
    /// A client left without a word.
    Vanished = "vanished",
    /// A client left while requests of it were open.
    VanishedBusy = "vanished in a call",
    /// A client said that it would say no more.
    Ended = "ended its input",
    /// A server spoke before the handshake was over.
    SpokeEarly = "spoke before the handshake",
    /// A server complained on standard error.
    Complained = "wrote to stderr",
    /// Everything was shut down while sessions were open.
    ShutDown = "shutdown in the middle",
    /// A question was settled by address.
    Settled = "question settled by address",
    /// Another program took over the core, with all that it knew.
    Upgraded = "upgraded",
}
