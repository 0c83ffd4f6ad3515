//! The command line of mcp-proxy, as its version 0.5 reads it.

use std::{error, ffi::OsString, fmt};

use crate::{
    arguments::{nearest, shown, split, unknown_option},
    hook::{arguments::Wants, tool},
};

/// What `mcp-proxy --help` says.
pub(super) const HELP: &str = "\
A session with a daemon that speaks MCP over WebSocket: mcpool, called by the name of mcp-proxy.

Usage: mcp-proxy [OPTIONS] [URL]
       mcp-proxy version

Arguments:
  URL                Where the daemon is, as ws://localhost:8420/mcp

Options:
      --config NAME  Read URL and headers from ~/.punt-labs/mcp-proxy/NAME.toml
      --health       Say whether the daemon is there
      --hook EVENT   Send what is on standard input to /hook there, as the request `hook/EVENT`
      --async        With --hook: as a notification, which has no answer
      --version      Print the version
  -h, --help         Print this help

Environment:
  MCP_PROXY_TOKEN    A token that the daemon is sent

Exit codes: 0 done, 1 failed, 2 wrong usage.
";

const OPTIONS: [&str; 6] = [
    "--config",
    "--health",
    "--hook",
    "--async",
    "--version",
    "--help",
];

/// What the command line asks for.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Parsed {
    Help,
    Version,
    Errand(Errand),
}

/// Something to do with a daemon.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Errand {
    pub(super) deed: Deed,
    /// The URL of the command line.
    pub(super) url: Option<String>,
    pub(super) profile: Option<String>,
}

/// What is done.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Deed {
    Session,
    Health,
    Hook { event: String, wants: Wants },
}

/// What is wrong with the command line.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum UsageError {
    /// Neither a URL nor a profile.
    NoUrl,
    /// A second one, which may hold a secret as the first may.
    SecondUrl,
    /// An option that it does not have.
    UnknownOption {
        option: String,
        suggestion: Option<&'static str>,
    },
    NoValue {
        option: &'static str,
    },
    BadValue {
        option: &'static str,
        expected: &'static str,
    },
    /// Two options of which one is enough.
    NotBoth {
        option: &'static str,
        other: &'static str,
    },
    /// An option that means nothing without another.
    OnlyWith {
        option: &'static str,
        with: &'static str,
    },
}

impl fmt::Display for UsageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            UsageError::NoUrl => f.write_str("say where the daemon is: URL, or --config NAME"),
            UsageError::SecondUrl => f.write_str("more than one URL"),
            UsageError::UnknownOption { option, suggestion } => {
                unknown_option(f, option, *suggestion)
            }
            UsageError::NoValue { option } => write!(f, "`{option}` needs a value"),
            // It is not shown, as a URL may stand where it should.
            UsageError::BadValue { option, expected } => {
                write!(f, "what stands behind `{option}` must be {expected}")
            }
            UsageError::NotBoth { option, other } => {
                write!(f, "`{option}` and `{other}`: give one of the two")
            }
            UsageError::OnlyWith { option, with } => write!(f, "`{option}` goes with {with}"),
        }
    }
}

impl error::Error for UsageError {}

#[derive(Default)]
struct Said {
    profile: Option<String>,
    url: Option<String>,
    /// Its event comes later, behind another option, as earlier versions have it.
    is_hook: bool,
    event: Option<String>,
    is_async: bool,
    is_health: bool,
}

/// Reads all words behind the name of the program.
pub(super) fn parse(words: &[OsString]) -> Result<Parsed, UsageError> {
    let mut said = Said::default();
    let mut words = words.iter().peekable();
    let mut are_options_over = false;
    while let Some(word) = words.next() {
        let text = shown(word);
        if are_options_over || !text.starts_with('-') {
            said.positional(text)?;
            continue;
        }
        let (option, inline) = split(word);
        let inline = inline.map(shown);
        match (option.to_str(), inline) {
            (Some("--"), None) => are_options_over = true,
            (Some("--help" | "-h"), None) => return Ok(Parsed::Help),
            (Some("--version"), None) => return Ok(Parsed::Version),
            (Some("--health"), None) => said.is_health = true,
            (Some("--async"), None) => said.is_async = true,
            (Some("--config"), inline) => {
                let name = inline.or_else(|| words.next().map(|word| shown(word)));
                said.profile = Some(profile(name)?);
            }
            (Some("--hook"), inline) => {
                said.is_hook = true;
                let is_event = |word: &&OsString| !shown(word).starts_with('-');
                let name = inline.or_else(|| words.next_if(is_event).map(|word| shown(word)));
                said.event = name.map(event).transpose()?;
            }
            _ => {
                return Err(UsageError::UnknownOption {
                    suggestion: nearest(option, &OPTIONS),
                    option: shown(option),
                });
            }
        }
    }
    said.finish()
}

/// A name that leads to no other folder.
fn profile(name: Option<String>) -> Result<String, UsageError> {
    let name = name.ok_or(UsageError::NoValue { option: "--config" })?;
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
    if name.is_empty() || !name.bytes().all(is_plain) {
        return Err(UsageError::BadValue {
            option: "--config",
            expected: "the name of a profile: letters, digits, `_` and `-`",
        });
    }
    Ok(name)
}

fn event(name: String) -> Result<String, UsageError> {
    if tool::is_event_name(&name) {
        Ok(name)
    } else {
        Err(UsageError::BadValue {
            option: "--hook",
            expected: "a letter, and up to 63 more letters, digits, `_` and `-`",
        })
    }
}

impl Said {
    fn positional(&mut self, text: String) -> Result<(), UsageError> {
        // `mcp-proxy URL --hook --async EVENT`.
        if self.is_hook && self.event.is_none() {
            self.event = Some(event(text)?);
        } else if self.url.is_none() {
            self.url = Some(text);
        } else {
            return Err(UsageError::SecondUrl);
        }
        Ok(())
    }

    fn finish(self) -> Result<Parsed, UsageError> {
        let is_alone = self.profile.is_none() && !self.is_hook && !self.is_health && !self.is_async;
        if is_alone && self.url.as_deref() == Some("version") {
            return Ok(Parsed::Version);
        }
        let deed = match (self.event, self.is_health) {
            (Some(_), true) => {
                return Err(UsageError::NotBoth {
                    option: "--health",
                    other: "--hook",
                });
            }
            (None, _) if self.is_hook => return Err(UsageError::NoValue { option: "--hook" }),
            (None, _) if self.is_async => {
                return Err(UsageError::OnlyWith {
                    option: "--async",
                    with: "--hook",
                });
            }
            (Some(event), false) => Deed::Hook {
                event,
                wants: if self.is_async {
                    Wants::Nothing
                } else {
                    Wants::Answer
                },
            },
            (None, true) => Deed::Health,
            (None, false) => Deed::Session,
        };
        if self.url.is_none() && self.profile.is_none() {
            return Err(UsageError::NoUrl);
        }
        Ok(Parsed::Errand(Errand {
            deed,
            url: self.url,
            profile: self.profile,
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> Result<Parsed, UsageError> {
        let words: Vec<OsString> = line.split_whitespace().map(OsString::from).collect();
        parse(&words)
    }

    fn errand(line: &str) -> Errand {
        match parsed(line) {
            Ok(Parsed::Errand(errand)) => errand,
            other => panic!("{line}: {other:?}"),
        }
    }

    #[test]
    fn every_line_of_its_manual_is_understood() {
        let hook = |event: &str, wants| Deed::Hook {
            event: event.to_owned(),
            wants,
        };
        for (line, url, profile, deed) in [
            ("ws://h/mcp", Some("ws://h/mcp"), None, Deed::Session),
            ("--config quarry", None, Some("quarry"), Deed::Session),
            (
                "--config=quarry ws://h",
                Some("ws://h"),
                Some("quarry"),
                Deed::Session,
            ),
            ("--health ws://h", Some("ws://h"), None, Deed::Health),
            (
                "--config quarry --health",
                None,
                Some("quarry"),
                Deed::Health,
            ),
            (
                "ws://h --hook Stop",
                Some("ws://h"),
                None,
                hook("Stop", Wants::Answer),
            ),
            (
                "--hook=Stop ws://h",
                Some("ws://h"),
                None,
                hook("Stop", Wants::Answer),
            ),
            (
                "--async --hook Stop ws://h",
                Some("ws://h"),
                None,
                hook("Stop", Wants::Nothing),
            ),
            (
                "--config q --hook --async Stop",
                None,
                Some("q"),
                hook("Stop", Wants::Nothing),
            ),
            (
                "ws://h --hook --async Stop",
                Some("ws://h"),
                None,
                hook("Stop", Wants::Nothing),
            ),
            ("-- ws://h", Some("ws://h"), None, Deed::Session),
        ] {
            let expected = Errand {
                deed,
                url: url.map(str::to_owned),
                profile: profile.map(str::to_owned),
            };
            assert_eq!(errand(line), expected, "{line}");
        }
        for line in ["--version", "version"] {
            assert_eq!(parsed(line), Ok(Parsed::Version), "{line}");
        }
        for line in ["--help", "-h", "ws://h --help"] {
            assert_eq!(parsed(line), Ok(Parsed::Help), "{line}");
        }
    }

    #[test]
    fn a_command_line_that_makes_no_sense_is_told_why() {
        for (line, why) in [
            ("", "URL, or --config"),
            ("--health", "URL, or --config"),
            ("ws://a ws://b", "more than one URL"),
            ("--config", "`--config` needs a value"),
            ("--config ../x", "behind `--config` must be"),
            ("--config=", "behind `--config` must be"),
            ("ws://a --hook", "`--hook` needs a value"),
            ("ws://a --hook --async", "`--hook` needs a value"),
            ("ws://a --hook a/b", "behind `--hook` must be"),
            ("ws://a --health --hook Stop", "give one of the two"),
            ("ws://a --async", "goes with --hook"),
            ("ws://a --heath", "did you mean `--health`?"),
            ("ws://a --x", "unknown option `--x`"),
            ("ws://a -v", "unknown option `-v`"),
        ] {
            let error = parsed(line).unwrap_err().to_string();
            assert!(error.contains(why), "{line}: {error}");
        }
    }

    #[test]
    fn what_may_be_a_secret_is_not_told_back() {
        for line in [
            "ws://a ws://me:canary@b",
            "--hook ws://me:canary@b Stop",
            "--hook --async ws://me:canary@b",
            "--config ws://b/?token=canary",
            "--health=ws://b/?token=canary",
        ] {
            let error = parsed(line).unwrap_err().to_string();
            assert!(!error.contains("canary"), "{line}: {error}");
        }
    }

    #[test]
    fn every_option_is_in_the_help() {
        for option in OPTIONS {
            assert!(HELP.contains(option), "{option}");
        }
    }
}
