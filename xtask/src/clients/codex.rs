//! Codex: its command line only shows its configuration, so it is asked as an editor asks it.

use std::{
    fs::File,
    io::{BufRead as _, BufReader, Write as _},
    path::Path,
    process::{Child, Command, Stdio},
    sync::mpsc,
    thread,
    time::Duration,
};

use anyhow::{Context as _, bail};
use serde_json::{Value, json};

use super::{
    PATIENCE,
    agents::Look,
    shown::{self, Shown},
};
use crate::{conformance::version::Fixture, shell};

/// The id of the question.
const ASKED: u64 = 2;

/// How long it may take to end once its input has.
const ENDS_WITHIN: Duration = Duration::from_secs(10);

/// Killed, with all that it started, if it still runs when this is dropped.
struct Running(Child);

/// What the app-server says of its servers: the answer to `mcpServerStatus/list`.
pub(super) fn statuses(command: &mut Command, log: &Path) -> anyhow::Result<Value> {
    let log = File::create(log).with_context(|| format!("creating {}", log.display()))?;
    let child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(log)
        .spawn()
        .with_context(|| format!("starting {command:?}"))?;
    let mut running = Running(child);
    let mut input = running.0.stdin.take().context("its input is a pipe")?;
    let output = running.0.stdout.take().context("its output is a pipe")?;
    let client = json!({"clientInfo": {"name": "mcpool-clients", "version": "1"}});
    for message in [
        json!({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": client}),
        json!({"jsonrpc": "2.0", "method": "initialized"}),
        json!({"jsonrpc": "2.0", "id": ASKED, "method": "mcpServerStatus/list", "params": {}}),
    ] {
        writeln!(input, "{message}").context("writing to it")?;
    }
    let (tell, told) = mpsc::channel();
    thread::spawn(move || {
        let lines = BufReader::new(output).lines().map_while(Result::ok);
        let messages = lines.filter_map(|line| serde_json::from_str::<Value>(&line).ok());
        for message in messages.filter(|message| message["id"] == ASKED) {
            let _ = tell.send(message); // Nobody may be waiting any more.
        }
    });
    let Ok(answer) = told.recv_timeout(PATIENCE) else {
        bail!("it did not answer within {} s", PATIENCE.as_secs());
    };
    drop(input);
    if !shell::wait_for_end(running.0.id(), ENDS_WITHIN) {
        bail!("it did not end within {} s", ENDS_WITHIN.as_secs());
    }
    match answer.get("result") {
        Some(result) => Ok(result.clone()),
        None => bail!("it refused: {answer}"),
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Ok(None) = self.0.try_wait() {
            shell::kill_with_group(self.0.id());
            let _ = self.0.wait();
        }
    }
}

/// What the answer shows of a server, which it reached if it has its tools.
pub(super) fn shown(answer: &Value, name: &str, fixture: Fixture) -> Option<Shown> {
    let servers = answer["data"].as_array()?;
    let server = servers.iter().find(|server| server["name"] == name)?;
    if let Some(error) = server["toolsError"].as_str() {
        return Some(Shown::failed(error));
    }
    let implementation = server["serverInfo"]["name"].as_str().unwrap_or_default();
    let Some(tools) = server["tools"].as_object() else {
        return Some(Shown::failed("no tools"));
    };
    let is_it = implementation == format!("conformance-{}", fixture.name())
        && tools.contains_key(shown::TOOL);
    let text = format!("{} tools of {implementation:?}", tools.len());
    Some(Shown {
        is_reached: is_it,
        text,
    })
}

/// What the answer says of a server.
pub(super) fn look(answer: &Value, name: &str) -> anyhow::Result<Look> {
    let servers = answer["data"].as_array().context("no servers")?;
    let server = servers.iter().find(|server| server["name"] == name);
    let server = server.with_context(|| format!("`{name}` is not in {answer}"))?;
    let error = server["toolsError"].as_str();
    let tools = server["tools"].as_object();
    let mut tools: Vec<String> = tools
        .map(|tools| tools.keys().cloned().collect())
        .unwrap_or_default();
    tools.sort();
    Ok(Look {
        name: name.to_owned(),
        is_reached: error.is_none() && !tools.is_empty(),
        text: error.unwrap_or("its tools").to_owned(),
        tools,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_is_reached_when_its_own_tools_are_there() {
        let answer = json!({"nextCursor": null, "data": [
            {"name": "pooled", "serverInfo": {"name": "conformance-legacy"}, "toolsError": null,
                "tools": {"test_simple_text": {}, "test_sampling": {}}},
            {"name": "nobody", "serverInfo": null, "tools": {},
                "toolsError": "MCP startup failed: no server named `nobody`"},
            {"name": "empty", "serverInfo": {"name": "conformance-legacy"}, "tools": {}},
        ]});
        let reached = |name, fixture| shown(&answer, name, fixture).map(|shown| shown.is_reached);
        assert_eq!(reached("pooled", Fixture::Legacy), Some(true));
        assert_eq!(reached("pooled", Fixture::Modern), Some(false));
        assert_eq!(reached("nobody", Fixture::Legacy), Some(false));
        assert_eq!(reached("empty", Fixture::Legacy), Some(false));
        assert_eq!(reached("other", Fixture::Legacy), None);
    }
}
