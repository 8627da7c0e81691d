//! Reading messages: header and question by hand, because an answer must match its query byte by byte, the records by
//! `simple-dns` once their counts have been held against the length.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use simple_dns::rdata::RData;
use simple_dns::{CLASS, Name, Packet};

use super::{Asked, DnsRecord, MAX_ADDRESSES, QueryKind};

/// Bytes of the header (RFC 1035 section 4.1.1).
pub(super) const HEADER: usize = 12;

/// Records of one message beyond which it is not read. Real answers have a few dozen.
const MAX_RECORDS: usize = 256;

/// CNAMEs followed from the name that was asked for; resolvers themselves stop at 8 to 16.
const MAX_CHAIN: usize = 16;

/// The least bytes of a record: an empty name, type, class, TTL and length.
const LEAST_RECORD: usize = 11;

const RESPONSE: u16 = 0x8000;
const OPCODE: u16 = 0x7800;
const TRUNCATED: u16 = 0x0200;
const RCODE: u16 = 0x000f;
const CLASS_IN: u16 = 1;

/// The fixed part of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) id: u16,
    pub(super) flags: u16,
    questions: u16,
    answers: u16,
    authorities: u16,
    additional: u16,
}

impl Header {
    fn read(message: &[u8]) -> Option<Self> {
        let (words, _) = message.get(..HEADER)?.as_chunks::<2>();
        let mut words = words.iter().map(|word| u16::from_be_bytes(*word));
        Some(Self {
            id: words.next()?,
            flags: words.next()?,
            questions: words.next()?,
            answers: words.next()?,
            authorities: words.next()?,
            additional: words.next()?,
        })
    }

    /// The OPT record behind the question, if there is one; `None` if the records do not end with the message, or there
    /// are two. (`simple-dns` takes the flags for the version.)
    fn edns(&self, message: &[u8], question: &Question) -> Option<Option<Edns>> {
        const OPT: u16 = 41;
        let mut rest = message.get(HEADER + question.wire.len()..)?;
        let mut edns = None;
        let records = [self.answers, self.authorities, self.additional];
        for _ in 0..records.into_iter().map(usize::from).sum() {
            rest = skip_name(rest)?;
            let (fixed, tail) = rest.split_first_chunk::<10>()?;
            let [k1, k0, c1, c0, _, version, flags, _, l1, l0] = *fixed;
            rest = tail.get(usize::from(u16::from_be_bytes([l1, l0]))..)?;
            if u16::from_be_bytes([k1, k0]) == OPT {
                let opt = Edns {
                    size: u16::from_be_bytes([c1, c0]),
                    version,
                    wants_dnssec: flags & 0x80 != 0,
                };
                if edns.replace(opt).is_some() {
                    return None;
                }
            }
        }
        rest.is_empty().then_some(edns)
    }

    /// Whether the message is long enough for the records it claims, and claims no more than is plausible.
    fn counts_fit(&self, length: usize) -> bool {
        let records = usize::from(self.answers)
            + usize::from(self.authorities)
            + usize::from(self.additional);
        records <= MAX_RECORDS && HEADER + records * LEAST_RECORD <= length
    }
}

/// What follows a name, which may end in a pointer.
fn skip_name(mut rest: &[u8]) -> Option<&[u8]> {
    loop {
        let (&length, tail) = rest.split_first()?;
        rest = match length {
            0 => return Some(tail),
            1..=63 => tail.get(usize::from(length)..)?,
            192..=255 => return tail.get(1..),
            _ => return None,
        };
    }
}

/// The contents of an OPT record (RFC 6891 section 6.1.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Edns {
    /// The datagram that the device can take, bytes.
    pub(super) size: u16,
    version: u8,
    /// Whether it wants signatures: the bit is handed back (RFC 3225 section 3).
    pub(super) wants_dnssec: bool,
}

/// A question as it is on the wire: name, type, class.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Question {
    pub(super) wire: Box<[u8]>,
}

impl Question {
    /// Reads the one question behind the header. Its name cannot be compressed: nothing precedes it.
    fn read(message: &[u8]) -> Option<Self> {
        let mut at = HEADER;
        loop {
            match *message.get(at)? {
                0 => break,
                length @ 1..=63 => at += 1 + usize::from(length),
                _ => return None,
            }
            // RFC 1035 section 2.3.4: names are at most 255 bytes.
            if at - HEADER > 254 {
                return None;
            }
        }
        let wire = message.get(HEADER..at + 5)?;
        Some(Self { wire: wire.into() })
    }

    fn name(&self) -> &[u8] {
        self.wire.get(..self.wire.len() - 4).unwrap_or(&[])
    }

    /// Type and class, behind the name.
    fn kind_and_class(&self) -> (u16, u16) {
        let [k1, k0, c1, c0] = self.wire.last_chunk().copied().unwrap_or_default();
        (u16::from_be_bytes([k1, k0]), u16::from_be_bytes([c1, c0]))
    }

    /// Equal but for the case of letters (RFC 4343).
    pub(super) fn is_same(&self, other: &Self) -> bool {
        // Lengths of labels are below 64, where no letter is.
        self.name().eq_ignore_ascii_case(other.name())
            && self.kind_and_class() == other.kind_and_class()
    }

    /// The name as hosts write it, in lower case; `None` if it holds a byte that no host name has.
    fn text(&self) -> Option<String> {
        let mut rest = self.name();
        let mut labels: Vec<&[u8]> = Vec::new();
        while let Some((&length, tail)) = rest.split_first()
            && length > 0
        {
            let (label, tail) = tail.split_at_checked(usize::from(length))?;
            labels.push(label);
            rest = tail;
        }
        text(labels.into_iter())
    }
}

/// Labels joined, in lower case: letters, digits, hyphens and the underscores of service names, nothing that a log, a
/// file or a screen would take for something else.
fn text<'a>(labels: impl Iterator<Item = &'a [u8]>) -> Option<String> {
    let mut text = String::new();
    for label in labels {
        if !text.is_empty() {
            text.push('.');
        }
        for byte in label {
            if !(byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_')) {
                return None;
            }
            text.push(char::from(byte.to_ascii_lowercase()));
        }
    }
    Some(text)
}

/// What an answer that passes by comes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Reading {
    /// Addresses for a name.
    Record(DnsRecord),
    /// Sound and asked for, but without addresses: an error, or another type.
    Empty,
    /// Cut to fit a datagram: the device asks again over TCP.
    Truncated,
    /// Nobody asked this here.
    Unasked,
    /// No DNS message, or one that contradicts itself.
    Malformed,
    /// The name has bytes that no host name has.
    OddName,
}

/// Reads a message of `server` in the light of what was asked.
pub(crate) fn read_answer(message: &[u8], server: SocketAddr, asked: &mut Asked) -> Reading {
    let Some(header) = Header::read(message) else {
        return Reading::Malformed;
    };
    if header.flags & RESPONSE == 0 || header.questions != 1 {
        return Reading::Unasked;
    }
    let Some(question) = Question::read(message) else {
        return Reading::Malformed;
    };
    if !asked.take(server, header.id, &question) {
        return Reading::Unasked;
    }
    if header.flags & TRUNCATED != 0 {
        return Reading::Truncated;
    }
    if !header.counts_fit(message.len()) {
        return Reading::Malformed;
    }
    let (_, class) = question.kind_and_class();
    if header.flags & (RCODE | OPCODE) != 0 || class != CLASS_IN {
        return Reading::Empty;
    }
    let Ok(packet) = Packet::parse(message) else {
        return Reading::Malformed;
    };
    let Some(name) = question.text() else {
        return Reading::OddName;
    };
    match addresses(&packet) {
        Some((addresses, ttl)) => {
            let record = DnsRecord {
                name,
                addresses,
                ttl,
            };
            Reading::Record(record)
        }
        None => Reading::Empty,
    }
}

/// The addresses that the CNAME chain from the question leads to, and their shortest time to live. Records of other
/// owners are somebody's attempt to have them believed.
fn addresses(packet: &Packet<'_>) -> Option<(Vec<IpAddr>, u32)> {
    let mut chain: Vec<&Name<'_>> = vec![&packet.questions.first()?.qname];
    // The records may be in any order; each pass adds one link.
    while chain.len() <= MAX_CHAIN {
        let last = chain.last()?;
        let next = packet
            .answers
            .iter()
            .find_map(|record| match &record.rdata {
                RData::CNAME(alias) if record.class == CLASS::IN && same(&record.name, last) => {
                    Some(&alias.0)
                }
                _ => None,
            });
        match next {
            Some(next) if !chain.iter().any(|known| same(known, next)) => chain.push(next),
            _ => break,
        }
    }
    let mut found = Vec::new();
    let mut ttl = u32::MAX;
    for record in &packet.answers {
        let address = match &record.rdata {
            RData::A(a) => IpAddr::V4(Ipv4Addr::from_bits(a.address)),
            RData::AAAA(a) => IpAddr::V6(Ipv6Addr::from_bits(a.address)),
            _ => continue,
        };
        if record.class != CLASS::IN || !chain.iter().any(|owner| same(owner, &record.name)) {
            continue;
        }
        if found.len() == MAX_ADDRESSES {
            break;
        }
        found.push(address);
        // RFC 2181 section 8: with the top bit set it counts as zero.
        let is_valid = record.ttl >> 31 == 0;
        ttl = ttl.min(if is_valid { record.ttl } else { 0 });
    }
    (!found.is_empty()).then_some((found, ttl))
}

fn same(one: &Name<'_>, other: &Name<'_>) -> bool {
    let (mut one, mut other) = (one.as_bytes(), other.as_bytes());
    loop {
        match (one.next(), other.next()) {
            (None, None) => return true,
            (Some(a), Some(b)) if a.eq_ignore_ascii_case(b) => {}
            _ => return false,
        }
    }
}

/// A query of the device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Query {
    pub(super) id: u16,
    pub(super) flags: u16,
    /// Absent if it could not be read; the reply then has none either.
    pub(super) question: Option<Question>,
    /// If the query has EDNS.
    pub(super) edns: Option<Edns>,
}

/// Why a query is not put to the host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Unfit {
    /// It is no query at all, and whatever answered it might be answered in turn.
    Silence,
    /// It is a query, but not a sound one.
    FormErr(Query),
    /// An opcode or a meta type that is not served here.
    NotImp(Query),
    /// A class other than IN.
    Refused(Query),
    /// An EDNS version above 0.
    BadVersion(Query),
    /// A type other than A and AAAA, or the root: no such records.
    NoData(Query),
    /// A name that no host has.
    OddName(Query),
}

impl Query {
    /// Only what [`Asked`] needs, of a query that passes by; `None` if it is none.
    pub(crate) fn passing(message: &[u8]) -> Option<(u16, Question)> {
        let header = Header::read(message)?;
        if header.flags & RESPONSE != 0 || header.questions != 1 {
            return None;
        }
        Some((header.id, Question::read(message)?))
    }

    /// A query that is to be answered here, with the name and kind to ask the host for.
    pub(crate) fn read(message: &[u8]) -> Result<(Self, String, QueryKind), Unfit> {
        let Some(header) = Header::read(message).filter(|header| header.flags & RESPONSE == 0)
        else {
            return Err(Unfit::Silence);
        };
        let mut query = Self {
            id: header.id,
            flags: header.flags,
            question: None,
            edns: None,
        };
        if header.flags & OPCODE != 0 {
            return Err(Unfit::NotImp(query));
        }
        let sound = header.questions == 1 && header.counts_fit(message.len());
        let question = Question::read(message).filter(|_| sound);
        let edns = question
            .as_ref()
            .and_then(|question| header.edns(message, question));
        let (Some(edns), Some(question)) = (edns, question) else {
            return Err(Unfit::FormErr(query));
        };
        let ((kind, class), name) = (question.kind_and_class(), question.text());
        query.question = Some(question);
        query.edns = edns;
        if edns.is_some_and(|edns| edns.version > 0) {
            return Err(Unfit::BadVersion(query));
        }
        if class != CLASS_IN {
            return Err(Unfit::Refused(query));
        }
        let kind = match kind {
            1 => QueryKind::A,
            28 => QueryKind::Aaaa,
            // RFC 6895 section 3.1: types of queries only, ANY and transfers among them.
            128..=255 => return Err(Unfit::NotImp(query)),
            _ => return Err(Unfit::NoData(query)),
        };
        match name {
            None => Err(Unfit::OddName(query)),
            Some(name) if name.is_empty() => Err(Unfit::NoData(query)),
            Some(name) => Ok((query, name, kind)),
        }
    }

    /// Whether it is the same query again.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        self.id == other.id && self.question == other.question
    }
}
