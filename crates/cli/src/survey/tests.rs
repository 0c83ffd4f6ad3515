//! Machines on paper: who is below whom, and what is made of it.

use std::collections::BTreeMap;

use rustix::process::Pid;

use super::*;

/// A process with pipes for its standard input and output, of which its parent holds the other ends.
fn process(pid: i32, parent: i32, line: &str) -> Process {
    let number = |pid: i32| u32::try_from(pid).unwrap();
    Process {
        identity: Identity {
            pid: Pid::from_raw(pid).unwrap(),
            start_time: 7,
        },
        pid: number(pid),
        parent: number(parent),
        group: 1,
        is_zombie: false,
        argv: line.split_whitespace().map(str::to_owned).collect(),
        folder: Some("/project".into()),
        stdio: [End::Pipe(inode(pid)), End::Pipe(inode(pid) + 1)],
        holds: BTreeSet::from([inode(pid), inode(pid) + 1]),
    }
}

/// The same, with the standard input and output of its parent.
fn in_place(pid: i32, parent: i32, first: i32, line: &str) -> Process {
    Process {
        stdio: process(first, 1, "").stdio,
        holds: process(first, 1, "").holds,
        ..process(pid, parent, line)
    }
}

fn inode(pid: i32) -> u64 {
    u64::try_from(pid).unwrap() * 10
}

fn survey(processes: Vec<Process>) -> Survey {
    Survey::of(
        &Census::new(processes, Some(BTreeMap::new())),
        &Known::default(),
    )
}

/// `CLIENT PID: NAME of PIDS, …` for each session.
fn sessions(survey: &Survey) -> Vec<String> {
    let describe = |session: &Session| {
        let servers = session.servers.iter().map(|server| {
            let pids = server.members.iter().map(|it| it.pid.to_string());
            let pids: Vec<String> = pids.collect();
            format!("{} of {}", server.identity.key, pids.join(" "))
        });
        let servers: Vec<String> = servers.collect();
        let (client, pid) = (session.client, session.pid);
        format!(
            "{client} {pid}: {}; {} pooled",
            servers.join(", "),
            session.pooled
        )
    };
    survey.sessions.iter().map(describe).collect()
}

fn orphans(survey: &Survey) -> Vec<u32> {
    survey.orphans.iter().map(|orphan| orphan.pid).collect()
}

#[test]
fn a_server_is_what_its_client_has_started_with_all_below_it() {
    let found = survey(vec![
        process(10, 1, "claude"),
        process(11, 10, "npm exec @modelcontextprotocol/server-memory"),
        in_place(12, 11, 11, "sh -c mcp-server-memory"),
        in_place(13, 12, 11, "node /x/node_modules/.bin/mcp-server-memory"),
        process(14, 10, "/opt/mcpool connect -- npx x"),
        process(20, 1, "node /usr/bin/gemini"),
        process(21, 20, "uv tool uvx mcp-server-git"),
        in_place(22, 21, 21, "/c/bin/python /c/bin/mcp-server-git"),
        process(30, 1, "claude"),
    ]);
    assert_eq!(
        sessions(&found),
        [
            "Claude Code 10: memory of 11 12 13; 1 pooled",
            "Gemini CLI 20: git of 21 22; 0 pooled",
        ]
    );
    assert!(orphans(&found).is_empty());
}

#[test]
fn what_has_no_pipes_or_no_such_name_is_no_server() {
    let mut at_a_terminal = process(11, 10, "npx some-mcp");
    at_a_terminal.stdio = [End::Other, End::Other];
    let found = survey(vec![
        process(10, 1, "claude"),
        at_a_terminal,
        process(12, 10, "typescript-language-server --stdio"),
        process(13, 10, "bash"),
    ]);
    assert!(sessions(&found).is_empty());
    let known = {
        let mut known = Known::default();
        known.add(&["typescript-language-server".to_owned()]);
        known
    };
    let found = Survey::of(
        &Census::new(
            vec![
                process(10, 1, "claude"),
                process(12, 10, "typescript-language-server --stdio"),
            ],
            None,
        ),
        &known,
    );
    assert_eq!(found.sessions.len(), 1, "the configuration names it");
}

#[test]
fn the_nearest_client_has_a_server_and_a_client_may_be_one() {
    let found = survey(vec![
        process(10, 1, "claude"),
        process(11, 10, "bash"),
        process(12, 11, "codex"),
        process(13, 12, "some-mcp"),
        process(14, 10, "codex mcp-server"),
    ]);
    assert_eq!(
        sessions(&found),
        [
            "Claude Code 10: codex of 14; 0 pooled",
            "Codex 12: some of 13; 0 pooled",
        ]
    );
}

#[test]
fn a_helper_that_has_left_the_tree_stays_in_the_group() {
    let mut server = process(11, 10, "some-mcp");
    server.group = 11;
    let mut helper = process(12, 1, "chromium");
    helper.group = 11;
    let found = survey(vec![process(10, 1, "codex"), server, helper]);
    assert_eq!(sessions(&found), ["Codex 10: some of 11 12; 0 pooled"]);
}

#[test]
fn a_server_that_nobody_can_talk_to_any_more_is_an_orphan() {
    let found = survey(vec![
        process(5, 1, "/usr/lib/systemd/systemd --user"),
        process(11, 1, "npm exec some-mcp"),
        in_place(12, 11, 11, "node some-mcp.js"),
        process(21, 5, "other-mcp"),
        process(31, 1, "bash"),
        process(41, 1, "mcpool guardian"),
    ]);
    assert_eq!(orphans(&found), [11, 21]);
    assert_eq!(found.orphans[0].members.len(), 2);
}

#[test]
fn a_server_that_somebody_may_still_talk_to_is_none() {
    let mut client = process(10, 1, "claude");
    client.holds.insert(inode(11));
    let mut in_the_background = process(21, 1, "http-mcp");
    in_the_background.stdio = [End::Other, End::Other];
    let below_another = process(31, 30, "some-mcp");
    let found = survey(vec![
        client,
        process(11, 1, "some-mcp"),
        in_the_background,
        process(30, 1, "bash"),
        below_another,
    ]);
    assert!(orphans(&found).is_empty());
}

#[test]
fn the_other_end_of_a_socket_is_looked_for_and_unknown_means_that_somebody_has_it() {
    let mut server = process(11, 1, "some-mcp");
    server.stdio = [End::Socket(500), End::Socket(501)];
    server.holds = BTreeSet::from([500, 501]);
    let mut client = process(10, 1, "claude");
    client.holds = BTreeSet::from([600]);
    let orphans_with = |peers: Option<BTreeMap<u64, u64>>| {
        let processes = vec![client.clone(), server.clone()];
        orphans(&Survey::of(
            &Census::new(processes, peers),
            &Known::default(),
        ))
    };
    assert!(orphans_with(None).is_empty());
    assert!(orphans_with(Some(BTreeMap::from([(500, 600)]))).is_empty());
    assert_eq!(orphans_with(Some(BTreeMap::from([(500, 700)]))), [11]);
    assert_eq!(orphans_with(Some(BTreeMap::new())), [11]);
}
