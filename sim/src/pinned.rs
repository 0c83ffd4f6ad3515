//! Lists of steps that once broke a promise, as files: a line of JSON each.

use anyhow::Context as _;
use serde::{Deserialize, Serialize};

use crate::{Played, Setting, Step, Trace, replay};

/// Steps that are kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pinned {
    /// What they broke, for a person.
    pub words: String,
    /// The world that they were taken in.
    pub setting: Setting,
    /// In their order.
    pub steps: Vec<Step>,
}

/// The first line of a file.
#[derive(Serialize, Deserialize)]
struct Head {
    broke: String,
    setting: Setting,
}

impl Pinned {
    /// Plays the steps again.
    pub fn play(&self, trace: Trace) -> Played {
        replay(self.setting, &self.steps, trace)
    }

    /// As a file.
    pub fn to_text(&self) -> String {
        let head = Head {
            broke: self.words.chars().take(200).collect(),
            setting: self.setting,
        };
        // What is plain data can be written.
        let mut text = serde_json::to_string(&head).unwrap_or_default() + "\n";
        for step in &self.steps {
            text += &serde_json::to_string(step).unwrap_or_default();
            text.push('\n');
        }
        text
    }

    /// Reads a file.
    pub fn parse(text: &str) -> anyhow::Result<Self> {
        let mut lines = text.lines();
        let head = lines.next().context("the file is empty")?;
        let head: Head = serde_json::from_str(head).context("its first line is no setting")?;
        let steps = lines.map(|line| {
            serde_json::from_str(line).with_context(|| format!("this is no step: {line}"))
        });
        Ok(Pinned {
            words: head.broke,
            setting: head.setting,
            steps: steps.collect::<Result<_, _>>()?,
        })
    }
}
