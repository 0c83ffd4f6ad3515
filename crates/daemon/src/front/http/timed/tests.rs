use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, duplex},
    time,
};

use super::*;

/// Here nobody goes.
impl Watched for tokio::io::DuplexStream {
    fn poll_gone(&self, _context: &mut Context<'_>) -> Poll<()> {
        Poll::Pending
    }
}

#[tokio::test(start_paused = true)]
async fn a_head_must_be_there_soon_after_its_first_byte_and_rest_has_no_end_here() {
    let (mut client, server) = duplex(100);
    let busy = Busy::default();
    let mut timed = Timed::new(server, busy.clone());
    let mut buffer = [0; 10];
    let rests = time::timeout(10 * HEAD_PATIENCE, timed.read(&mut buffer)).await;
    assert!(rests.is_err(), "nothing has begun");
    client.write_all(b"GET").await.unwrap();
    assert_eq!(timed.read(&mut buffer).await.unwrap(), 3);
    let began = Instant::now();
    let late = timed.read(&mut buffer).await.unwrap_err();
    assert_eq!(late.kind(), io::ErrorKind::TimedOut);
    assert_eq!(began.elapsed(), HEAD_PATIENCE);
}

#[tokio::test(start_paused = true)]
async fn during_a_pause_no_request_begins_and_one_that_has_begun_goes_on() {
    let (mut client, server) = duplex(100);
    let pause = Pause::default();
    let busy = Busy::of(ConnectionId(1), pause.clone());
    let mut timed = Timed::new(server, busy.clone());
    let mut buffer = [0; 10];
    pause.set(true);
    client.write_all(b"GET").await.unwrap();
    let rests = time::timeout(HEAD_PATIENCE, timed.read(&mut buffer)).await;
    assert!(rests.is_err(), "it is left where it is");
    let answering = busy.begin();
    assert_eq!(timed.read(&mut buffer).await.unwrap(), 3);
    drop(answering);
    client.write_all(b"POST").await.unwrap();
    let (read, ()) = tokio::join!(timed.read(&mut buffer), async {
        tokio::task::yield_now().await;
        pause.set(false);
        busy.wake();
    });
    assert_eq!(read.unwrap(), 4);
}

#[tokio::test(start_paused = true)]
async fn who_takes_nothing_of_a_response_is_waited_for_so_long_and_of_a_stream_for_ever() {
    let (mut client, server) = duplex(4);
    let busy = Busy::default();
    let mut timed = Timed::new(server, busy.clone());
    let mut text = [0; 4];
    // Who takes a little, now and then, has time.
    for _ in 0..3 {
        let (written, ()) = tokio::join!(timed.write_all(b"four"), async {
            time::sleep(WRITE_PATIENCE / 2).await;
            client.read_exact(&mut text).await.unwrap();
        });
        written.unwrap();
    }
    let began = Instant::now();
    let late = timed.write_all(b"more than four").await.unwrap_err();
    assert_eq!(late.kind(), io::ErrorKind::TimedOut);
    assert_eq!(began.elapsed(), WRITE_PATIENCE);
    assert!(busy.is_unwritten());
    busy.is_at(Stage::Streams);
    let waits = time::timeout(10 * WRITE_PATIENCE, timed.write_all(b"x")).await;
    assert!(waits.is_err());
}

#[tokio::test(start_paused = true)]
async fn what_is_not_taken_in_time_goes_along_and_is_written_first() {
    let (mut client, server) = duplex(4);
    let pause = Pause::default();
    let busy = Busy::of(ConnectionId(1), pause.clone());
    let mut timed = Timed::new(server, busy.clone());
    pause.set(true);
    let (written, ()) = tokio::join!(timed.write_all(b"one two three"), async {
        tokio::task::yield_now().await;
        assert!(busy.is_unwritten());
        pause.is_late();
        busy.wake();
    });
    written.unwrap();
    assert!(!busy.is_unwritten());
    timed.flush().await.unwrap();
    let (server, unwritten) = timed.into_parts();
    assert_eq!(unwritten, &b"two three"[..]);
    let room = crate::link::Room::new(100);
    let mut place = Share::of(&room);
    place.set(unwritten.len());
    let busy = Busy::default();
    let mut timed = Timed::new(server, busy.clone()).behind(&unwritten, place);
    let mut text = String::new();
    let (written, _) = tokio::join!(
        async {
            timed.write_all(b" four").await.unwrap();
            timed.shutdown().await
        },
        client.read_to_string(&mut text)
    );
    written.unwrap();
    assert_eq!(text, "one two three four");
    assert_eq!((room.taken(), timed.has_unwritten()), (0, false));
    assert!(busy.course().is_last);
}

#[tokio::test(start_paused = true)]
async fn who_comes_back_for_a_stream_is_not_written_for_in_advance() {
    let (_client, server) = duplex(4);
    let pause = Pause::default();
    let busy = Busy::of(ConnectionId(1), pause.clone());
    let mut timed = Timed::new(server, busy.clone());
    busy.is_at(Stage::Streams);
    pause.is_late();
    let waits = time::timeout(HEAD_PATIENCE, timed.write_all(b"more than four")).await;
    assert!(waits.is_err() && busy.is_unwritten());
}

#[tokio::test(start_paused = true)]
async fn while_a_request_is_answered_nothing_is_due() {
    let (mut client, server) = duplex(100);
    let busy = Busy::default();
    let mut timed = Timed::new(server, busy.clone());
    let mut buffer = [0; 10];
    client.write_all(b"GET").await.unwrap();
    assert_eq!(timed.read(&mut buffer).await.unwrap(), 3);
    let answering = busy.begin();
    let waits = time::timeout(10 * HEAD_PATIENCE, timed.read(&mut buffer)).await;
    assert!(waits.is_err());
    drop(answering);
    let rests = time::timeout(10 * HEAD_PATIENCE, timed.read(&mut buffer)).await;
    assert!(rests.is_err(), "the next has not begun");
}

#[tokio::test(start_paused = true)]
async fn what_goes_along_is_never_taken_for_written_here() {
    let (mut client, server) = duplex(4);
    let pause = Pause::default();
    let busy = Busy::of(ConnectionId(1), pause.clone());
    let mut timed = Timed::new(server, busy.clone());
    pause.is_late();
    timed.write_all(b"more than four").await.unwrap();
    for _ in 0..2 {
        let waits = time::timeout(10 * WRITE_PATIENCE, timed.written()).await;
        assert!(waits.is_err() && !busy.is_unwritten());
        let waits = time::timeout(10 * WRITE_PATIENCE, timed.shutdown()).await;
        assert!(waits.is_err() && !busy.is_unwritten());
    }
    // Nobody goes on with it elsewhere after all.
    let mut text = String::new();
    let (ended, _) = tokio::join!(timed.shutdown(), async {
        tokio::task::yield_now().await;
        pause.set(false);
        busy.wake();
        client.read_to_string(&mut text).await
    });
    ended.unwrap();
    assert_eq!(text, "more than four");
}
