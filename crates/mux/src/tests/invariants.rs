//! What must hold after every event, as the core sees it from inside.

use std::{
    boxed::Box,
    collections::{BTreeMap, BTreeSet},
    vec::Vec,
};

use wire::RequestId;

use crate::{
    Mux, Outbox, Record, SessionId, UpstreamId,
    audit::Audit,
    exchange::{Kept, Owner},
    inquiry::Inquiry,
    record::Contents,
    session::{Session, State, Whereabouts},
    timers::Timer,
    upstream::Upstream,
};

/// What must hold besides when every deadline was told of in time: nothing is left to be done.
pub(super) fn check_settled(mux: &mut Mux) {
    if let Some((at, timer)) = mux.next_deadline() {
        assert!(at >= mux.now, "{timer:?} is overdue");
    }
    check_pump(mux);
    check_records(mux);
}

/// The guardian has what there is to tell of each process, but for what time alone has changed.
fn check_records(mux: &mut Mux) {
    let all: Vec<UpstreamId> = mux.upstreams.keys().copied().collect();
    for id in all {
        let Some(fresh) = mux.record_of(id) else {
            continue;
        };
        let upstream = &mux.upstreams[&id];
        let left = upstream.recorded.clone();
        let left = left.unwrap_or_else(|| panic!("of {id} nothing is recorded"));
        if left == fresh {
            continue;
        }
        let of = |record: &Record| {
            let contents = Contents::read(record).unwrap();
            let handshake = contents.handshake.map(|handshake| handshake.version);
            let of_time = (contents.sessions, contents.ghosts);
            let rest = (contents.key, contents.asks, contents.level);
            let found = (contents.private, contents.is_of_one_era);
            let rest = (rest, found, contents.listens);
            ((handshake, rest), of_time)
        };
        let (left, (sessions, ghosts)) = of(&left);
        let (fresh, (_, fresh_ghosts)) = of(&fresh);
        assert!(left == fresh, "{id} is recorded otherwise");
        // Of sessions of one request it is told whether there are calls of theirs.
        let attached = upstream.attached.iter();
        let mut named = attached.filter(|session| !upstream.brief.has(**session));
        assert!(named.all(|session| sessions.contains(session)), "{id}");
        let mut haunting = fresh_ghosts.iter();
        assert!(haunting.all(|session| ghosts.contains(session)), "{id}");
    }
}

pub(super) fn check(mux: &Mux, audit: &Audit) {
    for session in mux.sessions.values() {
        check_session(mux, session);
    }
    let mut known: BTreeMap<SessionId, BTreeSet<_>> = mux.sessions.iter().map(owed).collect();
    for (session, owed) in &mut known {
        owed.retain(|id| !audit.is_excused(*session, id));
    }
    let open = audit.sessions();
    let open: BTreeMap<_, _> = open
        .map(|(id, owed)| (id, BTreeSet::from_iter(owed)))
        .collect();
    assert_eq!(known, open, "what sessions wait for");
    for upstream in mux.upstreams.values() {
        check_upstream(mux, upstream);
    }
    let queues = || mux.sessions.values().map(|session| &session.queue);
    let held = || queues().flat_map(|queue| queue.calls.iter().chain(&queue.others));
    assert_eq!(mux.waiting, held().count(), "messages that wait");
    let bytes: usize = held().map(|held| held.frame.len()).sum();
    assert!(queues().map(|queue| queue.bytes).sum::<usize>() == bytes);
    assert_eq!(mux.held_bytes(), held_bytes(mux), "bytes that are held");
}

/// All that is held of messages.
fn held_bytes(mux: &Mux) -> usize {
    let queues: usize = mux
        .sessions
        .values()
        .map(|session| session.queue.bytes)
        .sum();
    let batches: usize = mux
        .sessions
        .values()
        .map(|session| session.batched_bytes)
        .sum();
    let undecided = |upstream: &Upstream| -> usize {
        upstream.undecided.iter().map(|ask| ask.frame.len()).sum()
    };
    let kept = |upstream: &Upstream| -> usize {
        let exchanges = upstream.exchanges.iter();
        let kept = exchanges.map(|(_, exchange)| {
            let again = exchange.again.as_ref().map_or(0, |frame| frame.len());
            let kept = match &exchange.kept {
                Kept::Nothing => 0,
                Kept::Unsent(frame) | Kept::Repeatable(frame) => frame.len(),
            };
            again + kept
        });
        kept.sum()
    };
    let sessions = mux.sessions.values();
    let inquiries = sessions.flat_map(|session| session.inquiries.values());
    let inquiries: usize = inquiries.map(Inquiry::bytes).sum();
    let rounds = mux.sessions.values().map(|session| session.rounds.bytes());
    let rounds: usize = rounds.sum();
    let upstreams: usize = mux.upstreams.values().map(|u| undecided(u) + kept(u)).sum();
    queues + batches + upstreams + inquiries + rounds
}

fn owed((id, session): (&SessionId, &Session)) -> (SessionId, BTreeSet<RequestId>) {
    // Answered, but for the rest of their batch.
    let batches = session.batches.values();
    let answered = batches.flat_map(|batch| &batch.ids);
    (*id, session.open.keys().chain(answered).cloned().collect())
}

fn check_session(mux: &Mux, session: &Session) {
    let id = session.id;
    let wants_pause = session.wants_pause(&mux.limits);
    let is_left_alone = session.is_paused && !wants_pause;
    assert!(!is_left_alone, "{id} has room and is not read");
    let is_indulged = !session.is_paused && wants_pause && session.blocked.is_some();
    assert!(!is_indulged, "{id} does not read and is read");
    let upstream = session.upstream().map(|upstream| {
        let known = mux.upstreams.get(&upstream);
        known.unwrap_or_else(|| panic!("{id} is at {upstream}, which is no more"))
    });
    match &session.state {
        State::New => assert!(session.queue.is_empty() && session.asks.open.is_empty()),
        State::Waiting(_, initialize) => {
            assert!(upstream.unwrap().waiting.contains(&id), "{id} waits");
            assert_eq!(session.open[&initialize.id], Whereabouts::Initialize);
        }
        State::Awaiting(_) => assert!(upstream.unwrap().waiting.contains(&id), "{id} waits"),
        State::Attached(_) => assert!(upstream.unwrap().attached.contains(&id), "{id}"),
    }
    for (request, whereabouts) in &session.open {
        match whereabouts {
            Whereabouts::Initialize => assert!(matches!(session.state, State::Waiting(..))),
            Whereabouts::Asking(_) => assert!(session.inquiries[request].rests()),
            Whereabouts::Listening => assert!(session.listening.contains_key(request)),
            Whereabouts::Subscribing => assert!(session.subscribing.contains_key(request)),
            Whereabouts::Held(line) => {
                let mut held = session.queue.calls.iter().chain(&session.queue.others);
                let found = held.any(|held| held.line == *line && held.frame.id() == Some(request));
                assert!(found, "{id} lost {request}");
            }
            Whereabouts::Upstream(minted) => {
                let exchange = upstream.unwrap().exchanges.get(*minted);
                let exchange = exchange.unwrap_or_else(|| panic!("{id} lost {request}"));
                let Owner::Session(claim) = &exchange.owner else {
                    panic!("{request} of {id} is ours")
                };
                assert_eq!((claim.session, &claim.id), (id, request));
            }
        }
    }
    let awaited: BTreeSet<Box<str>> = session.awaiting().map(|(uri, _)| uri.into()).collect();
    if let Some(upstream) = upstream {
        let asked = upstream.subscriptions.awaited_by(id);
        assert_eq!(
            awaited.iter().collect::<Vec<_>>(),
            asked.iter().collect::<Vec<_>>(),
            "{id} waits for word"
        );
    }
    let is_watched = mux.timers.is_set(Timer::AgreementPatience(id));
    assert!(awaited.is_empty() || is_watched, "{id} waits for ever");
    if !session.queue.is_empty() {
        assert!(upstream.unwrap().turns.contains(id), "{id} has no turn");
    }
    for (line, announcing) in &session.announcing {
        assert!(announcing.on_their_way > 0, "{id} announces {line} in vain");
        if let Some(minted) = announcing.minted {
            let exchange = upstream.unwrap().exchanges.get(minted).unwrap();
            assert!(!exchange.is_sent(), "{id} announces {line} late");
        }
    }
    for asked in session.asks.open.values() {
        assert_eq!(upstream.unwrap().asks[asked].session, id);
    }
}

fn check_upstream(mux: &Mux, upstream: &Upstream) {
    let id = upstream.id;
    let at = |session: &SessionId| mux.sessions.get(session).and_then(Session::upstream);
    for session in upstream.attached.iter().chain(&upstream.waiting) {
        assert_eq!(at(session), Some(id), "{session} is not at {id}");
    }
    assert_eq!(mux.routes.get(&upstream.key), Some(&id), "{id} is lost");
    for (minted, exchange) in upstream.exchanges.iter() {
        if let Owner::Session(claim) = &exchange.owner {
            let session = mux.sessions.get(&claim.session);
            if session.is_some_and(|session| session.rounds.at_server().any(|it| it == minted)) {
                continue;
            }
            let open = session.map(|s| &s.open[&claim.id]);
            assert_eq!(open, Some(&Whereabouts::Upstream(minted)), "{id} #{minted}");
        }
    }
    let calls: Vec<_> = upstream.lanes.calls().collect();
    for (minted, session) in &calls {
        let exchange = upstream.exchanges.get(*minted).unwrap();
        assert!(matches!(&exchange.owner, Owner::Session(claim) if claim.session == *session));
    }
    for ask in upstream.asks.values() {
        let session = &mux.sessions[&ask.session];
        assert!(session.asks.open.contains_key(&ask.shown_id), "{id}");
    }
    if !upstream.has_process() {
        assert!(upstream.exchanges.len() == 0 && upstream.asks.is_empty());
        assert!(upstream.undecided.is_empty() && calls.is_empty());
    }
}

/// Nothing waits that could go: another turn of the crank moves nothing.
fn check_pump(mux: &mut Mux) {
    let ids: Vec<_> = mux.upstreams.keys().copied().collect();
    for id in ids {
        // What another upstream of the same route has learnt of a tool may let its call go. It is
        // soon tried anyway.
        let route = &mux.upstreams[&id].key.route;
        let of_route = mux.routes.keys().filter(|key| key.route == *route);
        if of_route.count() > 1 {
            continue;
        }
        let mut out = Outbox::default();
        mux.release(id, &mut out);
        if mux
            .upstreams
            .get(&id)
            .is_some_and(|u| !u.undecided.is_empty())
        {
            mux.decide_asks(id, &mut out);
        }
        let actions: Vec<_> = out.actions().collect();
        assert!(actions.is_empty(), "{id} was not pumped: {actions:?}");
    }
}

/// Nothing is left of anything.
pub(super) fn check_empty(mux: &Mux) {
    assert!(mux.sessions.is_empty(), "{:?}", mux.sessions);
    assert!(mux.upstreams.is_empty(), "{:?}", mux.upstreams);
    assert!(mux.routes.is_empty() && mux.restarts.is_empty());
    assert_eq!((mux.waiting, mux.held_bytes()), (0, 0));
    assert_eq!(mux.next_deadline(), None);
}
