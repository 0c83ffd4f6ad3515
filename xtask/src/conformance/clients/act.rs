//! What the suite runs as the client of its server: mcpool with that server's address, and a session in front.

use std::{
    env, fs,
    path::PathBuf,
    process::{self, Command},
};

use anyhow::Context as _;
use serde_json::{Map, Value, json};

use super::session::{Session, sample};
use crate::{conformance::version::Fixture, matrix::pool::Pool};

/// How the server is called in the configuration.
const SERVER: &str = "there";

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[arg(long)]
    mcpool: PathBuf,
    /// Where the home of this scenario's daemon goes
    #[arg(long)]
    folder: PathBuf,
    /// How the client in front of mcpool speaks
    #[arg(long, value_enum)]
    era: Fixture,
    /// How mcpool is told to speak to the server [default: it finds out]
    #[arg(long, value_enum)]
    server_era: Option<Fixture>,
    /// Where the server of the scenario is
    url: String,
}

/// One scenario, by the words of the suite in the environment.
struct Scenario {
    name: String,
    version: String,
    context: Value,
}

impl Scenario {
    fn of_environment() -> anyhow::Result<Scenario> {
        let variable = |name: &str| env::var(name).with_context(|| format!("reading {name}"));
        let context = env::var("MCP_CONFORMANCE_CONTEXT").ok();
        Ok(Scenario {
            name: variable("MCP_CONFORMANCE_SCENARIO")?,
            version: variable("MCP_CONFORMANCE_PROTOCOL_VERSION")?,
            context: context.map_or(Ok(Value::Null), |text| serde_json::from_str(&text))?,
        })
    }
}

pub(crate) fn act(args: &Args) -> anyhow::Result<()> {
    let scenario = Scenario::of_environment()?;
    // Paths of sockets must be short.
    let folder = args.folder.join(process::id().to_string());
    fs::create_dir(&folder).with_context(|| format!("creating {}", folder.display()))?;
    let pool = Pool::new(&args.mcpool, &folder)?;
    let era = args.server_era.map_or("auto", Fixture::name);
    let text = format!("[servers.{SERVER}]\nurl = '{}'\nera = '{era}'\n", args.url);
    fs::write(pool.home().join("config.toml"), text).context("writing the configuration")?;
    let mut command = Command::new(&args.mcpool);
    command.args(["connect", SERVER]);
    command.env("MCPOOL_HOME", pool.home());
    let mut session = Session::open(command, args.era)?;
    let visited = visit(&mut session, &scenario);
    // Whatever has gone wrong, it is to be seen in the logs of a daemon that has ended.
    let ended = session.close().and_then(|()| pool.stop());
    visited.and(ended).with_context(|| pool.logs())
}

/// Uses the server as an agent would that wants all that it has.
fn visit(session: &mut Session, scenario: &Scenario) -> anyhow::Result<()> {
    let can = session.begin(&scenario.version)?;
    let has = |feature: &str| can.get(feature).is_some();
    let tools = session.result("tools/list", &json!({}))?["tools"].clone();
    let tools = tools.as_array().cloned().unwrap_or_default();
    for (name, arguments) in calls(scenario, &tools) {
        session.result("tools/call", &json!({"name": name, "arguments": arguments}))?;
    }
    if has("resources") {
        let listed = session.result("resources/list", &json!({}))?;
        for resource in listed["resources"].as_array().into_iter().flatten() {
            session.result("resources/read", &json!({"uri": resource["uri"]}))?;
        }
    }
    if has("prompts") {
        let listed = session.result("prompts/list", &json!({}))?;
        for prompt in listed["prompts"].as_array().into_iter().flatten() {
            session.result("prompts/get", &json!({"name": prompt["name"]}))?;
        }
    }
    Ok(())
}

/// The calls of a scenario: those that it names, else one of each tool.
fn calls(scenario: &Scenario, tools: &[Value]) -> Vec<(Value, Value)> {
    if let Some(calls) = scenario.context["toolCalls"].as_array() {
        let calls = calls.iter();
        return calls
            .map(|call| (call["name"].clone(), call["arguments"].clone()))
            .collect();
    }
    if scenario.name == "json-schema-2020-12-preservation" {
        // Whether a schema has come through shows when it goes back.
        let listed = tools.iter().find(|tool| tool["name"] != "json_schema_echo");
        let schema = listed.map(|tool| tool["inputSchema"].clone());
        return Vec::from([(json!("json_schema_echo"), json!({"schema": schema}))]);
    }
    if scenario.name == "sse-retry" {
        // The answer to the first may come on the stream that has just been opened for what belongs to no call.
        let named = tools.iter().map(|tool| (tool["name"].clone(), json!({})));
        return named.cycle().take(2 * tools.len()).collect();
    }
    if scenario.name == "json-schema-ref-no-deref" {
        // Nobody is to look at what it would need.
        return Vec::new();
    }
    let sampled = tools.iter().map(|tool| {
        let fields = tool["inputSchema"]["properties"].as_object();
        let fields = fields.into_iter().flatten();
        let arguments: Map<String, Value> = fields
            .map(|(name, field)| (name.clone(), sample(field)))
            .collect();
        (tool["name"].clone(), Value::Object(arguments))
    });
    sampled.collect()
}
