//! The command line of `mcpool connect`.
//!
//! Written by hand: a shim must start in a millisecond and stay small, and this
//! grammar is in users' files for ever.

use std::{
    error,
    ffi::{OsStr, OsString},
    fmt,
    os::unix::ffi::OsStrExt,
    path::PathBuf,
};

use crate::{direct::OnDaemonFailure, label, preface::Address, scope::Scope};

/// What `mcpool connect --help` says.
pub const HELP: &str = "\
A session on a server, over stdin and stdout: what a client runs.

Usage: mcpool connect [OPTIONS] NAME
       mcpool connect [OPTIONS] -- COMMAND [ARGUMENT]...

Arguments:
  NAME                   The server, as named in the configuration
  COMMAND [ARGUMENT]...  The server, as its command line; no configuration is needed

Options:
      --workspace DIR      The workspace of this session [default: CLAUDE_PROJECT_DIR or
                           the current folder, up to the top of the version control]
      --scope SCOPE        How widely the running server is shared: auto, global,
                           workspace or session
      --home DIR           The folder of configuration, socket, logs and state
                           [default: MCPOOL_HOME]
      --cwd DIR            Where the COMMAND starts [default: the workspace, or the home
                           folder with the scope global]
      --name NAME          What to call the COMMAND in `mcpool status`
      --env NAME[=VALUE]   Pass this variable to the COMMAND; may be repeated, and
                           NAME may be a pattern such as AWS_*
      --on-daemon-failure CHOICE
                           If no daemon can be had: direct, to run the server unshared,
                           or error [default: MCPOOL_ON_DAEMON_FAILURE, else direct]
  -h, --help               Print this help
";

const OPTIONS: [&str; 8] = [
    "--workspace",
    "--scope",
    "--home",
    "--cwd",
    "--name",
    "--env",
    "--on-daemon-failure",
    "--help",
];

/// What the command line asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Parsed {
    /// To be told how to use it.
    Help,
    /// A session.
    Connect(Connect),
}

/// A session, as the command line asks for it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Connect {
    /// The configured name, or the label of an ad-hoc server.
    pub server: String,
    /// Program and arguments of an ad-hoc server; empty for any other.
    pub command: Vec<OsString>,
    /// Where an ad-hoc server runs already; of the command line of `mcp-proxy` alone.
    pub address: Option<Box<Address>>,
    /// `--scope`.
    pub scope: Option<Scope>,
    /// `--workspace`.
    pub workspace: Option<PathBuf>,
    /// `--home`.
    pub home: Option<PathBuf>,
    /// `--cwd`.
    pub directory: Option<PathBuf>,
    /// Each `--env`, as written.
    pub pass: Vec<OsString>,
    /// `--on-daemon-failure`.
    pub on_daemon_failure: Option<OnDaemonFailure>,
}

/// What is wrong with the command line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UsageError {
    /// Neither a name nor a command.
    NothingToConnectTo,
    /// An option that we do not have.
    UnknownOption {
        /// As written.
        option: String,
        /// One that we have and that looks like it.
        suggestion: Option<&'static str>,
    },
    /// A second name, or an option that is probably the server's: the `--` is missing.
    CommandWithoutDashes {
        /// The argument that makes us think so.
        argument: String,
    },
    /// A name and a command.
    NameAndCommand {
        /// The name.
        name: String,
    },
    /// An option without its value.
    NoValue {
        /// The option.
        option: &'static str,
    },
    /// An option whose value cannot be.
    BadValue {
        /// The option, or `NAME`.
        option: &'static str,
        /// The value.
        value: String,
        /// What it has to be.
        expected: &'static str,
    },
    /// An option that only a command can have.
    OnlyWithCommand {
        /// The option.
        option: &'static str,
    },
}

impl fmt::Display for UsageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            UsageError::NothingToConnectTo => {
                f.write_str("name a server, or give its command line after `--`")
            }
            UsageError::UnknownOption { option, suggestion } => {
                unknown_option(f, option, *suggestion)
            }
            UsageError::CommandWithoutDashes { argument } => write!(
                f,
                "unexpected `{argument}`; put `--` before a command line: \
                 mcpool connect -- COMMAND [ARGUMENT]..."
            ),
            UsageError::NameAndCommand { name } => write!(
                f,
                "`{name}` and a command: give one of the two, or say --name {name}"
            ),
            UsageError::NoValue { option } => write!(f, "`{option}` needs a value"),
            UsageError::BadValue {
                option,
                value,
                expected,
            } => write!(f, "`{value}` cannot be {option}: it must be {expected}"),
            UsageError::OnlyWithCommand { option } => write!(
                f,
                "`{option}` goes with a command after `--`; \
                 of a configured server it stands in the configuration"
            ),
        }
    }
}

impl error::Error for UsageError {}

/// Reads what follows `mcpool connect`.
pub fn parse(arguments: impl Iterator<Item = OsString>) -> Result<Parsed, UsageError> {
    let mut parser = Parser {
        arguments,
        connect: Connect::default(),
        positional: None,
        name: None,
    };
    while let Some(argument) = parser.arguments.next() {
        if argument == "--" {
            parser.connect.command = parser.arguments.by_ref().collect();
            if parser.connect.command.is_empty() {
                return Err(UsageError::NothingToConnectTo);
            }
        } else if argument == "--help" || argument == "-h" {
            return Ok(Parsed::Help);
        } else if argument.as_bytes().starts_with(b"-") {
            parser.option(&argument)?;
        } else if parser.positional.is_some() {
            return Err(UsageError::CommandWithoutDashes {
                argument: shown(&argument),
            });
        } else {
            parser.positional = Some(shown(&argument));
        }
    }
    parser.finish().map(Parsed::Connect)
}

struct Parser<Arguments> {
    arguments: Arguments,
    connect: Connect,
    positional: Option<String>,
    name: Option<String>,
}

impl<Arguments: Iterator<Item = OsString>> Parser<Arguments> {
    fn option(&mut self, argument: &OsStr) -> Result<(), UsageError> {
        let (option, inline) = split(argument);
        match option.to_str() {
            Some("--workspace") => {
                self.connect.workspace = Some(self.value("--workspace", inline)?.into());
            }
            Some("--home") => self.connect.home = Some(self.value("--home", inline)?.into()),
            Some("--cwd") => self.connect.directory = Some(self.value("--cwd", inline)?.into()),
            Some("--name") => self.name = Some(shown(&self.value("--name", inline)?)),
            Some("--env") => {
                let pass = self.value("--env", inline)?;
                if pass.as_bytes().starts_with(b"=") {
                    return Err(UsageError::BadValue {
                        option: "--env",
                        value: shown(&pass),
                        expected: "NAME or NAME=VALUE",
                    });
                }
                self.connect.pass.push(pass);
            }
            Some("--scope") => {
                let word = shown(&self.value("--scope", inline)?);
                let scope = word.parse().map_err(|_| UsageError::BadValue {
                    option: "--scope",
                    value: word,
                    expected: "auto, global, workspace or session",
                })?;
                self.connect.scope = Some(scope);
            }
            Some("--on-daemon-failure") => {
                let word = shown(&self.value("--on-daemon-failure", inline)?);
                self.connect.on_daemon_failure = Some(on_daemon_failure(word)?);
            }
            _ if self.positional.is_some() => {
                return Err(UsageError::CommandWithoutDashes {
                    argument: shown(argument),
                });
            }
            _ => {
                return Err(UsageError::UnknownOption {
                    suggestion: nearest(option, &OPTIONS),
                    option: shown(option),
                });
            }
        }
        Ok(())
    }

    /// The value of an option: after `=`, else the next argument.
    fn value(
        &mut self,
        option: &'static str,
        inline: Option<&OsStr>,
    ) -> Result<OsString, UsageError> {
        inline
            .map(OsStr::to_os_string)
            // As a word of its own it ends the options.
            .or_else(|| self.arguments.next().filter(|word| word != "--"))
            .filter(|value| !value.is_empty())
            .ok_or(UsageError::NoValue { option })
    }

    fn finish(self) -> Result<Connect, UsageError> {
        let mut connect = self.connect;
        connect.server = match (self.positional, self.name) {
            (Some(name), _) if !connect.command.is_empty() => {
                return Err(UsageError::NameAndCommand { name });
            }
            (_, Some(name)) if !connect.command.is_empty() => checked(name, "--name")?,
            (None, None) if !connect.command.is_empty() => label::of_command(&connect.command),
            (_, Some(_)) => return Err(UsageError::OnlyWithCommand { option: "--name" }),
            (Some(_), None) if !connect.pass.is_empty() => {
                return Err(UsageError::OnlyWithCommand { option: "--env" });
            }
            (Some(_), None) if connect.directory.is_some() => {
                return Err(UsageError::OnlyWithCommand { option: "--cwd" });
            }
            (Some(name), None) => checked(name, "NAME")?,
            (None, None) => return Err(UsageError::NothingToConnectTo),
        };
        Ok(connect)
    }
}

/// What `--on-daemon-failure` and its variable may say.
pub(crate) fn on_daemon_failure(word: String) -> Result<OnDaemonFailure, UsageError> {
    word.parse().map_err(|_| UsageError::BadValue {
        option: "--on-daemon-failure",
        value: word,
        expected: "direct or error",
    })
}

fn checked(name: String, option: &'static str) -> Result<String, UsageError> {
    if label::is_server_name(&name) {
        Ok(name)
    } else {
        Err(UsageError::BadValue {
            option,
            value: name,
            expected: "1 to 64 of letters, digits, `.`, `_` and `-`",
        })
    }
}

/// `--option=value` in its two parts.
pub(crate) fn split(argument: &OsStr) -> (&OsStr, Option<&OsStr>) {
    let bytes = argument.as_bytes();
    match memchr::memchr(b'=', bytes) {
        Some(equals) => (
            OsStr::from_bytes(&bytes[..equals]),
            Some(OsStr::from_bytes(&bytes[equals + 1..])),
        ),
        None => (argument, None),
    }
}

pub(crate) fn shown(argument: &OsStr) -> String {
    argument.to_string_lossy().into_owned()
}

/// Says to a person that there is no such option.
pub(crate) fn unknown_option(
    f: &mut fmt::Formatter<'_>,
    option: &str,
    suggestion: Option<&str>,
) -> fmt::Result {
    write!(f, "unknown option `{option}`")?;
    match suggestion {
        Some(suggestion) => write!(f, "; did you mean `{suggestion}`?"),
        None => Ok(()),
    }
}

/// The option that somebody probably meant.
pub(crate) fn nearest(written: &OsStr, options: &[&'static str]) -> Option<&'static str> {
    let written = written.to_str()?;
    options
        .iter()
        .map(|&option| (distance(written.as_bytes(), option.as_bytes()), option))
        .filter(|(distance, option)| {
            *distance <= 2 || (written.len() > 3 && option.starts_with(written))
        })
        .min()
        .map(|(_, option)| option)
}

/// How many bytes have to be put in, taken out or replaced.
fn distance(from: &[u8], to: &[u8]) -> usize {
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (above, from_byte) in (1..).zip(from) {
        let mut diagonal = std::mem::replace(&mut row[0], above);
        for (at, to_byte) in (1..).zip(to) {
            let replaced = diagonal + usize::from(from_byte != to_byte);
            diagonal = row[at];
            row[at] = replaced.min(row[at] + 1).min(row[at - 1] + 1);
        }
    }
    row[to.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> Result<Parsed, UsageError> {
        parse(line.split_whitespace().map(OsString::from))
    }

    fn connect(line: &str) -> Connect {
        match parsed(line) {
            Ok(Parsed::Connect(connect)) => connect,
            other => panic!("{line}: {other:?}"),
        }
    }

    fn refusal(line: &str) -> String {
        parsed(line).unwrap_err().to_string()
    }

    #[test]
    fn a_configured_server_is_named() {
        let expected = Connect {
            server: "github".into(),
            workspace: Some("/w".into()),
            home: Some("/h".into()),
            scope: Some(Scope::Session),
            ..Connect::default()
        };
        assert_eq!(
            connect("--home /h github --workspace=/w --scope session"),
            expected
        );
    }

    #[test]
    fn a_command_follows_the_dashes_and_keeps_its_own_options() {
        let expected = Connect {
            server: "server-echo".into(),
            command: ["npx", "-y", "server-echo", "--", "--help"]
                .map(OsString::from)
                .to_vec(),
            pass: ["AWS_*", "A=b=c"].map(OsString::from).to_vec(),
            directory: Some(".".into()),
            ..Connect::default()
        };
        assert_eq!(
            connect("--cwd . --env AWS_* --env=A=b=c -- npx -y server-echo -- --help"),
            expected
        );
        assert_eq!(connect("--name mine -- npx x").server, "mine");
        // Clients may call a server anything.
        let dashes = connect("--name=-- -- npx x");
        assert_eq!(dashes.server, "--");
        assert_eq!(dashes.command, ["npx", "x"]);
        assert_eq!(connect("--name=-x -- npx x").server, "-x");
    }

    #[test]
    fn help_is_found_among_options_and_not_within_a_command() {
        assert_eq!(parsed("--help"), Ok(Parsed::Help));
        assert_eq!(parsed("github -h"), Ok(Parsed::Help));
        assert_eq!(connect("-- prog --help").server, "prog");
    }

    #[test]
    fn every_option_is_in_the_help() {
        for option in OPTIONS {
            assert!(HELP.contains(option), "{option}");
        }
    }

    #[test]
    fn an_unknown_option_is_refused_with_what_was_meant() {
        assert_eq!(
            refusal("--workspce /w x"),
            "unknown option `--workspce`; did you mean `--workspace`?"
        );
        assert_eq!(
            refusal("--work /w x"),
            "unknown option `--work`; did you mean `--workspace`?"
        );
        assert_eq!(refusal("--colour x"), "unknown option `--colour`");
    }

    #[test]
    fn a_command_without_dashes_is_told_where_they_go() {
        for line in ["npx -y server-echo", "npx server-echo"] {
            assert!(
                refusal(line).contains("mcpool connect -- COMMAND"),
                "{line}"
            );
        }
    }

    #[test]
    fn what_does_not_go_together_is_refused() {
        assert!(refusal("").contains("name a server"));
        assert!(refusal("--").contains("name a server"));
        assert!(refusal("github -- npx x").contains("--name github"));
        assert!(refusal("--name x github").contains("`--name` goes with a command"));
        assert!(refusal("--env A github").contains("`--env` goes with a command"));
        assert!(refusal("--cwd . github").contains("`--cwd` goes with a command"));
    }

    #[test]
    fn values_that_cannot_be_are_refused() {
        assert_eq!(refusal("x --home"), "`--home` needs a value");
        assert_eq!(refusal("x --home="), "`--home` needs a value");
        assert_eq!(refusal("--env -- prog"), "`--env` needs a value");
        assert!(refusal("--scope planet x").contains("auto, global"));
        assert!(refusal("a/b").contains("letters, digits"));
        assert!(refusal("--name a/b -- c").contains("letters, digits"));
        assert!(refusal("--env =x -- c").contains("NAME=VALUE"));
        assert!(refusal("--on-daemon-failure=cry -- c").contains("direct or error"));
    }
}
