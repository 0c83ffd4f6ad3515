use config::Listen;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::UnixStream,
    sync::mpsc::{self, Receiver},
    task::{JoinHandle, yield_now},
};

use super::{look::look_after, *};

/// A client whose connection is served, by a front that no hub is behind.
struct Scene {
    front: Arc<Front>,
    let_go: Receiver<Loose>,
    client: UnixStream,
    task: JoinHandle<Option<()>>,
    /// Ends with those who look after connections.
    _open: watch::Sender<()>,
}

/// One that may have so many connections, and where they go that are let go.
fn front(connections: usize) -> (Arc<Front>, Receiver<Loose>) {
    let token = token::Token::of(b"token");
    let gate = Gate::new(&[] as &[Listen], &[], (config::HttpAuth::None, token));
    let (inbox, _hub) = mpsc::channel(1);
    let (loose, let_go) = mpsc::channel(1);
    let places = (Arc::new(Semaphore::new(1)), connections);
    let room = Room::new(1 << 20);
    let front = Front::new(gate, inbox, room, &Limits::default(), places, loose);
    (Arc::new(front), let_go)
}

/// A client that has come to this front, and whoever serves it.
async fn come(front: &Arc<Front>) -> (UnixStream, JoinHandle<Option<()>>) {
    let (client, ours) = UnixStream::pair().unwrap();
    let served = front.begin(None);
    let stranger = front.strangers.welcome(front.strangers.place().await);
    let stream = Rewound::new(Bytes::new(), Comer::Unix(ours));
    let stream = Timed::new(stream, served.busy.clone());
    let task = tasks::spawn("served", serve(served, stream, stranger));
    (client, task)
}

async fn scene() -> Scene {
    let (front, let_go) = front(1);
    let (open, is_open) = watch::channel(());
    tasks::spawn("look", look_after(Arc::clone(&front), is_open));
    let (client, task) = come(&front).await;
    Scene {
        front,
        let_go,
        client,
        task,
        _open: open,
    }
}

/// What is answered to somebody who is let in and has no session.
async fn answer(client: &mut UnixStream) -> String {
    let (mut answer, mut chunk) = (Vec::new(), [0; 1024]);
    while !answer.ends_with(b"}}") {
        let count = client.read(&mut chunk).await.unwrap();
        assert!(count > 0, "the connection was closed");
        answer.extend_from_slice(&chunk[..count]);
    }
    String::from_utf8(answer).unwrap()
}

const REQUEST: &[u8] = b"GET /mcp/any HTTP/1.1\r\nHost: any\r\n\r\n";

/// Waits until this is so of the connection: whether it rests.
async fn rests(front: &Front, rests: bool) {
    while (front.awake().count() == 0) != rests {
        yield_now().await;
    }
}

#[tokio::test]
async fn a_connection_rests_between_two_requests_and_is_served_on_whatever_comes_in_pieces() {
    let mut scene = scene().await;
    let (front, client) = (&scene.front, &mut scene.client);
    let (first, second) = REQUEST.split_at(20);
    for _ in 0..2 {
        client.write_all(first).await.unwrap();
        rests(front, false).await;
        client.write_all(second).await.unwrap();
        let answer = answer(client).await;
        assert!(answer.starts_with("HTTP/1.1 405 "), "{answer}");
        rests(front, true).await;
    }
    drop(scene.client);
    scene.task.await.unwrap();
    assert!(scene.front.busy().is_empty());
}

#[tokio::test]
async fn one_that_rests_is_let_go() {
    let Scene {
        front,
        mut let_go,
        mut client,
        task,
        _open,
    } = scene().await;
    client.write_all(REQUEST).await.unwrap();
    answer(&mut client).await;
    rests(&front, true).await;
    front.let_all_go();
    task.await.unwrap();
    assert!(let_go.try_recv().is_ok());
}

#[tokio::test]
async fn heads_that_do_not_come_hold_nobody_up() {
    const SLOW: usize = 100;
    let (front, _let_go) = front(4 * SLOW);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("socket");
    let entry = Arc::new(Entry::Unix(UnixListener::bind(&path).unwrap()));
    let (_open, is_open) = watch::channel(());
    tasks::spawn("stand", stand_at(Arc::clone(&front), entry, is_open));
    let mut slow = Vec::new();
    for _ in 0..SLOW {
        let mut client = UnixStream::connect(&path).await.unwrap();
        client.write_all(&REQUEST[..20]).await.unwrap();
        slow.push(client);
    }
    let mut client = UnixStream::connect(&path).await.unwrap();
    client.write_all(REQUEST).await.unwrap();
    let answer = answer(&mut client).await;
    assert!(answer.starts_with("HTTP/1.1 405 "), "{answer}");
    // Nobody looks for those who have been here for long, so whoever has gone has had to.
    assert_eq!(front.busy().len(), SLOW + 1);
}

#[tokio::test]
async fn what_has_come_from_one_who_has_to_go_is_answered() {
    let (front, _let_go) = front(1);
    let (mut client, _task) = come(&front).await;
    // It waits for what comes.
    yield_now().await;
    time::pause();
    time::advance(Duration::from_secs(1)).await;
    client.write_all(REQUEST).await.unwrap();
    // The only place is free as soon as that was heard, or it has gone.
    let _place = front.strangers.place().await;
    let answer = answer(&mut client).await;
    assert!(answer.starts_with("HTTP/1.1 405 "), "{answer}");
}
