//! `mcpool call`: one call of one tool.

use std::{io, time::Duration};

use anyhow::Context;
use serde::{Deserialize, Serialize};
use serde_json::{Value, value::RawValue};
use shim::places::Places;

use crate::{
    args::Output,
    client::{Client, Target},
    exit::{Exit, WrongUsage},
    ui::{Format, Page, Render, Ui},
};

/// Call a tool of a server, starting the server if it does not run
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    target: Target,
    /// Name of the tool
    tool: String,
    /// The arguments, a JSON object; `-` reads it from stdin
    #[arg(value_name = "JSON", default_value = "{}", hide_default_value = true)]
    arguments: String,
    /// Give up after this time, as 30s or 5m
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
    timeout: Option<Duration>,
    #[command(flatten)]
    output: Output,
}

/// The result as the server wrote it.
#[derive(Debug, Serialize)]
#[serde(transparent)]
struct CallResult {
    raw: Box<RawValue>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Answer {
    content: Vec<Value>,
    structured_content: Option<Value>,
    is_error: bool,
}

pub(crate) fn run(args: &Args, places: &Places, ui: &mut Ui) -> anyhow::Result<Exit> {
    let arguments = arguments(&args.arguments)?;
    let mut client = Client::open(places, &args.target, args.timeout)?;
    let result = CallResult {
        raw: client.call(&args.tool, &arguments, ui)?,
    };
    let is_error = result.answer().is_error;
    let format = args.output.format();
    if is_error && format == Format::Plain {
        let mut page = Page::new(false);
        result.render(&mut page);
        ui.remark(page.into_text().trim_end());
    } else {
        ui.show(&result, format)?;
    }
    Ok(if is_error {
        Exit::ToolFailed
    } else {
        Exit::Done
    })
}

fn arguments(given: &str) -> anyhow::Result<Value> {
    let text = if given == "-" {
        io::read_to_string(io::stdin()).context("reading the arguments from stdin")?
    } else {
        given.to_owned()
    };
    match serde_json::from_str(&text) {
        Ok(object @ Value::Object(_)) => Ok(object),
        Ok(_) => Err(WrongUsage("the arguments must be a JSON object".into()).into()),
        Err(error) => Err(WrongUsage(format!("the arguments are not JSON: {error}")).into()),
    }
}

impl CallResult {
    fn answer(&self) -> Answer {
        serde_json::from_str(self.raw.get()).unwrap_or_default()
    }
}

impl Render for CallResult {
    fn render(&self, page: &mut Page) {
        let answer = self.answer();
        for part in &answer.content {
            page.line(in_words(part));
        }
        if let (Some(structured), true) = (answer.structured_content, answer.content.is_empty()) {
            page.line(format_args!("{structured:#}"));
        }
    }
}

/// Text as it is; what is none, described.
fn in_words(part: &Value) -> String {
    let word = |key: &str| part[key].as_str().unwrap_or("?");
    let size = |data: &Value| data.as_str().unwrap_or_default().len() / 4 * 3;
    match part["type"].as_str() {
        Some("text") => word("text").to_owned(),
        Some(kind @ ("image" | "audio")) => {
            format!(
                "[{kind}, {}, {} bytes]",
                word("mimeType"),
                size(&part["data"])
            )
        }
        Some("resource_link") => format!("[resource {}: {}]", word("name"), word("uri")),
        Some("resource") => {
            let resource = &part["resource"];
            let uri = resource["uri"].as_str().unwrap_or("?");
            match resource["text"].as_str() {
                Some(text) => format!("[resource {uri}]\n{text}"),
                None => format!("[resource {uri}, {} bytes]", size(&resource["blob"])),
            }
        }
        _ => part.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use expect_test::expect;
    use serde_json::json;

    use super::*;

    #[test]
    fn every_kind_of_content_can_be_read() {
        let raw = json!({"content": [
            {"type": "text", "text": "two\nlines"},
            {"type": "image", "mimeType": "image/png", "data": "AAAA"},
            {"type": "resource_link", "name": "a", "uri": "file:///a"},
            {"type": "resource", "resource": {"uri": "file:///b", "text": "b"}},
            {"type": "resource", "resource": {"uri": "file:///c", "blob": "AAAAAAAA"}},
            {"type": "new", "x": 1},
        ]});
        let result = CallResult {
            raw: RawValue::from_string(raw.to_string()).unwrap(),
        };
        let mut page = Page::new(false);
        result.render(&mut page);
        expect![[r#"
            two
            lines
            [image, image/png, 3 bytes]
            [resource a: file:///a]
            [resource file:///b]
            b
            [resource file:///c, 6 bytes]
            {"type":"new","x":1}
        "#]]
        .assert_eq(&page.into_text());
    }

    #[test]
    fn arguments_must_be_an_object() {
        assert!(arguments("{\"a\":1}").is_ok());
        for wrong in ["[]", "1", "{", ""] {
            let error = arguments(wrong).unwrap_err();
            assert!(error.is::<WrongUsage>(), "{wrong}");
        }
    }
}
