//! Which files a client reads, and what it does not start of them, as the client itself says: `import` finds these.

use std::{
    collections::BTreeSet,
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, ensure};
use serde_json::{Value, json};

use super::tell;
use crate::{
    clients::{Place, agents, ended},
    provision::{self, Agent, Provisioned},
    scratch,
    test::Counts,
    ui,
};

/// All files that `OpenCode` reads, in its order; of one name it takes the server that it reads last.
const OPENCODE: [&str; 12] = [
    "home/.config/opencode/config.json",
    "home/.config/opencode/opencode.json",
    "home/.config/opencode/opencode.jsonc",
    "home/named.json",
    "work/opencode.json",
    "work/opencode.jsonc",
    "work/.opencode/opencode.json",
    "work/.opencode/opencode.jsonc",
    "home/.opencode/opencode.json",
    "home/.opencode/opencode.jsonc",
    "home/folder/opencode.json",
    "home/folder/opencode.jsonc",
];

pub(super) fn run(provisioned: &Provisioned, mcpool: &Path) -> Counts {
    let mut counts = Counts::default();
    for (agent, check) in [
        (Agent::OpenCode, opencode as Check),
        (Agent::Gemini, gemini as Check),
    ] {
        let name = format!("files of {}", agent.name());
        ui::progress(format!("    {name}"));
        let outcome = provision::provision_agent(agent)
            .and_then(|_| scratch::folder("mcpool-places-", false))
            .and_then(|folder| {
                let stage = Stage {
                    agent,
                    provisioned,
                    mcpool,
                    place: Place::new(folder.path())?,
                    folder: folder.path().to_owned(),
                };
                check(&stage)
            });
        counts.add(tell(&name, &outcome));
    }
    counts
}

type Check = fn(&Stage<'_>) -> anyhow::Result<String>;

/// A home and a project with a client in them.
struct Stage<'a> {
    agent: Agent,
    provisioned: &'a Provisioned,
    mcpool: &'a Path,
    place: Place,
    folder: PathBuf,
}

impl Stage<'_> {
    fn write(&self, path: &str, value: &Value) -> anyhow::Result<()> {
        agents::write(&self.folder.join(path), &value.to_string())
    }

    fn list(&self, variables: &[(&str, PathBuf)]) -> anyhow::Result<String> {
        agents::list(self.agent, self.provisioned, &self.place, variables)
    }

    /// The servers that an import would change.
    fn changed(&self, variables: &[(&str, PathBuf)]) -> anyhow::Result<BTreeSet<String>> {
        let mut command = Command::new(self.mcpool);
        command.args(["import", "--json", "--client", self.agent.mcpool_name()]);
        let mut command = self.place.settled(command, self.provisioned)?;
        // A project's file names it by its name, where that is found.
        let programs = self.mcpool.parent().map(Path::to_owned);
        let path = env::var_os("PATH").unwrap_or_default();
        let path = env::join_paths(programs.into_iter().chain(env::split_paths(&path)))?;
        command
            .env("PATH", path)
            .env("MCPOOL_HOME", self.folder.join("pool"))
            .envs(variables.iter().map(|(name, value)| (name, value)));
        let said: Value = serde_json::from_slice(&ended(&mut command)?.stdout)?;
        let files = said["files"].as_array().context("no files")?;
        let changed = files.iter().filter_map(|file| file["changed"].as_array());
        let names = changed.flatten().filter_map(|it| it["server"].as_str());
        Ok(names.map(str::to_owned).collect())
    }
}

/// Each file has a server of its own, and all of them have one of the same name.
fn opencode(stage: &Stage<'_>) -> anyhow::Result<String> {
    let variables = [
        ("OPENCODE_CONFIG", stage.folder.join("home/named.json")),
        ("OPENCODE_CONFIG_DIR", stage.folder.join("home/folder")),
    ];
    let one = |name: &str| json!({"type": "local", "command": ["false", name]});
    let mut own = BTreeSet::new();
    for (number, path) in OPENCODE.iter().enumerate() {
        let name = format!("own-{number:02}");
        stage.write(
            path,
            &json!({"mcp": {&name: one(&name), "same": one(&format!("from-{number:02}"))}}),
        )?;
        own.insert(name);
    }
    let mut changed = stage.changed(&variables)?;
    ensure!(changed.remove("same"), "one of all files is not imported");
    ensure!(changed == own, "of {own:?}, import finds {changed:?}");
    for (number, path) in OPENCODE.iter().enumerate().rev() {
        let list = stage.list(&variables)?;
        let is_there = |word: &str| list.contains(&format!("{word}-{number:02}"));
        ensure!(is_there("own"), "it does not read {path}:\n{list}");
        ensure!(is_there("from"), "it takes another than {path}:\n{list}");
        fs::remove_file(stage.folder.join(path))?;
    }
    Ok(format!(
        "{} files, read in the order that is known, and imported",
        OPENCODE.len()
    ))
}

/// In another home folder, with a server that is switched off.
fn gemini(stage: &Stage<'_>) -> anyhow::Result<String> {
    let variables = [("GEMINI_CLI_HOME", stage.folder.join("home/moved"))];
    let servers = |names: &[&str]| {
        let all: serde_json::Map<_, _> = names
            .iter()
            .map(|name| ((*name).to_owned(), json!({"command": "false"})))
            .collect();
        json!({"mcpServers": all})
    };
    stage.write("home/.gemini/settings.json", &servers(&["usual"]))?;
    stage.write("home/moved/.gemini/settings.json", &servers(&["on", "Off"]))?;
    stage.write(
        "home/moved/.gemini/mcp-server-enablement.json",
        &json!({"off": {"enabled": false}}),
    )?;
    let list = stage.list(&variables)?;
    let line = |name: &str| {
        list.lines()
            .find(|line| line.contains(&format!("{name}: ")))
    };
    ensure!(line("usual").is_none(), "it reads the usual file:\n{list}");
    let is_off = |name: &str| line(name).map(|line| line.contains("Disabled"));
    ensure!(is_off("Off") == Some(true), "`Off` is on:\n{list}");
    ensure!(is_off("on") == Some(false), "`on` is off:\n{list}");
    let changed = stage.changed(&variables)?;
    ensure!(changed == BTreeSet::from(["on".to_owned()]), "{changed:?}");
    Ok("its other home folder, and what is switched off there".to_owned())
}
