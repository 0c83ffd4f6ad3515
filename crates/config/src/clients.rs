//! The files of clients: text in, values out, and edits that change our entries alone.
//!
//! A client is described by a file of its own, which says where its files are and what its
//! entries look like, and nothing else ([`Client`]). What is the same for all is done once:
//! reading and editing a grammar ([`Grammar`]), telling which servers a file has and which
//! of them can be shared ([`survey()`]), and putting mcpool before a command line ([`adopt()`])
//! or taking it away again ([`release`]).
//!
//! **Invariant:** an edit is a splice of spans. No byte outside of the changed values is
//! written anew, and what comes out has been read again.

mod adopt;
mod amp;
mod approval;
mod claude_code;
mod claude_desktop;
mod cline;
mod codex;
mod continue_dev;
mod copilot;
mod cursor;
mod foreign;
mod gemini;
mod goose;
mod grammar;
mod http;
mod kiro;
mod opencode;
mod place;
mod policy;
mod shape;
mod survey;
mod tree;
mod vscode;
mod windsurf;
mod zed;

pub use adopt::{Arguments, Caller, adopt, release};
pub use approval::{Approval, Approvals};
pub use foreign::{Foreign, THROUGH_MCPOOL, foreign};
pub use grammar::{Added, Change, EditError, Grammar, Pointer, Unreadable, Word};
pub use http::{HttpShape, NoHttp, address, adopt_over_http, over_http, release_from_http};
pub use place::{Machine, Place, Reach, System};
pub use policy::{Policy, PolicyReason, Rules, Way};
pub use shape::{Client, Command, Holder, WHOLE_FILE};
pub use survey::{CommandAt, Entry, Kind, Local, Reason, declares, is_off, survey};
pub use tree::{Member, Node, Step, Style, Value};

/// Every client whose files are known, in the order in which they are shown.
pub const ALL: &[&Client] = &[
    &claude_code::CLIENT,
    &claude_desktop::CLIENT,
    &codex::CLIENT,
    &gemini::CLIENT,
    &cursor::CLIENT,
    &vscode::CLIENT,
    &windsurf::CLIENT,
    &zed::CLIENT,
    &opencode::CLIENT,
    &cline::CLIENT,
    &continue_dev::CLIENT,
    &goose::CLIENT,
    &kiro::CLIENT,
    &copilot::CLIENT,
    &amp::CLIENT,
];

/// Other ways in which clients of [`ALL`] write files.
const OTHER_FORMS: &[&Client] = &[&continue_dev::JSON];

#[cfg(test)]
mod tests;
