//! The command line of `mcpool hook`.
//!
//! Written by hand, as that of `mcpool connect` is: agents wait for each of these processes.

use std::{
    error,
    ffi::{OsStr, OsString},
    fmt,
    path::PathBuf,
    time::Duration,
};

use super::{
    target::{BadUrl, Url, shown as shown_url},
    tool::{self, Argument, ToolCall},
};
use crate::{
    arguments::{nearest, shown, split, unknown_option},
    label,
};

/// What `mcpool hook --help` says.
pub const HELP: &str = "\
Tell a shared server of an event of an agent: what an agent's hook runs.

Usage: mcpool hook EVENT --server NAME --tool TOOL [--arg NAME=VALUE]... [OPTIONS]
       mcpool hook EVENT --url http://HOST:PORT/PATH [OPTIONS]
       mcpool hook EVENT --url ws://HOST:PORT [--async] [OPTIONS]

The event is a JSON object on standard input. What the tool, or whoever is at the URL, says to
the agent goes to standard output.

Arguments:
  EVENT                Its name, such as PreToolUse

Options:
      --server NAME        The server, as named in the configuration
      --tool TOOL          Its tool that is called
      --arg NAME=VALUE     An argument of the tool; may be repeated. In VALUE, ${a.b} stands for
                           what the event has there, ${.} for all of it, $${ for ${
      --url URL            Post the event there, or, with ws://, send it to /hook there as
                           the request `hook/EVENT`
      --async              With ws://: as a notification, which has no answer
      --bearer-env NAME    With --url: send the token that this variable holds
      --timeout SECONDS    How long all of it may take [default: 5]
      --on-failure CHOICE  If nothing comes of it: continue, or block what the agent is
                           about to do [default: continue]
      --workspace DIR      The workspace [default: CLAUDE_PROJECT_DIR or the event's `cwd`, up to
                           the top of the version control]
      --home DIR           The folder of configuration, socket, logs and state
                           [default: MCPOOL_HOME]
  -h, --help               Print this help

Exit codes: 0 it was told, 1 it failed and the agent goes on, 2 it failed and the agent is not
to go on (--on-failure block).
";

const OPTIONS: [&str; 11] = [
    "--server",
    "--tool",
    "--arg",
    "--url",
    "--async",
    "--bearer-env",
    "--timeout",
    "--on-failure",
    "--workspace",
    "--home",
    "--help",
];

/// How long all of it may take, unless somebody says otherwise.
pub const TIMEOUT: Duration = Duration::from_secs(5);

/// More than an agent ever waits.
const TIMEOUT_MAX: Duration = Duration::from_hours(24);

/// What such a time is.
pub const TIMES: &str = "seconds, more than 0, as 0.5 or 5";

/// What the command line asks for.
#[derive(Debug, PartialEq, Eq)]
pub enum Parsed {
    /// To be told how to use it.
    Help,
    /// To tell of an event.
    Hook(Box<Hook>),
}

/// An event to tell, as the command line says it.
#[derive(Debug, PartialEq, Eq)]
pub struct Hook {
    /// Its name.
    pub event: String,
    /// Who hears of it.
    pub target: Target,
    /// Whether an answer is awaited.
    pub wants: Wants,
    /// The variable that holds a token for the URL.
    pub bearer_env: Option<String>,
    /// How long all of it may take.
    pub timeout: Duration,
    /// `--workspace`.
    pub workspace: Option<PathBuf>,
    /// `--home`.
    pub home: Option<PathBuf>,
}

/// Who hears of an event.
#[derive(Debug, PartialEq, Eq)]
pub enum Target {
    /// A tool of a server of ours.
    Tool(ToolCall),
    /// Whoever takes posts at this URL.
    Http(Url),
    /// A daemon that takes hooks over WebSockets, in the way of mcp-proxy.
    WebSocket(Url),
}

/// Whether an answer is awaited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wants {
    /// It is.
    Answer,
    /// It is enough that it was sent.
    Nothing,
}

/// What becomes of the agent's deed if its hook fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnFailure {
    /// It goes on.
    Continue,
    /// It does not.
    Block,
}

/// What is wrong with the command line.
#[derive(Debug, PartialEq, Eq)]
pub enum UsageError {
    /// No event is named.
    NoEvent,
    /// A second one, or something that is none.
    Unexpected {
        /// As written.
        argument: String,
    },
    /// An option that we do not have.
    UnknownOption {
        /// As written.
        option: String,
        /// One that we have and that looks like it.
        suggestion: Option<&'static str>,
    },
    /// An option without its value.
    NoValue {
        /// The option.
        option: &'static str,
    },
    /// A value that cannot be.
    BadValue {
        /// The option, or `EVENT`.
        option: &'static str,
        /// The value.
        value: String,
        /// What it has to be.
        expected: &'static str,
    },
    /// A URL that cannot be.
    BadUrl {
        /// As written.
        url: String,
        /// Why not.
        why: BadUrl,
    },
    /// Nobody is to hear of it.
    NoTarget,
    /// Only half of what names a tool.
    HalfATool {
        /// The option that is missing.
        missing: &'static str,
    },
    /// An option that means nothing beside the others.
    OnlyWith {
        /// The option.
        option: &'static str,
        /// What it goes with.
        with: &'static str,
    },
}

impl fmt::Display for UsageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            UsageError::NoEvent => f.write_str("name the event, such as PreToolUse"),
            UsageError::Unexpected { argument } => write!(f, "unexpected `{argument}`"),
            UsageError::UnknownOption { option, suggestion } => {
                unknown_option(f, option, *suggestion)
            }
            UsageError::NoValue { option } => write!(f, "`{option}` needs a value"),
            UsageError::BadValue {
                option,
                value,
                expected,
            } => write!(f, "`{value}` cannot be {option}: it must be {expected}"),
            UsageError::BadUrl { url, why } => {
                write!(f, "`{}` cannot be --url: {why}", shown_url(url))
            }
            UsageError::NoTarget => {
                f.write_str("say who hears of it: --server and --tool, or --url")
            }
            UsageError::HalfATool { missing } => write!(f, "`{missing}` is missing"),
            UsageError::OnlyWith { option, with } => write!(f, "`{option}` goes with {with}"),
        }
    }
}

impl error::Error for UsageError {}

/// What becomes of the agent's deed, also where the rest of the command line makes no sense.
pub fn on_failure(words: &[OsString]) -> OnFailure {
    let blocks = words
        .windows(2)
        .any(|pair| pair == ["--on-failure", "block"])
        || words.iter().any(|word| word == "--on-failure=block");
    if blocks {
        OnFailure::Block
    } else {
        OnFailure::Continue
    }
}

/// Reads what follows `mcpool hook`.
pub fn parse(arguments: impl Iterator<Item = OsString>) -> Result<Parsed, UsageError> {
    let mut parser = Parser {
        arguments,
        said: Said::default(),
    };
    while let Some(argument) = parser.arguments.next() {
        let text = shown(&argument);
        if text == "--help" || text == "-h" {
            return Ok(Parsed::Help);
        }
        if text.starts_with('-') {
            parser.option(&argument)?;
        } else if parser.said.event.is_some() {
            return Err(UsageError::Unexpected { argument: text });
        } else if tool::is_event_name(&text) {
            parser.said.event = Some(text);
        } else {
            return Err(UsageError::BadValue {
                option: "EVENT",
                value: text,
                expected: "a letter, and up to 63 more letters, digits, `_` and `-`",
            });
        }
    }
    parser
        .said
        .finish()
        .map(|hook| Parsed::Hook(Box::new(hook)))
}

struct Parser<Arguments> {
    arguments: Arguments,
    said: Said,
}

#[derive(Default)]
struct Said {
    event: Option<String>,
    server: Option<String>,
    tool: Option<String>,
    arguments: Vec<Argument>,
    url: Option<String>,
    is_async: bool,
    bearer_env: Option<String>,
    timeout: Option<Duration>,
    workspace: Option<PathBuf>,
    home: Option<PathBuf>,
}

impl<Arguments: Iterator<Item = OsString>> Parser<Arguments> {
    fn option(&mut self, argument: &OsStr) -> Result<(), UsageError> {
        let (option, inline) = split(argument);
        match option.to_str() {
            Some("--server") => {
                let name = self.text("--server", inline)?;
                if !label::is_server_name(&name) {
                    return Err(UsageError::BadValue {
                        option: "--server",
                        value: name,
                        expected: "1 to 64 of letters, digits, `.`, `_` and `-`",
                    });
                }
                self.said.server = Some(name);
            }
            Some("--tool") => self.said.tool = Some(self.text("--tool", inline)?),
            Some("--arg") => {
                let written = self.text("--arg", inline)?;
                let argument = Argument::parse(&written).map_err(|why| UsageError::BadValue {
                    option: "--arg",
                    value: written,
                    expected: why.expected(),
                })?;
                self.said.arguments.push(argument);
            }
            Some("--url") => self.said.url = Some(self.text("--url", inline)?),
            Some("--async") if inline.is_none() => self.said.is_async = true,
            Some("--bearer-env") => {
                self.said.bearer_env = Some(self.text("--bearer-env", inline)?);
            }
            Some("--timeout") => {
                let written = self.text("--timeout", inline)?;
                let timeout = timeout(&written).ok_or(UsageError::BadValue {
                    option: "--timeout",
                    value: written,
                    expected: TIMES,
                })?;
                self.said.timeout = Some(timeout);
            }
            // What it says was read before.
            Some("--on-failure") => {
                let word = self.text("--on-failure", inline)?;
                if word != "continue" && word != "block" {
                    return Err(UsageError::BadValue {
                        option: "--on-failure",
                        value: word,
                        expected: "continue or block",
                    });
                }
            }
            Some("--workspace") => {
                self.said.workspace = Some(self.value("--workspace", inline)?.into());
            }
            Some("--home") => self.said.home = Some(self.value("--home", inline)?.into()),
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
            .or_else(|| self.arguments.next())
            .filter(|value| !value.is_empty())
            .ok_or(UsageError::NoValue { option })
    }

    fn text(&mut self, option: &'static str, inline: Option<&OsStr>) -> Result<String, UsageError> {
        let value = self.value(option, inline)?;
        value.into_string().map_err(|value| UsageError::BadValue {
            option,
            value: shown(&value),
            expected: "UTF-8",
        })
    }
}

impl Said {
    fn finish(self) -> Result<Hook, UsageError> {
        let event = self.event.ok_or(UsageError::NoEvent)?;
        let names_tool = self.server.is_some() || self.tool.is_some();
        let only_with = |option, with| Err(UsageError::OnlyWith { option, with });
        let target = match self.url {
            Some(_) if names_tool => return only_with("--url", "no --server and no --tool"),
            Some(_) if !self.arguments.is_empty() => {
                return only_with("--arg", "--server and --tool");
            }
            Some(_) if self.workspace.is_some() => {
                return only_with("--workspace", "--server and --tool");
            }
            Some(url) => match Url::parse(&url) {
                Ok((url, is_web_socket)) if is_web_socket => Target::WebSocket(url),
                Ok((url, _)) => Target::Http(url),
                Err(why) => return Err(UsageError::BadUrl { url, why }),
            },
            None if self.bearer_env.is_some() => return only_with("--bearer-env", "--url"),
            None if !names_tool && self.arguments.is_empty() => return Err(UsageError::NoTarget),
            None => Target::Tool(ToolCall {
                server: self.server.ok_or(UsageError::HalfATool {
                    missing: "--server",
                })?,
                tool: self
                    .tool
                    .ok_or(UsageError::HalfATool { missing: "--tool" })?,
                arguments: self.arguments,
            }),
        };
        let wants = match (self.is_async, &target) {
            (false, _) => Wants::Answer,
            (true, Target::WebSocket(_)) => Wants::Nothing,
            (true, Target::Tool(_) | Target::Http(_)) => {
                return only_with("--async", "a URL that begins with ws://");
            }
        };
        if let (Some(_), Target::Http(url) | Target::WebSocket(url)) = (&self.bearer_env, &target)
            && !url.is_of_this_machine()
        {
            return only_with(
                "--bearer-env",
                "an address of this machine, 127.0.0.1 or [::1]: elsewhere everybody could read it",
            );
        }
        Ok(Hook {
            event,
            target,
            wants,
            bearer_env: self.bearer_env,
            timeout: self.timeout.unwrap_or(TIMEOUT),
            workspace: self.workspace,
            home: self.home,
        })
    }
}

/// How long somebody waits, written in seconds as 0.5 or 5; `None` if that is no time, or more than an agent ever
/// waits.
pub fn timeout(written: &str) -> Option<Duration> {
    let time = Duration::try_from_secs_f64(written.parse().ok()?).ok()?;
    (!time.is_zero() && time <= TIMEOUT_MAX).then_some(time)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Vec<OsString> {
        line.split_whitespace().map(OsString::from).collect()
    }

    fn hook(line: &str) -> Hook {
        match parse(words(line).into_iter()) {
            Ok(Parsed::Hook(hook)) => *hook,
            other => panic!("{line}: {other:?}"),
        }
    }

    #[test]
    fn a_tool_is_named_with_what_it_is_called_with() {
        let hook = hook(
            "PostToolUse --server memory --tool=record --arg file=${tool_input.file_path} \
             --arg=kind=edit --timeout 0.5 --on-failure block --workspace /w --home=/h",
        );
        let argument = |written| Argument::parse(written).unwrap();
        let expected = Hook {
            event: "PostToolUse".into(),
            target: Target::Tool(ToolCall {
                server: "memory".into(),
                tool: "record".into(),
                arguments: vec![
                    argument("file=${tool_input.file_path}"),
                    argument("kind=edit"),
                ],
            }),
            wants: Wants::Answer,
            bearer_env: None,
            timeout: Duration::from_millis(500),
            workspace: Some("/w".into()),
            home: Some("/h".into()),
        };
        assert_eq!(hook, expected);
    }

    #[test]
    fn a_url_is_posted_to_or_spoken_to_by_its_scheme() {
        let at = |line| hook(line).target;
        assert!(matches!(at("Stop --url http://h/x"), Target::Http(_)));
        assert!(matches!(at("Stop --url ws://h:1"), Target::WebSocket(_)));
        assert_eq!(hook("Stop --url ws://h:1 --async").wants, Wants::Nothing);
        let hook = hook("Stop --url http://127.0.0.1:1/x --bearer-env TOKEN");
        assert_eq!(hook.bearer_env.as_deref(), Some("TOKEN"));
        assert_eq!(hook.timeout, TIMEOUT);
    }

    #[test]
    fn a_command_line_that_makes_no_sense_is_told_why() {
        for (line, why) in [
            ("", "name the event"),
            ("--server s --tool t", "name the event"),
            ("Pre/Tool --url http://h/", "cannot be EVENT"),
            ("Stop Stop --url http://h/", "unexpected `Stop`"),
            ("Stop", "say who hears of it"),
            ("Stop --server s", "`--tool` is missing"),
            ("Stop --tool t", "`--server` is missing"),
            ("Stop --arg a=b", "`--server` is missing"),
            ("Stop --server a/b --tool t", "cannot be --server"),
            ("Stop --server s --tool t --arg =x", "NAME=VALUE"),
            ("Stop --server s --tool t --arg a=${x", "`}`"),
            ("Stop --server s --tool", "`--tool` needs a value"),
            ("Stop --server s --tool t --url http://h/", "no --server"),
            ("Stop --url http://h/ --arg a=b", "--server and --tool"),
            ("Stop --url http://h/ --workspace /w", "--server and --tool"),
            ("Stop --url https://h/", "TLS"),
            ("Stop --url http://h/ --async", "ws://"),
            ("Stop --server s --tool t --async", "ws://"),
            ("Stop --server s --tool t --bearer-env A", "--url"),
            (
                "Stop --url http://example.org/ --bearer-env A",
                "this machine",
            ),
            ("Stop --url http://h/ --timeout 0", "more than 0"),
            ("Stop --url http://h/ --timeout -1", "more than 0"),
            ("Stop --url http://h/ --timeout NaN", "more than 0"),
            (
                "Stop --url http://h/ --on-failure maybe",
                "continue or block",
            ),
            ("Stop --sever s", "did you mean `--server`?"),
            ("Stop --nothing", "unknown option `--nothing`"),
        ] {
            let error = parse(words(line).into_iter()).unwrap_err().to_string();
            assert!(error.contains(why), "{line}: {error}");
        }
    }

    #[test]
    fn whether_to_block_is_known_though_the_rest_makes_no_sense() {
        assert_eq!(
            on_failure(&words("--x --on-failure block")),
            OnFailure::Block
        );
        assert_eq!(
            on_failure(&words("--on-failure=block --x")),
            OnFailure::Block
        );
        assert_eq!(
            on_failure(&words("--on-failure continue")),
            OnFailure::Continue
        );
        assert_eq!(on_failure(&words("Stop")), OnFailure::Continue);
    }

    #[test]
    fn every_option_is_in_the_help_and_help_is_found_anywhere() {
        for option in OPTIONS {
            assert!(HELP.contains(option), "{option}");
        }
        for line in ["--help", "-h", "Stop --help"] {
            assert_eq!(parse(words(line).into_iter()), Ok(Parsed::Help));
        }
    }
}
