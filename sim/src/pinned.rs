//! Lists of steps that once broke a promise, as files: a line of JSON each.

use anyhow::Context as _;
use serde::{Deserialize, Serialize};

use crate::{Broken, Setting, Step, Tally, Trace, eras, replay};

/// Steps that are kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pinned {
    /// What they broke, for a person.
    pub words: String,
    /// The world that they were taken in.
    pub setting: Setting,
    /// In their order.
    pub steps: Steps,
}

/// Steps of one kind of world.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Steps {
    /// One where everybody speaks with a handshake, over links that misbehave.
    OfLinks(Vec<Step>),
    /// One of both eras.
    OfEras(Vec<eras::Step>),
}

impl Steps {
    /// How many there are.
    pub fn len(&self) -> usize {
        match self {
            Steps::OfLinks(steps) => steps.len(),
            Steps::OfEras(steps) => steps.len(),
        }
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// The first line of a file.
#[derive(Serialize, Deserialize)]
struct Head {
    broke: String,
    setting: Setting,
    /// Whether the steps are of a world of both eras.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    eras: bool,
}

impl Pinned {
    /// Plays the steps again, and says what was seen, what was written down, and the promise that was broken.
    pub fn play(&self, trace: Trace) -> (Tally, Trace, Option<Broken>) {
        match &self.steps {
            Steps::OfLinks(steps) => {
                let played = replay(self.setting, steps, trace);
                (played.tally, played.trace, played.broken)
            }
            Steps::OfEras(steps) => {
                let played = eras::replay(self.setting, steps, trace);
                (played.tally, played.trace, played.broken)
            }
        }
    }

    /// As a file.
    pub fn to_text(&self) -> String {
        let head = Head {
            broke: self.words.chars().take(200).collect(),
            setting: self.setting,
            eras: matches!(self.steps, Steps::OfEras(_)),
        };
        // What is plain data can be written.
        let mut text = serde_json::to_string(&head).unwrap_or_default() + "\n";
        let lines: Vec<String> = match &self.steps {
            Steps::OfLinks(steps) => steps.iter().filter_map(line).collect(),
            Steps::OfEras(steps) => steps.iter().filter_map(line).collect(),
        };
        for line in lines {
            text += &line;
            text.push('\n');
        }
        text
    }

    /// Reads a file.
    pub fn parse(text: &str) -> anyhow::Result<Self> {
        let mut lines = text.lines();
        let head = lines.next().context("the file is empty")?;
        let head: Head = serde_json::from_str(head).context("its first line is no setting")?;
        let steps = if head.eras {
            Steps::OfEras(lines.map(step).collect::<Result<_, _>>()?)
        } else {
            Steps::OfLinks(lines.map(step).collect::<Result<_, _>>()?)
        };
        Ok(Pinned {
            words: head.broke,
            setting: head.setting,
            steps,
        })
    }
}

/// A step as a line; what is plain data can be written.
fn line(step: &impl Serialize) -> Option<String> {
    serde_json::to_string(step).ok()
}

fn step<S: for<'a> Deserialize<'a>>(line: &str) -> anyhow::Result<S> {
    serde_json::from_str(line).with_context(|| format!("this is no step: {line}"))
}
