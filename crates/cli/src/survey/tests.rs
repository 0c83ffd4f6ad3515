//! Machines on paper: who is below whom, and what is made of it.

use std::collections::BTreeMap;

use rustix::process::Pid;

use super::*;

/// A process that hears its parent over a pipe, and answers over another one; a machine connects them.
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
        program: None,
        folder: Some("/project".into()),
        reads: BTreeSet::from([inode(pid)]),
        writes: BTreeSet::from([inode(pid) + 1]),
        stdin: Some(inode(pid)),
        sockets: BTreeSet::new(),
        ended: BTreeSet::new(),
    }
}

/// The same, with the standard input and output of an earlier one.
fn in_place(pid: i32, parent: i32, first: i32, line: &str) -> Process {
    Process {
        reads: BTreeSet::from([inode(first)]),
        writes: BTreeSet::from([inode(first) + 1]),
        stdin: Some(inode(first)),
        ..process(pid, parent, line)
    }
}

/// Without a pipe to its parent.
fn at_a_terminal(pid: i32, parent: i32, line: &str) -> Process {
    Process {
        reads: BTreeSet::new(),
        writes: BTreeSet::new(),
        stdin: None,
        ..process(pid, parent, line)
    }
}

/// The other ends of their pipes, at their parents.
fn connected(mut processes: Vec<Process>) -> Vec<Process> {
    let all = processes.clone();
    for process in &mut processes {
        let children = all.iter().filter(|child| child.parent == process.pid);
        for child in children {
            process.writes.extend(child.stdin);
        }
    }
    processes
}

/// With nobody at the other end of what it hears.
fn cut_off(process: Process) -> Process {
    Process {
        ended: process.stdin.into_iter().collect(),
        ..process
    }
}

fn inode(pid: i32) -> u64 {
    u64::try_from(pid).unwrap() * 10
}

fn survey(processes: Vec<Process>) -> Survey {
    let census = Census::new(connected(processes), Some(BTreeMap::new()));
    Survey::of(&census, &Known::default())
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
fn mcpool_in_the_place_of_mcp_proxy_is_known_by_what_it_runs() {
    let runs = |pid, line, program: &str| Process {
        program: Some(program.into()),
        ..process(pid, 10, line)
    };
    let found = survey(vec![
        process(10, 1, "claude"),
        runs(11, "mcp-proxy --config quarry", "/opt/mcpool"),
        runs(12, "/x/mcp-proxy ws://h/mcp", "/opt/mcpool (deleted)"),
        // No session, and another program of this name.
        runs(13, "mcp-proxy ws://h/mcp --hook Stop", "/opt/mcpool"),
        runs(14, "mcp-proxy ws://other/mcp", "/usr/bin/mcp-proxy"),
        runs(15, "some-mcp sample-server", "/opt/mcpoold"),
    ]);
    assert_eq!(found.sessions[0].pooled, 2);
    let servers = found.sessions[0].servers.iter();
    let servers: Vec<u32> = servers.map(|server| server.pid).collect();
    assert_eq!(servers, [14, 15]);
    let left = Process {
        program: Some("/opt/mcpool".into()),
        ..cut_off(process(21, 1, "mcp-proxy ws://h/mcp"))
    };
    assert!(orphans(&survey(vec![left])).is_empty());
}

#[test]
fn what_has_no_pipes_or_no_such_name_is_no_server() {
    let found = survey(vec![
        process(10, 1, "claude"),
        at_a_terminal(11, 10, "npx some-mcp"),
        process(12, 10, "typescript-language-server --stdio"),
        process(13, 10, "bash"),
    ]);
    assert!(sessions(&found).is_empty());
    let known = {
        let mut known = Known::default();
        known.add(&["typescript-language-server".to_owned()]);
        known
    };
    let processes = connected(vec![
        process(10, 1, "claude"),
        process(12, 10, "typescript-language-server --stdio"),
    ]);
    let found = Survey::of(&Census::new(processes, None), &known);
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
    // The other ends of their pipes have gone with their clients.
    let processes = vec![
        process(5, 1, "/usr/lib/systemd/systemd --user"),
        cut_off(process(11, 1, "npm exec some-mcp")),
        cut_off(in_place(12, 11, 11, "node some-mcp.js")),
        cut_off(process(21, 5, "other-mcp")),
        cut_off(process(31, 1, "bash")),
        cut_off(process(41, 1, "mcpool guardian")),
    ];
    let census = Census::new(processes, Some(BTreeMap::new()));
    let found = Survey::of(&census, &Known::default());
    assert_eq!(orphans(&found), [11, 21]);
    assert_eq!(found.orphans[0].members.len(), 2);
}

#[test]
fn a_server_that_somebody_may_still_talk_to_is_none() {
    let mut client = process(10, 1, "claude");
    client.writes.insert(inode(11));
    let below_another = process(31, 30, "some-mcp");
    let found = survey(vec![
        client,
        process(11, 1, "some-mcp"),
        at_a_terminal(21, 1, "http-mcp"),
        process(30, 1, "bash"),
        below_another,
    ]);
    assert!(orphans(&found).is_empty());
}

#[test]
fn a_server_whose_speaker_is_not_to_be_seen_is_none() {
    // As in a container: its parent takes in orphans, and another user's process holds the other end.
    let found = survey(vec![
        at_a_terminal(5, 1, "/sbin/docker-init -- some-mcp"),
        process(11, 5, "some-mcp"),
    ]);
    assert!(orphans(&found).is_empty());
    let mut of_two = moved(11, 1);
    of_two.ended = BTreeSet::from([inode(11)]);
    of_two.reads.insert(7);
    assert!(orphans(&survey(vec![of_two])).is_empty());
}

/// A server with one socket for everything, and its client with the other end.
fn over_a_socket(parent: i32) -> [Process; 2] {
    let mut server = process(11, parent, "some-mcp");
    let mut client = process(10, 1, "claude");
    for (process, socket) in [(&mut server, 500), (&mut client, 600)] {
        process.reads = BTreeSet::from([socket]);
        process.writes = BTreeSet::from([socket]);
        process.sockets = BTreeSet::from([socket]);
        process.stdin = Some(socket);
    }
    [client, server]
}

type Peers = BTreeMap<u64, Option<u64>>;

#[test]
fn the_other_end_of_a_socket_is_looked_for_and_unknown_means_that_somebody_has_it() {
    let orphans_with = |peers: Option<Peers>| {
        let census = Census::new(over_a_socket(1).to_vec(), peers);
        orphans(&Survey::of(&census, &Known::default()))
    };
    assert!(orphans_with(None).is_empty());
    assert!(orphans_with(Some(BTreeMap::new())).is_empty());
    assert!(orphans_with(Some(BTreeMap::from([(500, Some(600))]))).is_empty());
    assert_eq!(orphans_with(Some(BTreeMap::from([(500, None)]))), [11]);
}

#[test]
fn a_server_may_hear_its_client_over_a_socket() {
    let sessions_with = |peers: Option<Peers>| {
        let census = Census::new(over_a_socket(10).to_vec(), peers);
        sessions(&Survey::of(&census, &Known::default()))
    };
    let expected = ["Claude Code 10: some of 11; 0 pooled"];
    assert_eq!(
        sessions_with(Some(BTreeMap::from([(500, Some(600))]))),
        expected
    );
    assert_eq!(sessions_with(None), expected);
    assert!(sessions_with(Some(BTreeMap::from([(500, None)]))).is_empty());
}

/// As servers of the Python SDK do: what was the standard input is another descriptor, beside a pipe of
/// its own.
fn moved(pid: i32, parent: i32) -> Process {
    let mut server = process(pid, parent, "some-mcp");
    server.stdin = None;
    server.reads.insert(5);
    server.writes.insert(5);
    server
}

#[test]
fn a_server_may_have_put_its_standard_input_elsewhere() {
    let mut client = process(10, 1, "claude");
    client.writes.insert(inode(11));
    let found = survey(vec![client, moved(11, 10)]);
    assert_eq!(sessions(&found), ["Claude Code 10: some of 11; 0 pooled"]);
    assert!(orphans(&found).is_empty());
    let mut left = moved(11, 1);
    left.ended = BTreeSet::from([inode(11)]);
    let found = survey(vec![left]);
    assert_eq!(orphans(&found), [11]);
}
