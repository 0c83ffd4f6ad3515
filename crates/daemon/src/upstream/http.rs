//! Streamable HTTP with a server, in the era in which it is spoken to first: as in the versions that have a
//! handshake (2025-03-26 to 2025-11-25), with the transport before that (2024-11-05) if that is what the server
//! speaks, or as in the one that has none (2026-07-28).
//!
//! Each message to the server is a POST. Requests go side by side; what wants no answer goes one after the
//! other, in order. What the server says comes with the answers, and on a stream of its own, which in the modern
//! era is that of a request. There a request is cancelled by the end of its stream, and by nothing else.
//!
//! **Invariant:** a session that the server has given out is ended by us exactly once, unless the server has
//! forgotten it, or there is no way to it.

mod again;
mod answer;
mod changes;
mod connection;
mod ending;
mod exchange;
mod greet;
mod listener;
mod mirrors;
mod notices;
mod talk;
mod waiting;

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use hyper::header::HeaderValue;
use mux::{Exit, MODERN_VERSION, Refusal};
use tokio::{
    sync::{
        Notify,
        mpsc::{self, Receiver, Sender},
    },
    time,
};
use wire::{Frame, Kind, Method};

use super::{
    End, Job, Task, Wanted,
    connect::Connector,
    ends::{Ear, Voice},
    rest::Held,
    standing::{Busy, Resumable},
};
use crate::{front::Param, launch::RemoteSpec, logs::Veil};
use changes::{Wish, hear_of_changes};
pub(super) use connection::Connection;
use exchange::{Came, bytes_of, exchange};
use greet::{Greeting, begin_old, discover, follow_old, greet};
use listener::{Unheard, listen};
use mirrors::{Listed, TOOLS_MAX, mirrors_of, tool_of};
use notices::{NOTICES_MAX, Notice, cancelled_by, notify};
use talk::{Talk, headers_of};
use waiting::Waiting;

/// Requests that may be open at once; more wait.
const OPEN_MAX: usize = 1024;

/// Lists of tools that may wait to be looked at.
const LISTS_MAX: usize = 16;

/// Connections that are kept while nobody uses them.
const IDLE_CONNECTIONS: usize = 4;

/// How long the answer to a request that was cancelled is still waited for.
const CANCELLED_PATIENCE: Duration = Duration::from_secs(1);

/// Something that came of what was begun.
enum News {
    Greeted(Greeting),
    Came(u64, Came, Option<Busy>),
    /// `initialized` has been posted.
    Settled,
    /// The server was told that this request is cancelled.
    Cancelled(u64),
    Unheard(Unheard),
    /// The server does not know the session.
    Forgotten,
    Unreachable(String),
    /// The server does not take in an answer to what it has asked.
    Unanswered(String),
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
    held: Held,
    _task: Task,
}

struct Conversation {
    talk: Arc<Talk>,
    spec: Arc<RemoteSpec>,
    stage: Stage,
    /// Whether it is one of 2024-11-05.
    is_old: bool,
    open: BTreeMap<u64, Open>,
    /// Those that were heard while as many were open as may be.
    waiting: Waiting,
    count: u64,
    idle: Vec<Connection>,
    notices: Option<(Sender<Notice>, Task)>,
    greeting: Option<Task>,
    listener: Option<Task>,
    /// What the server has said of its tools, in the modern era.
    tools: BTreeMap<Box<str>, Arc<[Param]>>,
    lists: Receiver<Listed>,
    /// The requests that stay, by their ids.
    staying: BTreeMap<u64, String>,
    /// Whether there is no way to the server any more.
    is_lost: bool,
    news: Sender<News>,
}

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
    let headers = match headers_of(&job.spec, &connector) {
        Ok(headers) => headers,
        Err(why) => return End::unstarted(why),
    };
    let (tell_lists, lists) = mpsc::channel(LISTS_MAX);
    let rest = job.left_alone.at(&connector.target.place, &job.spec);
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
        lists: tell_lists,
        rest,
    };
    let (news, mut heard) = mpsc::channel(NOTICES_MAX);
    let mut conversation = Conversation {
        talk: Arc::new(talk),
        stage: Stage::New,
        is_old: false,
        open: BTreeMap::new(),
        waiting: Waiting::default(),
        count: 0,
        idle: Vec::new(),
        notices: None,
        greeting: None,
        listener: None,
        tools: BTreeMap::new(),
        lists,
        staying: BTreeMap::new(),
        is_lost: false,
        spec: Arc::clone(&job.spec),
        news,
    };
    match begin {
        Begin::Anew(first) => conversation.idle.push(first),
        Begin::Again(resumed) => conversation.go_on(resumed),
    }
    let mut end = conversation.hold(ear, &mut heard, wanted).await;
    conversation.talk.standing.unsettle();
    end.undelivered.extend(conversation.waiting.take_all());
    if end.exit == Exit::Forgetful || conversation.is_lost {
        conversation.gather(&mut end, &mut heard).await;
    }
    conversation.leave(wanted).await;
    end
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
                // Before anybody can call what stands there.
                Some(listed) = self.lists.recv() => self.note_tools(listed),
                Some(news) = heard.recv() => {
                    if let Some(end) = self.on_news(news).await {
                        return end;
                    }
                }
                frame = ear.next(), if self.may_hear() => match frame {
                    Some((frame, busy)) => self.on_frame(frame, busy).await,
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
            Stage::Settled => self.notices.as_ref().is_none_or(has_room),
        }
    }

    async fn on_frame(&mut self, frame: Frame, busy: Busy) {
        match (frame.kind(), frame.method()) {
            (Kind::Request, Some(Method::Initialize)) => self.greet(frame),
            (Kind::Request, Some(Method::Discover)) if self.stage == Stage::New => {
                self.discover(frame);
            }
            (Kind::Request, Some(Method::Listen)) if self.talk.is_modern() => {
                self.stay(frame, Wish::New);
            }
            (Kind::Request, _) if self.open.len() < OPEN_MAX => self.begin(frame, busy),
            (Kind::Request, _) => self.wait(frame, busy).await,
            (Kind::Notification, Some(Method::Cancelled)) if self.waiting.cancel(&frame) => {}
            (Kind::Notification, Some(Method::Cancelled)) if self.talk.is_modern() => {
                self.cancel(&frame);
            }
            (Kind::Notification | Kind::Response, method) => {
                if method == Some(&Method::Initialized) {
                    self.stage = Stage::Settling;
                }
                // A request that is held goes nowhere any more, though its server hears of that later.
                if let Some(number) = cancelled_by(&frame)
                    && self
                        .open
                        .get(&number)
                        .is_some_and(|open| open.held.is_held())
                {
                    self.close(number);
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

    fn greet(&mut self, frame: Frame) {
        self.stage = Stage::Greeting;
        let (talk, news) = (Arc::clone(&self.talk), self.news.clone());
        let idle = self.idle.pop();
        self.greeting = Some(Task::spawn("remote greeting", async move {
            let greeting = greet(&talk, &frame, idle).await;
            let greeting = match greeting {
                Greeting::Old { path, stream } => {
                    begin_old(&talk, frame, path, stream, &news).await
                }
                other @ (Greeting::Greeted { .. }
                | Greeting::Discovered(_)
                | Greeting::Refused(_)
                | Greeting::Failed(_)) => Some(other),
            };
            if let Some(greeting) = greeting {
                let _ending = news.send(News::Greeted(greeting)).await;
            }
        }));
    }

    fn discover(&mut self, frame: Frame) {
        self.stage = Stage::Greeting;
        let (talk, news) = (self.talk.modern(&self.spec), self.news.clone());
        let idle = self.idle.pop();
        self.greeting = Some(Task::spawn("remote greeting", async move {
            let greeting = discover(&talk, &frame, idle).await;
            let _ending = news.send(News::Greeted(greeting)).await;
        }));
    }

    /// Has a request wait until another is done.
    async fn wait(&mut self, frame: Frame, busy: Busy) {
        if let Some(frame) = self.waiting.push(frame, busy) {
            self.talk.answer(&frame, &Refusal::Overloaded).await;
        }
    }

    /// Posts a request.
    fn begin(&mut self, frame: Frame, busy: Busy) {
        let (talk, idle) = (Arc::clone(&self.talk), self.idle.pop());
        let mirrors = if talk.is_modern() {
            let tool = tool_of(&frame).and_then(|tool| self.tools.get(&tool));
            mirrors_of(&frame, tool.map(|params| &**params))
        } else {
            Vec::new()
        };
        let number = self.number_of(&frame);
        let held = Held::default();
        let work = exchange(talk, frame, mirrors, idle, held.clone());
        self.open(number, Some(busy), held, work);
    }

    /// Posts a request that stays: nothing has to wait for its end.
    fn stay(&mut self, frame: Frame, wish: Wish) {
        let (talk, idle) = (Arc::clone(&self.talk), self.idle.pop());
        let number = self.number_of(&frame);
        let text = bytes_of(&frame).to_vec();
        // A frame that was parsed is text.
        let text = String::from_utf8(text).unwrap_or_default();
        self.staying.insert(number, text);
        self.tell_staying();
        let work = hear_of_changes(talk, frame, wish, idle);
        self.open(number, None, Held::default(), work);
    }

    fn tell_staying(&self) {
        let staying = self.staying.values().cloned().collect();
        self.talk.standing.stay(staying);
    }

    fn number_of(&mut self, frame: &Frame) -> u64 {
        let number = frame.id().and_then(wire::RequestId::as_number);
        // The core's ids are numbers.
        number.unwrap_or_else(|| {
            self.count += 1;
            u64::MAX - self.count
        })
    }

    fn open(
        &mut self,
        number: u64,
        busy: Option<Busy>,
        held: Held,
        work: impl Future<Output = Came> + Send + 'static,
    ) {
        let cancelled = Arc::new(Notify::new());
        let (wish, news) = (Arc::clone(&cancelled), self.news.clone());
        let request = Task::spawn("remote request", async move {
            let came = tokio::select! {
                came = work => came,
                () = given_up(&wish) => Came::Done(None),
            };
            let _ending = news.send(News::Came(number, came, busy)).await;
        });
        self.open.insert(
            number,
            Open {
                cancelled,
                held,
                _task: request,
            },
        );
    }

    /// Ends the stream of a request, which the server takes for its cancellation (2026-07-28).
    fn cancel(&mut self, frame: &Frame) {
        if let Some(number) = cancelled_by(frame) {
            self.close(number);
        }
    }

    fn close(&mut self, number: u64) {
        self.open.remove(&number);
        if self.staying.remove(&number).is_some() {
            self.tell_staying();
        }
        if self.open.len() < OPEN_MAX
            && let Some((frame, busy)) = self.waiting.pop()
        {
            self.begin(frame, busy);
        }
    }

    fn note_tools(&mut self, listed: Listed) {
        let tools = match listed {
            Listed::Page(tools) => tools,
            Listed::All(tools) => {
                self.tools.clear();
                tools
            }
        };
        for (name, params) in tools {
            if self.tools.len() < TOOLS_MAX || self.tools.contains_key(&name) {
                self.tools.insert(name, params);
            }
        }
    }

    /// What is to be done about it; an end if that is one.
    async fn on_news(&mut self, news: News) -> Option<End> {
        match news {
            News::Greeted(greeting) => return self.on_greeting(greeting).await,
            News::Came(number, came, _busy) => {
                self.close(number);
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
                        staying: Vec::new(),
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
            News::Unanswered(why) => return Some(self.unanswered(why).await),
        }
        None
    }

    async fn on_greeting(&mut self, greeting: Greeting) -> Option<End> {
        match greeting {
            Greeting::Greeted {
                session,
                version,
                answer,
            } => {
                let mut talk = Talk::clone(&self.talk);
                (talk.session, talk.version) = (session, version);
                self.talk = Arc::new(talk);
                self.idle.extend(answer.idle);
                self.stage = Stage::Greeted;
                self.talk.voice.say(answer.bytes, answer.share).await;
                None
            }
            Greeting::Discovered(answer) => {
                self.talk = Arc::new(self.talk.modern(&self.spec));
                self.idle.extend(answer.idle);
                self.stage = Stage::Settled;
                self.talk.standing.settle(Resumable {
                    path: self.talk.path.clone(),
                    session: None,
                    version: Some(MODERN_VERSION.to_owned()),
                    last_event: None,
                    staying: Vec::new(),
                });
                self.talk.voice.say(answer.bytes, answer.share).await;
                None
            }
            Greeting::Refused(answer) => {
                // The hub ends it, now that it knows.
                self.stage = Stage::New;
                self.talk.voice.say(answer, None).await;
                None
            }
            Greeting::Old { path, stream } => {
                let mut talk = Talk::clone(&self.talk);
                talk.path = path;
                self.talk = Arc::new(talk);
                self.is_old = true;
                self.talk.standing.bind();
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
        self.stage = Stage::Settled;
        let (last_event, staying) = (resumed.last_event.clone(), resumed.staying.clone());
        talk.standing.settle(resumed);
        let is_modern = talk.is_modern();
        self.talk = Arc::new(if is_modern {
            talk.modern(&self.spec)
        } else {
            talk
        });
        if !is_modern {
            return self.listen(last_event);
        }
        for text in staying {
            // It was written by us.
            if let Ok(frame) = Frame::parse(text.into()) {
                self.stay(frame, Wish::Renewed);
            }
        }
    }

    /// Has the server's own stream followed.
    fn listen(&mut self, last_event: Option<String>) {
        let (talk, news) = (Arc::clone(&self.talk), self.news.clone());
        self.listener = Some(Task::spawn("remote listener", async move {
            let unheard = listen(talk, last_event).await;
            let _ending = news.send(News::Unheard(unheard)).await;
        }));
    }
}

/// Returns when the server was told that the request is cancelled, and has had time to answer it all the same.
async fn given_up(cancelled: &Notify) {
    cancelled.notified().await;
    time::sleep(CANCELLED_PATIENCE).await;
}
