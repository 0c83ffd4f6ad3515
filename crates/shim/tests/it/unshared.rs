//! A session whose daemon is gone, with no other to be had, and that knows its server's command.

use std::{fs, time::Duration};

use shim::{direct::Locks, places::Places};

use crate::stage::{Client, Daemon, Stage, wait_until};

/// Notes what it hears, and answers each request; at a call of `end` it ends.
const SERVER: &str = r#"
while read -r line; do
  echo "$line" >> "$NOTES"
  case "$line" in *'"end"'*) exit 0;; esac
  id=$(printf %s "$line" | sed -n 's/.*"id":\([0-9]*\).*/\1/p')
  [ -z "$id" ] || echo "{\"jsonrpc\":\"2.0\",\"id\":$id,\"result\":{\"pid\":$$}}"
done
"#;

const INITIALIZE: &str = "{\"jsonrpc\":\"2.0\",\"id\":0,\"method\":\"initialize\"}\n";
const INITIALIZED: &str = "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/initialized\"}\n";

fn call(id: u32, tool: &str) -> String {
    format!(
        "{{\"jsonrpc\":\"2.0\",\"id\":{id},\"method\":\"tools/call\",\"params\":{{\"name\":\"{tool}\"}}}}\n"
    )
}

/// What stands behind `--` does not vary, nor does what it is given.
struct Command([String; 6]);

impl Command {
    fn of(stage: &Stage) -> Command {
        let notes = format!("NOTES={}", stage.home.path().join("notes").display());
        Command(["--env", &notes, "--", "sh", "-c", SERVER].map(str::to_owned))
    }

    fn words(&self) -> [&str; 6] {
        self.0.each_ref().map(String::as_str)
    }
}

fn notes(stage: &Stage) -> String {
    fs::read_to_string(stage.home.path().join("notes")).unwrap_or_default()
}

/// A greeted session with one call at its daemon's server.
fn greeted(stage: &Stage, arguments: &[&str]) -> (Client, Daemon) {
    let (mut client, mut daemon) = stage.lonely_with(Duration::from_millis(100), arguments);
    client.say(INITIALIZE);
    assert_eq!(daemon.hear_line(), INITIALIZE);
    daemon.say("{\"jsonrpc\":\"2.0\",\"id\":0,\"result\":{}}\n\x1ekeep 1\n");
    client.hear_line();
    client.say(INITIALIZED);
    assert_eq!(daemon.hear_line(), INITIALIZED);
    daemon.say("\x1edone 2\n");
    client.say(&call(1, "written"));
    daemon.hear_line();
    (client, daemon)
}

/// It says what it does, and nothing else.
#[track_caller]
fn ends_well(client: Client) {
    let (status, words) = client.end();
    assert_eq!(status.code(), Some(0), "{words}");
    assert!(
        words.contains("mcpoold is missing") && words.contains("running `sh` unshared"),
        "{words}"
    );
    assert_eq!(words.lines().count(), 1, "{words}");
}

#[test]
fn it_goes_on_with_a_server_of_its_own_that_is_done_nothing_twice() {
    let mut stage = Stage::new();
    let command = Command::of(&stage);
    let (mut client, daemon) = greeted(&stage, &command.words());
    stage.close();
    drop(daemon);
    client.say(&call(2, "fresh"));
    let refused = client.hear_line();
    assert!(
        refused.contains("\"id\":1,\"error\"")
            && refused.contains("daemon-restarted")
            && refused.contains("\"maybeExecuted\":true"),
        "{refused}"
    );
    let answer = client.hear_line();
    assert!(answer.contains("\"id\":2,\"result\""), "{answer}");
    assert_eq!(
        notes(&stage),
        [INITIALIZE, INITIALIZED, &call(2, "fresh")].concat()
    );

    // Nobody else runs it, and everybody can see who does.
    let mut other = stage.lonely_client(&command.words());
    other.stdin.take();
    let (status, words) = other.end();
    assert_eq!(status.code(), Some(3));
    assert!(words.contains("another session"), "{words}");
    let places = Places::find(Some(stage.home.path())).unwrap();
    let locks = Locks::of(&places);
    let running = locks.running().unwrap();
    assert_eq!((running.len(), running[0].pid), (1, client.child.id()));
    let log = fs::read_to_string(places.daemon_log()).unwrap();
    assert!(log.contains("runs `sh` itself"), "{log}");

    // It ends, and a daemon is asked again.
    stage.open_again();
    client.say(&call(3, "end"));
    let ended = client.hear_line();
    assert!(
        ended.contains("\"id\":3,\"error\"") && ended.contains("upstream-exited"),
        "{ended}"
    );
    let (mut daemon, told) = stage.resumed(1);
    assert_eq!(told, format!("\x1eline 1 kept\n{INITIALIZE}\x1enext 6\n"));
    wait_until(|| locks.running().unwrap().is_empty());
    client.say(&call(4, "shared"));
    assert_eq!(daemon.hear_line(), call(4, "shared"));
    daemon.say("{\"id\":4}\n\x1edone 6\n");
    assert_eq!(client.hear_line(), "{\"id\":4}\n");
    client.stdin.take();
    drop(daemon);
    ends_well(client);
}

#[test]
fn it_ends_with_its_client_and_its_server_with_it() {
    let mut stage = Stage::new();
    let command = Command::of(&stage);
    let (mut client, daemon) = greeted(&stage, &command.words());
    stage.close();
    drop(daemon);
    client.say(&call(2, "fresh"));
    client.hear_line();
    client.hear_line();
    client.stdin.take();
    assert_eq!(client.hear_rest(), "");
    ends_well(client);
    let places = Places::find(Some(stage.home.path())).unwrap();
    wait_until(|| Locks::of(&places).running().unwrap().is_empty());
}

#[test]
fn a_signal_ends_it_and_its_server() {
    let mut stage = Stage::new();
    let command = Command::of(&stage);
    let (mut client, daemon) = greeted(&stage, &command.words());
    stage.close();
    drop(daemon);
    client.say(&call(2, "fresh"));
    client.hear_line();
    client.hear_line();
    client.signal(rustix::process::Signal::TERM);
    ends_well(client);
    let places = Places::find(Some(stage.home.path())).unwrap();
    wait_until(|| Locks::of(&places).running().unwrap().is_empty());
}

#[test]
fn who_does_not_want_that_is_told_the_cause() {
    let mut stage = Stage::new();
    let command = Command::of(&stage);
    let mut words = vec!["--on-daemon-failure", "error"];
    words.extend(command.words());
    let (mut client, daemon) = greeted(&stage, &words);
    stage.close();
    drop(daemon);
    let refused = client.hear_line();
    assert!(
        refused.contains("daemon-unreachable") && refused.contains("mcpoold is missing"),
        "{refused}"
    );
    assert_eq!(notes(&stage), "");
}

#[test]
fn of_two_one_goes_on_and_the_other_is_told_why_it_does_not() {
    let mut stage = Stage::new();
    let command = Command::of(&stage);
    let (mut first, first_daemon) = greeted(&stage, &command.words());
    let (mut second, second_daemon) = greeted(&stage, &command.words());
    stage.close();
    drop(first_daemon);
    // One after the other, so that it is known who is first.
    first.say(&call(2, "fresh"));
    first.hear_line();
    assert!(first.hear_line().contains("\"id\":2,\"result\""));
    drop(second_daemon);
    second.say(&call(2, "fresh"));
    for id in [1, 2] {
        let refused = second.hear_line();
        assert!(
            refused.contains(&format!("\"id\":{id},\"error\""))
                && refused.contains("another session runs it already"),
            "{refused}"
        );
    }
    assert_eq!(notes(&stage).matches("tools/call").count(), 1);
}
