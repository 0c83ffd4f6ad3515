//! Streamable HTTP with a server of the versions that have a handshake (2025-03-26 to 2025-11-25), and the
//! transport before that (2024-11-05), if that is what the server speaks.
//!
//! Each message to the server is a POST. Requests go side by side; what wants no answer goes one after the
//! other, in order. What the server says comes with the answers, and on a stream of its own.
//!
//! Servers of 2026-07-28 want other requests, and no session; that would be another conversation beside this.
//!
//! **Invariant:** a session that the server has given out is ended by us exactly once, unless the server has
//! forgotten it, or there is no way to it.

mod connection;
mod exchange;
mod greet;
mod listener;
mod talk;

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use hyper::{
    HeaderMap, StatusCode,
    header::{HOST, HeaderName, HeaderValue, USER_AGENT},
};
use mux::Exit;
use tokio::{
    sync::{
        Notify,
        mpsc::{self, Receiver, Sender},
    },
    time::{self, Instant},
};
use wire::{Frame, Kind, Method};

use super::{
    End, Job, Task, Wanted,
    connect::Connector,
    ends::{Ear, Voice},
    standing::{Busy, Resumable},
};
use crate::{launch::RemoteSpec, logs::Veil};
pub(super) use connection::Connection;
use connection::Failure;
use exchange::{Came, bytes_of, exchange};
use greet::{Greeting, follow_old, greet};
use listener::{Unheard, listen};
use talk::Talk;

/// Requests that may be open at once; more wait in the pipe.
const OPEN_MAX: usize = 1024;

/// Messages without an answer that may wait to be posted.
const NOTICES_MAX: usize = 64;

/// Connections that are kept while nobody uses them.
const IDLE_CONNECTIONS: usize = 4;

/// How long a server may take to take in what wants no answer.
const NOTICE_PATIENCE: Duration = Duration::from_secs(30);

/// How long the answer to a request that was cancelled is still waited for.
const CANCELLED_PATIENCE: Duration = Duration::from_secs(1);

/// How long it is waited for what else is open when the server is lost, or has forgotten the session.
const GATHERING: Duration = Duration::from_millis(300);

/// How long the end may take for what is still to be said, and for the goodbye.
const LAST_WORDS: Duration = Duration::from_secs(1);
const GOODBYE: Duration = Duration::from_secs(2);

/// Something that came of what was begun.
enum News {
    Greeted(Greeting),
    Came(u64, Came, Busy),
    /// `initialized` has been posted.
    Settled,
    /// The server was told that this request is cancelled.
    Cancelled(u64),
    Unheard(Unheard),
    /// The server does not know the session.
    Forgotten,
    Unreachable(String),
}

/// How far the conversation is. Until it is settled there is one message at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    New,
    Greeting,
    Greeted,
    Settling,
    Settled,
}

/// A request that is open.
struct Open {
    cancelled: Arc<Notify>,
    _task: Task,
}

struct Conversation {
    talk: Arc<Talk>,
    stage: Stage,
    /// Whether it is one of 2024-11-05.
    is_old: bool,
    open: BTreeMap<u64, Open>,
    count: u64,
    idle: Vec<Connection>,
    notices: Option<(Sender<Notice>, Task)>,
    greeting: Option<Task>,
    listener: Option<Task>,
    /// Whether there is no way to the server any more.
    is_lost: bool,
    news: Sender<News>,
}

/// A message without an answer, under way.
type Notice = (Frame, Busy);

/// How a conversation begins.
pub(super) enum Begin {
    /// With a connection on which nothing has been said.
    Anew(Connection),
    /// Where another program has left it.
    Again(Resumable),
}

/// Holds a conversation until the hub or the server ends it.
pub(super) async fn converse(
    job: &Job,
    (connector, begin): (Connector, Begin),
    ear: &mut Ear,
    voice: Voice,
    wanted: &mut Wanted,
) -> End {
    let headers = match headers(&job.spec, &connector) {
        Ok(headers) => headers,
        Err(why) => return End::unstarted(why),
    };
    let talk = Talk {
        path: connector.target.path.clone(),
        connector,
        headers,
        session: None,
        version: None,
        server: Arc::clone(&job.server),
        limit: job.message_bytes,
        room: Arc::clone(&job.room),
        voice,
        standing: job.standing.clone(),
        veil: Veil::of_remote(&job.spec),
    };
    let (news, mut heard) = mpsc::channel(NOTICES_MAX);
    let mut conversation = Conversation {
        talk: Arc::new(talk),
        stage: Stage::New,
        is_old: false,
        open: BTreeMap::new(),
        count: 0,
        idle: Vec::new(),
        notices: None,
        greeting: None,
        listener: None,
        is_lost: false,
        news,
    };
    match begin {
        Begin::Anew(first) => conversation.idle.push(first),
        Begin::Again(resumed) => conversation.go_on(resumed),
    }
    let mut end = conversation.hold(ear, &mut heard, wanted).await;
    conversation.talk.standing.unsettle();
    if end.exit == Exit::Forgetful || conversation.is_lost {
        conversation.gather(&mut end, &mut heard).await;
    }
    conversation.leave(wanted).await;
    end
}

/// Those that every request has.
fn headers(spec: &RemoteSpec, connector: &Connector) -> Result<HeaderMap, String> {
    let mut headers = HeaderMap::new();
    let key = spec.session_key.as_ref();
    let key = key.map(|key| (key.header.as_str(), key.key.as_str()));
    let own = spec
        .headers
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()));
    for (name, value) in own.chain(key) {
        let name: HeaderName = name.parse().map_err(|_| format!("`{name}` is no header"))?;
        let value = HeaderValue::from_str(value);
        let mut value =
            value.map_err(|_| format!("the value of the header `{name}` cannot be sent"))?;
        value.set_sensitive(true);
        headers.insert(name, value);
    }
    let authority = connector.target.authority();
    let host =
        HeaderValue::from_str(&authority).map_err(|_| "the host cannot be sent".to_owned())?;
    headers.insert(HOST, host);
    headers
        .entry(USER_AGENT)
        .or_insert(HeaderValue::from_static(concat!(
            "mcpool/",
            env!("CARGO_PKG_VERSION")
        )));
    Ok(headers)
}

impl Conversation {
    async fn hold(
        &mut self,
        ear: &mut Ear,
        heard: &mut Receiver<News>,
        wanted: &mut Wanted,
    ) -> End {
        loop {
            tokio::select! {
                biased;
                () = wanted.overdue() => return End::told(),
                Some(news) = heard.recv() => {
                    if let Some(end) = self.on_news(news).await {
                        return end;
                    }
                }
                frame = ear.next(), if self.may_hear() => match frame {
                    Some((frame, busy)) => self.on_frame(frame, busy),
                    None => return End::told(),
                },
                // A session that is idle should cost neither side a connection.
                () = time::sleep(connection::IDLE_MAX), if !self.idle.is_empty() => {
                    self.idle.retain(Connection::is_good);
                }
            }
        }
    }

    fn may_hear(&self) -> bool {
        let has_room = |(sender, _): &(Sender<Notice>, Task)| sender.capacity() > 0;
        match self.stage {
            Stage::New | Stage::Greeted => true,
            Stage::Greeting | Stage::Settling => false,
            Stage::Settled => {
                self.open.len() < OPEN_MAX && self.notices.as_ref().is_none_or(has_room)
            }
        }
    }

    fn on_frame(&mut self, frame: Frame, busy: Busy) {
        let is_initialize = frame.method() == Some(&Method::Initialize);
        match frame.kind() {
            Kind::Request if is_initialize => {
                self.stage = Stage::Greeting;
                let (talk, news) = (Arc::clone(&self.talk), self.news.clone());
                let idle = self.idle.pop();
                self.greeting = Some(Task::spawn("remote greeting", async move {
                    let greeting = greet(&talk, &frame, idle).await;
                    let greeting = match greeting {
                        Greeting::Old { path, stream } => {
                            begin_old(&talk, frame, path, stream, &news).await
                        }
                        other @ (Greeting::Greeted { .. } | Greeting::Failed(_)) => Some(other),
                    };
                    if let Some(greeting) = greeting {
                        let _ending = news.send(News::Greeted(greeting)).await;
                    }
                }));
            }
            Kind::Request => self.begin(frame, busy),
            Kind::Notification | Kind::Response => {
                if frame.method() == Some(&Method::Initialized) {
                    self.stage = Stage::Settling;
                }
                let (talk, news) = (&self.talk, &self.news);
                let (notices, _task) = self.notices.get_or_insert_with(|| {
                    let (sender, receiver) = mpsc::channel(NOTICES_MAX);
                    let notifying = notify(Arc::clone(talk), receiver, news.clone());
                    (sender, Task::spawn("remote notices", notifying))
                });
                // There is room, or it would not have been heard.
                let _full = notices.try_send((frame, busy));
            }
        }
    }

    /// Posts a request.
    fn begin(&mut self, frame: Frame, busy: Busy) {
        let number = frame.id().and_then(wire::RequestId::as_number);
        // The core's ids are numbers.
        let number = number.unwrap_or_else(|| {
            self.count += 1;
            u64::MAX - self.count
        });
        let cancelled = Arc::new(Notify::new());
        let (talk, news) = (Arc::clone(&self.talk), self.news.clone());
        let idle = self.idle.pop();
        let wish = Arc::clone(&cancelled);
        let request = Task::spawn("remote request", async move {
            let came = tokio::select! {
                came = exchange(talk, frame, idle) => came,
                () = given_up(&wish) => Came::Done(None),
            };
            let _ending = news.send(News::Came(number, came, busy)).await;
        });
        self.open.insert(
            number,
            Open {
                cancelled,
                _task: request,
            },
        );
    }

    /// What is to be done about it; an end if that is one.
    async fn on_news(&mut self, news: News) -> Option<End> {
        match news {
            News::Greeted(greeting) => return self.on_greeting(greeting).await,
            News::Came(number, came, _busy) => {
                self.open.remove(&number);
                match came {
                    Came::Done(connection) => {
                        self.idle.retain(Connection::is_good);
                        if self.idle.len() < IDLE_CONNECTIONS {
                            self.idle.extend(connection);
                        }
                    }
                    Came::Forgotten(undelivered) => {
                        return Some(self.forgotten(undelivered).await);
                    }
                    Came::Unreachable(why, undelivered) => {
                        return Some(self.unreachable(why, undelivered).await);
                    }
                }
            }
            News::Settled => {
                self.stage = Stage::Settled;
                if !self.is_old {
                    let text = |value: &HeaderValue| value.to_str().ok().map(str::to_owned);
                    self.talk.standing.settle(Resumable {
                        path: self.talk.path.clone(),
                        session: self.talk.session.as_ref().and_then(text),
                        version: self.talk.version.as_ref().and_then(text),
                        last_event: None,
                    });
                    self.listen(None);
                }
            }
            News::Cancelled(number) => {
                if let Some(open) = self.open.get(&number) {
                    open.cancelled.notify_one();
                }
            }
            News::Unheard(Unheard::NoStream) => self.listener = None,
            News::Unheard(Unheard::Forgotten) | News::Forgotten => {
                return Some(self.forgotten(Vec::new()).await);
            }
            News::Unheard(Unheard::Unreachable(why)) | News::Unreachable(why) => {
                return Some(self.unreachable(why, Vec::new()).await);
            }
        }
        None
    }

    async fn on_greeting(&mut self, greeting: Greeting) -> Option<End> {
        match greeting {
            Greeting::Greeted {
                session,
                version,
                answer,
                share,
                idle,
            } => {
                let mut talk = Talk::clone(&self.talk);
                (talk.session, talk.version) = (session, version);
                self.talk = Arc::new(talk);
                self.idle.extend(idle);
                self.stage = Stage::Greeted;
                self.talk.voice.say(answer, share).await;
                None
            }
            Greeting::Old { path, stream } => {
                let mut talk = Talk::clone(&self.talk);
                talk.path = path;
                self.talk = Arc::new(talk);
                self.is_old = true;
                self.stage = Stage::Greeted;
                let (talk, news) = (Arc::clone(&self.talk), self.news.clone());
                self.listener = Some(Task::spawn("remote listener", async move {
                    follow_old(talk, stream).await;
                    let why = "its stream has ended".to_owned();
                    let _ending = news.send(News::Unreachable(why)).await;
                }));
                None
            }
            Greeting::Failed(why) => Some(End::unstarted(why)),
        }
    }

    /// Goes on where another program has left it.
    fn go_on(&mut self, resumed: Resumable) {
        let mut talk = Talk::clone(&self.talk);
        let value = |text: &String| HeaderValue::from_str(text).ok();
        talk.path.clone_from(&resumed.path);
        talk.session = resumed.session.as_ref().and_then(value);
        talk.version = resumed.version.as_ref().and_then(value);
        self.talk = Arc::new(talk);
        self.stage = Stage::Settled;
        let last_event = resumed.last_event.clone();
        self.talk.standing.settle(resumed);
        self.listen(last_event);
    }

    /// Has the server's own stream followed.
    fn listen(&mut self, last_event: Option<String>) {
        let (talk, news) = (Arc::clone(&self.talk), self.news.clone());
        self.listener = Some(Task::spawn("remote listener", async move {
            let unheard = listen(talk, last_event).await;
            let _ending = news.send(News::Unheard(unheard)).await;
        }));
    }

    async fn forgotten(&mut self, undelivered: Vec<Frame>) -> End {
        let target = &self.talk.connector.target;
        let words = format!("{target} answered 404: it does not know the session any more");
        self.talk.voice.complain(words).await;
        // Nobody is told goodbye who has forgotten us.
        let mut talk = Talk::clone(&self.talk);
        talk.session = None;
        self.talk = Arc::new(talk);
        End::of(Exit::Forgetful, undelivered)
    }

    async fn unreachable(&mut self, why: String, undelivered: Vec<Frame>) -> End {
        let target = &self.talk.connector.target;
        self.talk.voice.complain(format!("{target}: {why}")).await;
        self.is_lost = true;
        End::of(Exit::Disconnected, undelivered)
    }

    /// What else is open fares the same, most likely: of that, too, what the server cannot have seen is handed
    /// back.
    async fn gather(&mut self, end: &mut End, heard: &mut Receiver<News>) {
        let until = Instant::now() + GATHERING;
        while !self.open.is_empty() {
            match time::timeout_at(until, heard.recv()).await {
                Ok(Some(News::Came(number, came, _busy))) => {
                    self.open.remove(&number);
                    match came {
                        Came::Done(_) => {}
                        Came::Forgotten(frames) | Came::Unreachable(_, frames) => {
                            end.undelivered.extend(frames);
                        }
                    }
                }
                Ok(Some(_other)) => {}
                Ok(None) | Err(_) => return,
            }
        }
    }

    /// Ends what is open, says what is still to be said, and goodbye.
    async fn leave(&mut self, wanted: &mut Wanted) {
        self.greeting = None;
        self.listener = None;
        self.open.clear();
        let Some(goodbye_due) = wanted.left(LAST_WORDS + GOODBYE) else {
            return;
        };
        if self.is_lost {
            return;
        }
        if let Some((queue, task)) = self.notices.take() {
            drop(queue);
            let _late = time::timeout(LAST_WORDS.min(goodbye_due), task.ended()).await;
        }
        if self.talk.session.is_some() {
            let left = time::timeout(GOODBYE.min(goodbye_due), self.talk.leave()).await;
            if let Ok(Ok(status)) = left
                && !(status.is_success()
                    || matches!(
                        status,
                        StatusCode::METHOD_NOT_ALLOWED | StatusCode::NOT_FOUND
                    ))
            {
                let words = format!("goodbye: {}", self.talk.words_of(status));
                self.talk.voice.complain(words).await;
            }
        }
    }
}

/// Has an old server hear `initialize` as well; `None` if nobody waits for that any more.
async fn begin_old(
    talk: &Arc<Talk>,
    frame: Frame,
    path: String,
    stream: Box<(hyper::body::Incoming, super::sse::Events)>,
    news: &Sender<News>,
) -> Option<Greeting> {
    let mut there = Talk::clone(talk);
    there.path.clone_from(&path);
    // What it answers comes on its stream, which has to be followed first.
    let begun = news
        .send(News::Greeted(Greeting::Old { path, stream }))
        .await;
    begun.ok()?;
    let target = &talk.connector.target;
    match there.post(bytes_of(&frame), None).await {
        Ok((response, _busy)) if response.status().is_success() => None,
        Ok((response, _busy)) => Some(Greeting::Failed(there.words_of(response.status()))),
        Err(Failure::Misled(why)) => Some(Greeting::Failed(why)),
        Err(Failure::Undelivered(why) | Failure::Lost(why)) => {
            Some(Greeting::Failed(format!("{target}: {why}")))
        }
    }
}

/// Returns when the server was told that the request is cancelled, and has had time to answer it all the same.
async fn given_up(cancelled: &Notify) {
    cancelled.notified().await;
    time::sleep(CANCELLED_PATIENCE).await;
}

/// Posts what wants no answer, one after the other.
async fn notify(talk: Arc<Talk>, mut queue: Receiver<Notice>, news: Sender<News>) {
    let mut idle = None;
    while let Some((frame, _busy)) = queue.recv().await {
        let posted = time::timeout(NOTICE_PATIENCE, talk.post(bytes_of(&frame), idle.take())).await;
        let target = &talk.connector.target;
        let trouble = match posted {
            Ok(Ok((response, connection))) => {
                let status = response.status();
                if status.is_success() {
                    // Most have no body, and then the connection is free for what waits.
                    idle = (!queue.is_empty()).then(|| connection.rested());
                    None
                } else {
                    let error = talk.error_of(response).await;
                    if talk.is_forgotten(status, &error) {
                        let _ending = news.send(News::Forgotten).await;
                        return;
                    }
                    Some(format!("{}{}", talk.words_of(status), error.words()))
                }
            }
            Ok(Err(Failure::Undelivered(why))) => {
                let _ending = news.send(News::Unreachable(why)).await;
                return;
            }
            Ok(Err(Failure::Lost(why))) => Some(format!("{target}: {why}")),
            Ok(Err(Failure::Misled(why))) => Some(why),
            Err(_late) => Some(format!("{target} takes nothing in")),
        };
        if let Some(trouble) = trouble {
            talk.voice.complain(trouble).await;
        }
        let news_of_it = match (frame.method(), cancelled_by(&frame)) {
            (Some(Method::Initialized), _) => News::Settled,
            (_, Some(number)) => News::Cancelled(number),
            (_, None) => continue,
        };
        let _ending = news.send(news_of_it).await;
    }
}

/// The request that this cancels.
fn cancelled_by(frame: &Frame) -> Option<u64> {
    match &frame.message {
        wire::Message::Notification {
            method: Method::Cancelled,
            params,
        } => params.request_id.as_ref()?.0.as_number(),
        wire::Message::Notification { .. }
        | wire::Message::Request { .. }
        | wire::Message::Response { .. } => None,
    }
}
