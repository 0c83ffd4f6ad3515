//! What a command line starts, said so that two ways to start the same thing say the same.
//!
//! `npx -y @modelcontextprotocol/server-memory`, `node …/server-memory/dist/index.js` and
//! `mcp-server-memory` are one server, whatever its version.

use std::ffi::OsStr;

use super::{launcher, words};

/// Words that stand in the names of all servers and tell none of them from another.
const COMMON: &[&str] = &["mcp", "modelcontextprotocol", "server", "servers"];

/// What a command line starts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommandIdentity {
    /// The name as it is written: of a package, module, program or image, without its version.
    pub name: String,
    /// Equal for two names of the same server.
    pub key: String,
    /// The server's own arguments, without those of what starts it.
    pub arguments: Vec<String>,
    /// Whether a name says that it is an MCP server.
    pub says_mcp: bool,
}

/// What a command line starts; `None` if it does not say, as `node -e …` does not.
pub fn identify<S: AsRef<OsStr>>(argv: &[S]) -> Option<CommandIdentity> {
    let found = launcher::find(&words(argv));
    let tells = |name: &&String| parts(name).any(|part| !COMMON.contains(&part.as_str()));
    // Of `--with PACKAGE PROGRAM` the program is meant, unless it is just `mcp-server`.
    let name = found.names.iter().rfind(tells).or(found.names.last())?;
    Some(CommandIdentity {
        name: name.clone(),
        key: key(name),
        says_mcp: found
            .names
            .iter()
            .any(|name| parts(name).any(|part| is_mcp(&part))),
        arguments: found.arguments.clone(),
    })
}

/// The name without what all servers are called.
fn key(name: &str) -> String {
    let telling: Vec<String> = parts(name)
        .filter(|part| !COMMON.contains(&part.as_str()))
        .collect();
    if telling.is_empty() {
        return name.to_lowercase();
    }
    telling.join("-")
}

fn parts(name: &str) -> impl Iterator<Item = String> {
    let parts = name.split(|character: char| !character.is_alphanumeric());
    parts.filter(|part| !part.is_empty()).map(str::to_lowercase)
}

/// `mcp`, `mcpserver`, `modelcontextprotocol`; our own name begins so, too.
fn is_mcp(part: &str) -> bool {
    let begins = part.starts_with("mcp") || part.ends_with("mcp");
    (begins && !part.starts_with("mcpool")) || part == "modelcontextprotocol"
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity(line: &str) -> CommandIdentity {
        let argv: Vec<&str> = line.split_whitespace().collect();
        identify(&argv).expect(line)
    }

    #[test]
    fn every_way_to_start_a_server_says_the_same() {
        for lines in [
            &[
                "npx -y @modelcontextprotocol/server-memory",
                "npx @modelcontextprotocol/server-memory@2026.1.14",
                "npm exec @modelcontextprotocol/server-memory",
                "bunx @modelcontextprotocol/server-memory",
                "node /h/.npm/_npx/1/node_modules/.bin/mcp-server-memory",
                "node /h/node_modules/@modelcontextprotocol/server-memory/dist/index.js",
                "sh -c mcp-server-memory",
                "/usr/local/bin/mcp-server-memory",
            ][..],
            &[
                "uvx mcp-server-time --local-timezone UTC",
                "uv tool uvx mcp-server-time --local-timezone UTC",
                "uv tool run --python 3.12 mcp-server-time --local-timezone UTC",
                "/h/.cache/uv/a/bin/python /h/.cache/uv/a/bin/mcp-server-time --local-timezone UTC",
                "python3.12 -u -m mcp_server_time --local-timezone UTC",
            ],
            &[
                "npx @playwright/mcp@latest",
                "mcp-server-playwright",
                "npx -y -p @playwright/mcp mcp-server",
            ],
        ] {
            let first = identity(lines[0]);
            for line in lines {
                let other = identity(line);
                assert_eq!(
                    (&other.key, &other.arguments),
                    (&first.key, &first.arguments),
                    "{line}"
                );
                assert!(other.says_mcp, "{line}");
            }
        }
    }

    #[test]
    fn the_arguments_are_those_of_the_server() {
        for (line, arguments) in [
            ("npx -y server-filesystem /a -- /b", &["/a", "--", "/b"][..]),
            (
                "uvx --with x mcp-server-git --repository .",
                &["--repository", "."],
            ),
            ("python -m mcp_server_git -v", &["-v"]),
            ("env A=b node --env-file=x /s/git-mcp.js -v", &["-v"]),
            (
                "docker run -i --rm mcp/git --repository /x",
                &["--repository", "/x"],
            ),
            ("mcp-server-git", &[]),
        ] {
            assert_eq!(identity(line).arguments, arguments, "{line}");
        }
    }

    #[test]
    fn servers_of_different_publishers_are_two() {
        let of = |line| identity(line).key;
        assert_ne!(
            of("npx @cyanheads/git-mcp-server"),
            of("uvx mcp-server-git")
        );
        assert_ne!(of("npx mcp-git"), of("npx mcp-gitlab"));
        assert_eq!(
            of("mcp-server"),
            "mcp-server",
            "there is nothing else to it"
        );
    }

    #[test]
    fn only_a_name_says_that_it_is_a_server() {
        for (line, says) in [
            ("npx tavily-mcp", true),
            ("node /h/src/notes-mcp/dist/index.js", true),
            ("node /h/src/mcpServer.js", true),
            ("git status mcp", false),
            ("mcpool connect -- npx x", false),
            ("typescript-language-server --stdio", false),
            ("bash -c make", false),
        ] {
            assert_eq!(identity(line).says_mcp, says, "{line}");
        }
        assert_eq!(identify(&["node", "-e", "mcp()"]), None);
        assert_eq!(identify::<&str>(&[]), None);
    }
}
