//! One request of ours whose answer is read here and goes to nobody else, and what is asked so.

use std::sync::Arc;

use bytes::Bytes;
use hyper::{Response, body::Incoming};
use wire::{Frame, Message};

use super::{
    connection::{Connection, next_part, whole},
    exchange::{Followed, Form, bytes_of, follow, is_answer_to},
    mirrors::{Listed, TOOLS_MAX, Tools, mirrors_of, sift},
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

/// Asks a server of the modern era for its tools, in the name of whoever calls one of them: of what it does not say
/// nothing new is known.
pub(super) async fn relist(talk: &Talk, call: &Frame) -> Listed {
    let mut tools = Tools::new();
    let mut cursor = None;
    for page in 0..PAGES_MAX {
        let Some(said) = ask_page(talk, call, (page, cursor.as_deref())).await else {
            break;
        };
        tools.extend(said.tools);
        if said.next.is_none() {
            return Listed::All(tools);
        }
        if said.next == cursor || tools.len() > TOOLS_MAX {
            break;
        }
        cursor = said.next;
    }
    Listed::Page(tools)
}

/// What one page of the list of tools says.
struct Page {
    tools: Tools,
    /// Where the next begins, as JSON; `None` behind the last.
    next: Option<Arc<str>>,
}

/// Asks for one page; `None` if the server does not say it.
async fn ask_page(
    talk: &Talk,
    call: &Frame,
    (page, cursor): (usize, Option<&str>),
) -> Option<Page> {
    let request = list_request(call, page, cursor)?;
    let mirrors = mirrors_of(&request, None);
    let posted = talk.post(bytes_of(&request), &mirrors, None).await;
    let (response, connection) = posted.ok()?;
    if !response.status().is_success() {
        return None;
    }
    let answer = answer_in(talk, &request, response, connection).await.ok()?;
    if !is_answer_to(&answer.bytes, &request) {
        return None;
    }
    Page::of(answer.bytes)
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

impl Page {
    fn of(answer: Bytes) -> Option<Self> {
        let frame = Frame::parse(answer.clone()).ok()?;
        let Message::Response {
            result: Some(result),
            ..
        } = &frame.message
        else {
            return None;
        };
        let next = frame.member(result, "nextCursor");
        let next = next.filter(|cursor| cursor.value != "null");
        let next = next.map(|cursor| cursor.value.into());
        let (_kept, tools) = sift(answer);
        Some(Page { tools, next })
    }
}
