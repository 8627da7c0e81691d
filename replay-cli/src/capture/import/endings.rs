//! How a capture's flows ended, as far as it shows: the closes and half-closes that a replay owes.

use crate::base::duration::Micros;
use crate::capture::conversation::{
    ByteReader, Conversation, Conversations, DeviceSegment, FarEventKind, Stream, Talk,
    TcpConversation,
};
use crate::capture::recording::RemoteEnd;
use crate::packet::Flags;
use crate::scenario::expect::STALL_US;
use crate::scenario::{
    CloseExpectation, ClosedList, DialResult, Direction, DnsExpectation, Expectations, Expected,
    HalfCloseExpectation, How, Protocol, Side, StallExpectation, True,
};

/// What is known of one flow's end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ending {
    /// The close; `None` if the capture leaves it open.
    pub(crate) close: Option<(Option<Side>, How)>,
    /// Which side closed first while the other still could send.
    pub(crate) half: Option<Side>,
    /// Both closed, or reset, at the same time: what came first depends on the vantage.
    pub(crate) crossing: bool,
}

/// Reads a connection's end off its packets.
pub(crate) fn of(tcp: &TcpConversation) -> Ending {
    let mut ending = Ending {
        close: None,
        half: None,
        crossing: false,
    };
    match tcp.dial {
        DialResult::Connected => {}
        // The device gave up before anybody answered, or the engine's own limit ends it.
        DialResult::Never if tcp.device.iter().any(gave_up) => {
            ending.close = Some((Some(Side::Device), How::Reset));
            return ending;
        }
        DialResult::Never => {
            ending.close = Some((Some(Side::Engine), How::TimedOut));
            return ending;
        }
        failed => {
            ending.close = Some((Some(Side::Remote), failed.into()));
            return ending;
        }
    }
    if tcp.far_took.is_some() {
        return held_back(tcp);
    }
    let far_len = tcp.far_stream.len();
    let far_fin = tcp
        .far
        .iter()
        .position(|event| event.kind == FarEventKind::Fin);
    let far_reset = tcp
        .far
        .iter()
        .any(|event| event.kind == FarEventKind::Reset);
    let fin_at = tcp.device.iter().position(|segment| {
        segment.flags.contains(Flags::FIN) && !segment.flags.contains(Flags::RST)
    });
    let fin_at = fin_at.filter(|_| tcp.device_fin);
    let rst_at = tcp
        .device
        .iter()
        .position(|segment| segment.flags.contains(Flags::RST));
    // The device knew of the far FIN when it sent this.
    let knew = |index: usize| {
        tcp.device
            .get(index)
            .is_some_and(|segment| segment.needs > 1 + far_len)
    };
    let far_acked = far_fin.is_some()
        && tcp
            .device
            .iter()
            .take(rst_at.unwrap_or(usize::MAX))
            .any(|segment| segment.ack().is_some_and(|ack| ack > 1 + far_len));
    let device_acked = far_fin
        .and_then(|at| tcp.far.get(at))
        .is_some_and(|event| event.fin_acked);
    let first = match (fin_at, far_fin) {
        (Some(_), None) => Some(Side::Device),
        (None, Some(_)) => Some(Side::Remote),
        (Some(_), Some(_)) if device_acked => Some(Side::Device),
        (Some(at), Some(_)) if knew(at) => Some(Side::Remote),
        (Some(_), Some(_)) => {
            ending.crossing = true;
            None
        }
        (None, None) => None,
    };
    // The engine acknowledges the device's FIN at once: with the far FIN acknowledged too, all is over, and a
    // reset after that changes nothing.
    if fin_at.is_some() && far_fin.is_some() && far_acked {
        ending.close = Some((first, How::Fin));
        ending.half = first;
        return ending;
    }
    if tcp.far.iter().any(|event| event.kind == FarEventKind::Fail) {
        ending.close = Some((Some(Side::Remote), How::Error));
        ending.crossing |= fin_at.is_some() || far_fin.is_some();
        return ending;
    }
    // A far reset that came after the device's own is not among the events.
    if far_reset {
        ending.close = Some((Some(Side::Remote), How::Reset));
        ending.crossing |= fin_at.is_some() || far_fin.is_some();
        return ending;
    }
    if rst_at.is_some() {
        ending.close = Some((Some(Side::Device), How::Reset));
        ending.crossing |= fin_at.is_some() || far_fin.is_some();
        return ending;
    }
    if fin_at.is_some() && far_fin.is_some() {
        // Both sides closed, but the last acknowledgement is not in the capture: the runner gives it.
        ending.close = Some((first, How::Fin));
    }
    ending.half = first;
    ending
}

/// The end of a connection whose far side never took the rest: the device's FIN, behind that, is not passed on.
fn held_back(tcp: &TcpConversation) -> Ending {
    let far = |kind| tcp.far.iter().any(|event| event.kind == kind);
    let close = if far(FarEventKind::Reset) {
        Some((Some(Side::Remote), How::Reset))
    } else if tcp.device_rst {
        Some((Some(Side::Device), How::Reset))
    } else {
        None
    };
    Ending {
        close,
        half: None,
        crossing: far(FarEventKind::Fin),
    }
}

/// The stalls that a replay of a flow owes, in its own times. It may begin with any of the bytes that the device sent in it, as
/// the engine's window moves by whole segments, and be a little off; one that could be too short for that is not owed.
pub(crate) fn stalls(flow: &Conversation, name: &str) -> Vec<StallExpectation> {
    let replayed = flow.tcp().into_iter().flat_map(|tcp| &tcp.stalls);
    let replayed = replayed.filter(|stall| stall.replayed);
    let ms = |us: u64| Micros(us - us % 1000);
    let between = |min: u64, max: u64| Expected::Range {
        min: Some(ms(min.saturating_sub(OFF_US))),
        max: Some(ms(max.saturating_add(OFF_US))),
    };
    let expected = replayed.filter_map(|stall| {
        let lasts = match stall.until_us {
            Some(until) if until - stall.sent_us < STALL_US + OFF_US => return None,
            Some(until) => between(until - stall.sent_us, until - stall.from_us),
            None => Expected::Range {
                min: Some(Micros(STALL_US)),
                max: None,
            },
        };
        let start = flow.start_us;
        Some(StallExpectation {
            flow: name.to_owned(),
            direction: Some(Direction::Upstream),
            by: Some(Side::Remote),
            at: Some(between(start + stall.from_us, start + stall.sent_us)),
            lasts: Some(lasts),
        })
    });
    let slow = flow.tcp().map(slowness).unwrap_or_default();
    let slow = slow.into_iter().map(|(from, until)| {
        let start = flow.start_us;
        StallExpectation {
            flow: name.to_owned(),
            direction: Some(Direction::Downstream),
            by: Some(Side::Device),
            at: Some(between(start + from, start + from)),
            lasts: Some(between(until - from, until - from)),
        }
    });
    expected.chain(slow).collect()
}

/// When the device's own window was zero for longer than a replay may be off: its frames say so again.
fn slowness(tcp: &TcpConversation) -> Vec<(u64, u64)> {
    let mut slow = Vec::new();
    let mut since = None;
    for segment in &tcp.device {
        if segment.flags.contains(Flags::RST) || segment.flags.contains(Flags::SYN) {
            continue;
        }
        if segment.window == 0 {
            since.get_or_insert(segment.at_us);
        } else if let Some(from) = since.take()
            && segment.at_us - from >= STALL_US + OFF_US
        {
            slow.push((from, segment.at_us));
        }
    }
    slow
}

/// How much a replay may be off, microseconds.
const OFF_US: u64 = STALL_US / 4;

/// Whether the device reset an attempt before the engine's own limit on dials ends it.
fn gave_up(segment: &DeviceSegment) -> bool {
    let limit = engine::Config::default().dial_timeout.as_micros();
    segment.flags.contains(Flags::RST) && u128::from(segment.at_us) < limit
}

/// A run shorter than this ends before any idle limit of the engine, microseconds.
const SHORT_US: u64 = 25_000_000;

/// Adds what the capture says of endings and names to a scenario's expectations.
pub(crate) fn expect(
    capture: &Conversations,
    names: &[(String, usize)],
    reader: &mut ByteReader<'_>,
    expectations: &mut Expectations,
) {
    // How long a silence the engine bears is its own affair: a run that long may close what the capture left open.
    let long = capture.duration_us > SHORT_US
        || capture
            .flows
            .iter()
            .any(|flow| flow.tcp().is_some_and(|tcp| tcp.dial == DialResult::Never));
    let held = |flow: &Conversation| flow.tcp().is_some_and(|tcp| tcp.far_took.is_some());
    let silent = |flow: &Conversation| {
        held(flow)
            || long
                && (flow.spec.protocol == Protocol::Udp
                    || flow.tcp().is_some_and(|tcp| of(tcp).close.is_none()))
    };
    let mut closes = ClosedList {
        items: Vec::new(),
        others_allowed: capture.flows.iter().any(silent),
    };
    let mut halves = ClosedList::default();
    let mut records = ClosedList::default();
    let mut stalled = Vec::new();
    for (name, index) in names {
        let Some(flow) = capture.flows.get(*index) else {
            continue;
        };
        if flow.spec.server.port() == 53 {
            dns(flow, reader, &mut records.items);
        }
        stalled.extend(stalls(flow, name));
        let tcp = match &flow.talk {
            Talk::Tcp(tcp) => tcp,
            Talk::Udp(udp) => {
                closes
                    .items
                    .extend(udp.end.map(|(end, ..)| CloseExpectation {
                        flow: name.clone(),
                        by: Some(Side::Remote),
                        how: Some(match end {
                            RemoteEnd::Eof => How::Fin,
                            RemoteEnd::Reset => How::Reset,
                            RemoteEnd::Error => How::Error,
                        }),
                        at: None,
                        open: None,
                    }));
                continue;
            }
        };
        let ending = of(tcp);
        let flow = name.clone();
        halves.others_allowed |= ending.crossing;
        if let Some(by) = ending.half.filter(|_| !ending.crossing) {
            halves.items.push(HalfCloseExpectation {
                flow: name.clone(),
                by: Some(by),
                at: None,
            });
        }
        closes.items.push(match ending.close {
            Some((by, how)) => CloseExpectation {
                flow,
                by,
                how: Some(how),
                at: None,
                open: None,
            },
            None if long || tcp.far_took.is_some() => continue,
            None => CloseExpectation {
                flow,
                by: None,
                how: None,
                at: None,
                open: Some(True),
            },
        });
    }
    // A device that was slow may stall what comes down, as the engine sees it.
    expectations.stalls = (!stalled.is_empty()).then_some(ClosedList {
        items: stalled,
        others_allowed: true,
    });
    expectations.closes = Some(closes);
    expectations.half_closes = Some(halves);
    expectations.dns = Some(records);
}

/// The records that a sound engine makes of the answers that the far side gave: of those that the device had asked for,
/// each query of one answer (RFC 5452 section 9.1).
fn dns(flow: &Conversation, reader: &mut ByteReader<'_>, records: &mut Vec<DnsExpectation>) {
    let mut asked = Asked::default();
    match &flow.talk {
        Talk::Udp(udp) if udp.dial.0 != DialResult::Connected => {}
        Talk::Udp(udp) => {
            let mut at = 0;
            let mut queries = udp.device.iter();
            let mut passed = 0;
            for datagram in &udp.far {
                for query in queries
                    .by_ref()
                    .take(usize::try_from(datagram.after - passed).unwrap_or(0))
                {
                    let end = at + u64::from(query.len);
                    asked.note(udp.device_bytes.read(at, end, reader));
                    at = end;
                }
                passed = datagram.after;
                let message = udp.far_bytes.read(datagram.from, datagram.to, reader);
                records.extend(asked.take(message).then(|| answer(message)).flatten());
            }
        }
        Talk::Tcp(tcp) if tcp.dial != DialResult::Connected => {}
        Talk::Tcp(tcp) => {
            for (from, to) in messages(&tcp.device_stream, reader) {
                asked.note(tcp.device_stream.read(from, to, reader));
            }
            for (from, to) in messages(&tcp.far_stream, reader) {
                let message = tcp.far_stream.read(from, to, reader);
                records.extend(asked.take(message).then(|| answer(message)).flatten());
            }
        }
    }
}

/// Where the messages of a stream stand: each behind two bytes of length (RFC 1035 section 4.2.2).
fn messages(stream: &Stream, reader: &mut ByteReader<'_>) -> Vec<(u64, u64)> {
    let mut places = Vec::new();
    let mut at = 0;
    while let Ok(length) = <[u8; 2]>::try_from(stream.read(at, at + 2, reader)) {
        let end = at + 2 + u64::from(u16::from_be_bytes(length));
        if end > stream.len() {
            break;
        }
        places.push((at + 2, end));
        at = end;
    }
    places
}

/// The questions that have no answer yet: number, name, type and class, letters in lower case.
#[derive(Default)]
struct Asked(Vec<(u16, Vec<u8>)>);

impl Asked {
    fn note(&mut self, message: &[u8]) {
        self.0.extend(question(message));
    }

    /// Whether this was asked; a question takes one answer.
    fn take(&mut self, message: &[u8]) -> bool {
        let wanted = question(message);
        let place = self
            .0
            .iter()
            .position(|asked| Some(asked) == wanted.as_ref());
        place.map(|place| self.0.remove(place)).is_some()
    }
}

/// The number and the one question of a message, as they stand on the wire.
fn question(message: &[u8]) -> Option<(u16, Vec<u8>)> {
    let number = u16::from_be_bytes(message.get(..2)?.try_into().ok()?);
    let mut at = 12;
    while let length @ 1..=63 = *message.get(at)? {
        at += 1 + usize::from(length);
    }
    let wire = message.get(12..at + 5)?;
    (message.get(4..6)? == [0, 1]).then(|| (number, wire.to_ascii_lowercase()))
}

/// The record of an answer: the addresses that its CNAMEs lead to from the name that was asked for, in the order in
/// which they stand. Records of other owners, such as those of a zone transfer, are no answer.
fn answer(message: &[u8]) -> Option<DnsExpectation> {
    use simple_dns::rdata::RData;
    let packet = simple_dns::Packet::parse(message).ok()?;
    let good = packet.has_flags(simple_dns::PacketFlag::RESPONSE)
        && !packet.has_flags(simple_dns::PacketFlag::TRUNCATION)
        && packet.rcode() == simple_dns::RCODE::NoError;
    let question = packet.questions.first().filter(|_| good)?;
    let text = |name: &simple_dns::Name<'_>| name.to_string().to_ascii_lowercase();
    let mut owners = vec![text(&question.qname)];
    for _ in 0..LONGEST_CHAIN {
        let alias = packet
            .answers
            .iter()
            .find_map(|record| match &record.rdata {
                RData::CNAME(alias) if owners.last() == Some(&text(&record.name)) => {
                    Some(text(&alias.0))
                }
                _ => None,
            });
        owners.extend(alias.filter(|alias| !owners.contains(alias)));
    }
    let mut addresses = Vec::new();
    let mut ttl = u32::MAX;
    let theirs = packet.answers.iter();
    let theirs = theirs.filter(|record| record.class == simple_dns::CLASS::IN);
    for record in theirs.filter(|record| owners.contains(&text(&record.name))) {
        if addresses.len() == MOST_ADDRESSES {
            break;
        }
        match &record.rdata {
            RData::A(a) => addresses.push(std::net::Ipv4Addr::from_bits(a.address).into()),
            RData::AAAA(a) => addresses.push(std::net::Ipv6Addr::from_bits(a.address).into()),
            _ => continue,
        }
        // RFC 2181 section 8: with the top bit set it counts as zero.
        let sound = i32::try_from(record.ttl).is_ok();
        ttl = ttl.min(if sound { record.ttl } else { 0 });
    }
    (!addresses.is_empty()).then(|| DnsExpectation {
        name: text(&question.qname),
        addresses: Some(addresses),
        ttl: Some(Expected::Exact(ttl)),
        at: None,
    })
}

/// CNAMEs that are followed, and addresses of one answer that are taken.
const LONGEST_CHAIN: usize = 16;
const MOST_ADDRESSES: usize = 64;

impl From<DialResult> for How {
    fn from(result: DialResult) -> Self {
        match result {
            DialResult::Refused => Self::Refused,
            DialResult::HostUnreachable => Self::HostUnreachable,
            DialResult::NetworkUnreachable => Self::NetworkUnreachable,
            DialResult::Denied => Self::Denied,
            DialResult::TimedOut | DialResult::Never => Self::TimedOut,
            // A connected dial is no ending.
            DialResult::Connected => Self::Fin,
        }
    }
}
