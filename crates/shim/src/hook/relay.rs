//! An event for a tool of a server of ours: one session, one call.

use std::{
    env,
    io::{BufRead, BufReader, Read, Write},
    path::PathBuf,
};

use wire::Json;

use super::{
    BYTES_MAX, Deadline, Failure,
    arguments::Hook,
    target::Timed,
    tool::{self, ToolCall},
    within,
};
use crate::{
    answer::Answer,
    connect,
    meet::{Caller, NotMet, is_silence},
    places::Places,
    preface::{Ask, Join, SessionAsk},
    workspace,
};

/// Calls the tool; says what is for the agent.
pub(super) fn call(
    hook: &Hook,
    call: &ToolCall,
    event: &str,
    deadline: Deadline,
) -> Result<Option<String>, Failure> {
    let event = Json::parse(event).ok_or(Failure::Said("the event is not JSON".into()))?;
    let request = call.request(event, usize::try_from(BYTES_MAX).unwrap_or(usize::MAX));
    let mut request =
        request.ok_or_else(|| Failure::Said("the arguments are longer than 64 MiB".into()))?;
    request.push('\n');
    let places = Places::find(hook.home.as_deref()).map_err(Failure::Places)?;
    let caller = Caller::new(
        places,
        connect::preface(Ask::Session(ask(hook, call, event, deadline)?)),
    );
    let (stream, answer) = caller.come(deadline.at).map_err(|cause| match &cause {
        NotMet::NoAnswer(Some(error)) if is_silence(error) => Failure::TimedOut(deadline.whole),
        NotMet::NoAnswer(_) | NotMet::Preface(_) | NotMet::Rendezvous(_) => Failure::NotMet(cause),
    })?;
    match answer {
        Answer::Accepted { session: _ } => {}
        Answer::Refused(words) => return Err(Failure::Said(words)),
        Answer::RunItYourself => return Err(Failure::NotMet(NotMet::NoAnswer(None))),
    }
    let mut daemon = BufReader::new(Timed { stream, deadline });
    let sent = daemon.get_mut().write_all(request.as_bytes());
    sent.map_err(|error| deadline.of_error("talking to the daemon", error))?;
    let answer = answer_of(daemon, deadline)?;
    // It was read before.
    let answer = Json::parse(&answer).ok_or(Failure::Said("the answer is not JSON".into()))?;
    tool::told(&hook.event, answer)
        .map_err(|words| Failure::Said(format!("`{}` of `{}`: {words}", call.tool, call.server)))
}

fn ask(
    hook: &Hook,
    call: &ToolCall,
    event: Json<'_>,
    deadline: Deadline,
) -> Result<SessionAsk, Failure> {
    let cwd = event.member("cwd").and_then(Json::string);
    let cwd = cwd.map(|cwd| PathBuf::from(cwd.as_ref()));
    // A relative one would be relative to what?
    let cwd = cwd.filter(|cwd| cwd.is_absolute());
    let flag = hook.workspace.clone();
    // A folder of another machine may be as slow as that.
    let look = move || match cwd {
        Some(cwd) => workspace::find_from(flag.as_deref(), Some(cwd)),
        None => workspace::find(flag.as_deref()),
    };
    let workspace = within(deadline, look)?;
    Ok(SessionAsk {
        server: call.server.clone(),
        command: Vec::new(),
        address: None,
        directory: None,
        scope: None,
        workspace: workspace.map_err(Failure::Workspace)?,
        pass: Vec::new(),
        join: Join::Any,
        resume: None,
        env: env::vars_os().collect(),
    })
}

/// Waits for the answer; what else comes is nobody's.
fn answer_of(mut daemon: impl BufRead, deadline: Deadline) -> Result<String, Failure> {
    loop {
        let mut line = Vec::new();
        let read = daemon
            .by_ref()
            .take(BYTES_MAX * 2)
            .read_until(b'\n', &mut line);
        read.map_err(|error| deadline.of_error("waiting for the daemon", error))?;
        if !line.ends_with(b"\n") {
            return Err(Failure::Said(
                "the daemon ended before the tool had answered".into(),
            ));
        }
        // Control lines are no JSON.
        let Ok(line) = String::from_utf8(line) else {
            continue;
        };
        if Json::parse(&line).is_some_and(tool::is_answer) {
            return Ok(line);
        }
    }
}
