//! `import --http`: clients that find their servers at addresses of mcpool, and the way back.

use std::{
    fs::{self, Permissions},
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::{Path, PathBuf},
};

use expect_test::expect;

use crate::support::{Home, finish};

const LISTENS: &str = "# mine\n[http]\nlisten = [\"127.0.0.1:17665\"]\n";

const CURSOR: &str = r#"{
  "mcpServers": {
    "memory": {
      "command": "npx",
      "args": ["-y", "server-memory"],
      "env": {"TOKEN": "ghp_secret"},
      "disabledTools": ["wipe"]
    },
    "home": {"command": "npx", "args": ["${HOME}/x"]},
    "remote": {"url": "https://mcp.example.com/mcp"}
  },
  "n": 0.30142500000000005
}
"#;

const CODEX: &str = "\
# mine
[mcp_servers.memory]
command = \"npx\" # why
args = [\"-y\", \"server-memory\"]
startup_timeout_sec = 20

[mcp_servers.memory.env]
TOKEN = \"ghp_secret\"

[mcp_servers.time]
command = \"uvx\"
args = [\"mcp-server-time\"]
env_vars = [\"TZ\"]
";

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap()
}

fn config(home: &Home) -> PathBuf {
    home.pool().join("config.toml")
}

fn anonymous(home: &Home, text: &str) -> String {
    text.replace(env!("CARGO_BIN_EXE_mcpool"), "MCPOOL")
        .replace(home.pool().to_str().unwrap(), "POOL")
}

#[test]
fn a_plan_shows_what_comes_into_the_configuration_and_what_stays_without_an_address() {
    let home = Home::new();
    home.configure(LISTENS);
    fs::set_permissions(config(&home), Permissions::from_mode(0o644)).unwrap();
    let cursor = home.keep(".cursor/mcp.json", CURSOR);
    let codex = home.keep(".codex/config.toml", CODEX);

    let ran = home.run(&["import", "--http"]);
    assert_eq!(ran.code, Some(5), "{ran:?}");
    expect![[r#"
        --- POOL/config.toml
        +++ POOL/config.toml (through mcpool)
        @@ -1,3 +1,8 @@
         # ***
         [http]
         listen = ["127.0.0.1:17665"]
        +
        +[servers.memory]
        +command = "npx"
        +args = ["-y", "server-memory"]
        +env = { TOKEN = "***" }
        --- ~/.codex/config.toml
        +++ ~/.codex/config.toml (through mcpool)
        @@ -1,13 +1,10 @@
         # ***
         [mcp_servers.memory]
        -command = "npx" # ***
        -args = ["-y", "server-memory"]
        +url = "http://127.0.0.1:17665/mcp/memory" # ***
         startup_timeout_sec = 20
         
        -[mcp_servers.memory.env]
        -TOKEN = "***"
         
         [mcp_servers.time]
        -command = "uvx"
        -args = ["mcp-server-time"]
        +command = "MCPOOL"
        +args = ["connect", "--home", "POOL", "--name", "time", "--env", "TZ", "--", "uvx", "mcp-server-time"]
         env_vars = ["TZ"]
        --- ~/.cursor/mcp.json
        +++ ~/.cursor/mcp.json (through mcpool)
        @@ -1,12 +1,10 @@
         {
           "mcpServers": {
             "memory": {
        -      "command": "npx",
        -      "args": ["-y", "server-memory"],
        -      "env": {"TOKEN": "***"},
        +      "url": "http://127.0.0.1:17665/mcp/memory",
               "disabledTools": ["wipe"]
             },
        -    "home": {"command": "npx", "args": ["${HOME}/x"]},
        +    "home": {"command": "MCPOOL", "args": ["connect", "--home", "POOL", "--name", "home", "--", "npx", "${HOME}/x"]},
             "remote": {"url": "https://mcp.example.com/mcp"}
           },
           "n": 0.30142500000000005

        CLIENT  SERVER  LEFT ALONE, BECAUSE
        cursor  remote  a remote server: no session starts a process for it

        CLIENT  SERVER  NO ADDRESS, BECAUSE
        codex   time    variables come from the client's environment
        cursor  home    the client fills in a variable

        What may be a secret comes into POOL/config.toml, which others may read: it is made yours alone (mode 0600).
        No client starts mcpool for an address: `mcpool service install` has it run, or a session over stdio.
        A server that is reached at an address without `?workspace=` starts in your home folder, and is one for all projects.
    "#]].assert_eq(&anonymous(&home, &ran.stdout));
    assert_eq!((read(&cursor), read(&codex)), (CURSOR.into(), CODEX.into()));
    assert_eq!(read(&config(&home)), LISTENS);
}

#[test]
fn servers_go_into_the_configuration_and_clients_are_told_where_they_are() {
    let home = Home::new();
    home.configure(LISTENS);
    fs::set_permissions(config(&home), Permissions::from_mode(0o644)).unwrap();
    let cursor = home.keep(".cursor/mcp.json", CURSOR);
    let codex = home.keep(".codex/config.toml", CODEX);
    home.done(&["import", "--http", "--apply"]);
    expect![[r##"
        # mine
        [http]
        listen = ["127.0.0.1:17665"]

        [servers.memory]
        command = "npx"
        args = ["-y", "server-memory"]
        env = { TOKEN = "ghp_secret" }
    "##]]
    .assert_eq(&read(&config(&home)));
    assert_eq!(fs::metadata(config(&home)).unwrap().mode() & 0o777, 0o600);
    expect![[r#"
        {
          "mcpServers": {
            "memory": {
              "url": "http://127.0.0.1:17665/mcp/memory",
              "disabledTools": ["wipe"]
            },
            "home": {"command": "MCPOOL", "args": ["connect", "--home", "POOL", "--name", "home", "--", "npx", "${HOME}/x"]},
            "remote": {"url": "https://mcp.example.com/mcp"}
          },
          "n": 0.30142500000000005
        }
    "#]].assert_eq(&anonymous(&home, &read(&cursor)));
    expect![[r##"
        # mine
        [mcp_servers.memory]
        url = "http://127.0.0.1:17665/mcp/memory" # why
        startup_timeout_sec = 20


        [mcp_servers.time]
        command = "MCPOOL"
        args = ["connect", "--home", "POOL", "--name", "time", "--env", "TZ", "--", "uvx", "mcp-server-time"]
        env_vars = ["TZ"]
    "##]].assert_eq(&anonymous(&home, &read(&codex)));
    let imported = (read(&cursor), read(&codex), read(&config(&home)));

    let again = home.run(&["import", "--http", "--apply"]);
    assert_eq!(again.code, Some(0), "{again:?}");
    assert!(again.stdout.starts_with("There is nothing to import."));
    let now = (read(&cursor), read(&codex), read(&config(&home)));
    assert_eq!(now, imported);

    home.done(&["undo"]);
    assert_eq!((read(&cursor), read(&codex)), (CURSOR.into(), CODEX.into()));
    assert_eq!(read(&config(&home)), LISTENS);
    assert_eq!(fs::metadata(config(&home)).unwrap().mode() & 0o777, 0o644);
    assert_eq!(home.done(&["undo"]), "There is nothing to undo.\n");
}

#[test]
fn a_name_that_another_server_has_is_told_and_the_client_starts_its_own() {
    let home = Home::new();
    let mine = format!("{LISTENS}\n[servers.memory]\ncommand = \"other\"\n");
    home.configure(&mine);
    let cursor = home.keep(".cursor/mcp.json", CURSOR);
    let ran = home.run(&["import", "--http", "--apply", "--server", "memory"]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let reason = "mcpool has a server named `memory` already, with another command";
    assert!(ran.stdout.contains(reason), "{ran:?}");
    assert!(read(&cursor).contains("\"connect\""));
    assert_eq!(read(&config(&home)), mine);
    home.done(&["undo"]);
    assert_eq!(read(&cursor), CURSOR);
}

#[test]
fn one_server_of_two_clients_is_configured_once_and_one_that_is_there_is_used() {
    let home = Home::new();
    let mine = format!(
        "{LISTENS}\n[servers.time]\ncommand = \"uvx\"\nargs = [\"mcp-server-time\"]\nscope = \"global\"\n"
    );
    home.configure(&mine);
    let entry = r#"{"command": "uvx", "args": ["mcp-server-time"]}"#;
    let other = r#"{"command": "uvx", "args": ["mcp-server-fetch"]}"#;
    let text = format!(r#"{{"mcpServers": {{"time": {entry}, "fetch": {other}}}}}"#);
    let clients = [
        ".cursor/mcp.json",
        ".kiro/settings/mcp.json",
        ".claude.json",
    ];
    let files = clients.map(|client| home.keep(client, &text));
    home.done(&["import", "--http", "--apply"]);
    let now = read(&config(&home));
    assert_eq!(now.matches("[servers.fetch]").count(), 1, "{now}");
    assert_eq!(fs::metadata(config(&home)).unwrap().mode() & 0o777, 0o600);
    assert!(now.starts_with(&mine), "{now}");
    for file in &files {
        let text = read(file);
        for name in ["time", "fetch"] {
            let address = format!("http://127.0.0.1:17665/mcp/{name}\"");
            assert!(text.contains(&address), "{text}");
        }
    }
    home.done(&["undo"]);
    assert_eq!(read(&config(&home)), mine);
    for file in &files {
        assert_eq!(read(file), text);
    }
}

#[test]
fn what_has_changed_since_keeps_its_changes_and_has_its_command_lines_again() {
    let home = Home::new();
    home.configure(LISTENS);
    let cursor = home.keep(".cursor/mcp.json", CURSOR);
    let codex = home.keep(".codex/config.toml", CODEX);
    home.done(&["import", "--http", "--apply"]);
    for (file, from, to) in [
        (
            &cursor,
            "\"disabledTools\"",
            "\"disabled\": true, \"disabledTools\"",
        ),
        (
            &codex,
            "startup_timeout_sec = 20",
            "startup_timeout_sec = 30\nenabled = false",
        ),
    ] {
        let text = read(file);
        assert_ne!(text.replace(from, to), text);
        fs::write(file, text.replace(from, to)).unwrap();
    }
    home.done(&["undo"]);
    expect![[r#"
        {
          "mcpServers": {
            "memory": {
              "command": "npx",
              "args": ["-y", "server-memory"],
              "env": {"TOKEN": "ghp_secret"},
              "disabled": true, "disabledTools": ["wipe"]
            },
            "home": {"command": "npx", "args": ["${HOME}/x"]},
            "remote": {"url": "https://mcp.example.com/mcp"}
          },
          "n": 0.30142500000000005
        }
    "#]]
    .assert_eq(&read(&cursor));
    expect![[r##"
        # mine
        [mcp_servers.memory]
        command = "npx" # why
        args = ["-y", "server-memory"]
        startup_timeout_sec = 30
        env = { TOKEN = "ghp_secret" }
        enabled = false


        [mcp_servers.time]
        command = "uvx"
        args = ["mcp-server-time"]
        env_vars = ["TZ"]
    "##]]
    .assert_eq(&read(&codex));
}

#[test]
fn a_path_that_is_relative_keeps_a_server_with_its_client() {
    let home = Home::new();
    home.configure(LISTENS);
    let text = r#"{"mcpServers": {"files": {"command": "npx", "args": ["server-files", "."]}}}"#;
    let path = home.keep(".cursor/mcp.json", text);
    let ran = home.run(&["import", "--http", "--apply"]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(ran.stdout.contains("a path in it is relative"), "{ran:?}");
    assert!(read(&path).contains("\"connect\""));
    assert_eq!(read(&config(&home)), LISTENS);
}

#[test]
fn a_configuration_that_only_a_person_can_change_keeps_servers_with_their_clients() {
    let home = Home::new();
    let mine = format!("servers = {{ other = {{ command = \"x\" }} }}\n{LISTENS}");
    home.configure(&mine);
    let path = home.keep(".cursor/mcp.json", CURSOR);
    let ran = home.run(&["import", "--http", "--apply"]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(ran.stdout.contains("NO ADDRESS, BECAUSE"), "{ran:?}");
    assert!(read(&path).contains("\"connect\""));
    assert_eq!(read(&config(&home)), mine);
}

#[test]
fn a_client_s_file_that_is_gone_names_no_address() {
    let home = Home::new();
    home.configure(LISTENS);
    let path = home.keep(".cursor/mcp.json", CURSOR);
    home.done(&["import", "--http", "--apply"]);
    fs::remove_file(&path).unwrap();
    let ran = home.run(&["undo"]);
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert!(ran.stdout.contains("it is not there any more"), "{ran:?}");
    assert_eq!(read(&config(&home)), LISTENS);
}

#[test]
fn servers_of_projects_and_files_of_projects_are_told_apart() {
    let home = Home::new();
    home.configure(LISTENS);
    let entry = r#"{"command": "uvx", "args": ["x"]}"#;
    let claude = format!(r#"{{"projects": {{"/src/a b": {{"mcpServers": {{"x": {entry}}}}}}}}}"#);
    let claude = home.keep(".claude.json", &claude);
    let project = home.project("project").join(".cursor/mcp.json");
    fs::create_dir_all(project.parent().unwrap()).unwrap();
    fs::write(&project, format!(r#"{{"mcpServers": {{"y": {entry}}}}}"#)).unwrap();
    let programs = PathBuf::from(env!("CARGO_BIN_EXE_mcpool"));
    let mut command = home.mcpool(&["import", "--http", "--apply"]);
    let ran = finish(command.env("PATH", programs.parent().unwrap()));
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let address = "http://127.0.0.1:17665/mcp/x?workspace=/src/a%20b";
    assert!(read(&claude).contains(address), "{}", read(&claude));
    assert!(read(&project).contains("\"connect\""));
    assert!(
        ran.stdout.contains("the project's file is for others too"),
        "{ran:?}"
    );
}

#[test]
fn without_an_address_or_with_the_token_alone_nothing_is_written() {
    for (config, expected) in [
        ("", "listens at no fixed address"),
        (
            "[http]\nlisten = [\"127.0.0.1:0\"]\n",
            "listens at no fixed address",
        ),
        (
            "[http]\nlisten = [\"127.0.0.1:17665\"]\nauth = \"token\"\n",
            "lets nobody in without the token",
        ),
    ] {
        let home = Home::new();
        home.configure(config);
        let path = home.keep(".cursor/mcp.json", CURSOR);
        let ran = home.run(&["import", "--http", "--apply"]);
        assert_eq!(ran.code, Some(1), "{ran:?}");
        assert!(ran.stderr.contains(expected), "{ran:?}");
        assert_eq!(read(&path), CURSOR);
    }
}

/// Every client, and where it has its file.
const FILES: [(&str, &str); 15] = [
    ("claude-code", ".claude.json"),
    (
        "claude-desktop",
        ".config/Claude/claude_desktop_config.json",
    ),
    ("codex", ".codex/config.toml"),
    ("gemini", ".gemini/settings.json"),
    ("cursor", ".cursor/mcp.json"),
    ("vscode", ".config/Code/User/mcp.json"),
    ("windsurf", ".codeium/windsurf/mcp_config.json"),
    ("zed", ".config/zed/settings.json"),
    ("opencode", ".config/opencode/opencode.json"),
    ("cline", ".cline/mcp.json"),
    ("continue", ".continue/config.yaml"),
    ("goose", ".config/goose/config.yaml"),
    ("kiro", ".kiro/settings/mcp.json"),
    ("copilot", ".copilot/mcp-config.json"),
    ("amp", ".config/amp/settings.json"),
];

/// The files as people have them, of which the crate `config` knows what is in them.
fn real_shaped(client: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../config/tests/clients");
    let files = fs::read_dir(folder.join(client)).unwrap();
    let files: Vec<PathBuf> = files.map(|file| file.unwrap().path()).collect();
    assert!(files.len() >= 10, "{client} has {} files", files.len());
    files
}

/// Imports each file of a client and takes it back; how many have changed in between.
fn there_and_back(home: &Home, client: &str, path: &str, options: &[&str]) -> usize {
    let mut changed = 0;
    for file in real_shaped(client) {
        let before = fs::read(&file).unwrap();
        let path = home.keep(path, "");
        fs::write(&path, &before).unwrap();
        let import = [&["import", "--apply", "--client", client][..], options].concat();
        let ran = home.run(&import);
        let now = fs::read(&path).unwrap();
        changed += usize::from(now != before);
        assert!(
            ran.code == Some(0) || now == before && ran.stdout.contains("is not touched"),
            "{}: {ran:?}",
            file.display()
        );
        let again = home.run(&import);
        assert_eq!(
            fs::read(&path).unwrap(),
            now,
            "{}: {again:?}",
            file.display()
        );
        home.done(&["undo"]);
        assert_eq!(fs::read(&path).unwrap(), before, "{}", file.display());
        assert_eq!(read(&config(home)), LISTENS, "{}", file.display());
        fs::remove_file(path).unwrap();
    }
    changed
}

#[test]
fn every_real_shaped_file_is_imported_and_undone_to_the_byte() {
    let home = Home::new();
    home.configure(LISTENS);
    for (client, path) in FILES {
        for options in [&[][..], &["--http"]] {
            let changed = there_and_back(&home, client, path, options);
            assert!(changed > 5, "{client}: {changed} files have changed");
        }
    }
}
