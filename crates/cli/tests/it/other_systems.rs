//! Users of other systems: what they have written keeps its meaning.

use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    os::unix::{
        fs::{PermissionsExt, symlink},
        net::UnixListener,
    },
    path::PathBuf,
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use crate::{
    http_edge::secure,
    support::{
        Client, FAKE_SERVER, Home, finish, free_address, hello, hooked, programs,
        remote_socket::RemoteSocket, until, web::Web,
    },
};

/// mcpool under the name of mcp-proxy, as a link to where it is installed.
fn linked(home: &Home) -> PathBuf {
    let link = home.root().join("mcp-proxy");
    if !link.exists() {
        symlink(env!("CARGO_BIN_EXE_mcpool"), &link).unwrap();
    }
    link
}

fn mcp_proxy(home: &Home, line: &[&str]) -> Command {
    home.command(linked(home), line)
}

fn profile(home: &Home, text: &str) -> PathBuf {
    let folder = home.user().join(".punt-labs/mcp-proxy");
    fs::create_dir_all(&folder).unwrap();
    let path = folder.join("quarry.toml");
    fs::write(&path, text).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    path
}

fn url(remote: &RemoteSocket) -> String {
    format!("ws://{}/mcp", remote.address())
}

/// A daemon from before there were sessions at a URL: it reads a preface, and passes over what it does not know.
fn older_daemon(home: &Home) -> thread::JoinHandle<String> {
    let listener = UnixListener::bind(home.pool().join("mcpool.sock")).unwrap();
    thread::spawn(move || {
        let mut socket = BufReader::new(listener.accept().unwrap().0);
        let mut head = String::new();
        socket.read_line(&mut head).unwrap();
        let length = head.trim().rsplit(' ').next().unwrap();
        let mut body = vec![0; length.parse().unwrap()];
        socket.read_exact(&mut body).unwrap();
        let mut fields = body.split(|byte| *byte == 0);
        let ask = fields
            .find_map(|field| field.strip_prefix(b"ask="))
            .unwrap();
        let ask = str::from_utf8(ask).unwrap().to_owned();
        let answer = if ["session", "admin"].contains(&ask.as_str()) {
            "\x1eaccepted 1\n"
        } else {
            "\x1erefused the preface has a bad value in the field `ask`\n"
        };
        socket.get_mut().write_all(answer.as_bytes()).unwrap();
        ask
    })
}

#[test]
fn a_daemon_that_is_too_old_for_what_is_asked_refuses_it_and_the_way_out_is_told() {
    let home = Home::new();
    home.configure("");
    let daemon = older_daemon(&home);
    let ran = finish(&mut mcp_proxy(&home, &["ws://127.0.0.1:1/mcp"]));
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert!(
        ran.stderr.contains("older than this mcpool") && ran.stderr.contains("mcpool upgrade"),
        "{ran:?}"
    );
    assert_eq!(daemon.join().unwrap(), "session-at-url");

    let home = Home::new();
    home.configure("");
    let daemon = older_daemon(&home);
    let ran = home.run(&["connect", "--cwd", ".", "--", "cat"]);
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert!(ran.stderr.contains("mcpool upgrade"), "{ran:?}");
    assert_eq!(daemon.join().unwrap(), "session-in-folder");
}

/// The key of a session in the address that was asked for.
fn key(asked: &str) -> u32 {
    let (_, key) = asked.split_once("?session_key=").expect(asked);
    key.parse().expect(asked)
}

#[test]
fn a_session_of_mcp_proxy_is_one_through_mcpool_and_its_hooks_have_the_same_key() {
    let (home, remote) = (Home::new(), RemoteSocket::start(true));
    let mut command = mcp_proxy(&home, &[&url(&remote)]);
    let mut client = Client::spawn(command.env("MCP_PROXY_TOKEN", "proxy-token"));
    client.initialize();
    assert_eq!(client.text("echo", json!({"text": "hello"})), "hello");
    let (asked, protocol) = remote.asked().pop().unwrap();
    assert!(asked.starts_with("/mcp?session_key="), "{asked}");
    assert_eq!(protocol.as_deref(), Some("mcp"));
    let token = Some("Bearer proxy-token".to_owned());
    assert_eq!(remote.authorized(), std::slice::from_ref(&token));
    let server = home.upstream();
    assert_eq!(
        server["server"],
        format!("127.0.0.1-{}", remote.address().port())
    );
    // A hook of the same agent.
    let mut command = mcp_proxy(&home, &[&url(&remote), "--hook", "PreToolUse"]);
    let ran = hooked(command.env("MCP_PROXY_TOKEN", "proxy-token"), r#"{"n":1}"#);
    assert_eq!(
        (ran.code, ran.stdout.as_str()),
        (Some(0), "{\"tools\":[]}\n"),
        "{ran:?}"
    );
    assert_eq!(remote.count("hook/PreToolUse"), 1);
    let hook = remote.asked().pop().unwrap().0;
    assert!(hook.starts_with("/hook?"), "{hook}");
    assert_eq!(key(&hook), key(&asked));
    assert_eq!(remote.authorized().pop().unwrap(), token);
    // A session ends with its client, and so does the connection.
    assert!(client.close().success());
    until("the close", || remote.closed() >= 2);
}

#[test]
fn a_daemon_that_comes_after_its_client_is_waited_for() {
    let home = Home::new();
    let address = free_address().to_string();
    let mut client = Client::spawn(&mut mcp_proxy(&home, &[&format!("ws://{address}/mcp")]));
    let id = client.ask("initialize", hello("2025-11-25", &json!({})));
    let state = || {
        // As long as there is no daemon of ours, nobody says it.
        let ran = finish(&mut home.mcpool(&["status", "--json"]));
        let status: Value = serde_json::from_str(&ran.stdout).unwrap_or_default();
        status["upstreams"][0]["state"].clone()
    };
    until("the first look", || state() == "starting");
    // Nobody was there when it was looked for: that is done before anybody else is answered.
    let _upstream = home.upstream();
    let remote = RemoteSocket::at(&address, true);
    let answer = client.response(id);
    assert_eq!(answer["result"]["serverInfo"]["name"], "socket", "{answer}");
    client.notify("notifications/initialized", &json!({}));
    assert_eq!(client.text("echo", json!({"text": "hello"})), "hello");
    assert_eq!(remote.asked().len(), 1);
}

#[test]
fn a_daemon_that_never_comes_is_waited_for_as_long_as_clients_wait() {
    let home = Home::new();
    home.configure("[limits]\nstart_patience = \"7s\"\n");
    let url = format!("ws://{}/mcp", free_address());
    let mut client = Client::spawn(&mut mcp_proxy(&home, &[&url]));
    let begun = Instant::now();
    let answer = client.greet(&json!({}));
    // After pauses of 250 ms, 500 ms, 1 s and 2 s the next would be longer than the patience.
    assert!(begun.elapsed() >= Duration::from_millis(3750), "{answer}");
    let why = answer["error"]["message"].as_str().unwrap();
    assert!(why.contains("connection refused"), "{answer}");
}

#[test]
fn an_event_that_is_only_told_has_arrived_when_mcp_proxy_ends() {
    let (home, remote) = (Home::new(), RemoteSocket::start(true));
    let lines = [
        ["--hook", "SessionEnd", "--async"],
        ["--hook", "--async", "SessionEnd"],
        ["--async", "--hook", "SessionEnd"],
    ];
    for (at, line) in lines.iter().enumerate() {
        let ran = hooked(
            &mut mcp_proxy(&home, &[&[url(&remote).as_str()], &line[..]].concat()),
            "{}",
        );
        assert_eq!((ran.code, ran.stdout.as_str()), (Some(0), ""), "{ran:?}");
        assert_eq!(remote.count("hook/SessionEnd"), at + 1);
    }
}

#[test]
fn a_profile_says_where_the_daemon_is_and_is_its_owner_s_alone() {
    let (home, remote) = (Home::new(), RemoteSocket::start(true));
    let path = profile(
        &home,
        &format!(
            "[quarry]\nurl = \"{}\"\n[quarry.headers]\nAuthorization = \"Bearer profile-token\"\n",
            url(&remote)
        ),
    );
    let mut client = Client::spawn(&mut mcp_proxy(&home, &["--config", "quarry"]));
    client.initialize();
    assert_eq!(client.text("echo", json!({"text": "hello"})), "hello");
    assert_eq!(home.upstream()["server"], "quarry");
    let health = finish(&mut mcp_proxy(&home, &["--config", "quarry", "--health"]));
    assert_eq!(health.code, Some(0), "{health:?}");
    let hook = ["--config", "quarry", "--hook", "Stop"];
    let ran = hooked(&mut mcp_proxy(&home, &hook), "{}");
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let token = Some("Bearer profile-token".to_owned());
    assert_eq!(remote.authorized(), vec![token; 3]);
    // The command line comes before the profile.
    let nowhere = format!("ws://{}/mcp", free_address());
    let ran = finish(&mut mcp_proxy(
        &home,
        &["--config", "quarry", "--health", &nowhere],
    ));
    assert_eq!(ran.code, Some(1), "{ran:?}");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    let ran = finish(&mut mcp_proxy(&home, &["--config", "quarry", "--health"]));
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert!(ran.stderr.contains("chmod 600"), "{ran:?}");
    fs::write(&path, "[quarry").unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    let ran = finish(&mut mcp_proxy(&home, &["--config", "quarry", "--health"]));
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert!(ran.stderr.contains("quarry.toml"), "{ran:?}");
    home.has_no_secret_in_files();
    client.close();
}

#[test]
fn the_exit_code_is_that_of_mcp_proxy() {
    let (home, remote) = (Home::new(), RemoteSocket::start(false));
    let well = finish(&mut mcp_proxy(&home, &["--health", &url(&remote)]));
    assert_eq!(well.code, Some(0), "{well:?}");
    assert!(well.stderr.ends_with("mcp-proxy: ok\n"), "{well:?}");
    // It is not counted as a session, and starts nothing.
    assert_eq!(home.daemon_pid(), None);
    // A word behind the URL may be another one with a password, and clients keep what is said.
    for line in [
        &["--health", "ftp://me:canary@h/"][..],
        &["--health", "https://h/mcp?token=canary"],
        &["--health", "ws://me:canary y@h"],
        &["ws://h/", "ws://me:canary@h/"],
    ] {
        let ran = finish(&mut mcp_proxy(&home, line));
        assert_eq!(ran.code, Some(2), "{line:?}: {ran:?}");
        assert!(!ran.stderr.contains("canary"), "{line:?}: {ran:?}");
    }
    for (line, code, words) in [
        (
            &["--health", "ws://127.0.0.1:1/mcp"][..],
            1,
            "health check failed",
        ),
        (
            &["ws://127.0.0.1:1/mcp", "--hook", "Stop"],
            1,
            "127.0.0.1:1",
        ),
        (&[], 2, "--config"),
        (&["http://127.0.0.1:1/"], 2, "ws://"),
        (&["--heath", "ws://127.0.0.1:1/"], 2, "--health"),
        (
            &["--health", "ws://me:secret@127.0.0.1:1/"],
            2,
            "MCP_PROXY_TOKEN",
        ),
        (&["--config", "../x"], 2, "profile"),
    ] {
        let ran = finish(&mut mcp_proxy(&home, line));
        assert_eq!(ran.code, Some(code), "{line:?}: {ran:?}");
        assert!(ran.stderr.contains(words), "{line:?}: {ran:?}");
    }
    for line in [["--help"], ["--version"], ["version"]] {
        let ran = finish(&mut mcp_proxy(&home, &line));
        assert_eq!(ran.code, Some(0), "{ran:?}");
        assert!(ran.stdout.contains("mcp-proxy"), "{ran:?}");
    }
}

#[test]
fn mcpool_that_is_installed_under_the_name_is_mcp_proxy_too() {
    let (home, remote) = (Home::new(), RemoteSocket::start(true));
    let folder = home.root().join("installed");
    fs::create_dir(&folder).unwrap();
    let names = [
        (env!("CARGO_BIN_EXE_mcpool"), "mcp-proxy"),
        (env!("CARGO_BIN_EXE_mcpool"), "mcpool"),
        (env!("CARGO_BIN_EXE_mcpoold"), "mcpoold"),
    ];
    for (program, name) in names {
        programs::copy(program, folder.join(name));
    }
    let program = folder.join("mcp-proxy");
    let mut client = Client::spawn(&mut home.command(program, &[&url(&remote)]));
    client.initialize();
    assert_eq!(client.text("echo", json!({"text": "hello"})), "hello");
    client.close();
    home.done(&["stop"]);
}

#[test]
fn what_is_old_is_said_once_whoever_calls() {
    let (home, remote) = (Home::new(), RemoteSocket::start(true));
    let health = || {
        let mut command = mcp_proxy(&home, &["--health", &url(&remote)]);
        command.env("MCP_PROXY_PING_INTERVAL", "1s");
        finish(&mut command).stderr
    };
    let said = health();
    assert!(said.contains("mcpool import --from mcp-proxy"), "{said}");
    assert!(
        said.contains("MCP_PROXY_PING_INTERVAL means nothing"),
        "{said}"
    );
    assert!(!said.contains("MCP_PROXY_DEBUG"), "{said}");
    assert_eq!(health(), "mcp-proxy: ok\n");
    let hook = [&url(&remote), "--hook", "Stop"];
    assert_eq!(hooked(&mut mcp_proxy(&home, &hook), "{}").stderr, "");
}

#[test]
fn a_daemon_with_tls_is_reached_by_its_profile() {
    let (there, home) = (Home::new(), Home::new());
    let known = secure(&there);
    let (known, port) = known.split_once('@').unwrap();
    let place = format!("wss://localhost:{port}/ws/fake");
    profile(&home, &format!("[quarry]\nurl = \"{place}\"\n{known}"));
    let health = finish(&mut mcp_proxy(&home, &["--config", "quarry", "--health"]));
    assert_eq!(health.code, Some(0), "{health:?}");
    let mut client = Client::spawn(&mut mcp_proxy(&home, &["--config", "quarry"]));
    client.initialize();
    assert_eq!(client.text("echo", json!({"text": "hello"})), "hello");
    // mcpool is none of the daemons that take hooks like that; it has said so over TLS.
    let hook = ["--config", "quarry", "--hook", "Stop"];
    let ran = hooked(&mut mcp_proxy(&home, &hook), "{}");
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert!(ran.stderr.contains("the daemon answered 4"), "{ran:?}");
    // A file without a folder is in that of whoever calls.
    let known = known.replace(there.file("cert.pem").as_str(), "cert.pem");
    profile(&home, &format!("[quarry]\nurl = \"{place}\"\n{known}"));
    let mut command = mcp_proxy(&home, &["--config", "quarry"]);
    let mut beside = Client::spawn(command.current_dir(there.root()));
    beside.initialize();
    beside.close();
    // Without the profile nobody vouches for it.
    let ran = finish(&mut mcp_proxy(&home, &["--health", &place]));
    assert_eq!(ran.code, Some(1), "{ran:?}");
    client.close();
}

/// A daemon in the foreground at a port of its own, as code-intelligence is started.
#[test]
fn a_daemon_is_served_at_a_port_with_the_words_of_code_intelligence() {
    let home = Home::new();
    home.configure(&format!(
        "[servers.fake]\ncommand = '{FAKE_SERVER}'\nscope = \"workspace\"\n"
    ));
    let address = free_address().to_string();
    let port = address.rsplit_once(':').unwrap().1;
    for round in 0..2 {
        let mut serve = home.mcpool(&["serve", "--standalone", "--port", port]);
        let mut daemon = serve.stderr(Stdio::piped()).spawn().unwrap();
        until("the port", || TcpStream::connect(&address).is_ok());
        let repo = home.project("other");
        let mut web = Web::at(&address, &format!("/mcp?repo={}", repo.display()));
        web.begin("2025-11-25", json!({}));
        let workspace = home.status()["sessions"][0]["workspace"].clone();
        assert_eq!(workspace, repo.to_str().unwrap());
        web.delete();
        home.done(&["stop"]);
        assert!(daemon.wait().unwrap().success());
        let mut errors = String::new();
        let mut stderr = daemon.stderr.take().unwrap();
        stderr.read_to_string(&mut errors).unwrap();
        assert_eq!(
            errors.matches("`--standalone` means nothing").count(),
            1 - round,
            "{errors}"
        );
    }
}

#[test]
fn a_port_that_cannot_be_had_is_no_daemon() {
    let home = Home::new();
    let other = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = other.local_addr().unwrap().port().to_string();
    let ran = finish(&mut home.mcpool(&["serve", "--port", &port]));
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert!(ran.stderr.contains(&port), "{ran:?}");
    // One that runs already would not listen there.
    let ran = finish(&mut home.mcpool(&["serve", "--upgrade", "--port", &port]));
    assert_eq!(ran.code, Some(2), "{ran:?}");
    assert!(ran.stderr.contains("--upgrade"), "{ran:?}");
}

#[test]
fn the_servers_of_each_system_are_found_where_it_has_them() {
    let home = Home::new();
    let write = |path: PathBuf, name: &str| {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        let text = json!({"mcpServers": {name: {"command": FAKE_SERVER}}});
        fs::write(&path, text.to_string()).unwrap();
        path
    };
    let project = home.project("project");
    write(home.user().join(".mcpproxy/mcp_config.json"), "of-mcpproxy");
    write(project.join("mcp_proxy_config.json"), "of-smart");
    let named = write(home.root().join("elsewhere.json"), "of-variable");
    let aitkit = "lib/mcpproxy/mcp_proxy_config.json";
    write(home.user().join(".aitkit").join(aitkit), "of-aitkit");
    let root = home.root().join("kit");
    write(root.join(aitkit), "of-root");
    for (system, variable, name) in [
        ("mcpproxy", None, "of-mcpproxy"),
        ("smart-mcp-proxy", None, "of-smart"),
        (
            "smart-mcp-proxy",
            Some(("MCPPROXY_CONFIG_PATH", &named)),
            "of-variable",
        ),
        ("aitkit", None, "of-aitkit"),
        ("aitkit", Some(("AITKIT_ROOT", &root)), "of-root"),
    ] {
        let mut command = home.mcpool(&["import", "--from", system, "--apply"]);
        let ran = finish(command.envs(variable));
        assert_eq!(ran.code, Some(0), "{system}: {ran:?}");
        assert!(ran.stdout.contains(name), "{system}: {ran:?}");
    }
    // A client's new entry for one of them.
    let mut client = home.configured("of-root");
    assert_eq!(client.text("echo", json!({"text": "hello"})), "hello");
}

#[test]
fn a_profile_that_was_imported_is_the_same_daemon_under_its_name() {
    let (home, remote) = (Home::new(), RemoteSocket::start(true));
    let place = url(&remote);
    profile(
        &home,
        &format!(
            "[quarry]\nurl = \"{place}\"\n[quarry.headers]\nAuthorization = \"Bearer profile-token\"\n"
        ),
    );
    home.done(&["import", "--from", "mcp-proxy", "--apply"]);
    let mut client = home.configured("quarry");
    assert_eq!(client.text("echo", json!({"text": "hello"})), "hello");
    let token = Some("Bearer profile-token".to_owned());
    assert_eq!(remote.authorized(), std::slice::from_ref(&token));
}
