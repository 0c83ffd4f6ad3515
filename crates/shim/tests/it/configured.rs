//! A session on a configured server, whose command the shim must ask for where no daemon can be had.

use std::{
    fs,
    path::Path,
    process::Command,
    thread,
    time::{Duration, Instant},
};

use shim::{
    direct::{LockName, Locks},
    places::Places,
    recipe::Recipe,
};

use crate::stage::{Client, DEADLINE, Stage, wait_until};

const SOON: Duration = Duration::from_secs(1);

const INITIALIZE: &str = "{\"jsonrpc\":\"2.0\",\"id\":0,\"method\":\"initialize\"}\n";

/// Answers each request with what it has to be told of its surroundings.
const SERVER: &str = r#"
while read -r line; do
  id=$(printf %s "$line" | sed -n 's/.*"id":\([0-9]*\).*/\1/p')
  [ -z "$id" ] || echo "{\"jsonrpc\":\"2.0\",\"id\":$id,\"result\":\"$0 $WORD $TOKEN in $PWD, $$\"}"
done
"#;

/// No daemon, but `mcpoold` knows how the server is run.
const NO_DAEMON: &str = r#"#!/bin/sh
echo "$@" >> "$0.asked"
[ "$1" = recipe-of ] || { echo "none today" >&2; exit 1; }
if [ -e "$0.broken" ]; then cat "$0.broken" >&2; exit 1; fi
cat "$0.recipe"
"#;

fn recipe(stage: &Stage, lock: Option<LockName>) -> Recipe {
    Recipe {
        lock,
        program: "/bin/sh".into(),
        arguments: ["sh", "-c", SERVER, "echo-server"].map(Into::into).to_vec(),
        environment: vec![
            ("WORD".into(), "of the configuration".into()),
            ("PATH".into(), "/usr/bin:/bin".into()),
        ],
        directory: fs::canonicalize(stage.home.path()).unwrap(),
    }
}

/// Makes what lies beside the shim.
fn lay(stage: &Stage, script: &str, recipe: &Recipe) {
    let program = stage.home.path().join("mcpoold");
    fs::write(
        stage.home.path().join("mcpoold.recipe"),
        recipe.encode().unwrap(),
    )
    .unwrap();
    // Nobody can execute what somebody has open for writing, and a child that another test starts just then has what we
    // have open. So another process writes it.
    let mut writer = Command::new("sh");
    writer.args(["-c", "printf %s \"$1\" > \"$0\" && chmod 700 \"$0\""]);
    let written = writer.arg(&program).arg(script).status();
    assert!(written.unwrap().success());
}

fn note(stage: &Stage, name: &str) -> String {
    fs::read_to_string(stage.home.path().join(name)).unwrap_or_default()
}

fn locks(home: &Path) -> Locks {
    Locks::of(&Places::find(Some(home)).unwrap())
}

/// What the server says of its surroundings.
#[track_caller]
fn surroundings(client: &mut Client) -> String {
    client.say(INITIALIZE);
    let answer = client.hear_line();
    assert!(answer.contains("\"id\":0,\"result\""), "{answer}");
    answer
}

#[track_caller]
fn refusal(client: &mut Client) -> String {
    client.say(INITIALIZE);
    let refused = client.hear_line();
    assert!(refused.contains("daemon-unreachable"), "{refused}");
    refused
}

/// Asks until the server answers, with pauses: whoever looks for it needs some of the machine as well.
#[track_caller]
fn is_run_in_time(client: &mut Client) {
    let begun = Instant::now();
    loop {
        client.say(INITIALIZE);
        let answer = client.hear_line();
        if answer.contains("\"result\"") {
            return;
        }
        assert!(begun.elapsed() < DEADLINE, "nobody runs it: {answer}");
        thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn it_is_run_as_the_program_says_that_reads_the_configuration() {
    let mut stage = Stage::new();
    stage.close();
    let lock = LockName::of_configured(b"key");
    lay(&stage, NO_DAEMON, &recipe(&stage, Some(lock.clone())));
    let arguments = ["--scope", "global", "echo"];
    let mut first = stage.lonely_client_with(SOON, &arguments);
    let answer = surroundings(&mut first);
    let folder = fs::canonicalize(stage.home.path()).unwrap();
    // Of our own environment it gets nothing that it was not told of.
    let expected = format!("echo-server of the configuration  in {}", folder.display());
    assert!(answer.contains(&expected), "{answer}");
    let asked = note(&stage, "mcpoold.asked");
    let home = stage.home.path().display();
    let expected = format!("recipe-of --home {home} --scope global echo");
    assert!(asked.lines().any(|line| line == expected), "{asked}");

    let running = locks(stage.home.path()).running().unwrap();
    assert_eq!(running.len(), 1);
    assert_eq!(
        (running[0].pid, running[0].server.as_str()),
        (first.child.id(), "echo")
    );
    let mut second = stage.lonely_client_with(SOON, &arguments);
    let refused = refusal(&mut second);
    assert!(
        refused.contains("none today") && refused.contains("another session runs it already"),
        "{refused}"
    );

    // When that has ended, it is the other's turn.
    first.stdin.take();
    let (status, words) = first.end();
    assert_eq!(status.code(), Some(0), "{words}");
    assert!(words.contains("running `echo` unshared"), "{words}");
    let log = note(&stage, "logs/daemon.log");
    assert!(log.contains("runs `echo` itself"), "{log}");
    is_run_in_time(&mut second);
    second.stdin.take();
    assert_eq!(second.end().0.code(), Some(0));
    wait_until(|| locks(stage.home.path()).running().unwrap().is_empty());
}

#[test]
fn what_is_shared_with_nobody_each_session_runs_itself() {
    let mut stage = Stage::new();
    stage.close();
    lay(&stage, NO_DAEMON, &recipe(&stage, None));
    let mut clients = [1, 2].map(|_| stage.lonely_client_with(SOON, &["echo"]));
    let answers = clients.each_mut().map(surroundings);
    assert_ne!(answers[0], answers[1]);
}

#[test]
fn a_daemon_that_is_gone_for_good_is_made_up_for_as_well() {
    let mut stage = Stage::new();
    lay(&stage, NO_DAEMON, &recipe(&stage, None));
    let (mut client, mut daemon) = stage.lonely(SOON);
    client.say(INITIALIZE);
    assert_eq!(daemon.hear_line(), INITIALIZE);
    daemon.say("{\"jsonrpc\":\"2.0\",\"id\":0,\"result\":{}}\n\x1ekeep 1\n");
    client.hear_line();
    stage.close();
    drop(daemon);
    client.say("{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"tools/call\"}\n");
    let answer = client.hear_line();
    assert!(
        answer.contains("\"id\":1,\"result\":\"echo-server"),
        "{answer}"
    );
    client.stdin.take();
    let (status, words) = client.end();
    assert_eq!(status.code(), Some(0), "{words}");
    assert!(words.contains("it has forgotten what it knew"), "{words}");
}

#[test]
fn when_it_ends_a_daemon_goes_on() {
    let mut stage = Stage::new();
    stage.close();
    let mut recipe = recipe(&stage, None);
    recipe.arguments[2] = "read -r line; echo '{\"jsonrpc\":\"2.0\",\"id\":0,\"result\":0}'; \
                           until [ -e gate ]; do sleep 0.01; done"
        .into();
    lay(&stage, NO_DAEMON, &recipe);
    let mut client = stage.lonely_client_with(SOON, &["echo"]);
    client.say(INITIALIZE);
    assert!(client.hear_line().contains("\"result\":0"));
    stage.open_again();
    fs::write(stage.home.path().join("gate"), "").unwrap();
    let (mut daemon, told) = stage.resumed(1);
    assert_eq!(told, format!("\x1eline 1 kept\n{INITIALIZE}\x1enext 2\n"));
    client.say("{\"id\":1}\n");
    assert_eq!(daemon.hear_line(), "{\"id\":1}\n");
}

#[test]
fn why_it_cannot_be_run_is_told_and_it_is_run_once_that_is_mended() {
    let mut stage = Stage::new();
    stage.close();
    lay(&stage, NO_DAEMON, &recipe(&stage, None));
    let broken = stage.home.path().join("mcpoold.broken");
    fs::write(&broken, "mcpool: /h/config.toml:3:1:\n  it is broken\n").unwrap();
    let mut client = stage.lonely_client_with(SOON, &["echo"]);
    let refused = refusal(&mut client);
    let why = "could not start: none today";
    assert!(refused.contains(why), "{refused}");
    let why = "it is not run unshared either: /h/config.toml:3:1:; it is broken;";
    assert!(refused.contains(why), "{refused}");
    fs::remove_file(broken).unwrap();
    let begun = Instant::now();
    is_run_in_time(&mut client);
    // It is not asked without end meanwhile.
    let asked = note(&stage, "mcpoold.asked").matches("recipe-of").count() as u64;
    assert!(asked <= 2 + begun.elapsed().as_secs() / 4, "{asked}");
}

#[test]
fn who_tells_it_and_hangs_keeps_nobody_waiting() {
    let mut stage = Stage::new();
    stage.close();
    let script = NO_DAEMON.replace("cat \"$0.recipe\"", "echo $$ > \"$0.pid\"; sleep 600");
    lay(&stage, &script, &recipe(&stage, None));
    let mut client = stage.lonely_client_with(SOON, &["echo"]);
    let refused = refusal(&mut client);
    assert!(refused.contains("did not answer within 3 s"), "{refused}");
    let pid = note(&stage, "mcpoold.pid");
    let process = Path::new("/proc").join(pid.trim());
    wait_until(|| !process.exists());
}

#[test]
fn it_is_not_run_if_that_is_to_be_an_error() {
    let mut stage = Stage::new();
    stage.close();
    lay(&stage, NO_DAEMON, &recipe(&stage, None));
    let arguments = ["--on-daemon-failure", "error", "echo"];
    let mut client = stage.lonely_client_with(SOON, &arguments);
    let refused = refusal(&mut client);
    assert!(
        refused.contains("none today") && !refused.contains("unshared"),
        "{refused}"
    );
    assert!(!note(&stage, "mcpoold.asked").contains("recipe-of"));
}
