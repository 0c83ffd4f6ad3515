//! The prompts.

use serde_json::{Map, Value, json};

use crate::{
    deed::Deed,
    inquiry,
    message::{Fault, text},
    resources::PICTURE,
};

pub(crate) fn list() -> Value {
    let argument = |name: &str, description: &str| json!({"name": name, "description": description, "required": true});
    json!({"prompts": [
        {"name": "test_simple_prompt", "description": "One message of text"},
        {
            "name": "test_prompt_with_arguments",
            "description": "A message with two arguments in it",
            "arguments": [argument("arg1", "The first"), argument("arg2", "The second")],
        },
        {
            "name": "test_prompt_with_embedded_resource",
            "description": "A resource, and what to do with it",
            "arguments": [argument("resourceUri", "The resource")],
        },
        {"name": "test_prompt_with_image", "description": "A picture, and what to do with it"},
        {"name": "test_input_required_result_prompt", "description": "A message for which the user is asked first"},
    ]})
}

pub(crate) fn get(params: &Map<String, Value>) -> Deed {
    let none = Map::new();
    let arguments = params
        .get("arguments")
        .and_then(Value::as_object)
        .unwrap_or(&none);
    let name = text(params, "name");
    let contents = match name {
        "test_simple_prompt" => vec![words("This is a simple prompt for testing.")],
        "test_prompt_with_arguments" => {
            let (one, two) = (text(arguments, "arg1"), text(arguments, "arg2"));
            vec![words(&format!(
                "Prompt with arguments: arg1='{one}', arg2='{two}'"
            ))]
        }
        "test_prompt_with_embedded_resource" => vec![
            json!({"type": "resource", "resource": {
                "uri": text(arguments, "resourceUri"),
                "mimeType": "text/plain",
                "text": "Embedded resource content for testing.",
            }}),
            words("Please process the embedded resource above."),
        ],
        "test_prompt_with_image" => vec![
            json!({"type": "image", "data": PICTURE, "mimeType": "image/png"}),
            words("Please analyze the image above."),
        ],
        "test_input_required_result_prompt" => return Deed::Asks(inquiry::of_prompt()),
        _unknown => {
            return Deed::Refused(Fault::invalid_params(format_args!("no prompt `{name}`")));
        }
    };
    Deed::Done(messages(contents))
}

/// The result with these messages, all of them the user's.
pub(crate) fn messages(contents: impl IntoIterator<Item = Value>) -> Value {
    let message = |content| json!({"role": "user", "content": content});
    let messages: Vec<Value> = contents.into_iter().map(message).collect();
    json!({ "messages": messages })
}

pub(crate) fn words(text: &str) -> Value {
    json!({"type": "text", "text": text})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_prompt_that_is_listed_can_be_had() {
        for prompt in list()["prompts"].as_array().unwrap() {
            let params =
                json!({"name": prompt["name"], "arguments": {"arg1": "hello", "arg2": "world"}});
            let deed = get(params.as_object().unwrap());
            let is_asking = prompt["name"] == "test_input_required_result_prompt";
            assert_eq!(matches!(deed, Deed::Asks(_)), is_asking, "{prompt}");
            assert_eq!(matches!(deed, Deed::Done(_)), !is_asking, "{prompt}");
        }
        let unknown = json!({"name": "elsewhere"});
        assert!(matches!(
            get(unknown.as_object().unwrap()),
            Deed::Refused(_)
        ));
    }

    #[test]
    fn arguments_stand_in_the_message() {
        let params = json!({"name": "test_prompt_with_arguments", "arguments": {"arg1": "hello", "arg2": "world"}});
        let Deed::Done(result) = get(params.as_object().unwrap()) else {
            panic!("it is had at once");
        };
        let text = &result["messages"][0]["content"]["text"];
        assert_eq!(text, "Prompt with arguments: arg1='hello', arg2='world'");
    }
}
