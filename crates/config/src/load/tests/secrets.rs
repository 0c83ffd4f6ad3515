//! Files with secrets, and where programs are.

use super::*;

#[test]
fn files_with_secrets_and_folders_of_programs_are_named_absolutely() {
    let server = server(
        "[servers.a]\ncommand = \"x\"\nenv_file = \"~/.secrets/a\"\npath = \"/opt/bin:/usr/bin\"\n",
    );
    assert_eq!(server.env_file.as_deref(), Some(Path::new("~/.secrets/a")));
    assert_eq!(server.path.as_deref(), Some("/opt/bin:/usr/bin"));
    let config = read("[daemon]\npath = \"/usr/bin\"\n").expect("loads");
    assert_eq!(config.daemon.path.as_deref(), Some("/usr/bin"));
    check_errors(
        &[
            "[servers.a]\ncommand = \"x\"\nenv_file = \".env\"\n",
            "[servers.a]\ncommand = \"x\"\nenv_file = [\"/a\"]\n",
            "[servers.a]\ncommand = \"x\"\npath = \"/bin:\"\n",
            "[daemon]\npath = \"bin\"\n",
            "[servers.a]\ncommand = \"x\"\nenv = { A = \"${file:a}\" }\n",
        ],
        &expect![[r#"
            [servers.a]
            command = "x"
            env_file = ".env"
                config.toml:3:12: servers.a.env_file: ".env" is neither an absolute path nor one that begins with `~/`
            [servers.a]
            command = "x"
            env_file = ["/a"]
                config.toml:3:12: servers.a.env_file: expected a string, found an array
            [servers.a]
            command = "x"
            path = "/bin:"
                config.toml:3:8: servers.a.path: "" is not the absolute path of a folder (write them like "/usr/local/bin:/usr/bin:/bin")
            [daemon]
            path = "bin"
                config.toml:2:8: daemon.path: "bin" is not the absolute path of a folder (write them like "/usr/local/bin:/usr/bin:/bin")
            [servers.a]
            command = "x"
            env = { A = "${file:a}" }
                config.toml:3:21: servers.a.env.A: "a" is neither an absolute path nor one that begins with `~/`
        "#]],
    );
}
