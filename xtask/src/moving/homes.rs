//! `import` and `undo` on homes of the real clients, which are asked before, between and after: with command
//! lines in their files between, and with addresses.

use std::{
    fs,
    net::{SocketAddr, TcpListener},
    os::unix::fs::{PermissionsExt as _, symlink},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context as _, ensure};
use serde_json::{Value, json};

use super::{
    address,
    files::{self, Entry},
    tell,
};
use crate::{
    clients::{
        Place,
        agents::{self, Look},
    },
    faults::session::Session,
    matrix::Server,
    provision::{self, Agent, Provisioned},
    scratch, shell,
    test::Counts,
    ui,
};

/// What each of them has.
const SERVERS: [Server; 3] = [Server::Memory, Server::Everything, Server::Time];

/// How long an import may take: the client lists its servers, and starts each for it.
const PATIENCE: Duration = Duration::from_mins(2);

/// The variable that names the folder of everything of mcpool.
const POOL: &str = "MCPOOL_HOME";

pub(super) fn run(provisioned: &Provisioned, mcpool: &Path) -> Counts {
    let mut counts = Counts::default();
    for agent in Agent::ALL {
        ui::progress(format!("    {}", agent.name()));
        let begun = Instant::now();
        let outcome = provision::provision_agent(agent).and_then(|_| {
            let took = begun.elapsed();
            moved(agent, provisioned, mcpool, Way::Command)
                .map(|said| format!("{said}, installed in {:.0} s", took.as_secs_f64()))
        });
        counts.add(tell(agent.name(), &outcome));
        let name = format!("{} over HTTP", agent.name());
        ui::progress(format!("    {name}"));
        let outcome = moved(agent, provisioned, mcpool, Way::Http);
        counts.add(tell(&name, &outcome));
    }
    let outcome = shadowed(provisioned, mcpool);
    counts.add(tell("a project's file that git has", &outcome));
    counts
}

/// How a client comes to mcpool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    /// It starts `mcpool connect`.
    Command,
    /// It finds mcpool at an address.
    Http,
}

/// A home with a client in it, and a pool.
struct Home<'a> {
    agent: Agent,
    provisioned: &'a Provisioned,
    mcpool: &'a Path,
    place: Place,
    pool: PathBuf,
    programs: PathBuf,
    _folder: tempfile::TempDir,
}

impl<'a> Home<'a> {
    fn new(agent: Agent, provisioned: &'a Provisioned, mcpool: &'a Path) -> anyhow::Result<Self> {
        let folder = scratch::folder("mcpool-moving-", false)?;
        let place = Place::new(folder.path())?;
        let programs = folder.path().join("programs");
        fs::create_dir(&programs)?;
        // What mcpool asks whether it has its servers.
        let name = agent.command_name();
        if agent.is_script() {
            let script = format!(
                "#!/bin/sh\nexec {} {} \"$@\"\n",
                provisioned.node().display(),
                provisioned.agent(agent).display()
            );
            fs::write(programs.join(name), script)?;
            fs::set_permissions(programs.join(name), fs::Permissions::from_mode(0o755))?;
        } else {
            symlink(provisioned.agent(agent), programs.join(name))?;
        }
        Ok(Home {
            agent,
            provisioned,
            mcpool,
            place,
            pool: folder.path().join("pool"),
            programs,
            _folder: folder,
        })
    }

    fn file(&self) -> PathBuf {
        self.place.home.join(files::path(self.agent))
    }

    fn text(&self) -> anyhow::Result<String> {
        Ok(fs::read_to_string(self.file())?)
    }

    /// A verb of mcpool, in the surroundings of the client.
    fn said(&self, verb: &[&str]) -> anyhow::Result<String> {
        let mut command = Command::new(self.mcpool);
        command.args(verb);
        let mut command = self.place.settled(command, self.provisioned)?;
        let path = std::env::var_os("PATH").unwrap_or_default();
        let folders = [
            self.programs.clone(),
            self.provisioned.node().with_file_name(""),
        ];
        let path = std::env::join_paths(folders.into_iter().chain(std::env::split_paths(&path)))?;
        command
            .env("PATH", path)
            .env(POOL, &self.pool)
            .envs(agents::QUIET);
        shell::output_within(&mut command, PATIENCE)
    }

    fn config(&self) -> anyhow::Result<String> {
        Ok(fs::read_to_string(self.pool.join("config.toml"))?)
    }

    /// Has mcpool listen somewhere, with one server of the user's own in its configuration.
    fn listens(&self, own: &Entry) -> anyhow::Result<Listening> {
        // Nobody else takes it so soon.
        let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let text = format!(
            "# mine\n[http]\nlisten = [\"{address}\"] # where clients look\n\n[servers.own]\n\
             command = {}\nargs = {}\n",
            json!(own.words[0]),
            json!(own.words[1..])
        );
        agents::write(&self.pool.join("config.toml"), &text)?;
        fs::set_permissions(&self.pool, fs::Permissions::from_mode(0o700))?;
        // No client starts it for an address; whoever lists something does.
        self.said(&["tools", "own"])?;
        Ok(Listening { address, text })
    }

    fn look(&self) -> anyhow::Result<Vec<Look>> {
        let names = SERVERS.map(Server::name);
        agents::look(self.agent, self.provisioned, &self.place, &names)
    }

    /// The answer of a server to `tools/list`, reached as the client reaches it.
    fn list(&self, entry: &Entry) -> anyhow::Result<Value> {
        if let Some(url) = &entry.url {
            return address::tools(url);
        }
        let mut command = Command::new(&entry.words[0]);
        command.args(&entry.words[1..]);
        let mut command = self.place.settled(command, self.provisioned)?;
        command
            .envs(entry.env.iter().map(|(name, value)| (name, value)))
            .stderr(Stdio::null());
        let mut session = Session::greeted(command)?;
        let asked = session.begin("tools/list", &json!({}))?;
        session.answer(asked)
    }

    /// The tools of a server.
    fn tools(&self, entry: &Entry) -> anyhow::Result<Vec<String>> {
        let answer = self.list(entry)?;
        let tools = answer["result"]["tools"].as_array().context("no tools")?;
        let mut names: Vec<String> = tools
            .iter()
            .filter_map(|tool| Some(tool["name"].as_str()?.to_owned()))
            .collect();
        names.sort();
        ensure!(!names.is_empty(), "{} has no tools", entry.name);
        Ok(names)
    }

    /// What the client and its servers say: what it reaches, and what tools they have.
    fn state(&self) -> anyhow::Result<State> {
        let entries = files::entries(self.agent, &self.text()?)?;
        let looks = self.look()?;
        for look in &looks {
            ensure!(look.is_reached, "{} is shown as {}", look.name, look.text);
        }
        let told = looks.into_iter().map(|look| (look.name, look.tools));
        let tools: anyhow::Result<Vec<(String, Vec<String>)>> = entries
            .iter()
            .map(|entry| Ok((entry.name.clone(), self.tools(entry)?)))
            .collect();
        Ok(State {
            told: told.collect(),
            tools: tools?,
        })
    }
}

impl Drop for Home<'_> {
    fn drop(&mut self) {
        // There is nothing to do about one that cannot be stopped.
        let _stopped = self.said(&["stop"]);
    }
}

/// Where mcpool listens, and by what configuration.
struct Listening {
    address: SocketAddr,
    text: String,
}

/// What a client and its servers say, server by server.
#[derive(Debug, PartialEq, Eq)]
struct State {
    /// What the client tells of their tools.
    told: Vec<(String, Vec<String>)>,
    /// What they tell who starts them as the client does.
    tools: Vec<(String, Vec<String>)>,
}

fn moved(
    agent: Agent,
    provisioned: &Provisioned,
    mcpool: &Path,
    way: Way,
) -> anyhow::Result<String> {
    let home = Home::new(agent, provisioned, mcpool)?;
    let work = home.place.work.clone();
    let written: Vec<Entry> = SERVERS
        .iter()
        .map(|server| Entry {
            name: server.name().to_owned(),
            words: server.command(provisioned, &work),
            env: server
                .env(&work)
                .into_iter()
                .map(|(name, value)| (name.to_owned(), value))
                .collect(),
            url: None,
        })
        .collect();
    let project = work.to_str().context("a path that is no text")?;
    agents::write(&home.file(), &files::text(agent, &written, project))?;
    let before = home.state().context("before")?;
    let config = match way {
        Way::Command => None,
        Way::Http => Some(home.listens(&written[0])?),
    };

    // Some clients write their file when they are asked.
    let text = home.text()?;
    let options = match way {
        Way::Command => &["--apply"][..],
        Way::Http => &["--http", "--apply"],
    };
    let import = ["import", "--client", agent.mcpool_name()];
    let said = home.said(&[&import, options].concat())?;
    let verified = format!("{} lists all of them", agent.mcpool_name());
    ensure!(said.contains(&verified), "an import says:\n{said}");
    let imported = home.text()?;
    let address = config.as_ref().map(|config| config.address);
    is_through_mcpool(&files::entries(agent, &imported)?, &written, address)?;
    let between = home.state().context("imported")?;
    ensure!(between == before, "{before:?} has become {between:?}");
    let status: Value = serde_json::from_str(&home.said(&["status", "--json"])?)?;
    let upstreams = status["upstreams"].as_array().map_or(0, Vec::len);
    ensure!(upstreams > 0, "nothing runs through mcpool: {status}");

    let is_untouched = home.text()? == imported;
    home.said(&["undo"])?;
    let undone = home.text()?;
    ensure!(
        undone == text || !is_untouched,
        "undone, the file is another:\n{undone}"
    );
    let entries = files::entries(agent, &undone)?;
    ensure!(entries == written, "undone, there is {entries:?}");
    if let Some(config) = config {
        let now = home.config()?;
        ensure!(now == config.text, "undone, the configuration is\n{now}");
    }
    let after = home.state().context("undone")?;
    ensure!(after == before, "{before:?} has become {after:?}");
    Ok(format!(
        "{} servers, the same before, between and after{}",
        written.len(),
        if is_untouched {
            ", and the file to the byte"
        } else {
            "; it has written its file meanwhile"
        }
    ))
}

/// All servers are there in their order, and each goes through mcpool: by its own command line, or at this address.
fn is_through_mcpool(
    entries: &[Entry],
    written: &[Entry],
    address: Option<SocketAddr>,
) -> anyhow::Result<()> {
    let names: Vec<&str> = entries.iter().map(|entry| entry.name.as_str()).collect();
    ensure!(names == SERVERS.map(Server::name), "the order is {names:?}");
    for (entry, was) in entries.iter().zip(written) {
        let is_ours = match address {
            None => {
                let is_ours = entry.words.get(1).is_some_and(|word| word == "connect");
                is_ours && entry.words.ends_with(&was.words) && entry.env == was.env
            }
            Some(address) => {
                let url = format!("http://{address}/mcp/{}", entry.name);
                let (name, url) = (entry.name.clone(), Some(url));
                *entry
                    == (Entry {
                        name,
                        url,
                        ..Entry::default()
                    })
            }
        };
        ensure!(is_ours, "{} has become {entry:?}", entry.name);
    }
    Ok(())
}

/// Claude Code takes what was put before the server of a project's file, and that file stays.
fn shadowed(provisioned: &Provisioned, mcpool: &Path) -> anyhow::Result<String> {
    provision::provision_agent(Agent::ClaudeCode)?;
    let home = Home::new(Agent::ClaudeCode, provisioned, mcpool)?;
    let work = home.place.work.clone();
    // One that goes on running when its session has ended, so that it can be seen.
    let words = Server::Time.command(provisioned, &work);
    let shared = json!({"mcpServers": {"shared": {
        "type": "stdio", "command": words[0], "args": words[1..], "env": {}
    }}});
    let shared = serde_json::to_string_pretty(&shared)?;
    fs::write(work.join(".mcp.json"), &shared)?;
    for arguments in [&["init", "--quiet"][..], &["add", ".mcp.json"]] {
        shell::output(Command::new("git").args(arguments).current_dir(&work))?;
    }
    let project = work.to_str().context("a path that is no text")?;
    agents::write(&home.file(), &files::text(Agent::ClaudeCode, &[], project))?;
    let look = || -> anyhow::Result<Look> {
        let looks = agents::look(Agent::ClaudeCode, provisioned, &home.place, &["shared"])?;
        let look = looks.into_iter().next().context("nothing is shown")?;
        ensure!(look.is_reached, "it is shown as {}", look.text);
        Ok(look)
    };
    look().context("before")?;
    home.said(&["import", "--client", "claude-code", "--apply"])?;
    look().context("imported")?;
    let status: Value = serde_json::from_str(&home.said(&["status", "--json"])?)?;
    let upstreams = status["upstreams"].as_array().context("no upstreams")?;
    ensure!(
        !upstreams.is_empty() && upstreams.iter().all(|it| it["server"] == "shared"),
        "what was put before it is not what runs: {status}"
    );
    ensure!(
        fs::read_to_string(work.join(".mcp.json"))? == shared,
        "the project's file has changed"
    );
    home.said(&["undo"])?;
    let user: Value = serde_json::from_str(&home.text()?)?;
    let left = &user["projects"][project]["mcpServers"];
    ensure!(
        left.get("shared").is_none(),
        "undone, there is still {left}"
    );
    look().context("undone")?;
    Ok("the one before it runs through mcpool, and goes again".to_owned())
}
