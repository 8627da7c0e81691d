//! Lines as text, and packets as lines.

use std::fmt;

use super::apply;
use super::number::Numbering;
use super::time::Seconds;
use super::{
    Action, Body, Cut, Direction, Extension, Field, FragmentBody, FragmentSource, IcmpMessage,
    Line, Num, OptionsPattern, Override, Quote, Range, Segment, TcpBody, TimeSpec, Unreachable,
    Value,
};
use crate::base::hex::Hex;
use crate::packet::read::{array_at, u16_at, u32_at};
use crate::packet::{Checksum, Flags, ICMP, ICMPV6, Icmp, Packet, TCP, Tcp, Transport, UDP};

/// Prints a packet as the line that describes it; the line, read back, matches the packet.
///
/// Payload bytes are left out, except of a packet that only `raw` can describe.
#[must_use]
pub fn print_packet(
    packet: &Packet<'_>,
    numbering: &Numbering,
    time: TimeSpec,
    flow: &str,
    direction: Direction,
) -> String {
    let segment = Segment::of(packet, direction, numbering, flow);
    let action = match direction {
        Direction::FromDevice => Action::Inject(segment),
        Direction::FromEngine => Action::Expect(segment),
    };
    Line { time, action }.to_string()
}

impl Segment {
    /// Describes a packet: fields every line shows, and by overrides what is out of the ordinary.
    #[must_use]
    pub fn of(
        packet: &Packet<'_>,
        direction: Direction,
        numbering: &Numbering,
        flow: &str,
    ) -> Self {
        let body = Body::of(packet, direction, numbering);
        let overrides = match body {
            Body::Raw(_) => Vec::new(),
            Body::Tcp(_) | Body::Udp { .. } | Body::Icmp(_) | Body::Fragment(_) => oddities(packet),
        };
        Self {
            flow: flow.to_owned(),
            body,
            overrides,
        }
    }
}

impl Body {
    pub(super) fn of(packet: &Packet<'_>, direction: Direction, numbering: &Numbering) -> Self {
        match &packet.transport {
            Transport::Tcp(tcp) => Self::Tcp(TcpBody::of(tcp, direction, numbering)),
            Transport::Udp(udp) => Self::Udp {
                len: count(udp.payload_len),
                payload: None,
            },
            Transport::Icmp(icmp) => Self::Icmp(IcmpMessage::of(icmp, packet.is_v4())),
            Transport::Fragment => FragmentBody::of(packet)
                .map_or_else(|| Self::Raw(packet.bytes.to_vec()), Self::Fragment),
            Transport::Other(_) | Transport::Cut | Transport::Malformed(_) => {
                Self::Raw(packet.bytes.to_vec())
            }
        }
    }
}

impl TcpBody {
    fn of(tcp: &Tcp<'_>, direction: Direction, numbering: &Numbering) -> Self {
        let start = numbering.relative_sequence(direction, tcp);
        let len = u32::try_from(tcp.payload_len).unwrap_or(u32::MAX);
        let ack = numbering.relative_acknowledgement(direction, tcp.acknowledgement);
        let base = numbering.receiver(direction).unwrap_or_default();
        Self {
            flags: tcp.flags,
            range: Some(Range::one(start, len)),
            ack: tcp.flags.contains(Flags::ACK).then(|| Num::of(ack)),
            window: Some(Num::of(tcp.window)),
            urgent: tcp.flags.contains(Flags::URG).then(|| Num::of(tcp.urgent)),
            options: Some(OptionsPattern::of(tcp.option_bytes, base))
                .filter(|options| !options.options.is_empty()),
            payload: None,
        }
    }
}

impl FragmentBody {
    fn of(packet: &Packet<'_>) -> Option<Self> {
        let fragment = packet.fragment?;
        let len = packet.total_len.saturating_sub(packet.transport_offset);
        Some(Self {
            identification: Num::of(fragment.identification),
            start: fragment.offset,
            end: fragment.offset + u32::try_from(len).ok()?,
            more: fragment.more,
            source: FragmentSource::Unwritten,
        })
    }
}

impl IcmpMessage {
    pub(super) fn of(icmp: &Icmp<'_>, v4: bool) -> Self {
        let quote = Quote::Flow;
        let half = |at| u16_at(icmp.body, at).map(Num::of);
        let word = u32_at(icmp.body, 0).map(Num::of);
        let known = match (icmp.kind, icmp.code, v4) {
            (8 | 0, 0, true) | (128 | 129, 0, false) => {
                half(0).zip(half(2)).map(|(identifier, sequence)| {
                    let reply = matches!(icmp.kind, 0 | 129);
                    let len = count(icmp.body_len.saturating_sub(4));
                    Self::Echo {
                        reply,
                        identifier,
                        sequence,
                        len,
                        payload: None,
                    }
                })
            }
            (3, 4, true) => half(2).map(|mtu| Self::TooBig { mtu, quote }),
            (2, 0, false) => word.map(|mtu| Self::TooBig { mtu, quote }),
            (3, code, true) | (1, code, false) => {
                Unreachable::from_code(code, v4).map(|reason| Self::Unreachable { reason, quote })
            }
            (11, code @ (0 | 1), true) | (3, code @ (0 | 1), false) => Some(Self::TimeExceeded {
                reassembly: code == 1,
                quote,
            }),
            (12, code, true) => {
                array_at::<1>(icmp.body, 0).map(|[pointer]| Self::ParameterProblem {
                    code: Num::of(code),
                    pointer: Num::of(pointer),
                    quote,
                })
            }
            (4, code, false) => word.map(|pointer| Self::ParameterProblem {
                code: Num::of(code),
                pointer,
                quote,
            }),
            _ => None,
        };
        known.unwrap_or(Self::Other {
            kind: icmp.kind,
            code: icmp.code,
            body: None,
        })
    }
}

/// What a reader would miss if the line did not state it.
fn oddities(packet: &Packet<'_>) -> Vec<Override> {
    let mut odd = Vec::new();
    let mut note = |field, value| odd.push(Override { field, value });
    let extensions = apply::extensions(packet);
    if !extensions.is_empty() {
        let named = extensions.into_iter().map(|header| Extension {
            content: None,
            ..header
        });
        note(Field::IpExtensions, Value::Extensions(named.collect()));
    }
    if let Some(tcp) = packet.tcp().filter(|tcp| tcp.reserved != 0) {
        note(Field::TcpReserved, Value::Number(u32::from(tcp.reserved)));
    }
    let checksums = packet.checksums();
    if checksums.ip == Checksum::Invalid {
        note(Field::IpChecksum, Value::Bad);
    }
    let field = match packet.protocol {
        TCP => Field::TcpChecksum,
        UDP => Field::UdpChecksum,
        ICMP | ICMPV6 => Field::IcmpChecksum,
        _ => return odd,
    };
    match checksums.transport {
        Checksum::Invalid => note(field, Value::Bad),
        Checksum::Absent => note(field, Value::Number(0)),
        Checksum::Valid | Checksum::Uncheckable => {}
    }
    odd
}

fn count(bytes: usize) -> Num {
    Num::of(u32::try_from(bytes).unwrap_or(u32::MAX))
}

/// Prints the line in its canonical form: one space between words, times in seconds, fields in one order.
impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let time = self.time;
        match &self.action {
            Action::Inject(segment) => write!(f, "{time} < {segment}"),
            Action::Expect(segment) => write!(f, "{time} > {segment}"),
            Action::Allow(segment) => write!(f, "{time} >* {segment}"),
            Action::Silence { until } => write!(f, "silence until {}", Seconds(*until)),
            Action::Sleep => write!(f, "{time} sleep"),
            Action::AddressLost { flow } => write!(f, "{time} address {flow} lost"),
            Action::Output { held: true } => write!(f, "{time} output held"),
            Action::Output { held: false } => write!(f, "{time} output taken"),
            Action::Stop => write!(f, "{time} stop"),
            Action::Path { from, to } => write!(f, "{time} path {from}>{to}"),
        }
    }
}

impl fmt::Display for Segment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.flow.is_empty() {
            write!(f, "{} ", self.flow)?;
        }
        write!(f, "{}", self.body)?;
        self.overrides
            .iter()
            .try_for_each(|one| write!(f, " {one}"))
    }
}

impl fmt::Display for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(tcp) => write!(f, "{tcp}"),
            Self::Udp { len, payload } => {
                write!(f, "udp {len}")?;
                optional(f, " ", payload.as_ref())
            }
            Self::Icmp(message) => write!(f, "{message}"),
            Self::Fragment(fragment) => write!(f, "{fragment}"),
            Self::Raw(bytes) => write!(f, "raw hex:{}", Hex(bytes)),
        }
    }
}

impl fmt::Display for TcpBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            flags,
            range,
            ack,
            window,
            urgent,
            options,
            payload,
        } = self;
        write!(f, "{flags}")?;
        optional(f, " ", range.as_ref())?;
        optional(f, " ack ", ack.as_ref())?;
        optional(f, " win ", window.as_ref())?;
        optional(f, " urg ", urgent.as_ref())?;
        optional(f, " ", options.as_ref())?;
        optional(f, " ", payload.as_ref())
    }
}

/// Prints what a line may leave out, with a label before it.
pub(super) fn optional(
    f: &mut fmt::Formatter<'_>,
    label: &str,
    value: Option<&impl fmt::Display>,
) -> fmt::Result {
    value.map_or(Ok(()), |value| write!(f, "{label}{value}"))
}

impl fmt::Display for Range {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            start,
            end,
            len,
            cut,
        } = self;
        match cut {
            Cut::One => write!(f, "{start}:{end}({len})"),
            Cut::Any => write!(f, "{start}:{end}(+)"),
            Cut::Acked => write!(f, "{start}:{end}(acked)"),
        }
    }
}

impl fmt::Display for FragmentBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            identification,
            start,
            end,
            more,
            source,
        } = self;
        write!(
            f,
            "frag id {identification} {start}:{end}{}",
            if *more { " more" } else { "" }
        )?;
        match source {
            FragmentSource::Unwritten => Ok(()),
            FragmentSource::Payload(payload) => write!(f, " {payload}"),
            FragmentSource::Of(body) => write!(f, " of {body}"),
        }
    }
}
