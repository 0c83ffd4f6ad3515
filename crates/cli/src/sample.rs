//! The server of the demonstration: small in words, heavy in memory.
//!
//! It speaks the legacy era over stdin and stdout, knows one tool, and holds as much
//! memory as it is told: pages that differ from each other and from those of every
//! other such server, so that nothing but sharing the process can save them.

use std::{
    hash::{BuildHasher, RandomState},
    hint,
    io::{self, BufRead, Write},
};

use serde_json::{Value, json};

/// The newest version of the protocol that it speaks; versions compare as texts.
const PROTOCOL: &str = "2025-11-25";

const WORDS_PER_MB: usize = 1024 * 1024 / size_of::<u64>();

/// Serves one client until it ends its input, while holding `ballast_mb` MiB.
pub(crate) fn serve(
    ballast_mb: usize,
    input: impl BufRead,
    mut output: impl Write,
) -> io::Result<()> {
    let ballast = ballast(ballast_mb);
    for line in input.lines() {
        if let Some(answer) = answer(&line?) {
            output.write_all(format!("{answer}\n").as_bytes())?;
            output.flush()?;
        }
    }
    hint::black_box(&ballast);
    Ok(())
}

/// Memory whose every page has been written, with what cannot be compressed.
fn ballast(mb: usize) -> Vec<u64> {
    // A hasher is seeded anew in each process; the generator must not start at zero.
    let mut state = RandomState::new().hash_one(0) | 1;
    (0..mb.saturating_mul(WORDS_PER_MB))
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state
        })
        .collect()
}

/// The answer to one line; a notification has none.
fn answer(line: &str) -> Option<Value> {
    let message: Value = match serde_json::from_str(line) {
        Ok(message) => message,
        Err(error) => {
            let error = json!({"code": -32700, "message": error.to_string()});
            return Some(json!({"jsonrpc": "2.0", "id": null, "error": error}));
        }
    };
    let id = message.get("id")?;
    let method = message.get("method")?.as_str()?;
    let mut answer = json!({"jsonrpc": "2.0", "id": id});
    match respond(method, &message["params"]) {
        Ok(result) => answer["result"] = result,
        Err((code, words)) => answer["error"] = json!({"code": code, "message": words}),
    }
    Some(answer)
}

fn respond(method: &str, params: &Value) -> Result<Value, (i32, String)> {
    match method {
        "initialize" => {
            let asked = params["protocolVersion"].as_str().unwrap_or(PROTOCOL);
            Ok(json!({
                "protocolVersion": asked.min(PROTOCOL),
                "capabilities": {"tools": {}},
                "serverInfo": {"name": "mcpool-sample", "version": env!("CARGO_PKG_VERSION")},
            }))
        }
        "ping" => Ok(json!({})),
        "tools/list" => Ok(json!({"tools": [{
            "name": "echo",
            "description": "Answers with the text that it was given.",
            "inputSchema": {
                "type": "object",
                "properties": {"text": {"type": "string"}},
                "required": ["text"],
            },
        }]})),
        "tools/call" if params["name"] == "echo" => match params["arguments"]["text"].as_str() {
            Some(text) => Ok(json!({"content": [{"type": "text", "text": text}]})),
            None => Err((-32602, "`text` is missing".into())),
        },
        "tools/call" => Err((-32602, format!("there is no tool {}", params["name"]))),
        other => Err((-32601, format!("method not found: {other}"))),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn say(line: &str) -> String {
        let mut said = Vec::new();
        serve(0, line.as_bytes(), &mut said).unwrap();
        String::from_utf8(said).unwrap()
    }

    #[test]
    fn it_greets_in_the_version_that_it_was_asked_for_or_its_own_if_that_is_older() {
        for (asked, given) in [("2024-11-05", "2024-11-05"), ("2099-01-01", PROTOCOL)] {
            let line =
                json!({"id": 1, "method": "initialize", "params": {"protocolVersion": asked}});
            let answer: Value = serde_json::from_str(&say(&line.to_string())).unwrap();
            assert_eq!(answer["result"]["protocolVersion"], given);
        }
    }

    #[test]
    fn it_answers_requests_with_their_ids_and_notifications_not_at_all() {
        let lines = "{\"id\":\"a\",\"method\":\"ping\"}\n\
            {\"method\":\"notifications/initialized\"}\n\
            {\"id\":2,\"method\":\"tools/call\",\"params\":{\"name\":\"echo\",\"arguments\":{\"text\":\"hi\"}}}\n";
        let said = say(lines);
        let answers: Vec<Value> = said
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        assert_eq!(answers.len(), 2);
        assert_eq!(answers[0]["id"], "a");
        assert_eq!(answers[1]["result"]["content"][0]["text"], "hi");
    }

    #[test]
    fn ballast_has_its_size_and_no_two_equal_words() {
        let words = ballast(1);
        assert_eq!(words.len(), WORDS_PER_MB);
        let distinct: BTreeSet<&u64> = words.iter().collect();
        assert_eq!(distinct.len(), words.len());
        assert_ne!(words[0], ballast(1)[0], "another process has other pages");
    }
}
