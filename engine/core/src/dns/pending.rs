//! Intercepted queries that wait for the host.

use core::time::Duration;
use std::collections::BTreeMap;
use std::net::SocketAddr;

use super::{Query, QueryId, QueryKind};
use crate::api::time::Micros;
use crate::flow::table::FlowId;

/// Where a query came from, and its answer goes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Asker {
    /// A datagram, answered from the address it was sent to.
    Datagram {
        client: SocketAddr,
        server: SocketAddr,
    },
    /// A connection that the engine accepted in the server's place.
    Stream(FlowId),
}

/// One query.
#[derive(Debug)]
pub(crate) struct PendingQuery {
    pub(crate) asker: Asker,
    pub(crate) query: Query,
    pub(crate) name: String,
    pub(crate) kind: QueryKind,
    until: Micros,
}

/// All of them, the oldest first: their deadlines are in the same order.
#[derive(Debug, Default)]
pub(crate) struct Pending {
    next: u64,
    queries: BTreeMap<u64, PendingQuery>,
}

impl Pending {
    pub(crate) fn len(&self) -> usize {
        self.queries.len()
    }

    /// Whether the asker waits for the same query already.
    pub(crate) fn has(&self, asker: Asker, query: &Query) -> bool {
        self.queries
            .values()
            .any(|known| known.asker == asker && known.query.is_same(query))
    }

    /// Whether a connection waits for an answer.
    pub(crate) fn has_any_of(&self, flow: FlowId) -> bool {
        self.queries
            .values()
            .any(|known| known.asker == Asker::Stream(flow))
    }

    pub(crate) fn add(
        &mut self,
        until: Micros,
        asker: Asker,
        query: Query,
        name: String,
        kind: QueryKind,
    ) -> QueryId {
        self.next += 1;
        let pending = PendingQuery {
            asker,
            query,
            name,
            kind,
            until,
        };
        self.queries.insert(self.next, pending);
        QueryId(self.next)
    }

    /// Whether the query is still to be answered.
    pub(crate) fn waits(&self, id: QueryId) -> bool {
        self.queries.contains_key(&id.0)
    }

    pub(crate) fn take(&mut self, id: QueryId) -> Option<PendingQuery> {
        self.queries.remove(&id.0)
    }

    /// The next query whose time is over.
    pub(crate) fn take_expired(&mut self, now: Micros) -> Option<PendingQuery> {
        let first = self.queries.first_entry()?;
        (first.get().until <= now).then(|| first.remove())
    }

    pub(crate) fn next_deadline(&self) -> Option<Micros> {
        self.queries.first_key_value().map(|(_, first)| first.until)
    }

    /// Forgets what a connection asked that has ended.
    pub(crate) fn forget(&mut self, flow: FlowId) {
        self.queries
            .retain(|_, known| known.asker != Asker::Stream(flow));
    }

    pub(crate) fn clear(&mut self) {
        self.queries.clear();
    }
}

/// How long the host may take by default: stubs ask again after 5 s (resolv.conf's timeout), and shall have got the failure by
/// then.
pub(crate) const RESOLVE_TIMEOUT: Duration = Duration::from_secs(4);
