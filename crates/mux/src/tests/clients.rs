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
use crate::Era;

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

/// Lines that clients wrote over stdio to a server of the modern era.
const MODERN_CLIENTS: [(&str, &str); 5] = [
    client!("claude-code-2.1.329-modern"),
    client!("fastmcp-4.1.2-modern"),
    client!("inspector-2.12.0-modern"),
    client!("python-mcp-2.3.0-modern"),
    client!("typescript-client-2.4.0-modern"),
];

/// How the clients of a server come that is only spoken to as one of the legacy era is.
const LEGACY: &str = "keeps era=legacy";

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
    fn owed(&self, client: &str, discovered: &str) -> Option<String> {
        let id = self.id.as_ref()?;
        Some(match self.method.as_str() {
            "server/discover" => format!("-> {client}: {}", discovered.replace("ID", id)),
            "subscriptions/listen" => {
                format!("-> {client}: subscriptions/acknowledged of #{id} {{}}")
            }
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
fn replay(
    stage: &mut Stage,
    (client, lines): (&str, &str),
    opening: &str,
    server: Era,
) -> Vec<String> {
    let discovered = if opening.contains("era=legacy") {
        "error #ID -32601 no-such-method"
    } else {
        "result #ID versions=2026-07-28,2025-11-25,2025-06-18,2025-03-26,2024-11-05"
    };
    stage.play(&Script::parse(&format!("{client} opens {opening}")));
    let mut started = Vec::new();
    for line in lines.lines() {
        let said: Said = serde_json::from_str(line).unwrap();
        let shown = stage.client_line_served(client, line, server);
        let answers = format!("-> {client}: ");
        let answer = shown
            .iter()
            .find(|line| line.starts_with(&answers) && !line.contains(": done "));
        let answer = answer.map(|answer| answer.trim_end_matches(", kept").to_string());
        // What a result says is the server's business.
        let answer = answer.map(|answer| match answer.split_once(" {\"resultType\"") {
            Some((whose, _)) => whose.to_string(),
            None => answer,
        });
        assert_eq!(answer, said.owed(client, discovered), "{line}");
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
    for client in CLIENTS {
        let mut stage = Stage::default();
        let started = replay(&mut stage, client, LEGACY, Era::Legacy);
        assert_eq!(started.len(), 1, "{}", client.0);
        stage.play(&Script::parse(&format!("{} ends", client.0)));
        stage.clear();
    }
}

#[test]
fn every_modern_client_gets_what_it_needs_from_a_server_of_either_era() {
    for client in MODERN_CLIENTS {
        // One that knows no discovery has to be started once more.
        for (server, starts) in [(Era::Modern, 1), (Era::Legacy, 2)] {
            let mut stage = Stage::default();
            let started = replay(&mut stage, client, "", server);
            assert_eq!(started.len(), starts, "{} at {server:?}", client.0);
            stage.play(&Script::parse(&format!("{} ends", client.0)));
            stage.clear();
        }
    }
}

#[test]
fn all_clients_together_need_one_process_for_each_class() {
    let mut stage = Stage::default();
    let started: Vec<String> = CLIENTS
        .into_iter()
        .flat_map(|client| replay(&mut stage, client, LEGACY, Era::Legacy))
        .collect();
    // None, roots, forms and addresses, roots and forms, and all three.
    assert_eq!(started.len(), 5, "{started:?}");
    stage.clear();
}
