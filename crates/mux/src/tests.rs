//! Conversations with the core, written so that they can be checked without knowing Rust.
//!
//! Flush-left lines are what happens; indented lines are what the core does about it. [`check`] plays
//! the first and compares the second. After every happening the [`stage`] also checks what must hold
//! at any time, and at the end that nothing is left of anything.

use std::{string::String, vec::Vec};

use expect_test::Expect;

mod agreement;
mod asks;
mod batches;
mod cancellation;
mod clients;
mod desertion;
mod devices;
mod ending;
mod facts;
mod faults;
mod frozen;
mod handshake;
mod ids;
mod inquiry;
mod invariants;
mod keeping;
mod lanes;
mod limits;
mod listening;
mod lists;
mod logging;
mod memory;
mod modern;
mod noise;
mod offers;
mod once;
mod opening;
mod posts;
mod progress;
mod pulse;
mod recall;
mod recall_modern;
mod records;
mod render;
mod replay;
mod resend;
mod retiring;
mod roots;
mod rounds;
mod routing;
mod script;
mod stage;
mod starting;
mod streams;
mod subscriptions;
mod succession;
mod terms;
mod unanswered;
mod unread;
mod unwritten;
mod verdicts;
mod verdicts_changed;
mod verdicts_kept;
mod versions;
mod walks;

use script::Script;
use stage::Stage;

#[track_caller]
#[expect(
    clippy::needless_pass_by_value,
    reason = "a transcript reads better without a borrow before it"
)]
fn check(transcript: Expect) {
    let played = play(transcript.data());
    transcript.assert_eq(&played);
}

/// Plays the flush-left lines of a transcript and says what came of them.
fn play(text: &str) -> String {
    let mut stage = Stage::default();
    let played = stage.play(&Script::parse(text));
    stage.clear();
    played
}

/// The reactions of a transcript that was played, without the happenings.
fn reactions(played: &str) -> Vec<&str> {
    let indented = played.lines().filter(|line| line.starts_with(' '));
    indented.map(str::trim).collect()
}
