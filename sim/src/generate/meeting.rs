//! Things that meet: what is rare where everything comes by chance is looked for.

use crate::{
    payload::{Mark, Owner, Shape},
    peers::{Client, NAMES, Output, Peer, Process, Up},
    step::{Replying, Step},
    world::World,
};

use super::Generator;

/// How many kinds of meetings there are.
const MEETINGS: usize = 8;

impl Generator {
    /// A step that meets something under way; `None` if there is nothing of the kind.
    pub(super) fn meeting(&mut self, world: &World) -> Option<Step> {
        let first = self.chance.below(MEETINGS);
        (0..MEETINGS).find_map(|turn| self.meeting_of((first + turn) % MEETINGS, world))
    }

    fn meeting_of(&mut self, kind: usize, world: &World) -> Option<Step> {
        let any = self.chance.byte();
        match kind {
            0 => self.cancel_at_the_reply(world),
            // A reply meets the withdrawal of the question.
            1 => {
                let client = self.client(world, |client| {
                    !client.asked.is_empty() && is_withdrawing(world)
                })?;
                let how = Replying::Result;
                Some(Step::Reply {
                    client,
                    which: any,
                    how,
                })
            }
            // A question meets calls of several.
            2 => {
                let server = self.server(world, Peer::is_speaking, has_several_callers)?;
                Some(Step::Inquire {
                    server,
                    which: any % 200,
                    what: self.chance.byte(),
                    id: self.chance.small(self.ids),
                })
            }
            // The end of a process meets questions of it that are open.
            3 if any < 64 => {
                let asks = |peer: &Peer| !peer.asked.is_empty();
                let server = self.server(world, Peer::runs, asks)?;
                Some(Step::Crash { server, lost: any })
            }
            3 => Generator::restart_of_an_asker(world),
            // The end of a session meets questions to it, or what it waits for.
            4 if any < 128 => {
                let client = self.client(world, |client| !client.asked.is_empty())?;
                Some(Step::End { client })
            }
            4 => {
                let here = || world.clients.iter().filter(|client| !client.is_closed);
                let at = here().position(|client| !client.asked.is_empty())?;
                u8::try_from(at).ok().map(|client| Step::Leave { client })
            }
            // What one does not wait for any more, another asks again under the same id.
            5 => {
                let client = self.client(world, is_cancelling)?;
                let id = self.chance.small(self.ids);
                Some(Step::Request {
                    client,
                    what: self.chance.pick(&super::WANTS),
                    which: any,
                    id,
                    token: self.chance.byte(),
                })
            }
            // Anything meets the moment of a deadline, before the core hears that it has come.
            6 => world.next_deadline().map(|_| Step::Pass {
                how_long: crate::play::TO_THE_DEADLINE,
                late: true,
            }),
            // A withdrawal meets the reply.
            _withdrawal => {
                let is_replying = world.clients.iter().any(|client| says(client, is_reply));
                let asks = |peer: &Peer| is_replying && !peer.asked.is_empty();
                let server = self.server(world, Peer::is_speaking, asks)?;
                Some(Step::Withdraw { server, which: any })
            }
        }
    }

    /// One who waits for what a server has answered no longer does.
    fn cancel_at_the_reply(&mut self, world: &World) -> Option<Step> {
        let answered: Vec<Mark> = outputs(world)
            .filter(|message| matches!(message.shape, Shape::Result | Shape::Error))
            .filter_map(|message| message.about)
            .collect();
        let is_answered = |client: &Client| {
            let mut open = client.open.iter();
            open.position(|message| answered.contains(&message.mark))
        };
        let client = self.client(world, |client| is_answered(client).is_some())?;
        let mut speaking = world.clients.iter().filter(|client| client.can_speak());
        let which = is_answered(speaking.nth(usize::from(client))?)?;
        let which = u8::try_from(which).ok()?;
        Some(Step::Cancel { client, which })
    }

    fn restart_of_an_asker(world: &World) -> Option<Step> {
        let (id, _) = world
            .servers
            .iter()
            .find(|(_, peer)| !peer.asked.is_empty())?;
        let key = world.model.servers.get(id)?.key.as_ref()?;
        let name = NAMES.iter().position(|name| *name == key.name)?;
        u8::try_from(name).ok().map(|name| Step::Restart { name })
    }

    /// A server for which it is so, by place among those that may be meant.
    fn server(
        &mut self,
        world: &World,
        is_meant: impl Fn(&Peer) -> bool,
        is_so: impl Fn(&Peer) -> bool,
    ) -> Option<u8> {
        let meant = world.servers.values().filter(|peer| is_meant(peer));
        let fitting: Vec<u8> = meant
            .enumerate()
            .filter(|(_, peer)| is_so(peer))
            .filter_map(|(at, _)| u8::try_from(at).ok())
            .collect();
        (!fitting.is_empty()).then(|| self.chance.pick(&fitting))
    }
}

impl Peer {
    pub(crate) fn is_speaking(&self) -> bool {
        self.is_alive() && !self.is_hung
    }

    pub(crate) fn runs(&self) -> bool {
        self.is_alive() && self.process == Process::Running
    }
}

/// What servers have said that the core has not heard.
fn outputs(world: &World) -> impl Iterator<Item = &crate::payload::Message> {
    let outputs = world.servers.values().flat_map(|peer| peer.outbox.iter());
    outputs.flat_map(|output| match output {
        Output::Line { messages, .. } => messages.as_slice(),
        Output::Half(_) | Output::Complaint(_) | Output::Exit(_) => &[],
    })
}

fn is_withdrawing(world: &World) -> bool {
    outputs(world).any(|message| message.shape == Shape::Cancelled)
}

/// Whether a client has said something of the kind that the core has not heard.
fn says(client: &Client, is_so: impl Fn(Shape) -> bool) -> bool {
    client.up.iter().any(|up| match up {
        Up::Line { messages, .. } => messages.iter().any(|message| is_so(message.shape)),
        Up::LineEnd { .. } | Up::End | Up::Close => false,
    })
}

fn is_reply(shape: Shape) -> bool {
    matches!(shape, Shape::Result | Shape::Error)
}

fn is_cancelling(client: &Client) -> bool {
    says(client, |shape| shape == Shape::Cancelled)
}

/// Whether calls of several sessions may have caused what it asks.
fn has_several_callers(peer: &Peer) -> bool {
    let is_askable = |shape: Shape| shape.is_askable();
    let works = peer.works.iter();
    let works = works.filter(|work| work.shape.is_some_and(is_askable));
    let mut owners = works.filter_map(|work| work.mark.map(|mark: Mark| mark.owner));
    let first: Option<Owner> = owners.next();
    owners.any(|owner| Some(owner) != first)
}
