//! Servers that have outlived the daemon that started them.

use crate::{
    action::{Action, Outbox},
    event::Record,
    fact::Fact,
    ids::UpstreamId,
    mux::Mux,
};

impl Mux {
    pub(crate) fn on_upstream_inherited(
        &mut self,
        upstream: UpstreamId,
        _record: &Record,
        out: &mut Outbox,
    ) {
        let why = "it has no format that is known here";
        out.tell(Fact::RecordUnreadable { upstream, why });
        out.act(Action::StopUpstream { upstream });
    }
}
