//! What an ad-hoc server is called if nobody says.
//!
//! **Invariant:** a label is a valid server name.

use std::{
    ffi::{OsStr, OsString},
    os::unix::ffi::OsStrExt,
    path::Path,
};

/// Longest name of a server, in bytes.
const NAME_MAX: usize = 64;

/// Programs that run what an argument names.
const LAUNCHERS: [&str; 14] = [
    "npx", "bunx", "pnpx", "uvx", "pipx", "npm", "pnpm", "yarn", "bun", "deno", "uv", "node",
    "python", "python3",
];

/// Launchers that do other things as well, so that a word has to say what.
const WITH_SUBCOMMANDS: [&str; 7] = ["pipx", "npm", "pnpm", "yarn", "bun", "deno", "uv"];

/// The words that say it.
const SUBCOMMANDS: [&str; 5] = ["exec", "x", "dlx", "run", "tool"];

/// Options of launchers that take the next argument with them.
const OPTIONS_WITH_VALUE: [&str; 11] = [
    "-p",
    "--package",
    "--with",
    "--python",
    "--directory",
    "--project",
    "--import",
    "--require",
    "-r",
    "-W",
    "-X",
];

/// Options of launchers whose value is what is run.
const NAMING_OPTIONS: [&str; 4] = ["-m", "--module", "--from", "--spec"];

/// Whether this can be the name of a server.
pub(crate) fn is_server_name(name: &str) -> bool {
    (1..=NAME_MAX).contains(&name.len())
        && name.bytes().all(is_name_byte)
        && ![".", ".."].contains(&name)
}

/// A name for the server that this command line runs.
pub(crate) fn of_command(command: &[OsString]) -> String {
    let program = command
        .first()
        .map_or(OsStr::new(""), |program| base_name(program));
    let run = if is_launcher(program) {
        // `npx .` runs the folder that it is in, whatever that is called.
        launched(program, &command[1..]).filter(|run| *run != "." && *run != "..")
    } else {
        None
    };
    sanitized(run.unwrap_or(program))
}

/// A name for the server that is known by this text, such as a host and port.
pub(crate) fn of_text(text: &str) -> String {
    sanitized(OsStr::new(text))
}

/// `python3.12` is as good as `python`.
fn is_launcher(program: &OsStr) -> bool {
    program.to_str().is_some_and(|program| {
        let stem = program.trim_end_matches(|c: char| c.is_ascii_digit() || c == '.');
        LAUNCHERS.contains(&program) || LAUNCHERS.contains(&stem)
    })
}

fn launched<'command>(
    launcher: &OsStr,
    arguments: &'command [OsString],
) -> Option<&'command OsStr> {
    let has_subcommands = WITH_SUBCOMMANDS.iter().any(|known| launcher == *known);
    let mut arguments = arguments.iter();
    while let Some(argument) = arguments.next() {
        let Some(text) = argument.to_str() else {
            return Some(base_name(argument));
        };
        if NAMING_OPTIONS.contains(&text) {
            return arguments.next().map(|value| package(value));
        }
        if OPTIONS_WITH_VALUE.contains(&text) {
            arguments.next();
        } else if !(text.starts_with('-') || has_subcommands && SUBCOMMANDS.contains(&text)) {
            return Some(package(argument));
        }
    }
    None
}

/// `@scope/server-echo@1.2` is `server-echo`; `dist/index.js` is `index`.
fn package(argument: &OsStr) -> &OsStr {
    let name = base_name(argument);
    if let Some(script) = Path::new(name).file_stem()
        && Path::new(name).extension().is_some_and(is_script)
    {
        return script;
    }
    let bytes = name.as_bytes();
    let end = bytes
        .iter()
        .skip(1)
        .position(|byte| b"@[=<>~!;".contains(byte))
        .map_or(bytes.len(), |at| at + 1);
    OsStr::from_bytes(&bytes[..end])
}

fn is_script(extension: &OsStr) -> bool {
    ["js", "mjs", "cjs", "ts", "mts", "py"]
        .iter()
        .any(|known| extension == *known)
}

fn base_name(path: &OsStr) -> &OsStr {
    Path::new(path).file_name().unwrap_or(path)
}

fn sanitized(name: &OsStr) -> String {
    let name: String = name
        .as_bytes()
        .iter()
        .take(NAME_MAX)
        .map(|byte| {
            if is_name_byte(*byte) {
                char::from(*byte)
            } else {
                '-'
            }
        })
        .collect();
    let name = name.trim_matches('-');
    if is_server_name(name) {
        name.to_owned()
    } else {
        "server".to_owned()
    }
}

fn is_name_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"._-".contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn label(command: &str) -> String {
        let command: Vec<OsString> = command.split(' ').map(OsString::from).collect();
        of_command(&command)
    }

    #[test]
    fn a_program_gives_its_own_name() {
        assert_eq!(label("/usr/bin/mcp-server-git --repo x"), "mcp-server-git");
        assert_eq!(label("docker run -i --rm image"), "docker");
    }

    #[test]
    fn a_launcher_gives_the_name_of_what_it_runs() {
        for (command, expected) in [
            ("npx -y @scope/server-echo@1.2.3 --flag", "server-echo"),
            ("/opt/node/bin/npx -p other @scope/cli", "cli"),
            ("npx -y exec", "exec"),
            ("npm exec -- @scope/server-echo", "server-echo"),
            ("uvx mcp-server-time==1.0 --tz UTC", "mcp-server-time"),
            ("uvx --from git+https://host/a/repo@v1 tool", "repo"),
            ("uv run --directory /srv server.py", "server"),
            ("uv tool run some-tool[extra]", "some-tool"),
            ("node --import tsx ./dist/index.js", "index"),
            ("python3.12 -u -m mcp_server_git", "mcp_server_git"),
            ("deno run -A npm:thing", "npm-thing"),
        ] {
            assert_eq!(label(command), expected, "{command}");
        }
    }

    #[test]
    fn a_launcher_that_runs_nothing_gives_its_own_name() {
        assert_eq!(label("npx -y"), "npx");
        assert_eq!(label("npx ."), "npx");
        assert_eq!(label("python3"), "python3");
    }

    #[test]
    fn every_label_is_a_server_name() {
        let long = "x".repeat(200);
        for command in [
            "/", "ü ", "a b", " ", ".", "./..", "npx ..", "node ---", &long, "npx /@/@",
        ] {
            let label = label(command);
            assert!(is_server_name(&label), "{command:?} gave {label:?}");
        }
        assert!(is_server_name(&of_command(&[])));
    }
}
