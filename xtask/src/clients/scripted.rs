//! SDKs and the Inspector, which list and call; and what their answers must be.

use std::{fs, process::Command};

use anyhow::{Context as _, bail, ensure};
use serde_json::{Value, json};

use super::{Place, Target, ended, shown::TOOL};
use crate::{
    conformance::version::Fixture,
    provision::{Provisioned, Python},
};

/// What [`TOOL`] says.
const SAID: &str = "This is a simple text response for testing.";

/// Which eras the Inspector may speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Era {
    Legacy,
    Auto,
    Modern,
}

/// An SDK, in a driver of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Driver {
    Python1,
    /// Asks first whether a server is modern, as fastmcp does.
    Python2,
    FastMcp,
    TypeScript1,
    /// Does not ask, unless it is told to.
    TypeScript2,
    TypeScript2Auto,
}

impl Era {
    pub(super) fn name(self) -> &'static str {
        match self {
            Era::Legacy => "legacy",
            Era::Auto => "auto",
            Era::Modern => "modern",
        }
    }
}

impl Driver {
    pub(super) fn name(self) -> &'static str {
        match self {
            Driver::Python1 => "python-1",
            Driver::Python2 => "python-2",
            Driver::FastMcp => "fastmcp-4",
            Driver::TypeScript1 => "typescript-1",
            Driver::TypeScript2 => "typescript-2",
            Driver::TypeScript2Auto => "typescript-2 auto",
        }
    }

    pub(super) fn python(self) -> Option<Python> {
        match self {
            Driver::Python1 => Some(Python::Mcp1),
            Driver::Python2 => Some(Python::Mcp2),
            Driver::FastMcp => Some(Python::FastMcp),
            Driver::TypeScript1 | Driver::TypeScript2 | Driver::TypeScript2Auto => None,
        }
    }

    fn file(self) -> &'static str {
        match self {
            Driver::Python1 => "python_1.py",
            Driver::Python2 => "python_2.py",
            Driver::FastMcp => "fastmcp_4.py",
            Driver::TypeScript1 => "typescript_1.mjs",
            Driver::TypeScript2 | Driver::TypeScript2Auto => "typescript_2.mjs",
        }
    }

    /// What a plan says of eras; `any` is whatever the SDK does by default.
    fn era(self) -> &'static str {
        match self {
            Driver::TypeScript2Auto => "auto",
            Driver::Python1
            | Driver::Python2
            | Driver::FastMcp
            | Driver::TypeScript1
            | Driver::TypeScript2 => "any",
        }
    }
}

/// Has an SDK list all that there is, call a tool, and get a prompt and a resource.
pub(super) fn drive(
    provisioned: &Provisioned,
    place: &Place,
    driver: Driver,
    target: &Target,
    fixture: Fixture,
) -> anyhow::Result<String> {
    let (command, url) = match target {
        Target::Command(words) => (json!(words), Value::Null),
        Target::Url(url) => (json!([]), json!(url)),
    };
    let plan = json!({
        "command": command, "url": url, "env": null, "era": driver.era(),
        "steps": [
            {"method": "tools/call", "name": TOOL, "arguments": {}},
            {"method": "prompts/get", "name": "test_simple_prompt"},
            {"method": "resources/read", "uri": "test://static-text"},
        ],
    });
    let path = place.work.join("plan.json");
    fs::write(&path, plan.to_string()).with_context(|| format!("writing {}", path.display()))?;
    let program = match driver.python() {
        Some(python) => provisioned.python_program(python, "python3"),
        None => provisioned.node(),
    };
    let mut command = place.settled(Command::new(program), provisioned)?;
    let transcript = answer(command.arg(provisioned.driver(driver.file())).arg(path))?;
    played(&transcript, fixture).with_context(|| format!("what it got: {transcript}"))
}

/// Has the Inspector list and call; each is a run of its own.
pub(super) fn inspect(
    provisioned: &Provisioned,
    place: &Place,
    era: Era,
    target: &Target,
) -> anyhow::Result<String> {
    let ask = |method: &str, words: &[&str]| -> anyhow::Result<Value> {
        let mut command = place.settled(Command::new(provisioned.node()), provisioned)?;
        command.arg(provisioned.npm_script("mcp-inspector"));
        command.args(["--cli", "--quiet", "--format", "json"]);
        command.args(["--protocol-era", era.name(), "--method", method]);
        command.args(words);
        match target {
            Target::Command(line) => command.arg("--").args(line),
            Target::Url(url) => command.args(["--transport", "http", "--server-url", url]),
        };
        let answer = answer(&mut command).with_context(|| method.to_owned())?;
        Ok(answer["result"].clone())
    };
    let tools = tools(&ask("tools/list", &[])?)?;
    called(&ask("tools/call", &["--tool-name", TOOL])?)?;
    Ok(format!("{tools} tools, called one"))
}

/// The JSON that a client wrote, if it was content.
fn answer(command: &mut Command) -> anyhow::Result<Value> {
    let output = ended(command)?;
    let errors = String::from_utf8_lossy(&output.stderr);
    ensure!(
        output.status.success(),
        "it ended with {}: {}",
        output.status,
        errors.trim()
    );
    serde_json::from_slice(&output.stdout).with_context(|| {
        let text = String::from_utf8_lossy(&output.stdout);
        format!("reading {text:?}; {}", errors.trim())
    })
}

/// What a transcript shows, if everything in it is as it should be.
fn played(transcript: &Value, fixture: Fixture) -> anyhow::Result<String> {
    let greeting = &transcript["initialize"];
    let implementation = greeting["serverInfo"]["name"].as_str().unwrap_or_default();
    ensure!(
        implementation == format!("conformance-{}", fixture.name()),
        "the server is called {implementation:?}"
    );
    let version = greeting["protocolVersion"].as_str();
    let version = version.context("no version was agreed")?;
    let tools = tools(&transcript["tools/list"]["result"])?;
    let mut counts = vec![format!("{tools} tools")];
    for (list, entries) in [
        ("prompts/list", "prompts"),
        ("resources/list", "resources"),
        ("resources/templates/list", "resourceTemplates"),
    ] {
        let found = transcript[list]["result"][entries].as_array();
        let found = found.map_or(0, Vec::len);
        ensure!(found > 0, "`{list}` shows nothing");
        let word = if entries == "resourceTemplates" {
            "templates"
        } else {
            entries
        };
        counts.push(format!("{found} {word}"));
    }
    let steps = transcript["steps"].as_array();
    let [call, prompt, resource] = steps.map_or(&[][..], Vec::as_slice) else {
        bail!("not every step was played");
    };
    called(&call["result"])?;
    let texts = [
        &prompt["result"]["messages"][0]["content"]["text"],
        &resource["result"]["contents"][0]["text"],
    ];
    for text in texts {
        ensure!(text.is_string(), "a prompt or a resource has no text");
    }
    Ok(format!("{version}: {}, all got", counts.join(", ")))
}

/// How many tools there are; [`TOOL`] must be among them.
fn tools(list: &Value) -> anyhow::Result<usize> {
    let tools = list["tools"]
        .as_array()
        .context("there is no list of tools")?;
    ensure!(
        tools.iter().any(|tool| tool["name"] == TOOL),
        "`{TOOL}` is not listed"
    );
    Ok(tools.len())
}

/// That a call of [`TOOL`] was answered.
fn called(result: &Value) -> anyhow::Result<()> {
    let text = &result["content"][0]["text"];
    ensure!(*text == SAID, "`{TOOL}` said {text}");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn transcript() -> Value {
        json!({
            "initialize": {
                "protocolVersion": "2025-11-25",
                "serverInfo": {"name": "conformance-legacy", "version": "0.1.0"},
            },
            "tools/list": {"result": {"tools": [{"name": TOOL}, {"name": "other"}]}},
            "prompts/list": {"result": {"prompts": [{"name": "a"}]}},
            "resources/list": {"result": {"resources": [{"uri": "test://a"}]}},
            "resources/templates/list": {"result": {"resourceTemplates": [{"uriTemplate": "a"}]}},
            "steps": [
                {"result": {"content": [{"type": "text", "text": SAID}]}},
                {"result": {"messages": [{"role": "user", "content": {"text": "a"}}]}},
                {"result": {"contents": [{"uri": "test://a", "text": "a"}]}},
            ],
        })
    }

    #[test]
    fn a_session_in_which_all_was_got_is_counted() {
        let shown = played(&transcript(), Fixture::Legacy).unwrap();
        let expected = "2025-11-25: 2 tools, 1 prompts, 1 resources, 1 templates, all got";
        assert_eq!(shown, expected);
    }

    #[test]
    fn whatever_is_missing_or_refused_is_a_failure() {
        let refused = json!({"error": {"code": -32603, "message": "no"}});
        for (pointer, value) in [
            ("/initialize/protocolVersion", Value::Null),
            ("/initialize/serverInfo/name", json!("conformance-modern")),
            ("/tools~1list", refused.clone()),
            ("/tools~1list/result/tools/0/name", json!("else")),
            ("/prompts~1list", refused.clone()),
            (
                "/resources~1templates~1list/result/resourceTemplates",
                json!([]),
            ),
            ("/steps/0/result/content/0/text", json!("something else")),
            ("/steps/0", refused.clone()),
            ("/steps/1", refused.clone()),
            ("/steps/2", refused.clone()),
            ("/steps", json!([])),
        ] {
            let mut transcript = transcript();
            *transcript.pointer_mut(pointer).unwrap() = value;
            assert!(played(&transcript, Fixture::Legacy).is_err(), "{pointer}");
        }
    }
}
