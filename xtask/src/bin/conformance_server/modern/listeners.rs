//! Who wants to hear of what.

use serde_json::{Map, Value, json};

use crate::{
    deed::Change,
    message::{self, Fault},
    resources::WATCHED,
};

const SUBSCRIPTION: &str = "io.modelcontextprotocol/subscriptionId";

/// The requests that listen.
#[derive(Debug, Default)]
pub(crate) struct Listeners(Vec<Listener>);

#[derive(Debug)]
struct Listener {
    id: Value,
    wants: Vec<Change>,
}

impl Listeners {
    /// Lets a request listen; what it is told first.
    pub(crate) fn add(&mut self, id: &Value, params: &Map<String, Value>) -> Result<Value, Fault> {
        let wanted = params.get("notifications").and_then(Value::as_object);
        let wanted = wanted.ok_or_else(|| Fault::invalid_params("`notifications` is missing"))?;
        let mut honoured = Map::new();
        let mut wants = Vec::new();
        for (name, change) in [
            ("toolsListChanged", Change::Tools),
            ("promptsListChanged", Change::Prompts),
        ] {
            if wanted.get(name) == Some(&json!(true)) {
                honoured.insert(name.to_owned(), json!(true));
                wants.push(change);
            }
        }
        // The list of resources never changes, and of them only one does.
        let uris = wanted
            .get("resourceSubscriptions")
            .and_then(Value::as_array);
        if uris.is_some_and(|uris| uris.contains(&json!(WATCHED))) {
            honoured.insert("resourceSubscriptions".to_owned(), json!([WATCHED]));
            wants.push(Change::Watched);
        }
        self.remove(id);
        let id = id.clone();
        let params = json!({"notifications": honoured, "_meta": {SUBSCRIPTION: id}});
        self.0.push(Listener { id, wants });
        Ok(message::notification(
            "notifications/subscriptions/acknowledged",
            &params,
        ))
    }

    pub(crate) fn remove(&mut self, id: &Value) {
        self.0.retain(|listener| listener.id != *id);
    }

    /// What is said of a change, to each who wants to hear of it.
    pub(crate) fn told_of(&self, change: Change) -> impl Iterator<Item = Value> {
        let listeners = self
            .0
            .iter()
            .filter(move |listener| listener.wants.contains(&change));
        listeners.map(move |listener| {
            let mut params = json!({"_meta": {SUBSCRIPTION: listener.id}});
            let method = match change {
                Change::Tools => "notifications/tools/list_changed",
                Change::Prompts => "notifications/prompts/list_changed",
                Change::Watched => {
                    params["uri"] = json!(WATCHED);
                    "notifications/resources/updated"
                }
            };
            message::notification(method, &params)
        })
    }
}
