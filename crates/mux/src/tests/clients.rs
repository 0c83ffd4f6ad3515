//! What real clients say first, replayed.

use std::{
    boxed::Box,
    format,
    string::{String, ToString},
    vec::Vec,
};

use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use super::{script::Script, stage::Stage};

macro_rules! client {
    ($name:literal) => {
        ($name, include_str!(concat!("clients/", $name, ".jsonl")))
    };
}

/// Lines that clients wrote over stdio to a server of the legacy era.
const CLIENTS: [(&str, &str); 15] = [
    client!("claude-code-2.1.197"),
    client!("claude-code-2.1.329"),
    client!("claude-code-2.1.329-silent"),
    client!("codex-0.169.0"),
    client!("fastmcp-4.1.2"),
    client!("gemini-cli-0.61.0"),
    client!("inspector-2.12.0"),
    client!("inspector-2.12.0-auto"),
    client!("opencode-1.18.33"),
    client!("python-mcp-1.30.0"),
    client!("python-mcp-2.3.0"),
    client!("python-mcp-2.3.0-silent"),
    client!("typescript-client-2.4.0"),
    client!("typescript-client-2.4.0-auto"),
    client!("typescript-sdk-1.32.2"),
];

/// As much of a line as the test needs to know what is owed for it.
#[derive(Deserialize)]
struct Said {
    #[serde(default, deserialize_with = "as_written")]
    id: Option<String>,
    method: String,
    #[serde(default)]
    params: Params,
}

#[derive(Default, Deserialize)]
struct Params {
    #[serde(rename = "protocolVersion")]
    version: Option<String>,
}

fn as_written<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    let raw = Box::<RawValue>::deserialize(deserializer)?;
    Ok(Some(raw.get().to_string()))
}

impl Said {
    /// What the client must be answered; `None` for a notification.
    fn owed(&self, client: &str) -> Option<String> {
        let id = self.id.as_ref()?;
        Some(match self.method.as_str() {
            "server/discover" => format!("-> {client}: error #{id} -32601 no-such-method"),
            "initialize" => {
                let version = self.params.version.as_ref().unwrap();
                format!("-> {client}: result #{id} version={version}")
            }
            _any => format!("-> {client}: result #{id}"),
        })
    }
}

/// Plays a client's lines to a server that answers everything at once; checks each answer, and names
/// the servers that were started.
fn replay(stage: &mut Stage, client: &str, lines: &str) -> Vec<String> {
    stage.play(&Script::parse(&format!("{client} opens keeps")));
    let mut started = Vec::new();
    for line in lines.lines() {
        let said: Said = serde_json::from_str(line).unwrap();
        let shown = stage.client_line_served(client, line);
        let answers = format!("-> {client}: ");
        let answer = shown
            .iter()
            .find(|line| line.starts_with(&answers) && !line.contains(": done "));
        let answer = answer.map(|answer| answer.trim_end_matches(", kept").to_string());
        assert_eq!(answer, said.owed(client), "{line}");
        started.extend(
            shown
                .into_iter()
                .filter(|line| line.starts_with("-> start ")),
        );
    }
    started
}

#[test]
fn every_client_gets_what_it_needs() {
    for (client, lines) in CLIENTS {
        let mut stage = Stage::default();
        assert_eq!(replay(&mut stage, client, lines).len(), 1, "{client}");
        stage.play(&Script::parse(&format!("{client} ends")));
        stage.clear();
    }
}

#[test]
fn all_clients_together_need_one_process_for_each_class() {
    let mut stage = Stage::default();
    let started: Vec<String> = CLIENTS
        .into_iter()
        .flat_map(|(client, lines)| replay(&mut stage, client, lines))
        .collect();
    // None, roots, forms and addresses, roots and forms, and all three.
    assert_eq!(started.len(), 5, "{started:?}");
    stage.clear();
}
