//! `import --from`: servers of other systems, from where each of them has them.

use std::fs;

use serde_json::{Value, json};

use crate::support::{Home, finish};

#[test]
fn a_system_that_is_not_there_is_told_with_where_it_was_looked_for() {
    let home = Home::new();
    for (system, place) in [
        ("mcp-proxy", ".punt-labs/mcp-proxy/*.toml"),
        ("smart-mcp-proxy", "mcp_config.json, mcp_proxy_config.json"),
        ("mcpproxy", ".mcpproxy/mcp_config.json"),
        ("aitkit", ".aitkit/lib/mcpproxy/mcp_proxy_config.json"),
        ("code-intelligence", ".code-intelligence/server.toml"),
    ] {
        let ran = home.run(&["import", "--from", system]);
        assert_eq!(ran.code, Some(1), "{ran:?}");
        for part in [place, "--from FILE"] {
            assert!(ran.stderr.contains(part), "{system}: {ran:?}");
        }
    }
}

#[test]
fn the_daemon_of_code_intelligence_is_told_of_the_workspace_in_its_address() {
    let settings = ".code-intelligence/server.toml";
    for (text, address) in [
        (None, "http://127.0.0.1:17800/mcp?repo=${workspace}"),
        (
            Some("[server]\nhost = \"localhost\"\nport = 3333\n"),
            "http://localhost:3333/mcp?repo=${workspace}",
        ),
    ] {
        let home = Home::new();
        fs::create_dir_all(home.user().join(".code-intelligence")).unwrap();
        if let Some(text) = text {
            home.keep(settings, text);
        }
        home.done(&["import", "--from", "code-intelligence", "--apply"]);
        let config = fs::read_to_string(home.pool().join("config.toml")).unwrap();
        let expected =
            format!("[servers.code-intelligence]\nurl = \"{address}\"\nscope = \"workspace\"\n");
        assert_eq!(config, expected);
        assert!(home.done(&["list"]).contains("code-intelligence"));
        home.done(&["undo"]);
        assert!(!home.pool().join("config.toml").exists());
    }
}

/// What smart-mcp-proxy, mcpproxy, aitkit and mcp-proxy have where they have it.
#[test]
fn each_other_system_is_found_where_it_keeps_its_servers() {
    let one = r#"{"mcpServers": {"memory": {"command": "npx", "args": ["-y", "server"]}}}"#;
    for (system, path, text) in [
        ("mcpproxy", ".mcpproxy/mcp_config.json", one),
        ("aitkit", ".aitkit/lib/mcpproxy/mcp_proxy_config.json", one),
        ("smart-mcp-proxy", "../project/mcp_config.json", one),
        ("smart-mcp-proxy", "../project/mcp_proxy_config.json", one),
        (
            "mcp-proxy",
            ".punt-labs/mcp-proxy/memory.toml",
            "[memory]\nurl = \"ws://localhost:8420/mcp\"\n",
        ),
    ] {
        let home = Home::new();
        home.keep(path, text);
        home.done(&["import", "--from", system, "--apply"]);
        let config = fs::read_to_string(home.pool().join("config.toml")).unwrap();
        assert!(config.contains("[servers.memory]"), "{system}: {config}");
    }
    let home = Home::new();
    let elsewhere = home.keep("elsewhere.json", one);
    let mut command = home.mcpool(&["import", "--from", "smart-mcp-proxy", "--apply"]);
    let ran = finish(command.env("MCPPROXY_CONFIG_PATH", elsewhere));
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let mut command = home.mcpool(&["import", "--from", "aitkit"]);
    let ran = finish(command.env("AITKIT_ROOT", home.user().join("nowhere")));
    assert!(ran.stderr.contains("nowhere"), "{ran:?}");
}

#[test]
fn a_file_of_mcp_proxy_without_a_profile_keeps_none_of_the_others_out() {
    let home = Home::new();
    let folder = ".punt-labs/mcp-proxy";
    home.keep(&format!("{folder}/a.toml"), "[a]\nlevel = \"debug\"\n");
    let ran = home.run(&["import", "--from", "mcp-proxy", "--apply"]);
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert!(ran.stderr.contains("a.toml has no servers"), "{ran:?}");

    home.keep(
        &format!("{folder}/b.toml"),
        "[b]\nurl = \"ws://localhost:8420/mcp\"\n",
    );
    home.done(&["import", "--from", "mcp-proxy", "--apply"]);
    let config = fs::read_to_string(home.pool().join("config.toml")).unwrap();
    assert_eq!(config, "[servers.b]\nurl = \"ws://localhost:8420/mcp\"\n");
}

#[test]
fn a_server_that_is_rewritten_since_stays_and_that_is_said() {
    let home = Home::new();
    let servers = r#"{"servers": {"a": {"command": "npx"}, "b": {"command": "uvx"}}}"#;
    let servers = home.keep("a.json", servers);
    home.done(&["import", "--from", servers.to_str().unwrap(), "--apply"]);
    let config = home.pool().join("config.toml");
    let text = fs::read_to_string(&config).unwrap();
    fs::write(&config, text.replace("\"npx\"", "\"mine\"")).unwrap();
    let said = home.done(&["undo"]);
    assert!(
        said.contains("keeps what you have rewritten since: a."),
        "{said}"
    );
    assert!(said.contains("is taken back: b."), "{said}");
    let now = fs::read_to_string(&config).unwrap();
    assert!(now.contains("mine") && !now.contains("uvx"), "{now}");
    assert_eq!(home.done(&["undo"]), "There is nothing to undo.\n");
}

#[test]
fn comments_that_come_into_the_configuration_since_stay_when_its_servers_go() {
    let home = Home::new();
    home.configure("# mine\n");
    let servers = r#"{"servers": {"v": {"command": "npx"}, "w": {"command": "uvx"}}}"#;
    let servers = home.keep("a.json", servers);
    home.done(&["import", "--from", servers.to_str().unwrap(), "--apply"]);
    let config = home.pool().join("config.toml");
    let text = fs::read_to_string(&config).unwrap();
    let noted = text.replace("[servers.w]", "# my note on w\n[servers.w] # of the header");
    fs::write(&config, noted + "# edited\n").unwrap();
    let said = home.done(&["undo"]);
    assert!(said.contains("is taken back: v, w."), "{said}");
    assert_eq!(
        fs::read_to_string(&config).unwrap(),
        "# mine\n\n# my note on w\n# of the header\n# edited\n"
    );
}

#[test]
fn variables_of_smart_mcp_proxy_that_mean_nothing_are_told_once() {
    let home = Home::new();
    home.keep(
        "../project/mcp_config.json",
        r#"{"mcpServers": {"a": {"command": "npx"}}}"#,
    );
    let import = |system: &str| {
        let mut command = home.mcpool(&["import", "--from", system]);
        command
            .env("MCPPROXY_TOP_K", "7")
            .env("MCPPROXY_../x", "1")
            .env(
                "MCPPROXY_CONFIG_PATH",
                home.root().join("project/mcp_config.json"),
            );
        finish(&mut command).stderr
    };
    assert!(!import("mcpproxy").contains("means nothing"));
    let said = import("smart-mcp-proxy");
    assert_eq!(said.matches("means nothing").count(), 1, "{said}");
    assert!(
        said.contains("MCPPROXY_TOP_K means nothing to mcpool"),
        "{said}"
    );
    assert!(!import("smart-mcp-proxy").contains("means nothing"));
}

#[test]
fn a_second_time_what_is_there_and_the_same_is_said_and_only_another_is_in_the_way() {
    let home = Home::new();
    let text = r#"{"mcpServers": {"a": {"command": "npx", "args": ["-y", "s"]}, "b": {"command": "uvx"}}}"#;
    let servers = home.keep("a.json", text);
    let from = ["import", "--from", servers.to_str().unwrap(), "--apply"];
    home.done(&from);
    let config = home.pool().join("config.toml");
    // How it is served is the user's.
    let text = fs::read_to_string(&config).unwrap();
    let text = text.replace("[servers.b]\n", "[servers.b]\nscope = \"global\"\n");
    fs::write(&config, &text).unwrap();
    let said = home.done(&from);
    assert!(said.starts_with("There is nothing to import."), "{said}");
    assert!(said.contains("and the same: a, b."), "{said}");
    assert!(!said.contains("remove it first"), "{said}");
    assert_eq!(fs::read_to_string(&config).unwrap(), text);

    fs::write(&config, text.replace("\"npx\"", "\"mine\"")).unwrap();
    let said = home.done(&from);
    assert!(said.contains("and the same: b."), "{said}");
    assert_eq!(
        said.matches("remove it first: `mcpool remove a`").count(),
        1,
        "{said}"
    );
}

#[test]
fn what_is_not_taken_over_is_told_and_the_rest_comes_in() {
    let home = Home::new();
    let servers = home.keep(
        ".codex/config.toml",
        "[mcp_servers.a]\ncommand = \"npx\"\nenv_vars = [\"TOKEN\"]\n\
         [mcp_servers.b]\ncommand = \"uvx\"\nargs = \"-q s\"\n\
         [mcp_servers.c]\ncommand = \"c\"\n",
    );
    let said = home.done(&["import", "--from", servers.to_str().unwrap(), "--apply"]);
    for part in [
        "its `env_vars` is not taken over",
        "args is no list of texts",
    ] {
        assert!(said.contains(part), "{said}");
    }
    let config = fs::read_to_string(home.pool().join("config.toml")).unwrap();
    assert_eq!(config, "[servers.c]\ncommand = \"c\"\n");
}

#[test]
fn what_goes_through_mcpool_already_is_not_taken_for_a_server() {
    let home = Home::new();
    home.configure("[http]\nlisten = [\"127.0.0.1:7001\"]\n");
    let text = r#"{"mcpServers": {
        "name": {"command": "/x/mcpool", "args": ["connect", "name"]},
        "line": {"command": "mcpool", "args": ["--home", "/x", "connect", "--", "npx"]},
        "address": {"url": "http://127.0.0.1:7001/mcp/address"},
        "host": {"url": "http://localhost:7001/mcp/host?workspace=/x"},
        "socket": {"url": "ws://127.0.0.1:7001/ws/socket"},
        "only": {"url": "http://127.0.0.1:7001/mcp"},
        "other": {"url": "http://localhost:7002/mcp/other"}
    }}"#;
    let servers = home.keep(".cursor/mcp.json", text);
    let ran = home.run(&["import", "--json", "--from", servers.to_str().unwrap()]);
    assert_eq!(ran.code, Some(5), "{ran:?}");
    let said: Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!(said["servers"], json!(["other"]), "{said}");
    let left = said["left"].as_array().unwrap();
    assert_eq!(left.len(), 6, "{said}");
    for server in left {
        assert_eq!(server["reason"], "it goes through mcpool already");
    }
    // Nor is it put before itself.
    let said = home.done(&["import", "--server", "line"]);
    assert!(said.contains("There is nothing to import."), "{said}");
}

#[test]
fn what_could_not_be_looked_at_is_a_failure() {
    let home = Home::new();
    let one = home.keep("a.json", r#"{"mcpServers": {"a": {"command": "x"}}}"#);
    let one = one.to_str().unwrap();
    let none = home.keep("amp.json", r#"{"amp.mcpServers": {"a": {"command": "x"}}}"#);
    let none = none.to_str().unwrap();
    let profile = home.keep("p.toml", "[a]\nuri = \"ws://localhost:1\"\n");
    let profile = profile.to_str().unwrap();
    let fails = |arguments: &[&str], why: &[&str]| {
        let ran = home.run(&[&["import", "--apply", "--from"], arguments].concat());
        assert_eq!(ran.code, Some(1), "{ran:?}");
        for part in why {
            assert!(ran.stderr.contains(part), "{ran:?}");
        }
    };
    fails(&[none], &["amp.json has no servers", "`mcpServers`"]);
    fails(&[profile], &["p.toml has no servers"]);
    fails(
        &[one, "--server", "a", "--server", "b"],
        &["no server named b is there", "without --server"],
    );
    let config = home.pool().join("config.toml");
    assert!(!config.exists());

    home.configure("[servers.x]\ncommand = \n");
    fails(&[one], &["config.toml:2:"]);
    let text = fs::read_to_string(&config).unwrap();
    assert_eq!(text, "[servers.x]\ncommand = \n");
}
