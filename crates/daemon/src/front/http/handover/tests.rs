use tokio::{
    io::{AsyncRead, AsyncReadExt},
    net::{TcpListener, TcpStream, UnixStream},
};
use wire::Outgoing;

use super::{
    writing::{head_of, write},
    *,
};
use crate::{
    front::HttpFault,
    link::{EventId, StreamId},
};

async fn pair() -> (TcpStream, Timed<Rewound>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (client, accepted) = tokio::join!(TcpStream::connect(address), listener.accept());
    let stream = Rewound::new(Bytes::new(), Comer::Tcp(accepted.unwrap().0));
    (client.unwrap(), Timed::new(stream, Busy::default()))
}

async fn heard(mut client: impl AsyncRead + Unpin) -> String {
    let mut text = String::new();
    client.read_to_string(&mut text).await.unwrap();
    text
}

#[tokio::test]
async fn a_whole_response_has_its_length_and_says_whether_it_is_the_last() {
    for is_last in [false, true] {
        let course = Course {
            is_last,
            ..Course::default()
        };
        let (client, mut stream) = pair().await;
        let busy = Busy::default();
        let (head, body) = reply::refused(&HttpFault::Ending).into_parts();
        let head = head_of((head.status, &head.headers), &body, course);
        write(&mut stream, &busy, &head).await.unwrap();
        write_body(&mut stream, &busy, body).await.unwrap();
        assert!(!busy.is_unwritten());
        drop(stream);
        let text = heard(client).await;
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert!(
            head.starts_with("HTTP/1.1 503 Service Unavailable\r\n"),
            "{head}"
        );
        assert!(head.contains("retry-after: 1\r\n"), "{head}");
        assert!(
            head.contains(&format!("content-length: {}", body.len())),
            "{head}"
        );
        assert_eq!(head.contains("connection: close"), is_last, "{head}");
        let expected = HttpFault::Ending.to_response(None).to_vec();
        assert_eq!(body.as_bytes(), expected);
    }
}

#[tokio::test]
async fn the_rest_of_a_stream_is_written_as_chunks_and_can_be_let_go_between_them() {
    let (client, mut stream) = pair().await;
    let busy = Busy::default();
    let _answering = busy.begin();
    busy.is_at(Stage::Streams);
    let (tube, from) = Tube::to(ConnectionId(1));
    let id = EventId {
        stream: StreamId::LISTENER,
        number: 3,
    };
    let mut room = crate::link::Streams::revived(2, 1 << 20, &crate::link::Room::new(1 << 20));
    assert!(room.listen(tube.clone(), crate::link::Primes::No).is_ok());
    room.push(Outgoing::from("{}".to_owned()), None, None);
    room.flush(false);
    let writes = write_body(&mut stream, &busy, reply::rest_of_events(from));
    let ends = async {
        while !tube.is_taken() {
            tokio::task::yield_now().await;
        }
        assert_eq!(busy.due().map(|(due, _)| due), Some(Due::Events));
        drop((tube, room));
    };
    let (written, ()) = tokio::join!(writes, ends);
    written.unwrap();
    drop(stream);
    let event = format!("id: {id}\nevent: message\ndata: {{}}\n\n");
    let chunk = format!("{:x}\r\n{event}\r\n0\r\n\r\n", event.len());
    assert_eq!(heard(client).await, chunk);
}

#[tokio::test]
async fn what_was_read_before_comes_before_what_is_read_now() {
    let (mut client, stream) = pair().await;
    client.write_all(b" and now").await.unwrap();
    drop(client);
    let (comer, _read) = stream.into_parts().0.into_parts();
    let stream = Rewound::new(Bytes::from_static(b"before"), comer);
    assert_eq!(heard(stream).await, "before and now");
    let (mut client, stream) = UnixStream::pair().unwrap();
    client.write_all(b" and now").await.unwrap();
    drop(client);
    let stream = Rewound::new(Bytes::from_static(b"before"), Comer::Unix(stream));
    assert_eq!(heard(stream).await, "before and now");
}
