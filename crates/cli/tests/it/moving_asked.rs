//! `import` asks clients, by their own commands, which servers they have before and after it.

use std::fs;

use crate::support::{Home, finish, programs};

#[test]
fn a_client_is_asked_whether_it_has_what_was_imported() {
    let home = Home::new();
    let codex = "[mcp_servers.memory]\ncommand = \"npx\"\n";
    home.keep(".codex/config.toml", codex);
    let programs = home.root().join("programs");
    fs::create_dir(&programs).unwrap();
    let program = programs.join("codex");
    for (script, expected) in [
        ("echo '[{\"name\": \"memory\"}]'", "codex lists all of them"),
        ("echo '[]'", "codex does not list memory"),
        ("echo memory: failed", "codex lists memory, and says"),
        ("exit 1", "codex did not say which servers it has"),
    ] {
        programs::write(&program, format!("#!/bin/sh\n{script}\n"));
        let mut command = home.mcpool(&["import", "--apply"]);
        let path = format!("{}:/usr/bin:/bin", programs.display());
        let ran = finish(command.env("PATH", path));
        assert_eq!(ran.code, Some(0), "{ran:?}");
        assert!(ran.stdout.contains(expected), "{ran:?}");
        home.done(&["undo"]);
    }
}

#[test]
fn a_server_that_a_client_lists_only_since_the_import_is_named() {
    let home = Home::new();
    let entry = r#"{"mcpServers": {"memory": {"command": "npx", "args": ["s"]}}}"#;
    home.keep(".claude.json", entry);
    let programs = home.root().join("programs");
    fs::create_dir(&programs).unwrap();
    // A plugin's server is hidden while one of the user's starts the same.
    let script = "#!/bin/sh\necho 'memory: npx s - ✓ Connected'\n\
                  grep -q connect \"$HOME/.claude.json\" && echo 'plugin:p:memory: npx s - ✓ Connected'\n\
                  echo done\n";
    programs::write(programs.join("claude"), script);
    let path = format!("{}:/usr/bin:/bin", programs.display());
    let run = |arguments: &[&str]| {
        let ran = finish(home.mcpool(arguments).env("PATH", &path));
        assert_eq!(ran.code, Some(0), "{ran:?}");
        ran.stdout
    };
    let said = run(&["import", "--apply"]);
    assert!(
        said.contains("claude-code lists since then, and did not before: plugin:p:memory."),
        "{said}"
    );
    assert!(said.contains("claude-code lists all of them"), "{said}");
    home.done(&["undo"]);
    let told: serde_json::Value =
        serde_json::from_str(&run(&["import", "--apply", "--json"])).unwrap();
    assert_eq!(told["appeared"][0]["servers"][0], "plugin:p:memory");
    assert!(!run(&["import", "--apply"]).contains("plugin"));
}
