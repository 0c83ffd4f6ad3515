//! The methods that a pooler routes on; the rest is [`Method::Other`] and passes through.

use alloc::boxed::Box;
use core::fmt;

macro_rules! methods {
    ($($(#[$doc:meta])* $variant:ident = $name:literal,)*) => {
        /// What a request asks or a notification tells.
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub enum Method {
            $($(#[$doc])* $variant,)*
            /// A method that needs no treatment of its own, present or future.
            Other(Box<str>),
        }

        impl Method {
            /// The method of this name. Names are case-exact.
            pub fn from_name(name: &str) -> Self {
                match name {
                    $($name => Method::$variant,)*
                    other => Method::Other(other.into()),
                }
            }

            /// The name as it stands in a message.
            pub fn name(&self) -> &str {
                match self {
                    $(Method::$variant => $name,)*
                    Method::Other(name) => name,
                }
            }
        }
    };
}

methods! {
    /// Client → server: the handshake of the legacy era.
    Initialize = "initialize",
    /// Client → server: the handshake is over.
    Initialized = "notifications/initialized",
    /// Either way: are you there?
    Ping = "ping",
    /// Client → server: what a modern client asks first.
    Discover = "server/discover",
    /// Client → server: what a modern client wants to be told of (`subscriptions/listen`, 2026-07-28).
    Listen = "subscriptions/listen",
    /// Server → client: what of that will be told.
    ListenAcknowledged = "notifications/subscriptions/acknowledged",
    /// Client → server: run a tool.
    ToolsCall = "tools/call",
    /// Client → server: name the tools.
    ToolsList = "tools/list",
    /// Client → server: fill in a prompt.
    PromptsGet = "prompts/get",
    /// Client → server: name the prompts.
    PromptsList = "prompts/list",
    /// Client → server: read a resource.
    ResourcesRead = "resources/read",
    /// Client → server: name the resources.
    ResourcesList = "resources/list",
    /// Client → server: name the resource templates.
    ResourceTemplatesList = "resources/templates/list",
    /// Client → server: complete an argument.
    CompletionComplete = "completion/complete",
    /// Client → server: tell me when this resource changes.
    ResourcesSubscribe = "resources/subscribe",
    /// Client → server: no longer tell me.
    ResourcesUnsubscribe = "resources/unsubscribe",
    /// Client → server: how chatty to be.
    SetLevel = "logging/setLevel",
    /// Server → client: which folders are open?
    RootsList = "roots/list",
    /// Server → client: let your model answer this.
    SamplingCreate = "sampling/createMessage",
    /// Server → client: ask your user.
    ElicitationCreate = "elicitation/create",
    /// Server → client: the question that was asked by address is settled.
    ElicitationComplete = "notifications/elicitation/complete",
    /// Either way: stop working on a request.
    Cancelled = "notifications/cancelled",
    /// Either way: how far a request is.
    Progress = "notifications/progress",
    /// Server → client: a log message.
    LogMessage = "notifications/message",
    /// Client → server: other folders are open now.
    RootsListChanged = "notifications/roots/list_changed",
    /// Server → client: list the tools again.
    ToolsListChanged = "notifications/tools/list_changed",
    /// Server → client: list the prompts again.
    PromptsListChanged = "notifications/prompts/list_changed",
    /// Server → client: list the resources again.
    ResourcesListChanged = "notifications/resources/list_changed",
    /// Server → client: a resource changed that somebody subscribed to.
    ResourceUpdated = "notifications/resources/updated",
}

impl Method {
    /// Whether doing it twice changes nothing: such a request may be sent again.
    pub fn is_read_only(&self) -> bool {
        matches!(
            self,
            Method::Ping
                | Method::Discover
                | Method::ToolsList
                | Method::PromptsList
                | Method::PromptsGet
                | Method::ResourcesRead
                | Method::ResourcesList
                | Method::ResourceTemplatesList
                | Method::CompletionComplete
        )
    }

    /// Whether a server may ask its client something while it works on it (SEP-2260).
    pub fn is_askable(&self) -> bool {
        matches!(
            self,
            Method::ToolsCall | Method::PromptsGet | Method::ResourcesRead
        )
    }
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
