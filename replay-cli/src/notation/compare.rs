//! An expected line against a packet, field by field.

use std::fmt;

use super::apply;
use super::icmp::{IcmpMessage, Quote};
use super::number::{Bindings, Num, Numbering, wrap};
use super::{
    Body, Direction, Field, FragmentBody, FragmentSource, OptionsPattern, Payload, Segment,
    TcpBody, Value,
};
use crate::base::hex::Hex;
use crate::packet::{Icmp, Packet, Tcp, Transport};

/// One field that is not as expected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// The field, by the word the notation has for it.
    pub field: &'static str,
    /// The value in the line.
    pub expected: String,
    /// What the packet has, payload bytes left out.
    pub actual: String,
    /// Payload bytes of the packet, if it is they that differ.
    pub payload: Option<String>,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}: expected {}, got {}",
            self.field, self.expected, self.actual
        )
    }
}

impl Segment {
    /// What about a packet of the segment's flow differs from the segment; nothing if it matches.
    ///
    /// Only a packet that matches binds names. Addresses and ports are not compared: the caller found the flow.
    #[must_use]
    pub fn compare(
        &self,
        packet: &Packet<'_>,
        direction: Direction,
        numbering: &Numbering,
        bindings: &mut Bindings,
    ) -> Vec<Difference> {
        let mut comparison = Comparison {
            direction,
            numbering,
            bindings: bindings.clone(),
            differences: Vec::new(),
        };
        comparison.body(&self.body, packet);
        for wanted in &self.overrides {
            comparison.field(wanted.field, &wanted.value, packet);
        }
        if comparison.differences.is_empty() {
            *bindings = comparison.bindings;
        }
        comparison.differences
    }
}

struct Comparison<'a> {
    direction: Direction,
    numbering: &'a Numbering,
    bindings: Bindings,
    differences: Vec<Difference>,
}

impl Comparison<'_> {
    fn body(&mut self, body: &Body, packet: &Packet<'_>) {
        match (body, &packet.transport) {
            (Body::Raw(bytes), _) => {
                if bytes != packet.bytes {
                    self.bytes_differ("raw", bytes, packet.bytes);
                }
            }
            (Body::Tcp(expected), Transport::Tcp(tcp)) => self.tcp(expected, tcp),
            (Body::Udp { len, payload }, Transport::Udp(udp)) => {
                self.number("len", len, udp.payload_len);
                self.payload(payload.as_ref(), 0, udp.payload);
            }
            (Body::Icmp(message), Transport::Icmp(icmp)) => {
                self.icmp(message, icmp, packet.is_v4());
            }
            (Body::Fragment(expected), Transport::Fragment) => self.fragment(expected, packet),
            _ => {
                let actual = Body::of(packet, self.direction, self.numbering).to_string();
                self.differs("packet", body.to_string(), actual);
            }
        }
    }

    fn tcp(&mut self, expected: &TcpBody, tcp: &Tcp<'_>) {
        let TcpBody {
            flags,
            range,
            ack,
            window,
            urgent,
            options,
            payload,
        } = expected;
        if *flags != tcp.flags {
            self.differs("flags", flags.to_string(), tcp.flags.to_string());
        }
        let start = self.numbering.relative_sequence(self.direction, tcp);
        if let Some(range) = range {
            let len = u32::try_from(tcp.payload_len).unwrap_or(u32::MAX);
            self.number("sequence", &range.start, start as usize);
            // Written out, the end adds nothing to start and length.
            if matches!(range.end, Num::Name { .. }) {
                self.number("end", &range.end, start.wrapping_add(len) as usize);
            }
            self.number("len", &range.len, tcp.payload_len);
        }
        if let Some(ack) = ack {
            let actual = self
                .numbering
                .relative_acknowledgement(self.direction, tcp.acknowledgement);
            self.number("ack", ack, actual as usize);
        }
        if let Some(window) = window {
            self.number("win", window, usize::from(tcp.window));
        }
        if let Some(urgent) = urgent {
            self.number("urg", urgent, usize::from(tcp.urgent));
        }
        if let Some(options) = options {
            let base = self.numbering.receiver(self.direction).unwrap_or_default();
            if !options.accepts(tcp.option_bytes, base, &mut self.bindings) {
                let actual = OptionsPattern::of(tcp.option_bytes, base);
                self.differs("options", options.to_string(), actual.to_string());
            }
        }
        self.payload(
            payload.as_ref(),
            u64::from(start.wrapping_sub(1)),
            tcp.payload,
        );
    }

    fn icmp(&mut self, expected: &IcmpMessage, icmp: &Icmp<'_>, v4: bool) {
        let actual = IcmpMessage::of(icmp, v4);
        match (expected, &actual) {
            (
                IcmpMessage::Echo {
                    reply,
                    identifier,
                    sequence,
                    len,
                    payload,
                },
                IcmpMessage::Echo {
                    reply: actual_reply,
                    identifier: actual_identifier,
                    sequence: actual_sequence,
                    len: actual_len,
                    payload: _,
                },
            ) if reply == actual_reply => {
                self.numbers("id", identifier, actual_identifier);
                self.numbers("seq", sequence, actual_sequence);
                self.numbers("len", len, actual_len);
                self.payload(payload.as_ref(), 0, icmp.body.get(4..).unwrap_or_default());
            }
            (
                IcmpMessage::Unreachable { reason, quote },
                IcmpMessage::Unreachable {
                    reason: actual_reason,
                    ..
                },
            ) if reason == actual_reason => self.quote(quote, icmp, v4),
            (IcmpMessage::TooBig { mtu, quote }, IcmpMessage::TooBig { mtu: actual, .. }) => {
                self.numbers("mtu", mtu, actual);
                self.quote(quote, icmp, v4);
            }
            (
                IcmpMessage::TimeExceeded { reassembly, quote },
                IcmpMessage::TimeExceeded {
                    reassembly: actual_reassembly,
                    ..
                },
            ) if reassembly == actual_reassembly => self.quote(quote, icmp, v4),
            (
                IcmpMessage::ParameterProblem {
                    code,
                    pointer,
                    quote,
                },
                IcmpMessage::ParameterProblem {
                    code: actual_code,
                    pointer: actual_pointer,
                    ..
                },
            ) => {
                self.numbers("code", code, actual_code);
                self.numbers("pointer", pointer, actual_pointer);
                self.quote(quote, icmp, v4);
            }
            // By number, any message can be expected, those with words included.
            (IcmpMessage::OtherError { kind, code, quote }, _)
                if (*kind, *code) == (icmp.kind, icmp.code) =>
            {
                self.quote(quote, icmp, v4);
            }
            (IcmpMessage::Other { kind, code, body }, _)
                if (*kind, *code) == (icmp.kind, icmp.code) =>
            {
                if let Some(body) = body.as_ref().filter(|body| *body != icmp.body) {
                    self.bytes_differ("body", body, icmp.body);
                }
            }
            _ => self.differs("message", expected.to_string(), actual.to_string()),
        }
    }

    fn quote(&mut self, expected: &Quote, icmp: &Icmp<'_>, v4: bool) {
        let quoted = icmp.quoted(v4).unwrap_or_default();
        match expected {
            Quote::Flow => {}
            Quote::Bytes(bytes) => {
                if !quoted.starts_with(bytes) {
                    self.bytes_differ("quoting", bytes, quoted);
                }
            }
            Quote::Sequence(number) => {
                // The quoted packet is the other side's; its transport header may be cut after eight bytes.
                let field = Packet::parse(quoted, quoted.len()).ok().and_then(|packet| {
                    crate::packet::read::u32_at(quoted, packet.transport_offset + 4)
                });
                let base = self.numbering.receiver(self.direction).unwrap_or_default();
                match field {
                    Some(actual) => {
                        self.number("quoting seq", number, actual.wrapping_sub(base.0) as usize);
                    }
                    None => self.differs("quoting seq", number.to_string(), "nothing".to_owned()),
                }
            }
        }
    }

    fn fragment(&mut self, expected: &FragmentBody, packet: &Packet<'_>) {
        let FragmentBody {
            identification,
            start,
            end,
            more,
            source,
        } = expected;
        let Some(actual) = packet.fragment else {
            return;
        };
        let len = packet.total_len.saturating_sub(packet.transport_offset);
        let actual_end = actual.offset as usize + len;
        self.number("id", identification, actual.identification as usize);
        if (*start as usize, *end as usize) != (actual.offset as usize, actual_end) {
            self.differs(
                "range",
                format!("{start}:{end}"),
                format!("{}:{actual_end}", actual.offset),
            );
        }
        if *more != actual.more {
            let word = |more: bool| if more { "more" } else { "last" }.to_owned();
            self.differs("more", word(*more), word(actual.more));
        }
        if let FragmentSource::Payload(payload) = source {
            self.payload(Some(payload), u64::from(*start), packet.payload());
        }
    }

    fn field(&mut self, field: Field, wanted: &Value, packet: &Packet<'_>) {
        let actual = apply::actual(packet, field, wanted);
        let met = match (wanted, &actual) {
            (Value::Extensions(wanted), Some(Value::Extensions(actual))) => {
                wanted.len() == actual.len()
                    && wanted.iter().zip(actual).all(|(wanted, actual)| {
                        wanted.number == actual.number
                            && (wanted.content.is_none() || wanted.content == actual.content)
                    })
            }
            (Value::Sequence(wanted), Some(Value::Sequence(Num::Value(actual)))) => {
                wanted.accepts(wrap(*actual), &mut self.bindings)
            }
            (wanted, actual) => Some(wanted) == actual.as_ref(),
        };
        if !met {
            let actual =
                actual.map_or_else(|| "no such field".to_owned(), |value| value.to_string());
            self.differs(field.name(), wanted.to_string(), actual);
        }
    }

    fn payload(&mut self, expected: Option<&Payload>, offset: u64, actual: &[u8]) {
        let Some(payload) = expected else { return };
        let bytes = payload.bytes(offset, actual.len());
        if bytes != actual {
            let same = bytes
                .iter()
                .zip(actual)
                .take_while(|(one, other)| one == other)
                .count();
            let rest = actual.get(same..).unwrap_or_default();
            let shown = rest.get(..8).unwrap_or(rest);
            self.differs(
                "payload",
                payload.to_string(),
                format!("others from byte {same} on"),
            );
            if let Some(difference) = self.differences.last_mut() {
                difference.payload = Some(format!("{} from byte {same} on", Hex(shown)));
            }
        }
    }

    fn number(&mut self, field: &'static str, expected: &Num, actual: usize) {
        let actual = u32::try_from(actual).unwrap_or(u32::MAX);
        if !expected.accepts(actual, &mut self.bindings) {
            let expected = expected.describe(&self.bindings);
            self.differs(field, expected, actual.to_string());
        }
    }

    /// As [`Comparison::number`], the actual one being a plain value by construction.
    fn numbers(&mut self, field: &'static str, expected: &Num, actual: &Num) {
        let actual = actual.resolve(&self.bindings).unwrap_or_default();
        self.number(field, expected, actual as usize);
    }

    fn bytes_differ(&mut self, field: &'static str, expected: &[u8], actual: &[u8]) {
        let [expected, actual] = [expected, actual].map(|bytes| format!("hex:{}", Hex(bytes)));
        self.differs(field, expected, actual);
    }

    fn differs(&mut self, field: &'static str, expected: String, actual: String) {
        self.differences.push(Difference {
            field,
            expected,
            actual,
            payload: None,
        });
    }
}
