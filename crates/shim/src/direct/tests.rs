use super::*;
use crate::{
    preface::Join,
    workspace::{Evidence, Workspace},
};

fn ask() -> SessionAsk {
    SessionAsk {
        server: "echo".into(),
        command: ["npx", "-y", "echo"].map(OsString::from).to_vec(),
        address: None,
        directory: None,
        scope: None,
        workspace: Some(Workspace {
            path: "/w".into(),
            evidence: Evidence::Directory,
        }),
        pass: vec!["TOKEN".into(), "AWS_*".into(), "A=b".into()],
        join: Join::ShareKey,
        resume: None,
        env: ["TOKEN", "AWS_KEY", "OTHER"]
            .map(|name| (name.into(), "1".into()))
            .to_vec(),
    }
}

fn key_of(change: impl FnOnce(&mut SessionAsk)) -> Option<u64> {
    let mut ask = ask();
    change(&mut ask);
    key(&ask, &ask.env)
}

fn path_of(places: &Places, ask: &SessionAsk) -> PathBuf {
    Locks::of(places).path(&LockName::of_command(ask).unwrap())
}

#[test]
fn the_name_of_a_lock_is_for_ever() {
    assert_eq!(key_of(|_| ()), Some(5_109_476_412_373_498_499));
    let name = LockName::of_command(&ask()).unwrap();
    assert_eq!(name.as_str(), "46e881b9d3c27a83");
    let name = LockName::of_configured(b"share\0key");
    assert_eq!(name.as_str(), "configured-9984d15a4e7d2cf7");
}

#[test]
fn a_name_that_is_said_leads_nowhere_else() {
    let name = LockName::of_configured(b"x");
    assert_eq!(LockName::said(name.as_str().as_bytes()), Some(name));
    let long = [b'a'; NAME_MAX + 1];
    for name in [&b""[..], b"..", b"a/b", b"a.lock", b"a\0", b"\xff", &long] {
        assert_eq!(LockName::said(name), None, "{name:?}");
    }
}

#[test]
fn what_two_sessions_would_share_has_one_key_and_anything_else_another() {
    let own = key_of(|_| ());
    let same: [fn(&mut SessionAsk); 8] = [
        |ask| ask.command[0] = "/usr/bin/npx".into(),
        |ask| ask.pass.push("TOK*".into()),
        |ask| ask.pass.insert(0, "A=a".into()),
        |ask| ask.env.push(("TOKEN".into(), "2".into())),
        |ask| ask.server = "other".into(),
        |ask| ask.env[2].1 = "2".into(),
        |ask| ask.scope = Some(Scope::Workspace),
        |ask| ask.pass.reverse(),
    ];
    for change in same {
        assert_eq!(key_of(change), own);
    }
    let other: [fn(&mut SessionAsk); 7] = [
        |ask| ask.command.truncate(2),
        |ask| ask.command[1] = "-x".into(),
        |ask| ask.env[0].1 = "2".into(),
        |ask| ask.env[1].1 = "2".into(),
        |ask| ask.workspace = None,
        |ask| ask.directory = Some("/w".into()),
        |ask| ask.scope = Some(Scope::Global),
    ];
    for change in other {
        assert_ne!(key_of(change), own);
    }
    assert_eq!(key_of(|ask| ask.scope = Some(Scope::Session)), None);
    assert_eq!(key_of(|ask| ask.command.clear()), None);
}

/// A lock that only a helper of a server has open, when all that these lines name has ended.
fn left_behind(lines: &str) -> (tempfile::TempDir, SessionAsk, File) {
    let home = tempfile::tempdir().unwrap();
    let places = Places::find(Some(home.path())).unwrap();
    let mut ask = ask();
    ask.pass = vec!["A=b".into()];
    let mut file = claim(&places, &ask, "none").unwrap().unwrap();
    file.set_len(0).unwrap();
    io::Seek::rewind(&mut file).unwrap();
    file.write_all(format!("1\n2\necho\nnone\n{lines}").as_bytes())
        .unwrap();
    (home, ask, file)
}

fn of_one_that_has_ended() -> String {
    let mut child = Command::new("cat");
    let mut child = child.stdin(process::Stdio::piped()).spawn().unwrap();
    let birth = Birth::of(child.id()).unwrap().unwrap();
    child.stdin = None;
    child.wait().unwrap();
    format!("{birth}\n")
}

#[test]
fn a_lock_that_only_helpers_of_an_ended_server_have_is_free() {
    let ended = of_one_that_has_ended();
    let (home, ask, helper) = left_behind(&[ended.as_str(), ended.as_str()].concat());
    let places = Places::find(Some(home.path())).unwrap();
    let lock = path_of(&places, &ask);
    assert_eq!(holder(&lock).unwrap(), None);
    assert_eq!(Locks::of(&places).running().unwrap(), []);
    let held = claim(&places, &ask, "none").unwrap().unwrap();
    assert_eq!(holder(&lock).unwrap().unwrap().pid, process::id());
    assert!(matches!(
        claim(&places, &ask, "none"),
        Err(NotDirect::Taken)
    ));
    drop(helper);
    assert!(holder(&lock).unwrap().is_some());
    drop(held);
    assert_eq!(holder(&lock).unwrap(), None);
}

#[test]
fn a_lock_is_held_if_one_lives_or_that_cannot_be_known() {
    let ended = of_one_that_has_ended();
    let own = line_of(process::id());
    let elsewhere = ended.replace('\n', "x\n");
    for lines in [
        // As versions wrote it that knew of no such lines.
        "",
        own.as_str(),
        &[ended.as_str(), own.as_str()].concat(),
        &elsewhere,
        &ended[..ended.len() - 1],
        "\n",
        "1\n",
    ] {
        let (home, ask, helper) = left_behind(lines);
        let places = Places::find(Some(home.path())).unwrap();
        let lock = path_of(&places, &ask);
        assert!(holder(&lock).unwrap().is_some(), "{lines:?}");
        let claimed = claim(&places, &ask, "none");
        assert!(matches!(claimed, Err(NotDirect::Taken)), "{lines:?}");
        drop(helper);
    }
}

#[test]
fn one_session_runs_its_server_and_everybody_sees_it() {
    let home = tempfile::tempdir().unwrap();
    let places = Places::find(Some(home.path())).unwrap();
    let mut ask = ask();
    // Of the environment of this test.
    ask.pass = vec!["A=b".into()];
    let locks = Locks::of(&places);
    let lock = path_of(&places, &ask);
    assert_eq!(holder(&lock).unwrap(), None);
    assert_eq!(locks.running().unwrap(), []);
    let claim_it = || claim(&places, &ask, "no\nprogram");
    let held = claim_it().unwrap();
    assert!(matches!(claim_it(), Err(NotDirect::Taken)));
    let all = locks.running().unwrap();
    assert_eq!(holder(&lock).unwrap().as_ref(), all.first());
    assert_eq!(all.len(), 1);
    assert_eq!(
        (all[0].pid, all[0].server.as_str()),
        (process::id(), "echo")
    );
    assert_eq!(all[0].cause, "no program");
    drop(held);
    assert_eq!(holder(&lock).unwrap(), None);
    assert_eq!(locks.running().unwrap(), []);
    claim_it().unwrap();
}
