//! Events of agents whose hooks can post: `mcpool hook` without a process.
//!
//! The URL says which tool hears of it, as the command line of `mcpool hook` does, and the body is the event.
//! To the hub it is a request of the modern era like any other.
//!
//! **Invariant:** a success is what the tool tells the agent, and nothing else is one: agents that are to be
//! blocked by a failure see it by the status.

use std::{collections::BTreeSet, path::PathBuf, sync::Arc, time::Duration};

use hyper::{Response, StatusCode, Uri};
use serde_json::json;
use shim::{
    hook::{
        arguments::{TIMEOUT, TIMES, timeout},
        tool::{Argument, ToolCall, is_event_name, told},
    },
    workspace,
};
use tokio::time::{self, Instant};
use wire::{Frame, Json, Outgoing};

use super::{
    Caller, Front, HttpFault, Place,
    modern::{self, Request},
    place::{self, decoded},
    presence::Attendance,
    reply::{self, Reply},
    timed::{Busy, Stage},
};
use crate::{
    link::{Chunk, Share, TubeEnd},
    tasks,
};

/// How long somebody waits for a look at the folder in which an agent is.
const LOOK_PATIENCE: Duration = Duration::from_secs(5);

/// Threads that may look at once.
pub(super) const LOOKS_MAX: usize = 8;

/// Who is to hear of an event, as the URL says it.
#[derive(Debug)]
pub(super) struct Hook {
    event: Arc<str>,
    call: ToolCall,
    timeout: Duration,
}

/// An agent's hook that waits for what it is told.
#[derive(Clone, Debug)]
pub(super) struct Waits {
    pub(super) event: Arc<str>,
    until: Instant,
}

impl Hook {
    /// Reads the name behind `/hook/` and the query.
    pub(super) fn of(event: &str, uri: &Uri) -> Result<Self, HttpFault> {
        let bad = |what: &'static str| HttpFault::bad_request(what);
        if !is_event_name(event) {
            return Err(bad("this cannot be the name of an event"));
        }
        let (mut call, mut patience) = (ToolCall::default(), TIMEOUT);
        let mut before = BTreeSet::new();
        let pairs = uri.query().unwrap_or_default().split('&');
        for pair in pairs.filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            if name != "arg" && !before.insert(name) {
                let why = format!("`{name}` stands twice in the query");
                return Err(HttpFault::bad_request(why));
            }
            let value = decoded(value).ok_or(bad("a part of the query is no text"))?;
            match name {
                "server" => call.server = value,
                "tool" => call.tool = value,
                "arg" => {
                    let argument = Argument::parse(&value);
                    let why =
                        "each `arg` must be NAME=VALUE, and each `${` in it has a path and a `}`";
                    call.arguments.push(argument.map_err(|_| bad(why))?);
                }
                "timeout" => {
                    let why = || HttpFault::bad_request(format!("`timeout` must be {TIMES}"));
                    patience = timeout(&value).ok_or_else(why)?;
                }
                // They are read elsewhere.
                name if place::KEYS.contains(&name) => {}
                unknown => {
                    let why = format!(
                        "`{unknown}` in the query is not known here: there are `server`, `tool`, \
                         `arg`, `timeout` and `workspace`"
                    );
                    return Err(HttpFault::bad_request(why));
                }
            }
        }
        if call.server.is_empty() || call.tool.is_empty() {
            return Err(bad("the query must name a `server` and a `tool` of it"));
        }
        Ok(Hook {
            event: event.into(),
            call,
            timeout: patience,
        })
    }

    /// The agent waits from now on.
    pub(super) fn waits(&self) -> Waits {
        Waits::of(Arc::clone(&self.event), self.timeout)
    }
}

impl Waits {
    /// One that waits for so long from now on.
    pub(super) fn of(event: Arc<str>, time: Duration) -> Self {
        Waits {
            event,
            until: Instant::now() + time,
        }
    }

    /// How long it waits still.
    pub(super) fn left(&self) -> Duration {
        self.until.saturating_duration_since(Instant::now())
    }

    /// What comes of it, or, if that is not in time, what is said of that. Whoever was asked hears that nobody waits.
    pub(super) async fn in_time<T>(
        &self,
        what: impl Future<Output = T>,
    ) -> Result<T, Response<Reply>> {
        let late = |_| {
            let why = "no answer in time: `timeout` in the query says for how many seconds to wait";
            failed(StatusCode::GATEWAY_TIMEOUT, why)
        };
        time::timeout_at(self.until, what).await.map_err(late)
    }
}

/// Answers an event that was posted to this place.
pub(super) async fn answer(
    (front, busy): (&Front, &Busy),
    (hook, waits): (Hook, &Waits),
    (mut place, caller): (Place, Caller),
    event: &[u8],
) -> Result<Response<Reply>, HttpFault> {
    let bad = |what: &'static str| HttpFault::bad_request(what);
    let text = str::from_utf8(event).map_err(|_| bad("the event is not UTF-8"))?;
    let event = Json::parse(text).filter(|event| event.is_object());
    let event = event.ok_or(bad("the event is no JSON object"))?;
    place.server = Some(hook.call.server.as_str().into());
    if place.workspace.is_none() {
        place.workspace = workspace_of(front, event).await?;
    }
    let request = hook.call.request(event, front.message_bytes);
    let request = request.ok_or(HttpFault::TooLong)?;
    let bytes = request.len();
    let mut share = Share::of(&front.room);
    share.try_set(bytes).map_err(|_| HttpFault::Full)?;
    let frame = Frame::parse(request.into()).map_err(|_| bad("the event is nested too deep"))?;
    let request = Request {
        frame,
        bytes,
        share: Some(share),
        headers: None,
        hook: Some(waits.clone()),
    };
    let (chunks, attendance) = modern::begin((front, busy), (place, caller), request).await?;
    Ok(respond(&hook.event, chunks, attendance, busy).await)
}

/// Makes a response of what comes.
pub(super) async fn respond(
    event: &str,
    mut chunks: TubeEnd<Chunk>,
    mut attendance: Attendance,
    busy: &Busy,
) -> Response<Reply> {
    loop {
        let chunk = chunks.recv().await;
        // What the tool says meanwhile is nobody's.
        if let Some(Chunk::Part(_)) = chunk {
            continue;
        }
        attendance.is_over();
        busy.is_at(Stage::Written);
        return match chunk {
            Some(Chunk::Answer(parcel)) => of_answer(event, &parcel.open()),
            Some(Chunk::Refused(denial)) => reply::denied(&denial),
            Some(Chunk::Part(_)) | None => reply::refused(&HttpFault::Ending),
        };
    }
}

fn of_answer(event: &str, answer: &Outgoing) -> Response<Reply> {
    let answer = answer.to_vec();
    let answer = str::from_utf8(&answer).ok().and_then(Json::parse);
    match answer.map(|answer| told(event, answer)) {
        Some(Ok(said)) => {
            let said = said.unwrap_or_else(|| "{}".to_owned());
            reply::json(StatusCode::OK, &said.into())
        }
        Some(Err(why)) => failed(StatusCode::BAD_GATEWAY, &why),
        None => failed(StatusCode::BAD_GATEWAY, "the server's answer is no JSON"),
    }
}

fn failed(status: StatusCode, why: &str) -> Response<Reply> {
    let words = json!({"error": {"message": why}});
    reply::json(status, &words.to_string().into())
}

/// The workspace in which the agent says that it is. The folder may be on a disk that does not answer: only so
/// many look at once, and nobody waits for long.
async fn workspace_of(front: &Front, event: Json<'_>) -> Result<Option<PathBuf>, HttpFault> {
    let cwd = event.member("cwd").and_then(Json::string);
    let Some(cwd) = cwd.map(|cwd| PathBuf::from(cwd.as_ref())) else {
        return Ok(None);
    };
    let folder = cwd.clone();
    let look = async {
        let thread = Arc::clone(&front.looks).acquire_owned().await.ok()?;
        let looked = tasks::aside(move || {
            let found = workspace::around(&folder);
            drop(thread);
            found
        });
        looked.await.ok()
    };
    let found = time::timeout(LOOK_PATIENCE, look).await.ok().flatten();
    found.ok_or_else(|| HttpFault::NotNow {
        why: format!("nothing is heard of the folder {}", cwd.display()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hook(event: &str, uri: &str) -> Result<Hook, HttpFault> {
        Hook::of(event, &uri.parse().unwrap())
    }

    #[test]
    fn a_tool_is_called_in_the_version_that_is_served() {
        assert_eq!(shim::hook::tool::VERSION, mux::MODERN_VERSION);
    }

    #[test]
    fn the_url_says_which_tool_hears_of_it_and_with_what() {
        let uri = "/hook/Stop?tool=say&server=s&arg=a%3D${x.y}&workspace=/w&arg=b=1%262";
        let uri = uri.replace('{', "%7B").replace('}', "%7D");
        let hook = hook("Stop", &uri).unwrap();
        assert_eq!(&*hook.event, "Stop");
        let argument = |written| Argument::parse(written).unwrap();
        let expected = ToolCall {
            server: "s".into(),
            tool: "say".into(),
            arguments: vec![argument("a=${x.y}"), argument("b=1&2")],
        };
        assert_eq!(hook.call, expected);
        assert_eq!(hook.timeout, TIMEOUT);
        let hook = self::hook(
            "Stop",
            "/hook/Stop?server=s&tool=t&timeout=0.5&session_key=k&",
        );
        assert_eq!(hook.unwrap().timeout, Duration::from_millis(500));
    }

    #[test]
    fn what_is_not_known_or_stands_twice_in_a_url_is_named() {
        for (more, named) in [
            ("bogus=1", "`bogus`"),
            ("agr=a=1", "`agr`"),
            ("%61rg=a=1", "`%61rg`"),
            ("server=s", "`server` stands twice"),
            ("timeout=1&timeout=1", "`timeout` stands twice"),
            ("timeout=0", "more than 0"),
            ("timeout=-1", "more than 0"),
            ("timeout=soon", "more than 0"),
            ("timeout=86401", "more than 0"),
        ] {
            let uri = format!("/hook/Stop?server=s&tool=t&{more}");
            let refused = hook("Stop", &uri).unwrap_err().to_string();
            assert!(refused.contains(named), "{refused}");
        }
    }

    #[test]
    fn a_url_that_names_no_tool_is_refused() {
        for (event, uri) in [
            ("Stop", "/hook/Stop"),
            ("Stop", "/hook/Stop?server=s"),
            ("Stop", "/hook/Stop?tool=t"),
            ("Stop", "/hook/Stop?server=s&tool=t&arg=x"),
            ("Stop", "/hook/Stop?server=s&tool=%ff"),
            ("a.b", "/hook/a.b?server=s&tool=t"),
        ] {
            let refused = hook(event, uri);
            assert!(
                matches!(refused, Err(HttpFault::BadRequest { .. })),
                "{uri}"
            );
        }
    }
}
