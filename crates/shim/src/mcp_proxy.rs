//! What mcp-proxy does, for those who call us by its name: a session, a hook or a look at a daemon that runs
//! already and speaks WebSocket.
//!
//! A session goes through our daemon, as every other does; the rest is a process of a millisecond that asks by
//! itself. Nothing here speaks TLS, as that is large: whoever runs `mcpoold` gives us somebody who does.
//!
//! **Invariant:** what the command line, the environment and the profiles of mcp-proxy say means here what it
//! means there, or it is said once that it means nothing.

mod arguments;
mod profile;
mod session_key;

use std::{
    env,
    ffi::{OsStr, OsString},
    fmt,
    io::{self, Write},
    os::unix::process::CommandExt,
    path::{self, Path},
    process::{Command, ExitCode},
    time::Duration,
};

use sys::memory;

use self::arguments::{Deed, Errand, HELP, Parsed, UsageError};
pub use self::profile::{BadProfile, Profile, VERB as PROFILE_VERB};
pub use crate::hook::target::Channel;
use crate::{
    arguments::Connect,
    connect,
    hook::{
        self, Deadline, Failure as Unheard,
        talk::{self, Telling},
        target::{self, BadUrl, Url},
    },
    label,
    places::{Places, PlacesError},
    preface::Address,
    query, sibling, told_once,
};

/// The name of the program whose place we take.
pub const NAME: &str = "mcp-proxy";

/// Where its daemon is if a profile does not say.
const DEFAULT_URL: &str = "ws://localhost:8420/mcp";

/// The parameter by which its daemons know their sessions.
pub(crate) const SESSION_KEY: &str = "session_key";

/// The variable of the token.
const TOKEN: &str = "MCP_PROXY_TOKEN";

/// How long a daemon may take to be reached when it is looked at.
const HEALTH_PATIENCE: Duration = Duration::from_secs(5);

/// How long a hook may take; whoever runs it ends it earlier.
const HOOK_PATIENCE: Duration = Duration::from_secs(30);

const FAILED: u8 = 1;
const WRONG_USAGE: u8 = 2;

/// Variables that mean something to mcp-proxy alone, and what there is in their place.
const OTHER_VARIABLES: [(&str, &str); 3] = [
    (
        "MCP_PROXY_PING_INTERVAL",
        "mcpool asks every 20 s whether the daemon is there",
    ),
    (
        "MCP_PROXY_PONG_TIMEOUT",
        "the daemon has 20 s to answer to mcpool",
    ),
    ("MCP_PROXY_DEBUG", "`mcpool logs` shows what there is"),
];

/// Speaks TLS over a connection with this host, for which the certificates in a file alone vouch if one is named.
pub type Secure<'a> =
    &'a dyn Fn(Box<dyn Channel>, &str, Option<&Path>) -> Result<Box<dyn Channel>, String>;

/// Whether a program that is started by this name is meant to be mcp-proxy.
pub fn is_meant(name: Option<&OsStr>) -> bool {
    name.and_then(|name| Path::new(name).file_name()) == Some(OsStr::new(NAME))
}

/// Why nothing came of it.
#[derive(Debug)]
enum Failure {
    Usage(UsageError),
    /// The URL is none, for this reason; of it there is what may be shown.
    BadUrl {
        url: String,
        why: String,
    },
    Places(PlacesError),
    /// The profile, in words for people.
    Profile {
        name: String,
        why: String,
    },
    /// The daemon is not there, or not well.
    Unhealthy(Unheard),
    Unheard(Unheard),
    System(io::Error),
    /// The session has said why not.
    Session,
}

impl Failure {
    fn exit_code(&self) -> u8 {
        match self {
            Failure::Usage(_) | Failure::BadUrl { .. } => WRONG_USAGE,
            Failure::Places(_)
            | Failure::Profile { .. }
            | Failure::Unhealthy(_)
            | Failure::Unheard(_)
            | Failure::System(_)
            | Failure::Session => FAILED,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Usage(error) => write!(f, "{error}\nTry `{NAME} --help`."),
            Failure::BadUrl { url, why } => write!(f, "`{url}` cannot be the URL: {why}"),
            Failure::Places(error) => error.fmt(f),
            Failure::Profile { name, why } => write!(f, "profile `{name}`: {why}"),
            Failure::Unhealthy(why) => write!(f, "health check failed: {why}"),
            Failure::Unheard(why) => why.fmt(f),
            Failure::System(error) => error.fmt(f),
            Failure::Session => Ok(()),
        }
    }
}

/// Does what the words behind the name say, as the only thing that this process does. Without somebody who speaks
/// TLS, `mcpoold` takes this process over where it is needed.
pub fn run(words: impl Iterator<Item = OsString>, secure: Option<Secure<'_>>) -> ExitCode {
    memory::economise();
    let words: Vec<OsString> = words.collect();
    let done = match arguments::parse(&words) {
        Ok(Parsed::Help) => {
            print(HELP);
            Ok(())
        }
        Ok(Parsed::Version) => {
            print(&format!("{NAME} (mcpool {})\n", env!("CARGO_PKG_VERSION")));
            Ok(())
        }
        Ok(Parsed::Errand(errand)) => do_errand(&errand, &words, secure),
        Err(error) => Err(Failure::Usage(error)),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            if !matches!(failure, Failure::Session) {
                // There is nobody to tell that stderr is closed.
                let _gone = writeln!(io::stderr(), "{NAME}: {failure}");
            }
            ExitCode::from(failure.exit_code())
        }
    }
}

fn print(text: &str) {
    // Whoever has closed stdout does not want to read it.
    let _gone = io::stdout().write_all(text.as_bytes());
}

fn do_errand(
    errand: &Errand,
    words: &[OsString],
    secure: Option<Secure<'_>>,
) -> Result<(), Failure> {
    let places = Places::find(None).map_err(Failure::Places)?;
    let mut address = address(errand)?;
    let url = url_of(&address.url)?;
    say_what_is_old(&places);
    match &errand.deed {
        Deed::Session => {
            let server = match &errand.profile {
                Some(profile) => label::of_text(profile),
                None => label::of_text(url.authority()),
            };
            // A hook gives it as well.
            address.url = with_session_key(&address.url);
            let connect = Connect {
                server,
                address: Some(Box::new(address)),
                ..Connect::default()
            };
            match connect::serve(connect, Vec::new()) {
                0 => Ok(()),
                _ => Err(Failure::Session),
            }
        }
        Deed::Health | Deed::Hook { .. } if url.is_secure() && secure.is_none() => {
            Err(Failure::System(become_mcpoold(words)))
        }
        Deed::Health => look_at(&url, &address, secure),
        Deed::Hook { event, wants } => {
            let url = url_of(&with_session_key(&address.url))?;
            let deadline = Deadline::begin(HOOK_PATIENCE);
            let told = hook::read_event(deadline).and_then(|said| {
                let telling = Telling {
                    name: event,
                    event: &said,
                    wants: *wants,
                    headers: &address.headers,
                };
                let stream = open(&url, &address, secure, deadline)?;
                let answer = talk::tell(stream, &url, &telling, deadline)?;
                answer.map_or(Ok(()), |answer| hook::say(answer, deadline))
            });
            told.map_err(Failure::Unheard)
        }
    }
}

/// The URL of a daemon.
fn url_of(text: &str) -> Result<Url, Failure> {
    Url::of_socket(text).map_err(|why| Failure::BadUrl {
        // Clients keep what is said on stderr.
        url: target::shown(text),
        why: match why {
            BadUrl::HasUser => {
                format!("it must name no user; the variable {TOKEN} holds a token")
            }
            BadUrl::NoUrl | BadUrl::NoSocket | BadUrl::OtherScheme | BadUrl::WantsTls => {
                why.to_string()
            }
        },
    })
}

/// Where the daemon is, and what it is told: by the command line, else the profile, else as mcp-proxy has it.
fn address(errand: &Errand) -> Result<Address, Failure> {
    let profile = match &errand.profile {
        Some(name) => profile::read(name).map_err(|why| Failure::Profile {
            name: name.clone(),
            why,
        })?,
        None => Profile::default(),
    };
    let mut headers = profile.headers;
    if let Ok(token) = env::var(TOKEN)
        && !token.is_empty()
    {
        headers.retain(|(name, _)| !name.eq_ignore_ascii_case("authorization"));
        headers.push(("Authorization".to_owned(), format!("Bearer {token}")));
    }
    let url = errand.url.clone().or(profile.url);
    // Whoever reads it may stand elsewhere.
    let ca_cert = profile.ca_cert.map(path::absolute).transpose();
    Ok(Address {
        url: url.unwrap_or_else(|| DEFAULT_URL.to_owned()),
        headers,
        ca_cert: ca_cert.map_err(Failure::System)?,
    })
}

/// The URL with the key of this session in it, unless it has one.
fn with_session_key(url: &str) -> String {
    match session_key::find() {
        Some(key) => query::with(url, SESSION_KEY, &key.to_string()),
        None => url.to_owned(),
    }
}

fn open(
    url: &Url,
    address: &Address,
    secure: Option<Secure<'_>>,
    deadline: Deadline,
) -> Result<Box<dyn Channel>, Unheard> {
    let stream: Box<dyn Channel> = Box::new(url.connect(deadline)?);
    match secure.filter(|_| url.is_secure()) {
        Some(secure) => {
            secure(stream, url.host(), address.ca_cert.as_deref()).map_err(Unheard::Said)
        }
        None => Ok(stream),
    }
}

/// Whether the daemon takes a session.
fn look_at(url: &Url, address: &Address, secure: Option<Secure<'_>>) -> Result<(), Failure> {
    let deadline = Deadline::begin(HEALTH_PATIENCE);
    let stream = open(url, address, secure, deadline);
    let well = stream.and_then(|stream| talk::greet(stream, url, &address.headers, deadline));
    well.map_err(Failure::Unhealthy)?;
    let _gone = writeln!(io::stderr(), "{NAME}: ok");
    Ok(())
}

fn become_mcpoold(words: &[OsString]) -> io::Error {
    match sibling::path(sibling::DAEMON) {
        Ok(program) => Command::new(program).arg(NAME).args(words).exec(),
        Err(error) => error,
    }
}

/// Tells once what has another name by now, or means nothing any more.
fn say_what_is_old(places: &Places) {
    told_once::tell(
        places,
        NAME,
        &"this is mcpool in the place of mcp-proxy; it goes on working like that. \
          `mcpool import --from mcp-proxy` takes its profiles over, and then `mcpool connect NAME` is a session with \
          such a daemon; but its `session_key` is not that of `mcp-proxy --hook`, and MCP_PROXY_TOKEN is not for it",
    );
    for (variable, instead) in OTHER_VARIABLES {
        if env::var_os(variable).is_some() {
            told_once::tell(
                places,
                variable,
                &format_args!("{variable} means nothing here: {instead}"),
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_the_last_part_of_the_name_that_counts() {
        for (name, is) in [
            ("mcp-proxy", true),
            ("/usr/bin/mcp-proxy", true),
            ("mcpool", false),
            ("/mcp-proxy/mcpool", false),
        ] {
            assert_eq!(is_meant(Some(OsStr::new(name))), is, "{name}");
        }
        assert!(!is_meant(None));
    }

    #[test]
    fn what_may_be_a_secret_in_a_url_is_not_told_back() {
        for url in [
            "ftp://me:canary@h/",
            "ws://me:canary@h/",
            "https://h/mcp?token=canary",
            "ws://me:canary y@h",
            "me:canary@h",
        ] {
            let error = url_of(url).unwrap_err().to_string();
            assert!(!error.contains("canary"), "{url}: {error}");
        }
    }

    #[test]
    fn a_session_key_is_added_where_there_is_none() {
        let key = session_key::find().unwrap();
        for (url, expected) in [
            ("ws://h/mcp", format!("ws://h/mcp?session_key={key}")),
            ("ws://h/?session_key=1", "ws://h/?session_key=1".to_owned()),
            ("ws://h/?session_key", "ws://h/?session_key".to_owned()),
        ] {
            assert_eq!(with_session_key(url), expected);
        }
    }
}
