use mux::Limits;

use super::*;
use crate::{
    link::{ConnectionId, Flushed, TubeEnd},
    upgrade::FrozenDaemon,
};

/// As the first version that hands over sessions over HTTP wrote it. This file is never changed.
const SECOND: &str = include_str!("../../../fixtures/state-2.json");

fn words(from: &mut TubeEnd) -> Vec<String> {
    let pieces = std::iter::from_fn(|| from.try_recv().ok());
    let words = pieces.map(|piece| match piece {
        Piece::Part { id, parcel } | Piece::Answer { id, parcel, .. } => {
            format!(
                "{id} {}",
                String::from_utf8(parcel.open().to_vec()).unwrap()
            )
        }
        other @ (Piece::Begun(_)
        | Piece::Fault(_)
        | Piece::Done
        | Piece::Over
        | Piece::Interlude
        | Piece::Refused(_)) => format!("{other:?}"),
    });
    words.collect()
}

#[test]
fn sessions_over_http_of_the_second_format_can_be_gone_on_with_for_ever() {
    let mut frozen = FrozenDaemon::read(SECOND.as_bytes()).unwrap();
    assert!(frozen.http.is_some());
    let mux = Mux::thaw(frozen.hub.mux.get().as_bytes(), Limits::default()).unwrap();
    assert_eq!(mux.snapshot().sessions.len(), frozen.hub.sessions.len());
    let visited = frozen.hub.sessions[2].visited.take().unwrap();
    let (to, mut from) = Tube::to(ConnectionId(1));
    let reader = ConnectionId(3);
    let mut tubes = Tubes::from([(reader, to)]);
    let room = Room::new(1 << 20);
    let (visited, mut streams, listens) = visited.thaw(1 << 20, &room, &mut tubes).unwrap();
    assert!(tubes.is_empty() && listens.is_none());
    assert_eq!(visited.key.to_text(), "000102030405060708090a0b0c0d0e0f");
    assert_eq!(visited.place.session_key.as_deref(), Some("mine"));
    assert_eq!(visited.caller, Caller::Token);
    assert_eq!(visited.poll_after, Some(Duration::from_millis(60)));
    assert_eq!(streams.flush(false), Flushed::All);
    assert_eq!(words(&mut from), [r#"5-2 {"progress":2}"#]);
    // Whoever read the others has gone, and what was kept of them is there for who comes back.
    for (last, expected) in [
        ("4-0", vec![r#"4-1 {"progress":1}"#, r#"4-2 {"id":4}"#]),
        (
            "5-0",
            vec![r#"5-1 {"progress":1}"#, r#"5-2 {"progress":2}"#],
        ),
        (
            "0-10",
            vec![r#"0-11 {"first":true}"#, r#"0-12 {"second":true}"#],
        ),
    ] {
        let (to, mut from) = Tube::to(ConnectionId(2));
        let last = EventId::parse(last).unwrap();
        streams.resume(last, Primes::No, to).unwrap();
        streams.flush(false);
        assert_eq!(words(&mut from)[1..], expected, "{last}");
    }
    let (to, _from) = Tube::to(ConnectionId(2));
    let receipt = EventId::parse("7-0").unwrap();
    assert!(streams.resume(receipt, Primes::No, to).is_err());
}
