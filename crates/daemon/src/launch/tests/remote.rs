//! Servers that run already.

use std::sync::Arc;

use shim::preface::Address;

use super::*;

const CONFIG: &str = r#"
[servers.there]
url = "https://${WHERE:-host}/mcp?key=${GITHUB_TOKEN}"
headers = { Authorization = "Bearer ${GITHUB_TOKEN}" }
ca_cert = "ca.pem"

[servers.elsewhere]
url = "https://host/of/${session}"
"#;

fn remote(launch: &Launch) -> Arc<RemoteSpec> {
    match launch.means.as_ref().unwrap() {
        Means::Remote(spec) => Arc::clone(spec),
        Means::Process(spec) => panic!("{spec:?}"),
    }
}

#[test]
fn each_session_has_its_own_unless_the_user_says_otherwise() {
    let mut scene = Scene::new(CONFIG);
    let ask = scene.ask("there");
    let launch = scene.open(&ask);
    assert_eq!(launch.opening.scope, Scope::Session);
    assert!(launch.opening.scope_reason.starts_with("auto: "));
    assert!(launch.opening.kept.is_none() && launch.lock.is_none());
    let spec = remote(&launch);
    assert_eq!(spec.url, "https://host/mcp?key=token-a");
    assert_eq!(
        spec.headers,
        [("authorization".into(), "Bearer token-a".into())]
    );
    assert_eq!(spec.ca_cert, Some(scene.home.join("ca.pem")));
    let key = spec.session_key.as_ref().unwrap();
    assert_eq!(
        (key.param.as_str(), key.header.as_str()),
        ("session_key", "Mcpool-Session")
    );
    assert_eq!(key.key.len(), 32);
    let again = remote(&scene.open(&ask));
    assert_eq!(again.session_key.as_ref().unwrap().key, key.key);
    assert!(!format!("{:?}", launch.means).contains("token-a"));
    let global = SessionAsk {
        scope: Some(shim::scope::Scope::Global),
        ..ask
    };
    let launch = scene.open(&global);
    assert_eq!(launch.opening.scope, Scope::Global);
    assert_eq!(remote(&launch).session_key, None);
}

#[test]
fn an_address_that_comes_along_is_taken_as_it_is_and_is_each_session_s_own() {
    let mut scene = Scene::new(CONFIG);
    let address = Address {
        url: "wss://host/mcp?session_key=7".into(),
        headers: vec![("Authorization".into(), "Bearer ${GITHUB_TOKEN}".into())],
        ca_cert: Some("/ca.pem".into()),
    };
    // What is configured under the same name has nothing to do with it.
    let ask = SessionAsk {
        address: Some(Box::new(address)),
        ..scene.ask("there")
    };
    let launch = scene.open(&ask);
    assert_eq!(launch.opening.scope, Scope::Session);
    let spec = remote(&launch);
    assert_eq!(spec.url, "wss://host/mcp?session_key=7");
    let header = ("authorization".into(), "Bearer ${GITHUB_TOKEN}".into());
    assert_eq!(spec.headers, [header]);
    assert_eq!(spec.ca_cert.as_deref(), Some(Path::new("/ca.pem")));
    let mut bad = ask.clone();
    bad.address.as_mut().unwrap().url = "ftp://host/".into();
    assert!(scene.refusal(&bad).contains("must begin with"));
    for (name, why) in [
        ("Host", "mcpool sets itself"),
        ("Sec-WebSocket-Key", "mcpool sets itself"),
        ("two words", "cannot be the name"),
        ("", "cannot be the name"),
    ] {
        let mut bad = ask.clone();
        bad.address.as_mut().unwrap().headers = vec![(name.into(), "x".into())];
        let refusal = scene.refusal(&bad);
        assert!(refusal.contains(why), "{name}: {refusal}");
    }
}

#[test]
fn an_address_that_names_its_session_is_none_that_others_come_to() {
    let mut scene = Scene::new(CONFIG);
    let there = scene.ask("there");
    let spec = remote(&scene.open(&there));
    assert_eq!(spec.common_url(), Some(&*spec.url));
    let elsewhere = scene.ask("elsewhere");
    assert_eq!(remote(&scene.open(&elsewhere)).common_url(), None);
    for (url, is_common) in [
        ("wss://host/mcp?a=b&session_key=7#x", false),
        ("wss://host/session_key?my_session_key=7", true),
    ] {
        let ask = SessionAsk {
            address: Some(Box::new(Address {
                url: url.into(),
                headers: Vec::new(),
                ca_cert: None,
            })),
            ..scene.ask("there")
        };
        let spec = remote(&scene.open(&ask));
        assert_eq!(spec.common_url().is_some(), is_common, "{url}");
    }
}

#[test]
fn what_the_client_calls_its_session_is_passed_on() {
    let mut scene = Scene::new(CONFIG);
    let ask = scene.ask("there");
    let launch = scene.launcher.open(&Asker {
        session: SessionId(1),
        ask: &ask,
        cwd: Path::new("/"),
        umask: 0o022,
        freedom: Freedom::AsFree,
        over: Over::Preface,
        session_key: Some("mine"),
    });
    assert_eq!(remote(&launch).session_key.as_ref().unwrap().key, "mine");
}

#[test]
fn two_tokens_never_meet() {
    let mut scene = Scene::new(CONFIG);
    let ask = scene.ask("there");
    let one = scene.open(&ask).opening.route;
    assert_eq!(scene.open(&ask).opening.route, one);
    let other = with(ask.clone(), "GITHUB_TOKEN", "token-b");
    assert_ne!(scene.open(&other).opening.route, one);
    let elsewhere = with(ask, "WHERE", "other");
    assert_ne!(scene.open(&elsewhere).opening.route, one);
}

#[test]
fn what_cannot_be_reached_at_all_is_told_with_its_place() {
    let mut scene = Scene::new(CONFIG);
    let ask = with(scene.ask("there"), "WHERE", "me@host");
    let refusal = scene.refusal(&ask);
    assert!(
        refusal.contains("config.toml:3: servers.there.url: "),
        "{refusal}"
    );
    assert!(refusal.contains("must not hold a user"), "{refusal}");
    let ask = with(scene.ask("there"), "GITHUB_TOKEN", "two\nlines");
    let refusal = scene.refusal(&ask);
    assert!(!refusal.contains("lines"), "{refusal}");
}

#[test]
fn a_sandboxed_session_does_not_choose_where_its_server_is() {
    let mut scene = Scene::new(CONFIG);
    let ask = scene.ask("there");
    assert!(scene.open_as(&ask, Freedom::Confined).means.is_err());
    let mut scene = Scene::new(
        "[servers.there]\nurl = \"http://host\"\nheaders = { A = \"${GITHUB_TOKEN}\" }\n",
    );
    assert!(scene.open_as(&ask, Freedom::Confined).means.is_ok());
}

#[test]
fn nobody_runs_it_without_a_daemon() {
    let mut scene = Scene::new(CONFIG);
    let ask = scene.ask("there");
    let why = scene
        .launcher
        .recipe(&ask, Path::new("/"), None)
        .unwrap_err();
    assert!(why.contains("https://host/mcp"), "{why}");
    assert!(!why.contains("token-a"), "{why}");
}
