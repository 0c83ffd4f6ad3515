//! Which step comes next: chosen by chance, weighted by the seed, and by what there is to do.

mod meeting;

use crate::{
    payload::Ident,
    peers::{Client, KINDS, Peer, Process},
    seed::{Chance, Seed},
    step::{Answering, Replying, Step, Telling, Utterance, Want},
    world::World,
};

/// What may come next, before it is known whom it concerns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Act {
    Open,
    Hello,
    Request,
    Batch,
    Cancel,
    Tell,
    Reply,
    Garbage,
    Churn,
    Leave,
    Stall,
    Carry,
    Start,
    Answer,
    Report,
    Inquire,
    Utter,
    Noise,
    Crash,
    Hang,
    Settle,
    Pass,
    Restart,
    Shutdown,
    Meet,
}

/// Each act and how often it comes, before the seed has its say.
const WEIGHTS: [(Act, u32); 25] = [
    (Act::Open, 10),
    (Act::Hello, 12),
    (Act::Request, 60),
    (Act::Batch, 3),
    (Act::Cancel, 8),
    (Act::Tell, 4),
    (Act::Reply, 10),
    (Act::Garbage, 2),
    (Act::Churn, 2),
    (Act::Leave, 3),
    (Act::Stall, 4),
    (Act::Carry, 120),
    (Act::Start, 12),
    (Act::Answer, 40),
    (Act::Report, 8),
    (Act::Inquire, 12),
    (Act::Utter, 12),
    (Act::Noise, 3),
    (Act::Crash, 2),
    (Act::Hang, 3),
    (Act::Settle, 8),
    (Act::Pass, 12),
    (Act::Restart, 1),
    (Act::Shutdown, 0),
    (Act::Meet, 12),
];

/// The weights of a world in which several sessions are busy at one server, which asks them.
const BUSY: [(Act, u32); 14] = [
    (Act::Open, 20),
    (Act::Hello, 30),
    (Act::Request, 60),
    (Act::Batch, 2),
    (Act::Cancel, 6),
    (Act::Reply, 12),
    (Act::Leave, 1),
    (Act::Carry, 150),
    (Act::Start, 30),
    (Act::Answer, 25),
    (Act::Inquire, 12),
    (Act::Utter, 6),
    (Act::Pass, 6),
    (Act::Meet, 16),
];

/// The weights of a world in which a server dies again and again, within a minute.
const DYING: [(Act, u32); 14] = [
    (Act::Open, 20),
    (Act::Hello, 40),
    (Act::Request, 40),
    (Act::Cancel, 3),
    (Act::Tell, 3),
    (Act::Leave, 6),
    (Act::Carry, 120),
    (Act::Start, 60),
    (Act::Answer, 12),
    (Act::Crash, 60),
    (Act::Settle, 1),
    (Act::Pass, 40),
    (Act::Restart, 3),
    (Act::Meet, 12),
];

/// How much time passes at once, as often as it stands here, by place in the list of times.
const PACES: [u8; 14] = [0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 6, 7, 8];

/// The same where servers die: short rests, and now and then one that is over only when it has been
/// given up for long enough, or when it has served well.
const HURRIED: [u8; 14] = [0, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3, 4, 7];

/// Most steps of one kind that come in a row on purpose: enough to fill a queue that is short.
const LONGEST_CLUMP: usize = 24;

/// How often a step is looked for that somebody can take.
const TRIES: usize = 50;

/// What clients ask, as often as it stands here.
const WANTS: [Want; 15] = [
    Want::Call,
    Want::Call,
    Want::Call,
    Want::Call,
    Want::Call,
    Want::Call,
    Want::Prompt,
    Want::Read,
    Want::Subscribe,
    Want::Unsubscribe,
    Want::SetLevel,
    Want::Ping,
    Want::Discover,
    Want::Plain,
    Want::Plain,
];

/// How servers answer, as often as it stands here.
const ANSWERS: [Answering; 17] = [
    Answering::Result,
    Answering::Result,
    Answering::Result,
    Answering::Result,
    Answering::Result,
    Answering::Result,
    Answering::Result,
    Answering::Result,
    Answering::Error,
    Answering::Error,
    Answering::Url,
    Answering::Twice,
    Answering::Quoted,
    Answering::Batch,
    Answering::Again,
    Answering::TooLong,
    Answering::Spoilt,
];

/// What servers say of their own accord, as often as it stands here.
const UTTERANCES: [Utterance; 12] = [
    Utterance::Log,
    Utterance::Log,
    Utterance::Log,
    Utterance::IdleLog,
    Utterance::ListChanged,
    Utterance::Storm,
    Utterance::Updated,
    Utterance::Updated,
    Utterance::Updated,
    Utterance::Vendor,
    Utterance::Settled,
    Utterance::Complaint,
];

/// What clients tell, as often as it stands here.
const TELLINGS: [Telling; 6] = [
    Telling::Vendor,
    Telling::Vendor,
    Telling::Initialized,
    Telling::Roots,
    Telling::Progress,
    Telling::Progress,
];

/// Chooses the steps of one world.
#[derive(Debug)]
pub(crate) struct Generator {
    chance: Chance,
    weights: Vec<(Act, u32)>,
    left: usize,
    /// Sessions that are meant to be there at once.
    crowd: usize,
    /// The kinds of sessions that come.
    kinds: Vec<u8>,
    /// The tools that they call; none for any.
    tools: Vec<u8>,
    /// What they declare, and which version they ask for.
    classes: Vec<u8>,
    versions: Vec<u8>,
    /// How many ids are in use: few make many collisions.
    ids: usize,
    shutdown_at: Option<usize>,
    /// How much time passes at once.
    paces: [u8; 14],
    /// One start in so many fails.
    failures: usize,
    /// One step in so many comes several times in a row; zero for none.
    clumps: usize,
    /// What comes again, and how often.
    again: (Act, usize),
}

/// The weights of a world in which anything may come, some of it very often.
fn weights(chance: &mut Chance) -> Vec<(Act, u32)> {
    let weights = WEIGHTS.map(|(act, weight)| {
        let times = chance.pick(&[0, 1, 2, 2, 2, 4, 12]);
        // Without these nothing ever happens.
        let is_vital = matches!(
            act,
            Act::Open | Act::Hello | Act::Request | Act::Carry | Act::Start | Act::Answer
        );
        (act, weight * if is_vital { times.max(1) } else { times })
    });
    weights.to_vec()
}

impl Act {
    /// Whether many in a row make a world livelier.
    fn clumps(self) -> bool {
        !matches!(
            self,
            Act::Open
                | Act::Hello
                | Act::Leave
                | Act::Crash
                | Act::Restart
                | Act::Settle
                | Act::Pass
        )
    }
}

impl Generator {
    pub(crate) fn new(seed: Seed) -> Self {
        let mut chance = Chance::new(seed.0);
        let is_busy = chance.one_in(4);
        let is_dying = !is_busy && chance.one_in(8);
        let weights = match (is_busy, is_dying) {
            (true, _) => BUSY.to_vec(),
            (_, true) => DYING.to_vec(),
            (false, false) => weights(&mut chance),
        };
        let left = 60 + chance.below(500);
        Generator {
            weights,
            left,
            crowd: if is_busy { 3 } else { 1 } + chance.below(6),
            kinds: match chance.below(8) {
                _any if is_busy => vec![0],
                0..4 if is_dying => vec![0],
                // One that joined is left alone, and nobody can start its server again.
                _any if is_dying => vec![1, 1, 8],
                0..5 => vec![0],
                5 => vec![4, 5],
                6 => vec![0, 0, 0, 8],
                _mixed => (0..KINDS).collect(),
            },
            tools: match chance.below(2) {
                0 if is_busy => vec![chance.byte() % 6],
                _any if is_busy => vec![chance.byte() % 6, chance.byte() % 6],
                _any => Vec::new(),
            },
            classes: chance
                .pick::<&[u8]>(&[&[0], &[1], &[1], &[2], &[2], &[3], &[4], &[0, 1, 2, 3, 4]])
                .to_vec(),
            versions: chance
                .pick::<&[u8]>(&[&[3], &[1], &[2], &[0, 1, 2, 3, 4]])
                .to_vec(),
            ids: chance.pick(&[2, 6, 16, 40]),
            shutdown_at: chance.one_in(8).then(|| chance.below(left)),
            paces: if is_dying { HURRIED } else { PACES },
            failures: if is_dying { 4 } else { 12 },
            clumps: chance.pick(&[0, 60, 20, 8]),
            again: (Act::Carry, 0),
            chance,
        }
    }

    /// The next step; `None` at the end.
    pub(crate) fn next(&mut self, world: &World) -> Option<Step> {
        self.left = self.left.checked_sub(1)?;
        if self.shutdown_at == Some(self.left) {
            return Some(Step::Shutdown);
        }
        for _ in 0..TRIES {
            let act = self.act();
            if let Some(step) = self.step(act, world) {
                return Some(step);
            }
            self.again.1 = 0;
        }
        // Nobody is left who could do anything that this seed likes.
        Some(Step::Pass {
            how_long: 0,
            late: false,
        })
    }

    fn act(&mut self) -> Act {
        if let Some(left) = self.again.1.checked_sub(1) {
            self.again.1 = left;
            return self.again.0;
        }
        let act = self.any_act();
        if self.clumps > 0 && act.clumps() && self.chance.one_in(self.clumps) {
            self.again = (act, self.chance.below(LONGEST_CLUMP));
        }
        act
    }

    fn any_act(&mut self) -> Act {
        self.chance.weighted(&self.weights).unwrap_or(Act::Carry)
    }

    /// A step of this kind; `None` if there is nobody to take it.
    fn step(&mut self, act: Act, world: &World) -> Option<Step> {
        match act {
            Act::Start
            | Act::Answer
            | Act::Report
            | Act::Inquire
            | Act::Utter
            | Act::Noise
            | Act::Crash
            | Act::Hang => self.server_step(act, world),
            Act::Carry => (!world.busy_links().is_empty()).then(|| Step::Carry {
                link: self.chance.byte(),
                count: self.chance.pick(&[0, 0, 1, 7]),
            }),
            Act::Settle => Some(Step::Settle),
            Act::Pass => Some(Step::Pass {
                how_long: self.chance.pick(&self.paces),
                late: self.chance.one_in(4),
            }),
            Act::Restart => Some(Step::Restart {
                name: self.chance.pick(&[0, 0, 0, 1, 2, 3]),
            }),
            Act::Shutdown => None,
            Act::Meet => self.meeting(world),
            Act::Open
            | Act::Hello
            | Act::Request
            | Act::Batch
            | Act::Cancel
            | Act::Tell
            | Act::Reply
            | Act::Garbage
            | Act::Churn
            | Act::Leave
            | Act::Stall => self.client_step(act, world),
        }
    }

    /// Somebody for whom it is so, by place among those who may speak.
    fn client(&mut self, world: &World, is_so: impl Fn(&Client) -> bool) -> Option<u8> {
        let speaking = world.clients.iter().filter(|client| client.can_speak());
        let fitting: Vec<u8> = speaking
            .enumerate()
            .filter(|(_, client)| is_so(client))
            .filter_map(|(at, _)| u8::try_from(at).ok())
            .collect();
        (!fitting.is_empty()).then(|| self.chance.pick(&fitting))
    }

    #[expect(clippy::wildcard_enum_match_arm, reason = "all others are alike here")]
    fn client_step(&mut self, act: Act, world: &World) -> Option<Step> {
        let any = self.chance.byte();
        Some(match act {
            Act::Open if world.clients.len() < self.crowd && !world.is_shut_down => Step::Open {
                kind: self.chance.pick(&self.kinds),
                keeps: self.chance.one_in(2),
            },
            Act::Open => return None,
            Act::Hello | Act::Request | Act::Batch | Act::Churn => {
                return self.asking_step(act, world);
            }
            Act::Cancel => {
                let unknown = self.chance.one_in(12);
                Step::Cancel {
                    client: self.client(world, |client| unknown || !client.open.is_empty())?,
                    which: if unknown { u8::MAX } else { any % 200 },
                }
            }
            Act::Reply => {
                let made_up = self.chance.one_in(20);
                let client = self.client(world, |client| made_up || !client.asked.is_empty())?;
                let how = self.chance.pick(&[
                    Replying::Result,
                    Replying::Result,
                    Replying::Error,
                    Replying::Twice,
                ]);
                Step::Reply {
                    client,
                    which: any,
                    how: if made_up { Replying::MadeUp } else { how },
                }
            }
            Act::Leave if self.chance.one_in(3) => Step::End {
                client: self.client(world, |_| true)?,
            },
            Act::Leave if world.clients.is_empty() => return None,
            Act::Leave => Step::Leave { client: any },
            Act::Garbage => Step::Garbage {
                client: self.client(world, |_| true)?,
                kind: any,
            },
            Act::Stall => {
                let stops = self.chance.one_in(2);
                Step::Stall {
                    client: self.client(world, |client| client.is_stalled != stops)?,
                    stops,
                }
            }
            _tell => Step::Tell {
                client: self.client(world, |_| true)?,
                what: self.chance.pick(&TELLINGS),
            },
        })
    }

    #[expect(clippy::wildcard_enum_match_arm, reason = "all others are alike here")]
    fn asking_step(&mut self, act: Act, world: &World) -> Option<Step> {
        let any = self.chance.byte();
        let out_of_turn = self.chance.one_in(35);
        let wants_hello = act == Act::Hello;
        let client = self.client(world, |client| {
            out_of_turn || client.has_said_hello != wants_hello
        })?;
        let id = self.id_for(client, world);
        Some(match act {
            Act::Hello => Step::Hello {
                client,
                id,
                version: self.chance.pick(&self.versions),
                class: self.chance.pick(&self.classes),
            },
            Act::Batch => Step::Batch {
                client,
                count: any,
                salt: self.chance.byte(),
            },
            Act::Churn => Step::Churn {
                client,
                which: any,
                count: self.chance.byte(),
            },
            _request => {
                let what = self.chance.pick(&WANTS);
                let which = if what == Want::Call && !self.tools.is_empty() {
                    self.chance.pick(&self.tools)
                } else {
                    any
                };
                Step::Request {
                    client,
                    what,
                    which,
                    id,
                    token: self.chance.byte(),
                }
            }
        })
    }

    /// An id that this client may use, and now and then one that it may not.
    fn id_for(&mut self, client: u8, world: &World) -> u8 {
        let mut speaking = world.clients.iter().filter(|client| client.can_speak());
        let open = speaking
            .nth(usize::from(client))
            .map_or(&[][..], |client| &client.open);
        let any = self.chance.small(self.ids);
        let is_free = |id: &u8| open.iter().all(|message| message.id != Ident::chosen(*id));
        let free = (any..40).chain(0..any).find(is_free);
        free.filter(|_| !self.chance.one_in(8)).unwrap_or(any)
    }

    #[expect(clippy::wildcard_enum_match_arm, reason = "all others are alike here")]
    fn server_step(&mut self, act: Act, world: &World) -> Option<Step> {
        let (server, which) = (self.chance.byte(), self.chance.byte());
        if act == Act::Start {
            return self.starting_step(server, world);
        }
        let is_out_of_turn = self.chance.one_in(15);
        let mut alive = world.servers.values().filter(|peer| peer.is_alive());
        if !alive.any(|peer| act != Act::Answer || is_out_of_turn || !peer.works.is_empty()) {
            return None;
        }
        // The last is what there is not.
        let work = |is_none: bool| if is_none { u8::MAX } else { which % 200 };
        Some(match act {
            Act::Answer if is_out_of_turn => Step::Answer {
                server,
                which,
                how: Answering::MadeUp,
            },
            Act::Answer => Step::Answer {
                server,
                which,
                how: self.chance.pick(&ANSWERS),
            },
            Act::Report => Step::Report {
                server,
                which: work(self.chance.one_in(5)),
            },
            Act::Inquire if self.chance.one_in(5) => Step::Withdraw { server, which },
            Act::Inquire => Step::Inquire {
                server,
                which: work(self.chance.one_in(4)),
                what: self.chance.byte(),
                id: self.chance.small(self.ids),
            },
            Act::Utter => Step::Utter {
                server,
                what: self.chance.pick(&UTTERANCES),
                which,
            },
            Act::Noise => Step::Noise {
                server,
                kind: which,
            },
            Act::Crash => Step::Crash {
                server,
                lost: which,
            },
            _hang => Step::Hang {
                server,
                stops: self.chance.one_in(2),
            },
        })
    }

    /// Whatever a process on its way up or down waits for.
    fn starting_step(&mut self, server: u8, world: &World) -> Option<Step> {
        let has = |is_so: &dyn Fn(&Peer) -> bool| world.servers.values().any(is_so);
        if has(&|peer| peer.process == Process::Stopping) && self.chance.one_in(2) {
            return Some(Step::Exit {
                server,
                refuses: self.chance.one_in(3),
            });
        }
        if has(&|peer| peer.hello.is_some()) {
            let declares = self.chance.pick(&[0, 0, 0, 0, 0, 1, 2, 3]);
            let refuses = self.chance.one_in(20);
            return Some(Step::Greet {
                server,
                version: self.chance.pick(&[3, 3, 2, 1, 0]),
                declares: if refuses { u8::MAX } else { declares },
            });
        }
        has(&|peer| peer.process == Process::Starting).then(|| Step::Start {
            server,
            fails: self.chance.one_in(self.failures),
        })
    }
}
