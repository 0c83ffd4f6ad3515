//! `advise`, against a machine with agents on it that each run their own copies.

use std::{
    collections::BTreeMap,
    fs,
    io::{BufRead, BufReader, Write},
    os::unix::{
        fs::{PermissionsExt, symlink},
        process::CommandExt,
    },
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use serde_json::{Value, json};

use crate::support::{
    FAKE_SERVER, Home,
    processes::{self, Process},
    programs, until,
};

/// Another user, when we are root.
const SOMEBODY: u32 = 54_321;

/// Memory that the heavy server holds, in MB.
const BALLAST: usize = 30;

/// A machine of this test alone, as far as its programs have names that no other one has.
struct Stage {
    home: Home,
    /// Stands in the names of its servers.
    mark: String,
    agents: Vec<Agent>,
}

/// A process that is called like a client; dropped, it and its servers end.
struct Agent(Child);

impl Agent {
    fn servers(&self) -> Vec<Process> {
        processes::with_descendants(self.0.id()).split_off(1)
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        for process in processes::with_descendants(self.0.id()).into_iter().rev() {
            process.kill();
        }
        self.0.wait().unwrap();
    }
}

impl Stage {
    fn new() -> Self {
        let home = Home::new();
        let mark = format!("t{}x{}", std::process::id(), fastrand::u32(..));
        fs::create_dir(home.root().join("bin")).unwrap();
        Stage {
            home,
            mark,
            agents: Vec::new(),
        }
    }

    /// What a server of this stage is called.
    fn name(&self, name: &str) -> String {
        format!("{name}-{}", self.mark)
    }

    /// The scripted server, as a file of this stage alone: what is measured here must not hang on how many others
    /// have the same pages mapped.
    fn fake_server(&self) -> PathBuf {
        let path = self.home.root().join("fake-server");
        if !path.exists() {
            programs::copy(FAKE_SERVER, &path);
        }
        path
    }

    /// A program under another name.
    fn program(&self, name: &str, program: impl AsRef<Path>) -> PathBuf {
        let path = self.home.root().join("bin").join(name);
        if !path.exists() {
            symlink(program, &path).unwrap();
        }
        path
    }

    /// The scripted server under the name of another one.
    fn scripted(&self, name: &str) -> String {
        let name = self.name(name);
        let program = self.program(&name, self.fake_server());
        program.display().to_string()
    }

    /// A server that holds memory.
    fn heavy(&self, name: &str) -> String {
        let program = self.program(&self.name(name), env!("CARGO_BIN_EXE_mcpoold"));
        format!("{} sample-server --ballast {BALLAST}", program.display())
    }

    /// Starts a client with these servers, and waits until they have answered.
    fn agent(&mut self, client: &str, project: &Path, commands: &[String]) -> &Agent {
        let agent = self.program(client, self.fake_server());
        let list = self.list(commands);
        let mut command = self.home.command(agent, &["agent", &list]);
        command.current_dir(project);
        self.begin(command)
    }

    /// A file with these commands.
    fn list(&self, commands: &[String]) -> String {
        let list = self.home.file(&format!("commands-{}", self.agents.len()));
        fs::write(&list, commands.join("\n")).unwrap();
        list
    }

    fn begin(&mut self, mut command: Command) -> &Agent {
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut agent = Agent(command.spawn().unwrap());
        let mut said = String::new();
        let mut stdout = BufReader::new(agent.0.stdout.take().unwrap());
        stdout.read_line(&mut said).unwrap();
        assert_eq!(said, "all are greeted\n");
        self.agents.push(agent);
        self.agents.last().unwrap()
    }

    /// Runs the verb on the servers of this stage; what it is told on its standard input stands last.
    fn advise(&self, names: &[&str], options: &[&str], says: &str) -> (Option<i32>, Value) {
        let names: Vec<String> = names.iter().map(|name| self.name(name)).collect();
        let mut arguments = vec!["advise", "--json"];
        arguments.extend(names.iter().map(String::as_str));
        arguments.extend(options);
        let mut command: Command = self.home.mcpool(&arguments);
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        child
            .stdin
            .take()
            .unwrap()
            .write_all(says.as_bytes())
            .unwrap();
        let output = child.wait_with_output().unwrap();
        let report = serde_json::from_slice(&output.stdout);
        let report = report.unwrap_or_else(|error| panic!("{error}: {output:?}"));
        (output.status.code(), report)
    }

    /// Asserts what is said of one of its servers: how many copies in as many sessions, the verdict, and a word
    /// of the reason.
    #[track_caller]
    fn judged(
        &self,
        report: &Value,
        (everything, measured): (&[Process], &Measured),
        (name, copies, verdict, word): (&str, usize, &str, &str),
    ) {
        let name = self.name(name);
        let server = of(report, "servers", &name);
        let is_its = |process: &&Process| processes::command_line(process.pid).contains(&name);
        let own: Vec<Process> = everything.iter().filter(is_its).copied().collect();
        assert_eq!(own.len(), copies);
        assert_eq!(server["copies"].as_array().unwrap().len(), copies);
        assert_eq!(server["sessions"], copies, "{server}");
        assert_eq!(server["workspaces"], copies.min(2), "{server}");
        assert_eq!(server["verdict"], verdict, "{server}");
        let reason = server["reason"].as_str().unwrap();
        assert!(reason.contains(word), "{server}");
        measured.is_close(&server["now"]["pss_kb"], &own);
    }
}

fn of<'a>(report: &'a Value, list: &str, name: &str) -> &'a Value {
    let found = report[list].as_array().unwrap().iter();
    let found: Vec<&Value> = found.filter(|it| it["name"] == name).collect();
    assert_eq!(found.len(), 1, "{name} in {report}");
    found[0]
}

/// What processes hold before and after the verb looks at them, in KiB by their ids: the libraries of the machine
/// are shared with others, who come and go.
struct Measured {
    before: BTreeMap<u32, u64>,
    after: BTreeMap<u32, u64>,
}

impl Measured {
    /// Asserts that this is what these hold together, to within a tenth.
    #[track_caller]
    fn is_close(&self, figure: &Value, processes: &[Process]) {
        let [mut least, mut most] = [0; 2];
        for Process { pid, .. } in processes {
            let (before, after) = (self.before[pid], self.after[pid]);
            least += before.min(after);
            most += before.max(after);
        }
        let figure = figure.as_u64().unwrap();
        assert!(
            (least * 9..=most * 11).contains(&(figure * 10)),
            "{figure}, not {least} to {most}"
        );
    }
}

/// The proportional memory of each of these, in KiB.
fn pss_kb<'a>(processes: impl IntoIterator<Item = &'a Process>) -> BTreeMap<u32, u64> {
    let each = processes.into_iter().map(|process| {
        let text = fs::read_to_string(format!("/proc/{}/smaps_rollup", process.pid)).unwrap();
        let line = text.lines().find_map(|line| line.strip_prefix("Pss:"));
        let figure = line.unwrap().trim().trim_end_matches(" kB");
        (process.pid, figure.parse().unwrap())
    });
    each.collect()
}

#[test]
fn four_sessions_with_their_own_servers_are_measured_and_judged() {
    let mut stage = Stage::new();
    let projects = [stage.home.project("project"), stage.home.project("other")];
    let browser = stage.scripted("playwright-mcp");
    let small = format!("env A=b {}", stage.scripted("mcp-server-small"));
    let (heavy, files) = (
        stage.heavy("mcp-server-heavy"),
        stage.heavy("mcp-server-files"),
    );
    for (client, project) in [("claude", 0), ("claude", 1), ("codex", 0), ("gemini", 1)] {
        let files = format!("{files} --home {}/notes", projects[project].display());
        let mut commands = vec![heavy.clone(), files, small.clone()];
        if client == "gemini" {
            commands.push(browser.clone());
        }
        stage.agent(client, &projects[project], &commands);
    }
    let left = format!(
        "{} --ignore-eof --grandchild",
        stage.scripted("mcp-server-left")
    );
    let mut orphan = leave_behind(&mut stage, &left);

    let names = [
        "mcp-server-heavy",
        "mcp-server-files",
        "mcp-server-small",
        "playwright-mcp",
        "mcp-server-left",
    ];
    let everything: Vec<Process> = stage.agents.iter().flat_map(Agent::servers).collect();
    let before = pss_kb(everything.iter().chain(&orphan));
    let (code, report) = stage.advise(&names, &[], "");
    let after = pss_kb(everything.iter().chain(&orphan));
    let measured = Measured { before, after };
    assert_eq!(code, Some(0));
    assert_eq!(report["now"]["processes"], everything.len());
    measured.is_close(&report["now"]["pss_kb"], &everything);
    for expected in [
        ("mcp-server-heavy", 4, "share-per-workspace", "--probe"),
        (
            "mcp-server-files",
            4,
            "share-per-workspace",
            "the workspace",
        ),
        ("mcp-server-small", 4, "leave-on-stdio", "small"),
        ("playwright-mcp", 1, "keep-per-session", "browser"),
    ] {
        stage.judged(&report, (&everything, &measured), expected);
    }
    let doctor = stage.home.done(&["doctor"]);
    let told = format!(
        "`{}` runs 4 times without mcpool",
        stage.name("mcp-server-heavy")
    );
    assert!(doctor.contains(&told), "{doctor}");
    let heavy = of(&report, "servers", &stage.name("mcp-server-heavy"));
    let with = heavy["with_mcpool"]["pss_kb"].as_u64().unwrap();
    let ballast = u64::try_from(BALLAST * 1024).unwrap();
    assert!(
        (2 * ballast..3 * ballast).contains(&with),
        "two are left: {heavy}"
    );
    assert_eq!(report["sessions"].as_array().unwrap().len(), 4, "{report}");

    let found = of(&report, "orphans", &stage.name("mcp-server-left"));
    assert_eq!(found["pid"], orphan[0].pid);
    assert_eq!(found["processes"], orphan.len(), "{found}");
    measured.is_close(&found["pss_kb"], &orphan);
    orphan.drain(..).for_each(|process| process.kill());
}

#[test]
fn a_name_that_no_server_has_is_an_error_before_anything_is_ended() {
    let mut stage = Stage::new();
    let server = stage.scripted("mcp-server-plain");
    let orphan = leave_behind(&mut stage, &format!("{server} --ignore-eof"));
    let known = stage.name("mcp-server-plain");
    let told = stage
        .home
        .run(&["advise", "--kill-orphans", &known, "mcp-server-plian"]);
    assert_eq!((told.code, told.stdout.as_str()), (Some(1), ""));
    assert!(
        told.stderr.contains("is called mcp-server-plian; `mcpool"),
        "{}",
        told.stderr
    );
    assert!(orphan.iter().all(Process::is_alive));
    for process in orphan {
        process.kill();
    }
}

#[test]
fn a_server_that_only_the_project_of_its_session_names_is_found_from_anywhere() {
    let mut stage = Stage::new();
    let server = stage.scripted("plain");
    let projects = [stage.home.project("named"), stage.home.project("other")];
    let file = json!({"mcpServers": {"plain": {"command": server}}});
    fs::write(projects[0].join(".mcp.json"), file.to_string()).unwrap();
    for project in &projects {
        stage.agent("claude", project, std::slice::from_ref(&server));
    }
    let (_, report) = stage.advise(&["plain"], &[], "");
    let found = of(&report, "servers", &stage.name("plain"));
    assert_eq!(found["copies"].as_array().unwrap().len(), 2, "{report}");
}

/// Starts a server below a client that is killed then; the server and what is below it.
fn leave_behind(stage: &mut Stage, command: &str) -> Vec<Process> {
    let project = stage.home.project("project");
    let servers = stage
        .agent("opencode", &project, &[command.to_owned()])
        .servers();
    let mut agent = stage.agents.pop().unwrap();
    let client = Process::of(agent.0.id()).unwrap();
    client.kill();
    agent.0.wait().unwrap();
    assert!(servers.iter().all(Process::is_alive));
    servers
}

#[test]
fn a_copy_is_tried_only_if_that_is_wanted_and_nothing_is_left_of_it() {
    let mut stage = Stage::new();
    let projects = [stage.home.project("project"), stage.home.project("other")];
    let record = stage.home.file("record");
    let server = format!(
        "{} --record {record} --grandchild",
        stage.scripted("mcp-server-plain")
    );
    for project in &projects {
        stage.agent("claude", project, std::slice::from_ref(&server));
    }
    let (_, report) = stage.advise(&["mcp-server-plain"], &[], "");
    let found = of(&report, "servers", &stage.name("mcp-server-plain"));
    assert_eq!(
        (&found["ready_ms"], &found["asks_for_roots"]),
        (&Value::Null, &Value::Null)
    );
    assert_eq!(stage.home.count("record", "started "), 2);

    let (code, report) = stage.advise(&["mcp-server-plain"], &["--probe"], "");
    assert_eq!(code, Some(0));
    let found = of(&report, "servers", &stage.name("mcp-server-plain"));
    assert!(
        found["ready_ms"].is_u64() && found["after_start_kb"].as_u64().unwrap() > 500,
        "{found}"
    );
    assert_eq!(found["asks_for_roots"], false);
    assert_eq!(found["verdict"], "share-per-user", "{found}");
    let all = stage.home.lines("record");
    let pids = |beginning: &str| -> Vec<u32> {
        let numbers = all.iter().filter_map(|line| line.strip_prefix(beginning));
        numbers.map(|number| number.parse().unwrap()).collect()
    };
    let (started, lingering) = (pids("started "), pids("lingering "));
    assert_eq!((started.len(), lingering.len()), (3, 3), "{all:?}");
    let lives = |pid: u32| Process::of(pid).is_some_and(|process| process.is_alive());
    until("the end of the copy", || {
        !lives(started[2]) && !lives(lingering[2])
    });
    assert!(lives(started[0]) && lives(lingering[0]));
}

#[test]
fn orphans_are_ended_with_all_below_them_after_a_yes_and_nobody_else_is() {
    let mut stage = Stage::new();
    let stubborn = format!(
        "{} --ignore-eof --ignore-term --grandchild",
        stage.scripted("mcp-server-left")
    );
    let project = stage.home.project("project");
    let in_use = stage
        .agent("claude", &project, std::slice::from_ref(&stubborn))
        .servers();
    let orphan = leave_behind(&mut stage, &stubborn);
    assert_eq!((in_use.len(), orphan.len()), (2, 2));

    for says in ["", "n\n", "nothing\n"] {
        let (code, report) = stage.advise(&["mcp-server-left"], &["--kill-orphans"], says);
        assert_eq!(
            (code, &report["ended"]["left"]),
            (Some(1), &1.into()),
            "{says:?}"
        );
        assert!(orphan.iter().all(Process::is_alive));
    }
    let (code, report) = stage.advise(&["mcp-server-left"], &["--kill-orphans"], "y\n");
    assert_eq!(
        (code, &report["ended"]["orphans"]),
        (Some(0), &1.into()),
        "{report}"
    );
    assert!(!orphan.iter().any(Process::is_alive));
    assert!(in_use.iter().all(Process::is_alive));
    let (_, report) = stage.advise(&["mcp-server-left"], &["--kill-orphans"], "y\n");
    assert_eq!(
        report["ended"],
        serde_json::json!({"orphans": 0, "left": 0})
    );
}

#[test]
fn what_others_run_is_not_looked_at_though_it_is_called_the_same() {
    let mut stage = Stage::new();
    let project = stage.home.project("project");
    // Where the programs were built may be closed to somebody else.
    let bin = stage.home.root().join("bin");
    let name = stage.name("mcp-server-theirs");
    for name in ["claude", &name] {
        programs::copy(FAKE_SERVER, bin.join(name));
    }
    for folder in [stage.home.root(), bin.clone(), project.clone()] {
        fs::set_permissions(folder, fs::Permissions::from_mode(0o755)).unwrap();
    }
    let server = bin.join(&name).display().to_string();
    let mine = stage
        .agent("claude", &project, std::slice::from_ref(&server))
        .servers();
    let list = stage.list(&[server]);
    let agent = bin.join("claude").display().to_string();
    // Of our own user, in a container.
    let line = [
        "--user",
        "--map-root-user",
        "--pid",
        "--fork",
        &agent,
        "agent",
        &list,
    ];
    let mut contained = stage.home.command("unshare", &line);
    contained.current_dir(&project);
    stage.begin(contained);
    if rustix::process::geteuid().is_root() {
        let mut theirs = stage.home.command(&agent, &["agent", &list]);
        theirs.current_dir(&project).uid(SOMEBODY).gid(SOMEBODY);
        stage.begin(theirs);
    }
    let (_, report) = stage.advise(&["mcp-server-theirs"], &[], "");
    let found = of(&report, "servers", &name);
    let copies = found["copies"].as_array().unwrap();
    let pids: Vec<&Value> = copies.iter().map(|copy| &copy["pid"]).collect();
    assert_eq!(pids, [&Value::from(mine[0].pid)], "{report}");
    assert_eq!(report["orphans"], serde_json::json!([]), "{report}");
}
