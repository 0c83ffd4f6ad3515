//! What is said, and when.
//!
//! **Invariant:** the lines of one request are said in order, and nothing of it after it was cancelled.

use std::{collections::VecDeque, fmt::Write as _, time::Duration};

use serde_json::Value;

/// The output, with all that is to be said later.
#[derive(Debug, Default)]
pub(crate) struct Stage {
    says: String,
    plays: Vec<Play>,
}

/// What one request leads to over time.
#[derive(Debug)]
struct Play {
    id: Value,
    /// When it goes on.
    due: Duration,
    steps: VecDeque<Step>,
}

#[derive(Debug)]
pub(crate) enum Step {
    Wait(Duration),
    Say(Value),
}

impl Stage {
    pub(crate) fn say(&mut self, message: &Value) {
        // Writing to memory cannot fail.
        let _infallible = writeln!(self.says, "{message}");
    }

    /// Begins what a request leads to.
    pub(crate) fn play(&mut self, now: Duration, id: Value, steps: impl IntoIterator<Item = Step>) {
        let steps = steps.into_iter().collect();
        self.plays.push(Play {
            id,
            due: now,
            steps,
        });
        self.advance(now);
    }

    /// Nothing more is said of this request.
    pub(crate) fn cancel(&mut self, id: &Value) {
        self.plays.retain(|play| play.id != *id);
    }

    /// Says all that is due.
    pub(crate) fn advance(&mut self, now: Duration) {
        let mut plays = std::mem::take(&mut self.plays);
        plays.retain_mut(|play| {
            while play.due <= now
                && let Some(step) = play.steps.pop_front()
            {
                match step {
                    // Not from `due`: a pause is at least as long as it says.
                    Step::Wait(pause) => play.due = now + pause,
                    Step::Say(message) => self.say(&message),
                }
            }
            !play.steps.is_empty()
        });
        self.plays = plays;
    }

    pub(crate) fn next_deadline(&self) -> Option<Duration> {
        self.plays.iter().map(|play| play.due).min()
    }

    /// Takes what was said, one line for each message.
    pub(crate) fn said(&mut self) -> String {
        std::mem::take(&mut self.says)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const PAUSE: Duration = Duration::from_millis(50);

    fn steps(name: &str) -> [Step; 3] {
        let say = |part| Step::Say(json!([name, part]));
        [say("begins"), Step::Wait(PAUSE), say("ends")]
    }

    #[test]
    fn what_waits_holds_up_nothing_else() {
        let mut stage = Stage::default();
        stage.play(Duration::ZERO, json!(1), steps("first"));
        stage.play(PAUSE / 2, json!(2), steps("second"));
        let begun = "[\"first\",\"begins\"]\n[\"second\",\"begins\"]\n";
        assert_eq!(stage.said(), begun);
        assert_eq!(stage.next_deadline(), Some(PAUSE));
        stage.advance(PAUSE);
        assert_eq!(stage.said(), "[\"first\",\"ends\"]\n");
        assert_eq!(stage.next_deadline(), Some(PAUSE * 3 / 2));
        stage.advance(PAUSE * 2);
        assert_eq!(stage.said(), "[\"second\",\"ends\"]\n");
        assert_eq!(stage.next_deadline(), None);
    }

    #[test]
    fn nothing_more_is_said_of_what_was_cancelled() {
        let mut stage = Stage::default();
        stage.play(Duration::ZERO, json!("1"), steps("text"));
        stage.play(Duration::ZERO, json!(1), steps("number"));
        stage.said();
        stage.cancel(&json!("1"));
        stage.advance(PAUSE);
        assert_eq!(stage.said(), "[\"number\",\"ends\"]\n");
    }
}
