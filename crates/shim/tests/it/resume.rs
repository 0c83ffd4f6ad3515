//! A session outlives its daemon.

use std::{
    fs, thread,
    time::{Duration, Instant},
};

use rustix::{io::ioctl_fionread, process::Signal};

use crate::stage::{Client, DEADLINE, Daemon, Stage, wait_until};

/// Three lines of a client, and the beginning of a fourth.
const LINES: &str = "{\"id\":1}\n{\"id\":2}\n{\"id\":3}\n{\"i";

/// The end of a session that nobody has anything to say in.
fn end(mut client: Client, mut daemon: Daemon) {
    client.stdin = None;
    assert_eq!(daemon.hear_line(), "");
    // Else the shim would answer what is open.
    let all: Vec<String> = (1..100).map(|number| number.to_string()).collect();
    daemon.say(&format!("\x1edone {}\n", all.join(" ")));
    drop(daemon);
    assert_eq!(client.hear_rest(), "");
    client.end_well();
}

/// Says these lines and waits until the daemon has them.
fn say(client: &mut Client, daemon: &mut Daemon, text: &str) {
    client.say(text);
    for line in text.lines() {
        assert_eq!(daemon.hear_line().trim_end(), line);
    }
}

/// What a daemon is told of a line.
fn note(number: usize, past: &str, line: &str) -> String {
    format!("\x1eline {number} {past}\n{line}")
}

fn next_note(number: usize) -> String {
    format!("\x1enext {number}\n")
}

#[test]
fn the_next_daemon_is_told_who_goes_on_and_what_became_of_each_line() {
    let stage = Stage::new();
    let (mut client, mut daemon) = stage.accepted();
    assert_eq!(daemon.session().resume, None);
    say(
        &mut client,
        &mut daemon,
        "hello\n{\"id\":2}\n{\"id\":3}\n{\"id\":4}\n{\"id\":5}\n",
    );
    daemon.say("\x1ekeep 1\n\x1eheld 3 4\n\x1edone 5\n\x1esent 4\n{}\n");
    assert_eq!(client.hear_line(), "{}\n");
    let before = daemon.preface.clone();
    drop(daemon);
    let (mut daemon, told) = stage.resumed(2);
    assert_eq!(
        told,
        "\x1eline 1 kept\nhello\n\x1eline 2 sent\n{\"id\":2}\n\x1eline 3 fresh\n{\"id\":3}\n\
         \x1eline 4 sent\n{\"id\":4}\n\x1enext 6\n"
    );
    let session = daemon.session();
    assert_eq!(session.resume, Some(1));
    assert_eq!(session.env, before_env(&before));
    assert_eq!(
        (&daemon.preface.cwd, daemon.preface.umask),
        (&before.cwd, before.umask)
    );
    daemon.say("{\"id\":2,\"result\":{}}\n\x1edone 2\n");
    assert_eq!(client.hear_line(), "{\"id\":2,\"result\":{}}\n");
    client.say("{\"id\":6}\n");
    assert_eq!(daemon.hear_line(), "{\"id\":6}\n");
    daemon.say("\x1edone 1 6\n{}\n");
    assert_eq!(client.hear_line(), "{}\n");
    drop(daemon);
    let (daemon, told) = stage.resumed(3);
    assert_eq!(daemon.session().resume, Some(2));
    assert_eq!(
        told,
        "\x1eline 3 sent\n{\"id\":3}\n\x1eline 4 repeated\n{\"id\":4}\n\x1enext 7\n"
    );
    end(client, daemon);
}

fn before_env(preface: &shim::preface::Preface) -> Vec<(std::ffi::OsString, std::ffi::OsString)> {
    match &preface.ask {
        shim::preface::Ask::Session(session) => session.env.clone(),
        shim::preface::Ask::Admin(admin) => panic!("not a session: {admin:?}"),
    }
}

#[test]
fn wherever_the_client_s_words_are_cut_the_next_daemon_gets_all_of_them() {
    for cut in 0..=LINES.len() {
        let stage = Stage::new();
        let (mut client, mut daemon) = stage.accepted();
        let (first, second) = LINES.split_at(cut);
        client.say(first);
        wait_until(|| ioctl_fionread(daemon.link.get_ref()) == Ok(cut as u64));
        daemon.say("{}\n");
        assert_eq!(client.hear_line(), "{}\n");
        drop(daemon);
        let (mut daemon, told) = stage.resumed(1);
        let mut expected = String::new();
        let mut next = 1;
        for line in first
            .split_inclusive('\n')
            .filter(|line| line.ends_with('\n'))
        {
            expected += &note(next, "sent", line);
            next += 1;
        }
        expected += &next_note(next);
        assert_eq!(told, expected, "cut at {cut}");
        client.say(&format!("{second}d\":4}}\n"));
        let rest = LINES.split_inclusive('\n').skip(next - 1);
        for line in rest {
            let line = if line.ends_with('\n') {
                line
            } else {
                "{\"id\":4}\n"
            };
            assert_eq!(daemon.hear_line(), line, "cut at {cut}");
        }
        end(client, daemon);
    }
}

#[test]
fn wherever_the_daemon_s_words_are_cut_the_client_gets_whole_lines_and_no_line_is_forgotten() {
    let words = "\x1eheld 2 3\n{\"id\":1,\"result\":{}}\n\x1edone 1\n\x1esent 2\n\
                 {\"id\":2,\"result\":{}}\n\x1edone 2\n";
    for cut in 0..=words.len() {
        let stage = Stage::new();
        let (mut client, mut daemon) = stage.accepted();
        say(
            &mut client,
            &mut daemon,
            "{\"id\":1}\n{\"id\":2}\n{\"id\":3}\n",
        );
        let said = &words[..cut];
        daemon.say(said);
        drop(daemon);
        let (mut daemon, told) = stage.resumed(1);
        // A control line counts if it is whole.
        let has = |line: &str| said.contains(line);
        let mut expected = String::new();
        for (number, done, is_sent) in [
            (1, "\x1edone 1\n", true),
            (
                2,
                "\x1edone 2\n",
                !has("\x1eheld 2 3\n") || has("\x1esent 2\n"),
            ),
            (3, "\x1edone 3\n", !has("\x1eheld 2 3\n")),
        ] {
            if !has(done) {
                let past = if is_sent { "sent" } else { "fresh" };
                expected += &note(number, past, &format!("{{\"id\":{number}}}\n"));
            }
        }
        assert_eq!(told, expected + "\x1enext 4\n", "cut at {cut}");
        daemon.say("{}\n");
        let whole = said
            .split_inclusive('\n')
            .filter(|line| line.starts_with('{') && line.ends_with('\n'));
        for line in whole.chain(["{}\n"]) {
            assert_eq!(client.hear_line(), line, "cut at {cut}");
        }
        end(client, daemon);
    }
}

#[test]
fn only_what_was_not_written_whole_is_told_to_be_fresh() {
    const SIZE: usize = 1000;
    let stage = Stage::new();
    let (mut client, mut daemon) = stage.accepted();
    daemon.say("{}\n");
    assert_eq!(client.hear_line(), "{}\n");
    let line = |number: usize| format!("{number:>width$}\n", width = SIZE - 1);
    let count = 1000;
    let all: String = (1..=count).map(line).collect();
    let mut stdin = client.stdin.take().unwrap();
    thread::scope(|scope| {
        scope.spawn(|| std::io::Write::write_all(&mut stdin, all.as_bytes()).unwrap());
        // The daemon reads nothing, so the shim hangs in a write, and the client after it.
        wait_until(|| is_asleep_in(&client, WRITE));
        let seen = ioctl_fionread(daemon.link.get_ref()).unwrap();
        let whole = usize::try_from(seen).unwrap() / SIZE;
        assert!(whole < count);
        drop(daemon);
        let mut daemon = stage.accept();
        daemon.say("\x1eaccepted 1\n");
        let told = daemon.hear_resumed();
        let mut words = told.lines();
        let mut next = 1;
        while let Some(note) = words.next() {
            if note.starts_with("\x1enext") {
                break;
            }
            let past = if next <= whole { "sent" } else { "fresh" };
            assert_eq!(note, format!("\x1eline {next} {past}"));
            assert_eq!(words.next().unwrap().len(), SIZE - 1);
            next += 1;
        }
        for number in next..=count {
            assert_eq!(daemon.hear_line(), line(number));
        }
    });
}

/// System calls, by their numbers on the two platforms that tests run on.
const WRITE: (u32, u32) = (1, 64);
const FUTEX: (u32, u32) = (202, 98);

/// Whether a thread of the shim sleeps in this system call.
fn is_asleep_in(client: &Client, call: (u32, u32)) -> bool {
    let number = if cfg!(target_arch = "x86_64") {
        call.0
    } else {
        call.1
    };
    let tasks = fs::read_dir(format!("/proc/{}/task", client.child.id())).unwrap();
    tasks.flatten().any(|task| {
        let state = fs::read_to_string(task.path().join("syscall")).unwrap_or_default();
        state.starts_with(&format!("{number} "))
    })
}

#[test]
fn of_a_long_reply_that_is_cut_the_client_gets_one_torn_line_that_is_ended() {
    let stage = Stage::new();
    let (mut client, mut daemon) = stage.accepted();
    say(&mut client, &mut daemon, "{\"id\":1}\n");
    let torn = "x".repeat(1 << 20);
    thread::scope(|scope| {
        scope.spawn(|| {
            daemon.say(&torn);
            drop(daemon);
        });
        let line = client.hear_line();
        assert!(line.len() > 1 && torn.starts_with(line.trim_end()));
    });
    let (mut daemon, told) = stage.resumed(1);
    assert_eq!(told, "\x1eline 1 sent\n{\"id\":1}\n\x1enext 2\n");
    daemon.say("{\"id\":1,\"error\":{}}\n\x1edone 1\n");
    assert_eq!(client.hear_line(), "{\"id\":1,\"error\":{}}\n");
    end(client, daemon);
}

#[test]
fn lines_that_come_in_while_there_is_no_daemon_are_fresh_and_come_in_order() {
    let mut stage = Stage::new();
    let (mut client, mut daemon) = stage.lonely(DEADLINE);
    say(&mut client, &mut daemon, "{\"id\":1}\n");
    daemon.say("\x1edone 1\n{}\n");
    assert_eq!(client.hear_line(), "{}\n");
    stage.close();
    drop(daemon);
    client.say("{\"id\":2}\n{\"id\":3}\n{\"id\"");
    let stdin = client.stdin.as_ref().unwrap();
    wait_until(|| ioctl_fionread(stdin) == Ok(0));
    stage.open_again();
    let mut daemon = stage.accept();
    client.say(":4}\n");
    daemon.say("\x1eaccepted 1\n");
    let mut all = daemon.hear_resumed();
    while !all.ends_with("{\"id\":4}\n") && !all.contains("{\"id\":4}\n\x1enext") {
        all += &daemon.hear_line();
    }
    let words: Vec<&str> = all
        .lines()
        .filter(|line| !line.starts_with("\x1enext"))
        .collect();
    let lines: Vec<&str> = words
        .iter()
        .copied()
        .filter(|line| line.starts_with('{'))
        .collect();
    assert_eq!(lines, ["{\"id\":2}", "{\"id\":3}", "{\"id\":4}"]);
    assert!(
        words
            .iter()
            .all(|line| line.starts_with('{') || line.ends_with(" fresh")),
        "{words:?}"
    );
    end(client, daemon);
}

#[test]
fn sixty_megabytes_that_are_not_done_are_told_while_the_daemon_speaks_at_length() {
    const LINES: usize = 60;
    let stage = Stage::new();
    let (mut client, mut daemon) = stage.accepted();
    let line = "x".repeat((1 << 20) - 1) + "\n";
    thread::scope(|scope| {
        scope.spawn(|| (0..LINES).for_each(|_| client.say(&line)));
        for _ in 0..LINES {
            assert!(daemon.hear_line() == line);
        }
    });
    drop(daemon);
    let mut daemon = stage.accept();
    daemon.say("\x1eaccepted 1\n");
    let words = "y".repeat(10 << 20) + "\n";
    thread::scope(|scope| {
        // Who speaks before it listens.
        let told = scope.spawn(|| {
            daemon.say(&words);
            (daemon.hear_resumed(), daemon)
        });
        assert!(client.hear_line() == words);
        let (told, daemon) = told.join().unwrap();
        assert_eq!(told.matches(" sent\n").count(), LINES);
        assert!(told.len() > LINES << 20);
        assert!(told.ends_with("\x1enext 61\n"));
        end(client, daemon);
    });
}

#[test]
fn a_daemon_that_ends_while_it_is_told_has_only_what_it_could_read() {
    let stage = Stage::new();
    let (mut client, mut daemon) = stage.accepted();
    let line = "x".repeat((1 << 20) - 1) + "\n";
    thread::scope(|scope| {
        scope.spawn(|| (0..4).for_each(|_| client.say(&line)));
        for _ in 0..4 {
            assert!(daemon.hear_line() == line);
        }
    });
    daemon.say("\x1eheld 1 2 3 4\n{}\n");
    assert_eq!(client.hear_line(), "{}\n");
    drop(daemon);
    let mut daemon = stage.accept();
    daemon.say("\x1eaccepted 1\n");
    assert_eq!(daemon.hear_line(), "\x1eline 1 fresh\n");
    assert!(daemon.hear_line() == line);
    assert_eq!(daemon.hear_line(), "\x1eline 2 fresh\n");
    drop(daemon);
    let (daemon, told) = stage.resumed(1);
    let notes: Vec<&str> = told
        .lines()
        .filter(|line| line.starts_with('\x1e'))
        .collect();
    // The second was on its way, and no socket holds so much.
    assert_eq!(
        notes,
        [
            "\x1eline 1 sent",
            "\x1eline 2 fresh",
            "\x1eline 3 fresh",
            "\x1eline 4 fresh",
            "\x1enext 5"
        ]
    );
    end(client, daemon);
}

#[test]
fn with_no_daemon_to_be_had_requests_are_answered_at_once_until_there_is_one() {
    let mut stage = Stage::new();
    let (mut client, mut daemon) = stage.lonely(Duration::from_millis(100));
    let call = |id: u8| format!("{{\"jsonrpc\":\"2.0\",\"id\":{id},\"method\":\"tools/call\"}}\n");
    say(&mut client, &mut daemon, &call(1));
    stage.close();
    drop(daemon);
    // Until it says this it may take the next for one that was on its way.
    let first = client.hear_line();
    client.say(&call(2));
    let second = client.hear_line();
    assert!(
        first.contains("\"id\":1,\"error\"") && first.contains("\"maybeExecuted\":true"),
        "{first}"
    );
    assert!(
        second.contains("\"id\":2,\"error\"") && second.contains("\"maybeExecuted\":false"),
        "{second}"
    );
    assert!(
        first.contains("daemon-unreachable") && first.contains("mcpoold is missing"),
        "{first}"
    );
    // What wants no answer can wait.
    client.say("{\"jsonrpc\":\"2.0\",\"method\":\"notifications/initialized\"}\n");
    // A machine that does something else for a while proves nothing.
    let at_once = |id: &u8| {
        let begin = Instant::now();
        client.say(&call(*id));
        let answer = client.hear_line();
        assert!(
            answer.contains(&format!("\"id\":{id},\"error\"")),
            "{answer}"
        );
        begin.elapsed() <= Duration::from_millis(50)
    };
    let last = (3..100).find(at_once).expect("an answer at once");
    stage.open_again();
    let (mut daemon, told) = stage.resumed(1);
    // The notification is a line beside all of these.
    let next = last + 2;
    assert_eq!(
        told,
        format!(
            "\x1eline 3 fresh\n{{\"jsonrpc\":\"2.0\",\"method\":\"notifications/initialized\"}}\n\x1enext {next}\n"
        )
    );
    say(&mut client, &mut daemon, &call(next));
    daemon.say(&format!("{{\"id\":{next}}}\n\x1edone {next}\n"));
    assert_eq!(client.hear_line(), format!("{{\"id\":{next}}}\n"));
    end(client, daemon);
}

#[test]
fn a_daemon_that_refuses_to_go_on_is_quoted_to_whoever_asks() {
    let stage = Stage::new();
    let (mut client, mut daemon) = stage.accepted();
    say(
        &mut client,
        &mut daemon,
        "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\"}\n",
    );
    drop(daemon);
    let mut daemon = stage.accept();
    daemon.say("\x1erefused no server named `echo` is configured\n");
    let answer = client.hear_line();
    assert!(answer.contains("\"id\":1,\"error\""), "{answer}");
    assert!(
        answer.contains("no server named `echo` is configured"),
        "{answer}"
    );
    client.say("{\"jsonrpc\":\"2.0\",\"id\":2,\"method\":\"ping\"}\n");
    let answer = client.hear_line();
    assert!(answer.contains("\"id\":2,\"error\""), "{answer}");
    // It asks again, and may be more welcome.
    let (daemon, told) = stage.resumed(1);
    assert_eq!(told, "\x1enext 3\n");
    end(client, daemon);
}

#[test]
fn after_a_daemon_that_was_told_to_end_no_other_is_needed_until_the_client_speaks() {
    let stage = Stage::new();
    let (mut client, mut daemon) = stage.accepted();
    daemon.say("{}\n\x1eending\n");
    assert_eq!(client.hear_line(), "{}\n");
    drop(daemon);
    // Nothing but the client can wake it.
    wait_until(|| is_asleep_in(&client, FUTEX));
    assert!(!stage.is_anybody_there());
    client.say("{\"id\":1}\n");
    let (daemon, told) = stage.resumed(1);
    assert_eq!(told, "\x1eline 1 fresh\n{\"id\":1}\n\x1enext 2\n");
    end(client, daemon);
}

#[test]
fn a_session_that_needs_no_daemon_ends_with_its_client() {
    let stage = Stage::new();
    let (mut client, mut daemon) = stage.accepted();
    daemon.say("{}\n\x1eending\n");
    assert_eq!(client.hear_line(), "{}\n");
    drop(daemon);
    client.stdin = None;
    client.end_well();
}

#[test]
fn a_daemon_that_is_older_than_the_session_is_told_nothing() {
    let stage = Stage::new();
    let (mut client, mut daemon) = stage.accepted();
    say(
        &mut client,
        &mut daemon,
        "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\"}\n",
    );
    drop(daemon);
    let mut daemon = stage.accept();
    daemon.say("\x1eaccepted\n");
    assert_eq!(daemon.hear_line(), "", "the shim hangs up");
    let answer = client.hear_line();
    assert!(
        answer.contains("\"id\":1,\"error\"") && answer.contains("older"),
        "{answer}"
    );
}

#[test]
fn of_a_daemon_that_does_not_name_the_session_the_first_line_is_kept() {
    let stage = Stage::new();
    let (mut client, mut daemon) = stage.open(&["echo"]);
    daemon.say("\x1eaccepted\n");
    say(&mut client, &mut daemon, "hello\n{}\n");
    daemon.say("\x1edone 1 2\n{}\n");
    assert_eq!(client.hear_line(), "{}\n");
    drop(daemon);
    let (mut daemon, told) = stage.resumed(1);
    assert_eq!(daemon.session().resume, Some(0));
    assert_eq!(told, "\x1eline 1 kept\nhello\n\x1enext 3\n");
    daemon.say("\x1edone 1\n{}\n");
    assert_eq!(client.hear_line(), "{}\n");
    drop(daemon);
    let (daemon, told) = stage.resumed(1);
    assert_eq!(told, "\x1enext 3\n");
    end(client, daemon);
}

#[test]
fn the_end_of_input_ends_a_shim_that_waits_for_the_next_daemon() {
    for is_there_one in [true, false] {
        let mut stage = Stage::new();
        let (mut client, mut daemon) = stage.lonely(DEADLINE);
        say(
            &mut client,
            &mut daemon,
            "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\"}\n",
        );
        if !is_there_one {
            stage.close();
        }
        drop(daemon);
        // One that is there says nothing.
        let next = is_there_one.then(|| stage.accept());
        client.stdin = None;
        let answer = client.hear_line();
        assert!(answer.contains("\"id\":1,\"error\""), "{answer}");
        client.end_well();
        drop(next);
    }
}

#[test]
fn a_signal_ends_a_shim_that_waits_for_the_next_daemon() {
    for is_there_one in [true, false] {
        let mut stage = Stage::new();
        let (client, daemon) = stage.lonely(DEADLINE);
        if !is_there_one {
            stage.close();
        }
        drop(daemon);
        let next = is_there_one.then(|| stage.accept());
        let begin = Instant::now();
        client.signal(Signal::TERM);
        client.end_well();
        assert!(begin.elapsed() < DEADLINE / 2);
        drop(next);
    }
}

#[test]
fn a_client_that_reads_no_more_ends_a_shim_that_waits_for_the_next_daemon() {
    let mut stage = Stage::new();
    let (mut client, daemon) = stage.lonely(DEADLINE);
    stage.close();
    drop(daemon);
    client.stdout = None;
    client.end_well();
}
