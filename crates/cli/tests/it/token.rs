//! The token for HTTP: where it is, and that another one counts at once.

use std::fs;

use serde_json::{Value, json};
use tungstenite::protocol::frame::coding::CloseCode;

use crate::support::Home;

fn token(home: &Home) -> String {
    let text = fs::read_to_string(home.pool().join("state/http-token")).unwrap();
    format!("Bearer {}", text.trim_end())
}

#[test]
fn another_token_counts_at_once_and_who_had_the_old_one_is_sent_away() {
    let home = Home::new();
    let web = home.web_with(&[], "auth = \"token\"");
    let old = token(&home);
    let session = web.with("Authorization", Some(&old)).session();
    let mut listens = session.get();
    assert!(listens.is_stream());
    let asks = [("authorization", old.as_str())];
    let mut talk = web.try_talk("/ws/fake", &asks).unwrap();
    talk.begin(json!({}));
    let told = home.done(&["token", "rotate"]);
    let new = token(&home);
    assert_ne!(old, new);
    assert!(
        told.contains("http-token") && !told.contains(&new[7..]),
        "{told}"
    );
    let ping = json!({"jsonrpc": "2.0", "id": 1, "method": "ping"});
    assert_eq!(session.post(&ping).error().0, 401);
    assert_eq!(talk.closed(), Some(CloseCode::Policy));
    assert_eq!(listens.event(), None, "the stream has ended");
    assert_eq!(web.try_talk("/ws/fake", &asks).err().unwrap().0, 401);
    // The session is there still, for who has the new one.
    let mut again = session.with("Authorization", Some(&new));
    again.result("echo", json!({}));
    assert_eq!(again.delete().status, 200);
    let asks = [("authorization", new.as_str())];
    let mut talk = web.try_talk("/ws/fake", &asks).unwrap();
    talk.begin(json!({}));
    let mut session = web.with("Authorization", Some(&new)).session();
    let mut listens = session.get();
    home.done(&["upgrade"]);
    talk.result("echo", json!({}));
    session.result("change", json!({}));
    assert!(listens.event().is_some(), "it goes on");
    home.done(&["token", "rotate"]);
    assert_eq!(listens.event(), None, "the stream has ended");
    assert_eq!(talk.closed(), Some(CloseCode::Policy));
}

#[test]
fn the_file_is_named_whether_there_is_one_or_not_and_its_words_never() {
    let home = Home::new();
    let path = home.pool().join("state/http-token");
    let none = home.done(&["token"]);
    assert!(none.contains("no token yet"), "{none}");
    assert!(!path.exists());
    let shown: Value = serde_json::from_str(&home.done(&["token", "rotate", "--json"])).unwrap();
    let path = path.to_str().unwrap();
    assert_eq!(
        shown,
        json!({"path": path, "exists": true, "rotated": true})
    );
    let plain = home.done(&["token"]);
    assert_eq!(plain.trim_end(), path);
    assert!(!plain.contains(&token(&home)[7..]));
}
