//! The resources, and what is in them.

use serde_json::{Value, json};

/// A red point, as a PNG.
pub(crate) const PICTURE: &str =
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAIAAACQd1PeAAAADElEQVR42mP4z8AAAAMBAQD3A0FDAAAAAElFTkSuQmCC";

/// A thousandth of a second of silence, as a WAV.
pub(crate) const SOUND: &str =
    "UklGRiwAAABXQVZFZm10IBAAAAABAAEAQB8AAEAfAAABAAgAZGF0YQgAAACAgICAgICAgA==";

/// The resource that can be subscribed to.
pub(crate) const WATCHED: &str = "test://watched-resource";

pub(crate) fn list() -> Value {
    let resource = |uri: &str, name: &str, description: &str, kind: &str| json!({"uri": uri, "name": name, "description": description, "mimeType": kind});
    json!({"resources": [
        resource("test://static-text", "static-text", "A text that never changes", "text/plain"),
        resource("test://static-binary", "static-binary", "A picture that never changes", "image/png"),
        resource(WATCHED, "watched-resource", "A text that changes when it is told to", "text/plain"),
    ]})
}

pub(crate) fn templates() -> Value {
    json!({"resourceTemplates": [{
        "uriTemplate": "test://template/{id}/data",
        "name": "template",
        "description": "Data that is made for an id",
        "mimeType": "application/json",
    }]})
}

/// `None` for what is not there.
pub(crate) fn read(uri: &str) -> Option<Value> {
    let text = |kind: &str, text: &str| json!({"uri": uri, "mimeType": kind, "text": text});
    let content = match uri {
        "test://static-text" => text(
            "text/plain",
            "This is the content of the static text resource.",
        ),
        "test://static-binary" => json!({"uri": uri, "mimeType": "image/png", "blob": PICTURE}),
        WATCHED => text("text/plain", "This resource can be watched."),
        _of_template => {
            let id = uri
                .strip_prefix("test://template/")?
                .strip_suffix("/data")?;
            let data =
                json!({"id": id, "templateTest": true, "data": format!("Data for ID: {id}")});
            text("application/json", &data.to_string())
        }
    };
    Some(json!({"contents": [content]}))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_that_is_listed_can_be_read() {
        let list = list();
        for resource in list["resources"].as_array().unwrap() {
            let read = read(resource["uri"].as_str().unwrap()).unwrap();
            assert_eq!(read["contents"][0]["mimeType"], resource["mimeType"]);
        }
    }

    #[test]
    fn a_template_is_filled_in_and_nothing_else_is_there() {
        let read_of = |uri| read(uri).map(|read| read["contents"][0]["text"].clone());
        let text = read_of("test://template/123/data").unwrap();
        assert!(
            text.as_str().unwrap().contains("Data for ID: 123"),
            "{text}"
        );
        assert_eq!(read_of("test://template/123"), None);
        assert_eq!(read_of("test://elsewhere"), None);
    }
}
