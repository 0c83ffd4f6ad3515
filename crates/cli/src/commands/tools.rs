//! `mcpool tools`: what a server can do.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, value::RawValue};
use shim::places::Places;

use crate::{
    args::Output,
    client::{Client, Target},
    exit::Exit,
    ui::{Align, Page, Render, Table, Ui},
};

/// Longest description that is shown, in characters.
const DESCRIPTION_MAX: usize = 70;

/// List the tools of a server, starting it if it does not run
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    target: Target,
    /// Give up after this time, as 30s or 5m
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
    timeout: Option<Duration>,
    #[command(flatten)]
    output: Output,
}

#[derive(Debug, Serialize)]
struct Listing {
    schema: u32,
    server: String,
    /// As the server described them.
    tools: Vec<Box<RawValue>>,
}

/// What is shown of a tool.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Tool {
    name: String,
    description: String,
    input_schema: InputSchema,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct InputSchema {
    properties: Map<String, Value>,
    required: Vec<String>,
}

pub(crate) fn run(args: &Args, places: &Places, ui: &mut Ui) -> anyhow::Result<Exit> {
    let mut client = Client::open(places, &args.target, args.timeout)?;
    let listing = Listing {
        schema: 1,
        server: args.target.name().to_owned(),
        tools: client.tools()?,
    };
    ui.show(&listing, args.output.format())?;
    Ok(Exit::Done)
}

impl Tool {
    /// The arguments, those that may be left out in brackets.
    fn arguments(&self) -> String {
        let schema = &self.input_schema;
        let words: Vec<String> = schema
            .properties
            .keys()
            .map(|name| {
                if schema.required.contains(name) {
                    name.clone()
                } else {
                    format!("[{name}]")
                }
            })
            .collect();
        words.join(" ")
    }

    /// The first line of the description, cut to a sane length.
    fn summary(&self) -> String {
        let line = self.description.trim().lines().next().unwrap_or_default();
        match line.char_indices().nth(DESCRIPTION_MAX) {
            Some((cut, _)) => format!("{}…", line[..cut].trim_end()),
            None => line.to_owned(),
        }
    }
}

impl Render for Listing {
    fn render(&self, page: &mut Page) {
        if self.tools.is_empty() {
            page.line(format_args!("`{}` has no tools.", self.server));
            return;
        }
        let mut table = Table::new(&[
            ("TOOL", Align::Left),
            ("ARGUMENTS", Align::Left),
            ("DESCRIPTION", Align::Left),
        ]);
        for tool in &self.tools {
            // One that is no tool at all is shown as an empty row, not hidden.
            let tool: Tool = serde_json::from_str(tool.get()).unwrap_or_default();
            table.row([tool.name.clone(), tool.arguments(), tool.summary()]);
        }
        page.table(&table);
    }
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;

    #[test]
    fn tools_are_shown_with_their_arguments() {
        let raw = |text: &str| RawValue::from_string(text.to_owned()).unwrap();
        let long = format!(
            r#"{{"name":"long","description":"{}"}}"#,
            "word ".repeat(30)
        );
        let listing = Listing {
            schema: 1,
            server: "memory".into(),
            tools: vec![
                raw(
                    r#"{"name":"echo","description":"Says it\nagain.","inputSchema":
                    {"properties":{"text":{},"loud":{}},"required":["text"]}}"#,
                ),
                raw(&long),
            ],
        };
        let mut page = Page::new(false);
        listing.render(&mut page);
        expect![[r"
            TOOL  ARGUMENTS    DESCRIPTION
            echo  [loud] text  Says it
            long               word word word word word word word word word word word word word word…
        "]].assert_eq(&page.into_text());
    }
}
