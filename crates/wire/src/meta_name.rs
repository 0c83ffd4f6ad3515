//! The names in `_meta` that MCP reserves (2026-07-28, `_meta`), as far as a pooler knows them, and its own.

/// The token under which the sender of a request wants to hear how far it is.
pub const PROGRESS_TOKEN: &str = "progressToken";

/// The task that a message belongs to (2025-11-25).
pub const RELATED_TASK: &str = "io.modelcontextprotocol/related-task";

/// The version that a request is of.
pub const VERSION: &str = "io.modelcontextprotocol/protocolVersion";

/// What the sender of a request can do.
pub const CAPABILITIES: &str = "io.modelcontextprotocol/clientCapabilities";

/// Who sends a request.
pub const CLIENT: &str = "io.modelcontextprotocol/clientInfo";

/// From which severity on the sender of a request wants log messages.
pub const LOG_LEVEL: &str = "io.modelcontextprotocol/logLevel";

/// Who says a result.
pub const SERVER: &str = "io.modelcontextprotocol/serverInfo";

/// The request that a message was wished for by (`subscriptions/listen`).
pub const SUBSCRIPTION: &str = "io.modelcontextprotocol/subscriptionId";

/// Our own: the result is that of an earlier call of another session.
pub const ONCE: &str = "dev.mcpool/once";

/// What each request of the modern era says of its sender, and none of the legacy era does.
pub const OF_SENDER: [&str; 4] = [VERSION, CAPABILITIES, CLIENT, LOG_LEVEL];
