//! One request of ours whose answer is read here and goes to nobody else, and what is asked so.

use std::sync::Arc;

use bytes::Bytes;
use hyper::{Response, body::Incoming};
use wire::{Frame, Message};

use super::{
    connection::{Connection, next_part, whole},
    exchange::{Followed, Form, bytes_of, follow, is_answer_to},
    mirrors::{TOOLS_MAX, Tools, mirrors_of, sift},
    talk::Talk,
};
use crate::{link::Share, upstream::sse::Events};

/// Pages of a list that are read.
const PAGES_MAX: usize = 100;

/// An answer, what it takes of the room for all, and the connection if that can be used again.
pub(super) struct Answer {
    pub(super) bytes: Bytes,
    pub(super) share: Option<Share>,
    pub(super) idle: Option<Connection>,
}

/// Why there is no answer in a response.
pub(super) enum NoAnswer {
    /// It broke off, or is too long.
    Unread,
    /// It is something else: of this kind.
    OtherKind(String),
}

/// Reads the answer to a request out of a response that is none of an error.
pub(super) async fn answer_in(
    talk: &Talk,
    frame: &Frame,
    response: Response<Incoming>,
    connection: Connection,
) -> Result<Answer, NoAnswer> {
    let form = Form::of(&response);
    let mut body = response.into_body();
    match form {
        Form::Events => {
            let mut events = Events::new(talk.limit);
            match follow(talk, Some(frame), &mut body, &mut events).await {
                Followed::Answered(bytes, share) => Ok(Answer {
                    bytes,
                    share,
                    idle: None,
                }),
                Followed::Over | Followed::Unkept(_) | Followed::Broken => Err(NoAnswer::Unread),
            }
        }
        Form::Json => match whole(&mut body, talk.limit, &talk.room).await {
            Ok((bytes, share)) => Ok(Answer {
                bytes,
                share,
                idle: Some(connection.rested()),
            }),
            Err(_unread) => Err(NoAnswer::Unread),
        },
        Form::Other(kind) => {
            // What is left of it is of no use, and the connection goes with it.
            let _rest = next_part(&mut body).await;
            Err(NoAnswer::OtherKind(kind))
        }
    }
}

/// Asks a server of the modern era for its tools, in the name of whoever calls one of them; empty if it does not
/// say.
pub(super) async fn relist(talk: &Talk, call: &Frame) -> Tools {
    let mut tools = Tools::new();
    let mut cursor = None;
    for page in 0..PAGES_MAX {
        let Some(request) = list_request(call, page, cursor.as_deref()) else {
            break;
        };
        let mirrors = mirrors_of(&request, None);
        let posted = talk.post(bytes_of(&request), &mirrors, None).await;
        let Ok((response, connection)) = posted else {
            break;
        };
        if !response.status().is_success() {
            break;
        }
        let Ok(answer) = answer_in(talk, &request, response, connection).await else {
            break;
        };
        let is_it = is_answer_to(&answer.bytes, &request);
        let next = is_it.then(|| next_cursor(&answer.bytes)).flatten();
        let (_kept, found) = sift(answer.bytes);
        tools.extend(found);
        if next.is_none() || next == cursor || tools.len() > TOOLS_MAX {
            break;
        }
        cursor = next;
    }
    tools
}

/// A request for one page of the tools, which says of its sender what the call says. Its id is no number, as
/// those of the core are.
fn list_request(call: &Frame, page: usize, cursor: Option<&str>) -> Option<Frame> {
    let Message::Request { params, .. } = &call.message else {
        return None;
    };
    let meta = call.edited(params.meta.as_ref()?, &["progressToken"], &[])?;
    let cursor = cursor.map_or_else(String::new, |it| format!(r#","cursor":{it}"#));
    let text = format!(
        r#"{{"jsonrpc":"2.0","id":"mcpool-tools-{page}","method":"tools/list","params":{{"_meta":{meta}{cursor}}}}}"#
    );
    Frame::parse(Bytes::from(text)).ok()
}

/// Where the next page begins, as JSON.
fn next_cursor(answer: &Bytes) -> Option<Arc<str>> {
    let answer = Frame::parse(answer.clone()).ok()?;
    let Message::Response {
        result: Some(result),
        ..
    } = &answer.message
    else {
        return None;
    };
    let cursor = answer.member(result, "nextCursor")?;
    (cursor.value != "null").then(|| cursor.value.into())
}
