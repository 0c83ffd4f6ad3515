//! On which stream of a server's a message came, and so whose it is, where a server has several.
//!
//! A server over HTTP says what belongs to a request on the stream on which it answers that. Where there is one
//! stream for everything it has to be found out otherwise ([`crate::lanes`]).

use crate::{
    exchange::{MintedId, Owner},
    ids::{LineNumber, SessionId, UpstreamId},
    mux::Mux,
};

/// A stream of a server's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stream {
    /// For whatever belongs to no request of its own, or for everything.
    Common,
    /// That of one request, which a session waits for.
    Own(Whose),
    /// That of a request that nobody waits for any more.
    Left,
}

/// Whose a message is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Whose {
    pub(crate) session: SessionId,
    /// The request that it belongs to, if that is known, and the line that this stood on, if there is still
    /// something to be said to it.
    pub(crate) request: Option<(MintedId, Option<LineNumber>)>,
}

impl Whose {
    /// Of a session, whatever made its server speak.
    pub(crate) fn of(session: SessionId) -> Self {
        Whose {
            session,
            request: None,
        }
    }
}

impl Mux {
    /// The stream on which a message came, by the request of ours that it belongs to.
    pub(crate) fn stream_of(&self, upstream: UpstreamId, within: Option<MintedId>) -> Stream {
        let Some(minted) = within else {
            return Stream::Common;
        };
        let upstream = self.upstreams.get(&upstream);
        let exchange = upstream.and_then(|upstream| upstream.exchanges.get(minted));
        match exchange.map(|exchange| &exchange.owner) {
            None => Stream::Left,
            // What it says there may be for anybody.
            Some(Owner::Ourselves(_)) => Stream::Common,
            Some(Owner::Session(claim)) => {
                let line = Some(claim.line).filter(|_| !self.is_parked(claim));
                Stream::Own(Whose {
                    session: claim.session,
                    request: Some((minted, line)),
                })
            }
        }
    }

    /// Whose a message is that nothing is known of beside its stream.
    pub(crate) fn whose(&mut self, upstream: UpstreamId, stream: Stream) -> Option<Whose> {
        match stream {
            Stream::Own(whose) => Some(whose),
            Stream::Left => None,
            Stream::Common => self.owner_of_message(upstream).map(Whose::of),
        }
    }

    /// The line to whose answer a message goes.
    pub(crate) fn line_of(&self, whose: Whose) -> Option<LineNumber> {
        match whose.request {
            Some((_, line)) => line,
            None => self.line_at_work(whose.session),
        }
    }
}
