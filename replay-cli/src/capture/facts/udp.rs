//! The facts of a UDP flow: questions without an answer, and how soon DNS answered what.

use std::collections::VecDeque;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use super::opening::plain;
use super::samples::Samples;
use super::tally::{Errors, Since, fact};
use super::{Answer, Detail, Fact, FactKind, NAMES_SHOWN, Seen, Side, side};
use crate::capture::structure;

/// Collects the facts of one flow.
#[derive(Debug)]
pub(super) struct UdpFacts {
    ends: [SocketAddr; 2],
    sent: [u64; 2],
    first: [Option<Since>; 2],
    last_ns: i64,
    /// The first datagram is the beginning of a QUIC connection.
    quic: bool,
    dns: Dns,
    pub(super) errors: Errors,
}

/// What was asked and answered.
#[derive(Debug, Default)]
struct Dns {
    /// Questions that wait for their answer, the oldest first.
    open: VecDeque<Question>,
    times: Samples,
    first: Option<Since>,
    unanswered: Named,
    failed: Named,
    no_such_name: Named,
    answers: Vec<Answer>,
}

#[derive(Debug)]
struct Question {
    id: u16,
    since: Since,
    name: Option<String>,
}

/// How often, since when, and for which names.
#[derive(Debug, Default)]
struct Named {
    count: u64,
    first: Option<Since>,
    names: Vec<String>,
}

/// The port of DNS.
const DNS: u16 = 53;
/// The port of HTTP/3, on which a datagram in QUIC's long form is QUIC.
const HTTPS: u16 = 443;
/// The most questions that wait, and the most answers that are kept of a flow.
const OPEN: usize = 64;

impl UdpFacts {
    pub(super) fn new(ends: [SocketAddr; 2]) -> Self {
        Self {
            ends,
            sent: [0; 2],
            first: [None; 2],
            last_ns: i64::MIN,
            quic: false,
            dns: Dns::default(),
            errors: Errors::default(),
        }
    }

    /// Whether the payload of a datagram from this end would be looked at.
    pub(super) fn wants(&self, end: usize) -> bool {
        let port = |end: usize| self.ends.get(end).map(SocketAddr::port);
        let either = |wanted| port(0) == Some(wanted) || port(1) == Some(wanted);
        let is_first = self.sent == [0, 0];
        either(DNS) || (is_first && port(end ^ 1) == Some(HTTPS))
    }

    pub(super) fn packet(&mut self, seen: &Seen, payload: &[u8]) {
        let since = seen.since;
        if self.wants(seen.end) {
            if self.ends.iter().any(|end| end.port() == DNS) {
                self.dns.packet(since, payload);
            } else {
                self.quic = is_quic(payload);
            }
        }
        self.last_ns = self.last_ns.max(since.at_ns);
        if let (Some(sent), Some(first)) =
            (self.sent.get_mut(seen.end), self.first.get_mut(seen.end))
        {
            *sent += 1;
            first.get_or_insert(since);
        }
    }

    pub(super) fn finish(mut self, device: usize) -> (Vec<Fact>, Vec<Answer>) {
        let mut facts: Vec<Fact> = self.errors.facts().collect();
        facts.extend(self.unanswered(device));
        while let Some(question) = self.dns.open.pop_front() {
            self.dns.unanswered.note(question.since, question.name);
        }
        let Dns {
            times,
            first,
            unanswered,
            failed,
            no_such_name,
            answers,
            ..
        } = self.dns;
        facts.extend(unanswered.fact(FactKind::DnsUnanswered));
        facts.extend(failed.fact(FactKind::DnsServfail));
        facts.extend(no_such_name.fact(FactKind::DnsNxdomain));
        if let (Some(since), Some(range)) = (first, times.range()) {
            facts.push(Fact {
                by: Some(Side::Remote),
                lasted_ns: Some(range.max),
                detail: Detail::Times(None, Some(range)),
                ..fact(FactKind::DnsAnswer, since, range.count)
            });
        }
        (facts, answers)
    }

    /// A flow of which only one end sent, to an address that could have answered.
    fn unanswered(&self, device: usize) -> Option<Fact> {
        let peer = device ^ 1;
        let address = self.ends.get(peer)?.ip();
        let to_many = address.is_multicast() || address == IpAddr::V4(Ipv4Addr::BROADCAST);
        let asks = self.ends.iter().any(|end| end.port() == DNS);
        if to_many || asks || self.sent.get(peer) != Some(&0) {
            return None;
        }
        let kind = if self.quic {
            FactKind::QuicUnanswered
        } else {
            FactKind::Unanswered
        };
        let since = (*self.first.get(device)?)?;
        Some(Fact {
            by: Some(side(peer, device)),
            lasted_ns: Some(since.until(self.last_ns)),
            ..fact(kind, since, self.sent.get(device).copied().unwrap_or(0))
        })
    }
}

/// Whether a datagram is in QUIC's long form, in which a connection begins (RFC 8999 section 5.1).
fn is_quic(payload: &[u8]) -> bool {
    let version = payload.get(1..5);
    payload.first().is_some_and(|first| first & 0xc0 == 0xc0)
        && version.is_some_and(|version| version != [0; 4])
}

impl Dns {
    fn packet(&mut self, since: Since, payload: &[u8]) {
        let Some(&[a, b, flags, code, ..]) = payload.first_chunk::<12>() else {
            return;
        };
        let id = u16::from_be_bytes([a, b]);
        if flags & 0x80 == 0 {
            self.question(id, since, payload);
        } else {
            self.answer(id, since, code & 15, payload);
        }
    }

    fn question(&mut self, id: u16, since: Since, payload: &[u8]) {
        // The same once more waits since the first time.
        if self.open.iter().any(|open| open.id == id) {
            return;
        }
        if self.open.len() == OPEN
            && let Some(oldest) = self.open.pop_front()
        {
            self.unanswered.note(oldest.since, oldest.name);
        }
        self.first.get_or_insert(since);
        let message = simple_dns::Packet::parse(payload).ok();
        let name = message.and_then(|message| name_in(&message));
        self.open.push_back(Question { id, since, name });
    }

    fn answer(&mut self, id: u16, since: Since, code: u8, payload: &[u8]) {
        let Some(at) = self.open.iter().position(|open| open.id == id) else {
            return;
        };
        let Some(question) = self.open.remove(at) else {
            return;
        };
        self.times.add(question.since.until(since.at_ns));
        match code {
            2 => self.failed.note(since, question.name),
            3 => self.no_such_name.note(since, question.name),
            _ => self.addresses(since, payload),
        }
    }

    fn addresses(&mut self, since: Since, payload: &[u8]) {
        let Ok(message) = simple_dns::Packet::parse(payload) else {
            return;
        };
        let Some(name) = name_in(&message) else {
            return;
        };
        for record in &message.answers {
            let Some(address) = structure::address_of(&record.rdata) else {
                continue;
            };
            if self.answers.len() < OPEN {
                self.answers.push(Answer {
                    at_ns: since.at_ns,
                    address,
                    name: name.clone(),
                });
            }
        }
    }
}

/// The name a message asks about.
fn name_in(message: &simple_dns::Packet<'_>) -> Option<String> {
    plain(message.questions.first()?.qname.to_string().as_bytes())
}

impl Named {
    fn note(&mut self, since: Since, name: Option<String>) {
        self.count += 1;
        self.first.get_or_insert(since);
        if let Some(name) = name
            && self.names.len() < NAMES_SHOWN
            && !self.names.contains(&name)
        {
            self.names.push(name);
        }
    }

    fn fact(self, kind: FactKind) -> Option<Fact> {
        let since = self.first?;
        Some(Fact {
            by: Some(Side::Remote),
            detail: Detail::Names(self.names),
            ..fact(kind, since, self.count)
        })
    }
}
