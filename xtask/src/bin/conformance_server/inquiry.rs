//! What must be asked of a client before a request can be answered, in one round or in several.

use std::fmt::Write as _;

use serde_json::{Map, Value, json};

use crate::{
    message::text,
    prompts::{messages, words},
    tools,
};

/// What a client has answered, by the key of the question.
pub(crate) type Answers = Map<String, Value>;

/// All that is asked for one request.
#[derive(Debug)]
pub(crate) struct Inquiry {
    pub(crate) name: &'static str,
    pub(crate) rounds: Vec<Vec<Question>>,
    pub(crate) need: Need,
    pub(crate) memory: Memory,
    conclude: fn(&Answers) -> Value,
}

/// One thing that is asked.
#[derive(Debug)]
pub(crate) struct Question {
    pub(crate) key: &'static str,
    pub(crate) kind: Kind,
    pub(crate) params: Value,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Elicitation,
    Sampling,
    Roots,
}

/// Which of the questions a client must be able to answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Need {
    All,
    /// The others are not asked.
    Some,
}

/// What a server that keeps nothing gives its client to bring back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Memory {
    Nothing,
    /// How far it has come, such that a change is seen.
    Sealed,
}

impl Inquiry {
    fn new(name: &'static str, round: Vec<Question>) -> Inquiry {
        Inquiry {
            name,
            rounds: vec![round],
            need: Need::All,
            memory: Memory::Nothing,
            conclude: told,
        }
    }

    fn concluded(self, conclude: fn(&Answers) -> Value) -> Inquiry {
        Inquiry { conclude, ..self }
    }

    fn sealed(self) -> Inquiry {
        let memory = Memory::Sealed;
        Inquiry { memory, ..self }
    }

    /// The result, once all is known.
    pub(crate) fn conclude(&self, answers: &Answers) -> Value {
        (self.conclude)(answers)
    }

    /// The capabilities that a client lacks which can do no more than these.
    pub(crate) fn lacks(&self, capabilities: &Map<String, Value>) -> Map<String, Value> {
        let questions = || self.rounds.iter().flatten().map(|question| question.kind);
        let is_able = |kind: &Kind| capabilities.contains_key(kind.capability());
        if self.need == Need::Some && questions().any(|kind| is_able(&kind)) {
            return Map::new();
        }
        let lacks = questions().filter(|kind| !is_able(kind));
        lacks
            .map(|kind| (kind.capability().to_owned(), json!({})))
            .collect()
    }

    /// What a client that can do this much is asked in a round.
    pub(crate) fn questions(
        &self,
        round: usize,
        capabilities: &Map<String, Value>,
    ) -> impl Iterator<Item = &Question> {
        let is_able = |question: &&Question| capabilities.contains_key(question.kind.capability());
        self.rounds.get(round).into_iter().flatten().filter(is_able)
    }
}

impl Kind {
    pub(crate) fn method(self) -> &'static str {
        match self {
            Kind::Elicitation => "elicitation/create",
            Kind::Sampling => "sampling/createMessage",
            Kind::Roots => "roots/list",
        }
    }

    fn capability(self) -> &'static str {
        match self {
            Kind::Elicitation => "elicitation",
            Kind::Sampling => "sampling",
            Kind::Roots => "roots",
        }
    }

    /// Whether that is an answer to such a question.
    pub(crate) fn accepts(self, answer: &Value) -> bool {
        match self {
            Kind::Elicitation => {
                let action = answer["action"].as_str().unwrap_or_default();
                ["accept", "decline", "cancel"].contains(&action)
            }
            Kind::Sampling => answer["content"].is_object() || answer["content"].is_array(),
            Kind::Roots => answer["roots"].is_array(),
        }
    }
}

/// What a tool asks; `None` if it asks nothing.
pub(crate) fn of_tool(name: &str, arguments: &Map<String, Value>) -> Option<Inquiry> {
    let inquiry = match name {
        "test_sampling" => Inquiry::new(
            "test_sampling",
            vec![sample("sample", text(arguments, "prompt"), 100)],
        )
        .concluded(completed),
        "test_elicitation" => {
            Inquiry::new("test_elicitation", vec![user(text(arguments, "message"))])
                .concluded(responded)
        }
        "test_elicitation_sep1034_defaults" => {
            Inquiry::new("test_elicitation_sep1034_defaults", vec![with_defaults()])
        }
        "test_elicitation_sep1330_enums" => {
            Inquiry::new("test_elicitation_sep1330_enums", vec![with_choices()])
        }
        "test_missing_capability" => Inquiry::new(
            "test_missing_capability",
            vec![sample("sample", "Say something.", 10)],
        ),
        "test_streaming_elicitation" => Inquiry::new("test_streaming_elicitation", vec![confirm()]),
        "test_input_required_result_elicitation" => Inquiry::new(
            "test_input_required_result_elicitation",
            vec![name_of_user("user_name", "What is your name?")],
        )
        .concluded(greeted),
        "test_input_required_result_sampling" => {
            let question = sample("capital_question", "What is the capital of France?", 100);
            Inquiry::new("test_input_required_result_sampling", vec![question])
        }
        "test_input_required_result_list_roots" => {
            Inquiry::new("test_input_required_result_list_roots", vec![roots()])
        }
        "test_input_required_result_request_state" => {
            Inquiry::new("test_input_required_result_request_state", vec![confirm()])
                .concluded(confirmed)
                .sealed()
        }
        "test_input_required_result_tampered_state" => {
            Inquiry::new("test_input_required_result_tampered_state", vec![confirm()])
                .concluded(confirmed)
                .sealed()
        }
        "test_input_required_result_multiple_inputs" => {
            let questions = vec![
                name_of_user("user_name", "What is your name?"),
                sample("greeting", "Generate a greeting", 50),
                roots(),
            ];
            Inquiry::new("test_input_required_result_multiple_inputs", questions).sealed()
        }
        "test_input_required_result_multi_round" => {
            let first = name_of_user("step1", "Step 1: What is your name?");
            let mut inquiry =
                Inquiry::new("test_input_required_result_multi_round", vec![first]).sealed();
            let second = one_text("step2", "Step 2: What is your favorite color?", "color");
            inquiry.rounds.push(vec![second]);
            inquiry
        }
        "test_input_required_result_capabilities" => {
            let questions = vec![confirm(), sample("sample", "Say something.", 10), roots()];
            let mut inquiry = Inquiry::new("test_input_required_result_capabilities", questions);
            inquiry.need = Need::Some;
            inquiry
        }
        _asks_nothing => return None,
    };
    Some(inquiry)
}

/// What the only prompt asks that asks something.
pub(crate) fn of_prompt() -> Inquiry {
    let question = one_text(
        "user_context",
        "What context should the prompt use?",
        "context",
    );
    Inquiry::new("test_input_required_result_prompt", vec![question]).concluded(|answers| {
        let context = &answers["user_context"]["content"]["context"];
        let context = context.as_str().unwrap_or("none");
        messages([words(&format!("Use this context: {context}"))])
    })
}

fn elicitation(key: &'static str, message: &str, properties: &Value, required: &Value) -> Question {
    let schema = json!({"type": "object", "properties": properties, "required": required});
    let params = json!({"message": message, "requestedSchema": schema});
    let kind = Kind::Elicitation;
    Question { key, kind, params }
}

fn one_text(key: &'static str, message: &str, name: &str) -> Question {
    elicitation(
        key,
        message,
        &json!({name: {"type": "string"}}),
        &json!([name]),
    )
}

fn name_of_user(key: &'static str, message: &str) -> Question {
    one_text(key, message, "name")
}

fn confirm() -> Question {
    elicitation(
        "confirm",
        "Please confirm",
        &json!({"ok": {"type": "boolean"}}),
        &json!(["ok"]),
    )
}

fn user(message: &str) -> Question {
    let properties = json!({
        "username": {"type": "string", "description": "User's response"},
        "email": {"type": "string", "description": "User's email address"},
    });
    elicitation("user", message, &properties, &json!(["username", "email"]))
}

fn with_defaults() -> Question {
    let properties = json!({
        "name": {"type": "string", "description": "A name", "default": "John Doe"},
        "age": {"type": "integer", "description": "An age", "default": 30},
        "score": {"type": "number", "description": "A score", "default": 95.5},
        "status": {"type": "string", "enum": ["active", "inactive", "pending"], "default": "active"},
        "verified": {"type": "boolean", "description": "Whether that is known", "default": true},
    });
    elicitation(
        "defaults",
        "Please look through these values",
        &properties,
        &json!([]),
    )
}

fn with_choices() -> Question {
    let titled = |titles: [&str; 3]| {
        let choices = titles.iter().enumerate();
        let choices = choices
            .map(|(index, title)| json!({"const": format!("value{}", index + 1), "title": title}));
        Value::Array(choices.collect())
    };
    let options = json!(["option1", "option2", "option3"]);
    let properties = json!({
        "untitledSingle": {"type": "string", "enum": options},
        "titledSingle": {"type": "string", "oneOf": titled(["First Option", "Second Option", "Third Option"])},
        "legacyEnum": {
            "type": "string",
            "enum": ["opt1", "opt2", "opt3"],
            "enumNames": ["Option One", "Option Two", "Option Three"],
        },
        "untitledMulti": {"type": "array", "items": {"type": "string", "enum": options}},
        "titledMulti": {"type": "array", "items": {"anyOf": titled(["First Choice", "Second Choice", "Third Choice"])}},
    });
    elicitation("choices", "Please choose", &properties, &json!([]))
}

fn sample(key: &'static str, prompt: &str, tokens_max: u32) -> Question {
    let messages = json!([{"role": "user", "content": words(prompt)}]);
    let params = json!({"messages": messages, "maxTokens": tokens_max});
    let kind = Kind::Sampling;
    Question { key, kind, params }
}

fn roots() -> Question {
    let (key, kind) = ("client_roots", Kind::Roots);
    let params = json!({});
    Question { key, kind, params }
}

/// Repeats what was answered.
fn told(answers: &Answers) -> Value {
    let mut told = "Elicitation completed:".to_owned();
    for answer in answers.values() {
        // Writing to memory cannot fail.
        let _infallible = match (&answer["action"], &answer["content"]) {
            (Value::String(action), content) => write!(told, " action={action}, content={content}"),
            (_none, Value::Null) => write!(told, " roots={}", answer["roots"]),
            (_none, content) => write!(told, " text={}", content["text"]),
        };
    }
    tools::text_result(&told)
}

fn completed(answers: &Answers) -> Value {
    let words = answers["sample"]["content"]["text"].as_str();
    tools::text_result(&format!("LLM response: {}", words.unwrap_or("none")))
}

fn responded(answers: &Answers) -> Value {
    let answer = &answers["user"];
    let (action, content) = (&answer["action"], &answer["content"]);
    let action = action.as_str().unwrap_or_default();
    tools::text_result(&format!(
        "User response: action: {action}, content: {content}"
    ))
}

fn greeted(answers: &Answers) -> Value {
    let name = answers["user_name"]["content"]["name"].as_str();
    tools::text_result(&format!("Hello, {}!", name.unwrap_or("stranger")))
}

fn confirmed(_answers: &Answers) -> Value {
    tools::text_result("state-ok")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn able(names: &[&str]) -> Map<String, Value> {
        names
            .iter()
            .map(|name| ((*name).to_owned(), json!({})))
            .collect()
    }

    #[test]
    fn who_lacks_something_is_told_what_or_is_asked_less() {
        let of = |name| of_tool(name, &Map::new()).unwrap();
        let every = of("test_input_required_result_multiple_inputs");
        assert_eq!(
            every.lacks(&able(&["elicitation", "roots"])),
            able(&["sampling"])
        );
        assert_eq!(
            every.lacks(&able(&["elicitation", "roots", "sampling"])),
            able(&[])
        );
        let some = of("test_input_required_result_capabilities");
        let can = able(&["sampling"]);
        assert_eq!(some.lacks(&can), able(&[]));
        let asked: Vec<Kind> = some.questions(0, &can).map(|asked| asked.kind).collect();
        assert_eq!(asked, [Kind::Sampling]);
        assert_eq!(some.lacks(&able(&[])).len(), 3);
    }

    #[test]
    fn an_answer_of_another_kind_is_none() {
        assert!(Kind::Elicitation.accepts(&json!({"action": "decline"})));
        assert!(!Kind::Elicitation.accepts(&json!(12345)));
        assert!(!Kind::Elicitation.accepts(&json!({"action": "perhaps"})));
        assert!(Kind::Sampling.accepts(&json!({"content": {"type": "text", "text": ""}})));
        assert!(!Kind::Sampling.accepts(&json!({"roots": []})));
        assert!(Kind::Roots.accepts(&json!({"roots": []})));
    }

    #[test]
    fn a_greeting_has_the_name_that_was_given() {
        let inquiry = of_tool("test_input_required_result_elicitation", &Map::new()).unwrap();
        let answers = json!({"user_name": {"action": "accept", "content": {"name": "Alice"}}});
        let result = inquiry.conclude(answers.as_object().unwrap());
        assert_eq!(result["content"][0]["text"], "Hello, Alice!");
        let silent = inquiry.conclude(
            &json!({"user_name": {"action": "cancel"}})
                .as_object()
                .unwrap()
                .clone(),
        );
        assert_eq!(silent["content"][0]["text"], "Hello, stranger!");
    }
}
