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

async fn scene() -> Scene {
    let token = token::Token::of(b"token");
    let gate = Gate::new(&[] as &[Listen], &[], (config::HttpAuth::None, token));
    let (inbox, _hub) = mpsc::channel(1);
    let (loose, let_go) = mpsc::channel(1);
    let places = (Arc::new(Semaphore::new(1)), 1);
    let room = Room::new(1 << 20);
    let front = Front::new(gate, inbox, room, &Limits::default(), places, loose);
    let front = Arc::new(front);
    let (open, is_open) = watch::channel(());
    tasks::spawn("look", look_after(Arc::clone(&front), is_open));
    let (client, ours) = UnixStream::pair().unwrap();
    let served = front.begin(None);
    let stranger = front.strangers.welcome(front.strangers.place().await);
    let stream = Rewound::new(Bytes::new(), Comer::Unix(ours));
    let stream = Timed::new(stream, served.busy.clone());
    let task = tasks::spawn("served", serve(served, stream, stranger));
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
