//! What we accept, given to the parsers of Node and of Python: they must see what we see.
//!
//! A pooler that reads a message otherwise than the server behind it can be made to let pass what it would
//! not. The corpus is `crates/wire/tests/envelopes.txt`; a case may name a reader that is known to differ.

use std::{fs, path::PathBuf, process::Command, time::Duration};

use anyhow::{Context as _, ensure};
use wire::{Frame, Message};

use crate::{
    provision::{Provisioned, Python},
    shell,
    test::Counts,
    ui,
};

/// How long a reader may take; it needs a fraction of a second.
const PATIENCE: Duration = Duration::from_mins(1);

/// A line that we accept, and what we see in it.
struct Case {
    line: String,
    /// Id, method and name, as JSON text.
    seen: [Option<String>; 3],
    /// Readers that are known to see something else.
    excepted: Vec<String>,
}

/// Runs both readers over the corpus.
pub(crate) fn run(provisioned: &Provisioned) -> anyhow::Result<Counts> {
    let cases = corpus()?;
    let folder = tempfile::tempdir().context("creating a folder")?;
    let file = folder.path().join("cases.json");
    let messages: Vec<_> = cases
        .iter()
        .map(|case| {
            let [id, method, name] = &case.seen;
            (&case.line, id, method, name)
        })
        .collect();
    fs::write(&file, serde_json::to_string(&messages)?)
        .with_context(|| format!("writing {}", file.display()))?;
    let mut counts = Counts::default();
    let readers = [
        ("node", provisioned.node(), "node.mjs"),
        (
            "python",
            provisioned.python_program(Python::Mcp1, "python3"),
            "python.py",
        ),
    ];
    for (reader, program, script) in readers {
        let mut command = Command::new(program);
        command.arg(scripts().join(script)).arg(&file);
        let judged = shell::output_within(&mut command, PATIENCE)?;
        let verdicts: Vec<&str> = judged.lines().collect();
        ensure!(
            verdicts.len() == cases.len(),
            "{reader} judged {} of {} messages",
            verdicts.len(),
            cases.len()
        );
        let before = counts.passed;
        for (case, verdict) in cases.iter().zip(verdicts) {
            let is_excepted = case.excepted.iter().any(|excepted| excepted == reader);
            let is_same = verdict == "same";
            counts.add(is_same != is_excepted);
            if is_same == is_excepted {
                ui::line(format!(
                    "{reader} {verdict}, against the corpus: {}",
                    case.line
                ));
            }
        }
        ui::line(format!(
            "{reader} reads {} of {} messages as the corpus says",
            counts.passed - before,
            cases.len()
        ));
    }
    Ok(counts)
}

fn scripts() -> PathBuf {
    shell::root().join("xtask/parsers")
}

/// The lines of the corpus that we accept.
fn corpus() -> anyhow::Result<Vec<Case>> {
    let path = shell::root().join("crates/wire/tests/envelopes.txt");
    let text = fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
    let mut cases: Vec<Case> = Vec::new();
    let mut is_accepted = false;
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let Some(said) = line.strip_prefix("    ") else {
            let case = accepted(line);
            is_accepted = case.is_some();
            cases.extend(case);
            continue;
        };
        let Some((reader, _why)) = said
            .strip_prefix("except ")
            .and_then(|exception| exception.split_once(": "))
        else {
            continue;
        };
        let case = cases.last_mut().filter(|_| is_accepted);
        let case = case.context("only what is accepted can be read otherwise")?;
        case.excepted.push(reader.to_owned());
    }
    Ok(cases)
}

fn accepted(line: &str) -> Option<Case> {
    let frame = Frame::parse(line.to_owned().into()).ok()?;
    let (id, method, params) = match &frame.message {
        Message::Request {
            id_span,
            method,
            params,
            ..
        } => (Some(id_span), Some(method), Some(params)),
        Message::Notification { method, params } => (None, Some(method), Some(params)),
        Message::Response { id_span, .. } => (Some(id_span), None, None),
    };
    let text = |span| frame.json(span).to_owned();
    let name = params.and_then(|params| params.name.as_ref());
    Some(Case {
        line: line.to_owned(),
        seen: [
            id.map(text),
            method.map(|method| wire::quoted(method.name())),
            name.map(text),
        ],
        excepted: Vec::new(),
    })
}
