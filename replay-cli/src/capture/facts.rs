//! What an expert reads out of a flow's packets: who stalled whom and for how long, what was sent again and why, which
//! questions had no answer. Nothing is put together for it, and a flow takes the same memory however long it is.
//!
//! ```text
//! packet of a flow -+- marks   what Wireshark's `tcp.analysis` calls this frame
//!                   +- tcp     windows, round trips, ends; spells that last
//!                   +- udp     questions and answers, DNS
//!                   +- opening the name that a TLS ClientHello or an HTTP request has for the far side
//! end of the flow ----> Facts
//! ```
//! Which frame is a retransmission, a duplicate acknowledgement and so on is decided by the rules that Wireshark documents for
//! its TCP analysis; `tests/facts_tshark.rs` holds the two against each other, frame by frame.

use std::net::{IpAddr, SocketAddr};

use crate::packet::{Flags, Seq, Tcp};
use crate::scenario::Protocol;

mod kind;
pub mod marks;
mod names;
mod opening;
mod samples;
mod tally;
mod tcp;
mod udp;

pub use kind::{FactKind, HALF_CLOSED_NS, STALL_NS, UNACKNOWLEDGED_NS};
pub use marks::Marks;
pub(crate) use names::Names;
pub use samples::Range;
pub(crate) use tally::Since;

use opening::Opening;
use tcp::TcpFacts;
use udp::UdpFacts;

/// A side of a flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Side {
    /// Who opened it.
    Device,
    /// The far side.
    Remote,
}

impl Side {
    /// Its stable name.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::Device => "device",
            Self::Remote => "remote",
        }
    }
}

impl Fact {
    /// Whether something went wrong for whoever used the flow; the rest are numbers to look at. A reset in place of a FIN
    /// is none, nor is an ICMP redirect.
    #[must_use]
    pub fn is_trouble(&self) -> bool {
        let harmless = matches!(
            self.detail,
            Detail::During(During::HalfClose(_) | During::Quiet) | Detail::Icmp(5, _)
        );
        self.kind <= FactKind::IcmpError && !harmless
    }
}

/// How what lasted came to an end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// It went on as it should.
    Resumed,
    /// The flow was reset meanwhile.
    Reset,
    /// It had not ended when the capture did.
    Open,
}

impl Ending {
    /// Its stable name.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::Resumed => "resumed",
            Self::Reset => "reset",
            Self::Open => "open",
        }
    }
}

/// In the middle of what a reset came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum During {
    /// The handshake.
    Handshake,
    /// A stall: this side's window was closed.
    Stall(Side),
    /// What this side sent was not yet acknowledged.
    Sending(Side),
    /// This side had closed, the other one not.
    HalfClose(Side),
    /// All was acknowledged, and both were open.
    Quiet,
}

impl During {
    /// Its stable name.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::Handshake => "handshake",
            Self::Stall(_) => "stall",
            Self::Sending(_) => "sending",
            Self::HalfClose(_) => "half-close",
            Self::Quiet => "quiet",
        }
    }

    /// Whose.
    #[must_use]
    pub fn side(self) -> Option<Side> {
        match self {
            Self::Stall(side) | Self::Sending(side) | Self::HalfClose(side) => Some(side),
            Self::Handshake | Self::Quiet => None,
        }
    }
}

/// One fact about a flow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fact {
    /// What.
    pub kind: FactKind,
    /// Whose doing, where that is one side's.
    pub by: Option<Side>,
    /// When it began, nanoseconds since the Unix epoch; of several, the first, or the longest where they last.
    pub at_ns: i64,
    /// How long it lasted, nanoseconds; of several, the longest.
    pub lasted_ns: Option<u64>,
    /// How that ended.
    pub ending: Option<Ending>,
    /// The frame where it shows first.
    pub frame: u64,
    /// How many there are: frames, or spells where they last.
    pub count: u64,
    /// What else is known of it.
    pub detail: Detail,
}

/// What else is known of a fact.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Detail {
    /// Nothing.
    None,
    /// Times: how long the handshake took, and the range of the others, nanoseconds.
    Times(Option<u64>, Option<Range>),
    /// In the middle of what.
    During(During),
    /// The names that were asked for, at most [`NAMES_SHOWN`].
    Names(Vec<String>),
    /// So many bytes: a segment, or a maximum segment size.
    Bytes(u32),
    /// Type and code of an ICMP error.
    Icmp(u8, u8),
}

/// The most names that one fact lists.
pub const NAMES_SHOWN: usize = 3;

/// What is known of a flow.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// The facts, what hurts most first.
    pub list: Vec<Fact>,
    /// The name of the far side, if its flow or a DNS answer has one.
    pub name: Option<String>,
}

impl Facts {
    /// The worst that went wrong, if something did.
    #[must_use]
    pub fn trouble(&self) -> Option<FactKind> {
        let mut troubles = self.list.iter().filter(|fact| fact.is_trouble());
        troubles.next().map(|fact| fact.kind)
    }

    /// How many segments were sent again or overtaken.
    #[must_use]
    pub fn out_of_turn(&self) -> u64 {
        let again = |fact: &&Fact| {
            (FactKind::SynRetransmission..=FactKind::OutOfOrder).contains(&fact.kind)
        };
        self.list.iter().filter(again).map(|fact| fact.count).sum()
    }
}

/// An address that a DNS answer gave for a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) at_ns: i64,
    pub(crate) address: IpAddr,
    pub(crate) name: String,
}

/// A packet by its headers.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Seen {
    /// Its time and frame.
    pub(crate) since: Since,
    /// Which of the two ends sent it: 0 or 1, the same throughout the flow.
    pub(crate) end: usize,
    /// Bytes of payload on the wire.
    pub(crate) payload_len: u32,
    pub(crate) tcp: Header,
}

/// The fields of a TCP header.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Header {
    pub(crate) sequence: Seq,
    pub(crate) acknowledgement: Seq,
    pub(crate) flags: Flags,
    pub(crate) window: u16,
    pub(crate) scale: Option<u8>,
    pub(crate) mss: Option<u16>,
}

impl Header {
    pub(crate) fn of(tcp: &Tcp<'_>) -> Self {
        Self {
            sequence: tcp.sequence,
            acknowledgement: tcp.acknowledgement,
            flags: tcp.flags,
            window: tcp.window,
            scale: tcp.options.window_scale,
            mss: tcp.options.mss,
        }
    }
}

/// Collects the facts of one flow.
#[derive(Debug)]
pub(crate) struct FlowFacts {
    talk: Talk,
    opening: Opening,
    name: Option<String>,
}

#[derive(Debug)]
enum Talk {
    Tcp(Box<TcpFacts>),
    Udp(Box<UdpFacts>),
}

impl FlowFacts {
    /// A flow whose end 0 is `first` and whose end 1 is `second`.
    pub(crate) fn new(protocol: Protocol, first: SocketAddr, second: SocketAddr) -> Self {
        let talk = match protocol {
            Protocol::Tcp => Talk::Tcp(Box::default()),
            Protocol::Udp | Protocol::Icmp => Talk::Udp(Box::new(UdpFacts::new([first, second]))),
        };
        Self {
            talk,
            opening: Opening::default(),
            name: None,
        }
    }

    /// Whether the payload of a packet would be looked at.
    pub(crate) fn wants(&self, seen: &Seen) -> bool {
        let wants = match &self.talk {
            Talk::Tcp(_) => self.opening.wants(seen),
            Talk::Udp(udp) => udp.wants(seen.end),
        };
        wants && seen.payload_len > 0
    }

    /// Takes a packet of the flow; `payload` may be empty if it is not [wanted](Self::wants).
    pub(crate) fn packet(&mut self, seen: &Seen, payload: &[u8]) -> Marks {
        match &mut self.talk {
            Talk::Tcp(tcp) => {
                if self.opening.wants(seen)
                    && let Some(name) = self.opening.take(seen, payload)
                {
                    self.name = Some(name);
                }
                tcp.packet(seen)
            }
            Talk::Udp(udp) => {
                udp.packet(seen, payload);
                Marks::default()
            }
        }
    }

    /// Takes an ICMP error that quotes the flow; `big` if a packet was too big.
    pub(crate) fn icmp(&mut self, since: Since, kind: u8, code: u8, big: bool) {
        let errors = match &mut self.talk {
            Talk::Tcp(tcp) => &mut tcp.errors,
            Talk::Udp(udp) => &mut udp.errors,
        };
        errors.note(since, kind, code, big);
    }

    /// The facts; `device` is the end that opened the flow.
    pub(crate) fn finish(self, device: usize) -> (Facts, Vec<Answer>) {
        let (mut list, answers) = match self.talk {
            Talk::Tcp(tcp) => (tcp.finish(device), Vec::new()),
            Talk::Udp(udp) => udp.finish(device),
        };
        list.sort_by_key(|fact| (fact.kind, fact.by));
        list.shrink_to_fit();
        let name = self.name;
        (Facts { list, name }, answers)
    }
}

/// Whether an ICMP error reports a packet that is too big (RFC 1191 section 4, RFC 4443 section 3.2).
pub(crate) fn is_too_big(v4: bool, kind: u8, code: u8) -> bool {
    if v4 {
        (kind, code) == (3, 4)
    } else {
        kind == 2
    }
}

/// Which side an end is.
fn side(end: usize, device: usize) -> Side {
    if end == device {
        Side::Device
    } else {
        Side::Remote
    }
}

#[cfg(test)]
mod tests;
