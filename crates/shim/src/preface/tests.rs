//! What a preface keeps, and what is refused.

use std::os::unix::ffi::OsStringExt;

use proptest::prelude::*;

use super::*;
use crate::workspace::Evidence;

fn bytes(range: std::ops::Range<usize>) -> impl Strategy<Value = OsString> {
    prop::collection::vec(1u8..=255, range).prop_map(OsString::from_vec)
}

fn absolute() -> impl Strategy<Value = PathBuf> {
    bytes(0..20).prop_map(|name| Path::new("/").join(name))
}

fn variable() -> impl Strategy<Value = (OsString, OsString)> {
    let name = bytes(1..20).prop_filter("a name has no `=`", |name| {
        !name.as_bytes()[1..].contains(&b'=')
    });
    (name, bytes(0..40))
}

fn workspace() -> impl Strategy<Value = Workspace> {
    let evidence = prop::sample::select(Evidence::ALL.to_vec());
    (absolute(), evidence).prop_map(|(path, evidence)| Workspace { path, evidence })
}

prop_compose! {
    fn address()(
        url in "[^\0]{0,20}",
        headers in prop::collection::vec(("[^\0=]{0,8}", "[^\0]{0,8}"), 0..3),
        ca_cert in prop::option::of(absolute()),
    ) -> Address {
        Address { url, headers, ca_cert }
    }
}

prop_compose! {
    fn session()(
        server in "[^\0]{0,20}",
        command in prop::collection::vec(bytes(0..10), 0..4),
        address in prop::option::of(address().prop_map(Box::new)),
        directory in prop::option::of(absolute()),
        scope in prop::option::of(prop::sample::select(Scope::ALL.to_vec())),
        workspace in prop::option::of(workspace()),
        pass in prop::collection::vec(bytes(0..10), 0..4),
        join in prop::sample::select(vec![Join::ShareKey, Join::Any]),
        resume in prop::option::of(any::<u64>()),
        env in prop::collection::vec(variable(), 0..8),
    ) -> Ask {
        Ask::Session(SessionAsk { server, command, address, directory, scope, workspace, pass, join, resume, env })
    }
}

fn admin() -> impl Strategy<Value = Ask> {
    prop_oneof![
        Just(AdminAsk::Status),
        Just(AdminAsk::Stop),
        Just(AdminAsk::Upgrade),
        ("[^\0]{0,20}", any::<u64>()).prop_map(|(server, seconds)| AdminAsk::Restart {
            server,
            wait: Duration::from_secs(seconds),
        }),
    ]
    .prop_map(Ask::Admin)
}

prop_compose! {
    fn preface()(
        version in "[^\0]{0,12}",
        cwd in absolute(),
        umask in 0u32..=0o777,
        pid in any::<u32>(),
        ask in prop_oneof![session(), admin()],
    ) -> Preface {
        Preface { version, cwd, umask, pid, ask }
    }
}

proptest! {
    #[test]
    fn a_preface_comes_back_as_it_was(preface in preface()) {
        let bytes = preface.encode().unwrap();
        let Head::Complete { body_at, body_len } = head(&bytes).unwrap() else {
            panic!("a whole preface has a whole head");
        };
        prop_assert_eq!(body_at + body_len, bytes.len());
        prop_assert_eq!(Preface::decode(&bytes[body_at..]), Ok(preface));
    }

    #[test]
    fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = head(&bytes);
        let _ = Preface::decode(&bytes);
    }

    #[test]
    fn no_cut_makes_it_panic(preface in preface(), cut in any::<prop::sample::Index>()) {
        let bytes = preface.encode().unwrap();
        let Ok(Head::Complete { body_at, .. }) = head(&bytes) else {
            panic!("a whole preface has a whole head");
        };
        let cut = body_at + cut.index(bytes.len() - body_at);
        let _ = Preface::decode(&bytes[body_at..cut]);
    }
}

fn example() -> Preface {
    Preface {
        version: "0.1.0".into(),
        cwd: "/home/ada/project".into(),
        umask: 0o22,
        pid: 7,
        ask: Ask::Session(SessionAsk {
            server: "echo".into(),
            command: vec!["npx".into(), "-y".into(), String::new().into()],
            address: None,
            directory: None,
            scope: Some(Scope::Workspace),
            workspace: Some(Workspace {
                path: "/home/ada/project".into(),
                evidence: Evidence::ProjectDir,
            }),
            pass: vec!["AWS_*".into(), "A=b=c".into()],
            join: Join::Any,
            resume: Some(7),
            env: vec![
                ("A".into(), "=".into()),
                ("=odd".into(), String::new().into()),
            ],
        }),
    }
}

#[test]
fn it_looks_on_the_link_as_the_protocol_says() {
    let body = "version=0.1.0\0cwd=/home/ada/project\0umask=022\0pid=7\0ask=session\0server=echo\0\
        arg=npx\0arg=-y\0arg=\0scope=workspace\0workspace=/home/ada/project\0\
        evidence=project-dir\0pass=AWS_*\0pass=A=b=c\0join=any\0resume=7\0env=A==\0env==odd=\0";
    let expected = format!("\x1emcpool 1 {}\n{body}", body.len());
    assert_eq!(
        String::from_utf8(example().encode().unwrap()).unwrap(),
        expected
    );
}

#[test]
fn a_folder_looks_on_the_link_as_the_protocol_says() {
    let mut preface = example();
    preface.ask = Ask::Session(SessionAsk {
        server: "quarry".into(),
        command: vec!["./serve".into()],
        address: None,
        directory: Some("/srv".into()),
        scope: None,
        workspace: None,
        pass: Vec::new(),
        join: Join::ShareKey,
        resume: None,
        env: Vec::new(),
    });
    let body = "version=0.1.0\0cwd=/home/ada/project\0umask=022\0pid=7\0ask=session-in-folder\0\
        server=quarry\0arg=./serve\0directory=/srv\0";
    let expected = format!("\x1emcpool 1 {}\n{body}", body.len());
    let encoded = preface.encode().unwrap();
    assert_eq!(str::from_utf8(&encoded).unwrap(), expected);
    assert_eq!(Preface::decode(body.as_bytes()).unwrap(), preface);
}

#[test]
fn an_address_looks_on_the_link_as_the_protocol_says() {
    let mut preface = example();
    preface.ask = Ask::Session(SessionAsk {
        command: Vec::new(),
        address: Some(Box::new(Address {
            url: "ws://127.0.0.1:8420/mcp".into(),
            headers: vec![("Authorization".into(), "Bearer a=b".into())],
            ca_cert: Some("/home/ada/ca.crt".into()),
        })),
        directory: None,
        scope: None,
        workspace: None,
        pass: Vec::new(),
        join: Join::ShareKey,
        resume: None,
        env: Vec::new(),
        server: "quarry".into(),
    });
    let body = "version=0.1.0\0cwd=/home/ada/project\0umask=022\0pid=7\0ask=session-at-url\0server=quarry\0\
        url=ws://127.0.0.1:8420/mcp\0header=Authorization=Bearer a=b\0ca_cert=/home/ada/ca.crt\0";
    let expected = format!("\x1emcpool 1 {}\n{body}", body.len());
    let encoded = preface.encode().unwrap();
    assert_eq!(str::from_utf8(&encoded).unwrap(), expected);
    assert_eq!(Preface::decode(body.as_bytes()), Ok(preface));
}

#[test]
fn a_session_at_an_address_without_one_is_none() {
    let body = b"version=9\0cwd=/\0umask=0\0pid=1\0ask=session-at-url\0server=x\0";
    let error = PrefaceError::Missing { key: "url" };
    assert_eq!(Preface::decode(body), Err(error));
}

#[test]
fn a_field_of_a_newer_sender_is_passed_over() {
    let body = b"version=9\0colour=blue\0cwd=/\0umask=0\0pid=1\0ask=admin\0verb=stop\0";
    let preface = Preface::decode(body).unwrap();
    assert_eq!(preface.ask, Ask::Admin(AdminAsk::Stop));
}

#[test]
fn a_missing_field_is_named() {
    let complete = "version=9\0cwd=/\0umask=0\0pid=1\0ask=session\0server=x\0";
    for key in ["version", "cwd", "umask", "pid", "ask", "server"] {
        let body: String = complete
            .split_inclusive('\0')
            .filter(|field| !field.starts_with(&format!("{key}=")))
            .collect();
        assert_eq!(
            Preface::decode(body.as_bytes()),
            Err(PrefaceError::Missing { key })
        );
    }
}

#[test]
fn a_value_that_cannot_be_is_named() {
    let complete = "version=9\0cwd=/\0umask=0\0pid=1\0ask=session\0server=x\0";
    for (key, field) in [
        ("cwd", "cwd=relative\0"),
        ("umask", "umask=8\0"),
        ("umask", "umask=1000\0"),
        ("pid", "pid=-1\0"),
        ("ask", "ask=tea\0"),
        ("scope", "scope=planet\0"),
        ("workspace", "workspace=here\0evidence=flag\0"),
        ("evidence", "workspace=/\0evidence=rumour\0"),
        ("join", "join=hands\0"),
        ("resume", "resume=\0"),
        ("resume", "resume=-1\0"),
        ("env", "env=NAME\0"),
        ("env", "env=\0"),
    ] {
        let body = format!("{complete}{field}");
        assert_eq!(
            Preface::decode(body.as_bytes()),
            Err(PrefaceError::BadValue { key }),
            "{field:?}"
        );
    }
    let unended = &complete.as_bytes()[..complete.len() - 1];
    assert_eq!(Preface::decode(unended), Err(PrefaceError::BrokenField));
}

#[test]
fn a_head_is_complete_only_with_its_newline() {
    let bytes = b"\x1emcpool 1 12\n";
    for end in 0..bytes.len() {
        assert_eq!(head(&bytes[..end]), Ok(Head::Incomplete), "{end}");
    }
    assert_eq!(
        head(bytes),
        Ok(Head::Complete {
            body_at: 13,
            body_len: 12
        })
    );
}

#[test]
fn a_head_of_another_protocol_or_program_is_refused_at_once() {
    assert_eq!(
        head(b"\x1emcpool 2 lots of news\n"),
        Err(PrefaceError::OtherProtocol { theirs: 2 })
    );
    assert_eq!(head(b"{"), Err(PrefaceError::NotAPreface));
    assert_eq!(head(b"GET / HTTP/1.1\r\n"), Err(PrefaceError::NotAPreface));
    assert_eq!(
        head(&[b"\x1emcpool ".as_slice(), &[b'1'; 64]].concat()),
        Err(PrefaceError::NotAPreface)
    );
    assert_eq!(
        head(b"\x1emcpool 1 4194305\n"),
        Err(PrefaceError::TooLong { len: BODY_MAX + 1 })
    );
}

#[test]
fn a_value_with_a_nul_or_without_end_is_not_sent() {
    let mut preface = example();
    preface.version = "1\x002".into();
    assert_eq!(
        preface.encode(),
        Err(PrefaceError::BadValue { key: "version" })
    );
    preface.version = "x".repeat(BODY_MAX);
    assert!(matches!(
        preface.encode(),
        Err(PrefaceError::TooLong { .. })
    ));
}

#[test]
fn a_variable_is_found_by_its_whole_name() {
    let Ask::Session(session) = example().ask else {
        panic!("the example is a session");
    };
    assert_eq!(session.variable("A"), Some(OsStr::new("=")));
    assert_eq!(session.variable("B"), None);
}
