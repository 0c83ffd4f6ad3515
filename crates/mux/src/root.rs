//! The folders that servers are told of: answered from the binding.

use alloc::{format, string::String};

use wire::{Method, RequestId, quoted};

use crate::{
    action::Outbox,
    ask::result,
    class::Capability,
    fact::Fact,
    ids::{SessionId, UpstreamId},
    lanes::Cause,
    mux::Mux,
    refusal::Refusal,
    stream::Stream,
};

/// A folder as one of the roots of `roots/list`.
pub(crate) fn root(folder: &str) -> String {
    let mut uri = String::from("file://");
    for byte in folder.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'/' | b'-' | b'.' | b'_' | b'~' => {
                uri.push(char::from(byte));
            }
            other => {
                const HEX: &[u8; 16] = b"0123456789ABCDEF";
                uri.push('%');
                uri.push(char::from(HEX[usize::from(other >> 4)]));
                uri.push(char::from(HEX[usize::from(other & 15)]));
            }
        }
    }
    let name = folder.rsplit('/').next().unwrap_or(folder);
    format!(r#"{{"uri":{},"name":{}}}"#, quoted(&uri), quoted(name))
}

impl Mux {
    /// Tells a server which folders are open.
    pub(crate) fn answer_roots(
        &mut self,
        (upstream_id, stream): (UpstreamId, Stream),
        id: &RequestId,
        out: &mut Outbox,
    ) {
        let bound = self
            .upstreams
            .get(&upstream_id)
            .and_then(|upstream| upstream.workspace.clone());
        let has_roots = self
            .upstreams
            .get(&upstream_id)
            .is_some_and(|u| u.class().has(Capability::Roots));
        if !has_roots {
            let refusal = Refusal::NotCapable {
                method: Method::RootsList,
            };
            Mux::tell_upstream(upstream_id, refusal.to_response(Some(id)), out);
            out.tell(Fact::AskRefused {
                upstream: upstream_id,
                method: Method::RootsList,
                refusal,
            });
            return;
        }
        // A server for all workspaces has none of its own: the one whose call is open counts.
        let workspace = bound.or_else(|| {
            let owner = self.owner_of_roots(upstream_id, stream)?;
            self.sessions.get(&owner)?.opening.workspace.clone()
        });
        let roots = workspace
            .map(|workspace| root(&workspace))
            .unwrap_or_default();
        Mux::tell_upstream(
            upstream_id,
            result(id, &format!(r#"{{"roots":[{roots}]}}"#)),
            out,
        );
    }

    /// Whose folders a server for all is told of: those of the session whose call is open. That only
    /// one session is there now does not make its folders those of the sessions to come.
    fn owner_of_roots(&mut self, upstream_id: UpstreamId, stream: Stream) -> Option<SessionId> {
        match stream {
            Stream::Common => {}
            Stream::Own(whose) => return Some(whose.session),
            Stream::Left => return None,
        }
        let now = self.now;
        let upstream = self.upstreams.get_mut(&upstream_id)?;
        let judged_at = upstream.judged_at(now);
        match upstream.lanes.cause(judged_at) {
            Cause::Session(owner) => Some(owner),
            Cause::Nobody => upstream.key.session,
            Cause::Ghost | Cause::Unclear => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_becomes_a_uri_that_every_parser_reads() {
        assert_eq!(
            root("/home/u/a b%ü"),
            r#"{"uri":"file:///home/u/a%20b%25%C3%BC","name":"a b%ü"}"#
        );
    }
}
