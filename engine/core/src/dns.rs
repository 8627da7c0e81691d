//! DNS: names for addresses out of the answers that pass by, and answers of the engine's own when queries are
//! intercepted (RFC 1035).
//!
//! ```text
//!   passing by      device ── query ──> asked ──> dialer        answer that matches what was asked ──> names, DnsRecord
//!   interception    device ── query ──> pending ── Resolve ──> host ── resolved() ──> reply from the address asked
//! ```
//! Whatever cannot be read, was not asked for, is cut or has a name that is no host's only counts.

mod asked;
mod message;
mod names;
mod pending;
mod reply;
mod stream;

use std::net::IpAddr;

use crate::api::label::labelled;

pub(crate) use asked::Asked;
pub(crate) use message::{Query, Reading, Unfit, read_answer};
pub(crate) use names::Names;
pub(crate) use pending::{Asker, Pending, PendingQuery, RESOLVE_TIMEOUT};
pub(crate) use reply::{Rcode, reply};
pub(crate) use stream::Streams;

/// The contents of a DNS answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DnsRecord {
    /// The name that was asked for, in lower case.
    pub name: String,
    /// Its A and AAAA addresses, through the chain of CNAMEs that begins at the name, in the order of the answer.
    pub addresses: Vec<IpAddr>,
    /// The shortest time to live among them, seconds.
    pub ttl: u32,
}

/// The port of DNS.
pub(crate) const PORT: u16 = 53;

/// An intercepted query that waits for [`Engine::resolved`](crate::Engine::resolved).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct QueryId(pub(crate) u64);

impl QueryId {
    /// The handle as a number, for hosts that keep it in an integer.
    #[must_use]
    pub const fn to_bits(self) -> u64 {
        self.0
    }

    /// The handle back from [`QueryId::to_bits`]; any number is safe, a wrong one is stale.
    #[must_use]
    pub const fn from_bits(bits: u64) -> Self {
        Self(bits)
    }
}

labelled! {
    /// Which addresses are asked for.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
    pub enum QueryKind {
        /// IPv4 (RFC 1035 section 3.4.1).
        A = "a",
        /// IPv6 (RFC 3596 section 2.1).
        Aaaa = "aaaa",
    }
}

impl QueryKind {
    /// Whether an address is of this kind.
    #[must_use]
    pub const fn holds(self, address: IpAddr) -> bool {
        matches!(
            (self, address),
            (Self::A, IpAddr::V4(_)) | (Self::Aaaa, IpAddr::V6(_))
        )
    }
}

/// What the host found out about a name.
///
/// ```no_run
/// # let (mut engine, now, query): (engine::Engine, engine::Micros, engine::QueryId) = unimplemented!();
/// let addresses = vec!["203.0.113.80".parse()?];
/// engine.resolved(now, query, engine::Resolution::Addresses { addresses, ttl: 60 })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Resolution {
    /// The name exists. Addresses of the other kind than asked for are left out; none left is an answer without
    /// records (RFC 2308 section 2.2).
    Addresses {
        /// In the order in which the device shall try them; the first 64 count.
        addresses: Vec<IpAddr>,
        /// How long the device may keep them, seconds.
        ttl: u32,
    },
    /// There is no such name: NXDOMAIN.
    NotFound,
    /// It could not be found out: SERVFAIL, so that the device tries another resolver.
    Failed,
}

/// Most addresses kept of one answer, or given in one.
pub(crate) const MAX_ADDRESSES: usize = 64;

#[cfg(test)]
mod tests;
