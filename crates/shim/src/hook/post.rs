//! An event posted to a URL.

use std::{
    env,
    io::{self, BufRead, BufReader, Read, Write},
};

use wire::Json;

use super::{BYTES_MAX, Deadline, Failure, arguments::Hook, target::Url};

/// Longest head of a response, in bytes.
const HEAD_MAX: u64 = 64 << 10;

/// Most headers of a response.
const HEADERS_MAX: usize = 128;

/// How much is shown of what somebody says who refuses.
const SHOWN_MAX: usize = 400;

/// Posts the event; says what is for the agent.
pub(super) fn post(
    url: &Url,
    hook: &Hook,
    event: &str,
    deadline: Deadline,
) -> Result<Option<String>, Failure> {
    let head = head(url, event.len(), bearer(hook)?.as_deref());
    let mut server = BufReader::new(url.connect(deadline)?);
    let of_error = |error| deadline.of_error("talking to the server", error);
    let request = [head.as_bytes(), event.as_bytes()].concat();
    server.get_mut().write_all(&request).map_err(of_error)?;
    let response = respond(&mut server).map_err(of_error)?;
    if (200..300).contains(&response.status) {
        let said = String::from_utf8(response.body);
        let said = said.map_err(|_| Failure::Said("the server's answer is not UTF-8".into()))?;
        return for_agent(said);
    }
    let words = String::from_utf8_lossy(&response.body);
    let words = one_line(&words);
    let colon = if words.is_empty() { "" } else { ": " };
    Err(Failure::Said(format!(
        "the server answered {}{colon}{words}",
        response.status
    )))
}

/// What a body says to the agent, if it says anything. Agents read an object; a page, or half an object where the
/// server has ended, is not what it was asked for.
fn for_agent(body: String) -> Result<Option<String>, Failure> {
    if body.trim().is_empty() {
        return Ok(None);
    }
    if Json::parse(&body).is_some_and(Json::is_object) {
        return Ok(Some(body));
    }
    Err(Failure::Said(format!(
        "the server's answer is not a JSON object, or is cut off: {}",
        one_line(&body)
    )))
}

/// The token for a URL.
pub(super) fn bearer(hook: &Hook) -> Result<Option<String>, Failure> {
    let Some(name) = &hook.bearer_env else {
        return Ok(None);
    };
    match env::var(name) {
        // It stands in a line of its own.
        Ok(token) if !token.is_empty() && token.bytes().all(|byte| byte.is_ascii_graphic()) => {
            Ok(Some(token))
        }
        _ => Err(Failure::Said(format!("the variable {name} holds no token"))),
    }
}

fn head(url: &Url, length: usize, bearer: Option<&str>) -> String {
    let mut head = format!(
        "POST {} HTTP/1.1\r\nHost: {}\r\nUser-Agent: mcpool/{}\r\nContent-Type: application/json\r\n\
         Accept: application/json\r\nConnection: close\r\nContent-Length: {length}\r\n",
        url.path_and_query(),
        url.authority(),
        env!("CARGO_PKG_VERSION"),
    );
    if let Some(bearer) = bearer {
        head.push_str("Authorization: Bearer ");
        head.push_str(bearer);
        head.push_str("\r\n");
    }
    head.push_str("\r\n");
    head
}

struct Response {
    status: u16,
    body: Vec<u8>,
}

/// How the end of a body is known.
enum Length {
    Bytes(u64),
    Chunks,
    /// With the connection.
    Whole,
}

/// The final response.
fn respond(server: &mut impl BufRead) -> io::Result<Response> {
    loop {
        let (status, length) = response_head(server)?;
        // There is another one to come.
        if (100..200).contains(&status) {
            continue;
        }
        let mut body = Vec::new();
        match length {
            _ if status == 204 || status == 304 => {}
            Length::Bytes(bytes) => {
                let read = server.take(bytes.min(BYTES_MAX)).read_to_end(&mut body)?;
                if read as u64 != bytes {
                    return Err(broken("its body is cut off, or too long"));
                }
            }
            Length::Chunks => chunks(server, &mut body)?,
            Length::Whole => {
                let read = server.take(BYTES_MAX + 1).read_to_end(&mut body)?;
                if read as u64 > BYTES_MAX {
                    return Err(broken("its body is too long"));
                }
            }
        }
        return Ok(Response { status, body });
    }
}

fn response_head(server: &mut impl BufRead) -> io::Result<(u16, Length)> {
    let mut head = Vec::new();
    let mut lines = server.take(HEAD_MAX);
    while lines.read_until(b'\n', &mut head)? > 0 {
        if head.ends_with(b"\r\n\r\n") || head.ends_with(b"\n\n") {
            break;
        }
    }
    let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut response = httparse::Response::new(&mut headers);
    let is_whole = response
        .parse(&head)
        .is_ok_and(|status| status.is_complete());
    let status = response.code.filter(|_| is_whole);
    let status = status.ok_or_else(|| broken("it has no head of HTTP/1"))?;
    let mut length = Length::Whole;
    for header in response.headers.iter() {
        let value = str::from_utf8(header.value).unwrap_or_default().trim();
        if header.name.eq_ignore_ascii_case("transfer-encoding") {
            if !value.eq_ignore_ascii_case("chunked") {
                return Err(broken("it is encoded in a way that was not asked for"));
            }
            length = Length::Chunks;
            break;
        }
        if header.name.eq_ignore_ascii_case("content-length") {
            let bytes = value
                .parse()
                .map_err(|_| broken("its length is no number"))?;
            length = Length::Bytes(bytes);
        }
    }
    Ok((status, length))
}

fn chunks(server: &mut impl BufRead, body: &mut Vec<u8>) -> io::Result<()> {
    loop {
        let mut line = Vec::new();
        server.take(HEAD_MAX).read_until(b'\n', &mut line)?;
        let size = match httparse::parse_chunk_size(&line) {
            Ok(httparse::Status::Complete((_, size))) => size,
            Ok(httparse::Status::Partial) | Err(_) => return Err(broken("a chunk has no size")),
        };
        if size == 0 {
            return Ok(());
        }
        let length = size.checked_add(body.len() as u64);
        if length.is_none_or(|length| length > BYTES_MAX) {
            return Err(broken("its body is too long"));
        }
        let read = server.take(size).read_to_end(body)?;
        let mut end = Vec::new();
        server.take(2).read_until(b'\n', &mut end)?;
        if read as u64 != size || !end.ends_with(b"\n") {
            return Err(broken("a chunk is cut off"));
        }
    }
}

fn broken(what: &str) -> io::Error {
    io::Error::new(
        io::ErrorKind::InvalidData,
        format!("the answer makes no sense: {what}"),
    )
}

/// What a stranger says, fit to be shown.
pub(super) fn one_line(words: &str) -> String {
    let line: String = words
        .chars()
        .map(|char| if char.is_control() { ' ' } else { char })
        .collect();
    let line = line.trim();
    line[..line.floor_char_boundary(SHOWN_MAX)].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answered(text: &str) -> Result<(u16, String), String> {
        let response = respond(&mut text.as_bytes()).map_err(|error| error.to_string())?;
        Ok((response.status, String::from_utf8(response.body).unwrap()))
    }

    #[test]
    fn a_response_ends_where_it_says() {
        for (text, expected) in [
            (
                "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}more",
                (200, "{}"),
            ),
            (
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n{\r\n1;x=y\r\n}\r\n0\r\n\r\n",
                (200, "{}"),
            ),
            ("HTTP/1.0 200 OK\r\n\r\n{}", (200, "{}")),
            ("HTTP/1.1 204 No Content\r\n\r\n", (204, "")),
            (
                "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 503 Busy\r\ncontent-length: 4\r\n\r\nlate",
                (503, "late"),
            ),
        ] {
            let expected = Ok((expected.0, expected.1.to_owned()));
            assert_eq!(answered(text), expected, "{text}");
        }
    }

    #[test]
    fn a_response_that_makes_no_sense_is_none() {
        for text in [
            "",
            "garbage",
            "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n{}",
            "HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n{}",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n{}",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{}\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n7fffffffffffffff\r\n",
        ] {
            let answered = answered(text);
            assert!(answered.is_err(), "{text}: {answered:?}");
        }
        // With what has come, this is one more than there are numbers.
        let wraps =
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\nffffffffffffffff\r\n";
        let words = answered(wraps).unwrap_err();
        assert!(words.contains("too long"), "{words}");
    }

    #[test]
    fn a_body_without_an_end_of_its_own_is_not_cut_off_in_silence() {
        let head = b"HTTP/1.1 200 OK\r\n\r\n";
        let whole = |bytes| {
            let mut server = BufReader::new(head.chain(io::repeat(b' ').take(bytes)));
            respond(&mut server).map(|response| response.body.len() as u64)
        };
        assert_eq!(whole(BYTES_MAX).unwrap(), BYTES_MAX);
        let error = whole(BYTES_MAX + 1).unwrap_err();
        assert!(error.to_string().contains("too long"), "{error}");
    }

    #[test]
    fn a_body_that_is_no_object_is_no_answer() {
        let said = |body: &str| for_agent(body.to_owned()).map_err(|error| error.to_string());
        assert_eq!(said(" \r\n"), Ok(None));
        assert_eq!(said("{}\n"), Ok(Some("{}\n".to_owned())));
        for body in ["<html>hello</html>", "[]", "true", "{\"decision\":\"blo"] {
            let words = said(body).unwrap_err();
            assert!(words.contains(body), "{words}");
        }
    }

    #[test]
    fn what_a_stranger_says_moves_no_cursor_and_is_short() {
        assert_eq!(one_line(" a\x1b[2J\nb "), "a [2J b");
        assert_eq!(one_line(&"ä".repeat(SHOWN_MAX)).len(), SHOWN_MAX);
    }
}
