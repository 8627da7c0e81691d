//! From a line to the bytes of its packet.

use std::net::SocketAddr;

use super::apply;
use super::icmp::{IcmpMessage, Quote};
use super::number::{Bindings, Numbering};
use super::parse::LENGTH_MAX;
use super::{
    Body, Cut, Direction, Field, FragmentBody, FragmentSource, Num, Payload, Segment, TcpBody,
    pattern_bytes,
};
use crate::packet::build::{self, TcpSpec};
use crate::packet::patch::repair_checksums;
use crate::packet::{Flags, Packet, Seq, TCP, UDP};

/// The two ends of a flow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ends {
    /// IP protocol number.
    pub protocol: u8,
    /// The device's end.
    pub device: SocketAddr,
    /// The end the device addresses.
    pub far: SocketAddr,
}

/// Why a line has no packet.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// A name that no packet has bound.
    #[error("${0} has no value yet; an expected packet binds it")]
    Unbound(String),
    /// `*` in a packet to send.
    #[error("'*' says nothing to send")]
    Any,
    /// A range whose end is not its start plus its length.
    #[error("{start}:{end} does not span {len} bytes")]
    Range {
        /// Sequence number of the segment.
        start: u32,
        /// Sequence number after its payload.
        end: u32,
        /// Bytes of payload.
        len: u32,
    },
    /// A range past the end of the packet that is fragmented.
    #[error("the fragment ends at byte {end} of a payload of {len} bytes")]
    FragmentPastEnd {
        /// The byte after the fragment's last.
        end: u32,
        /// Bytes of payload the whole packet has.
        len: usize,
    },
    /// A message the flow's IP version does not know.
    #[error("IPv{version} has no such ICMP message")]
    NoSuchMessage {
        /// The flow's IP version.
        version: u8,
    },
    /// A field the flow's IP version does not have.
    #[error("IPv{version} has no field {}", .field.name())]
    NoSuchField {
        /// The field.
        field: Field,
        /// The flow's IP version.
        version: u8,
    },
}

impl Segment {
    /// The IP packet the segment describes, sent in `direction`; checksums and lengths are right unless overridden.
    ///
    /// # Errors
    /// [`BuildError`] where a name is unbound or the flow's IP version lacks what the line names.
    pub fn build(
        &self,
        direction: Direction,
        ends: &Ends,
        numbering: &Numbering,
        bindings: &Bindings,
    ) -> Result<Vec<u8>, BuildError> {
        let builder = Builder::new(direction, ends, numbering, bindings);
        let whole = match &self.body {
            Body::Fragment(FragmentBody {
                source: FragmentSource::Of(body),
                ..
            }) => body.as_ref(),
            body => body,
        };
        let mut packet = builder.body(whole)?;
        apply::shape(&mut packet, &self.overrides)?;
        if !matches!(whole, Body::Raw(_)) {
            repair_checksums(&mut packet);
        }
        apply::transport(&mut packet, &self.overrides, matches!(whole, Body::Raw(_)));
        if let Body::Fragment(fragment) = &self.body {
            packet = builder.fragment(&packet, fragment)?;
        }
        apply::ip(&mut packet, &self.overrides)?;
        Ok(packet)
    }
}

/// What every part of a packet is built from.
struct Builder<'a> {
    source: SocketAddr,
    destination: SocketAddr,
    protocol: u8,
    sender_isn: Seq,
    receiver_isn: Seq,
    bindings: &'a Bindings,
}

impl<'a> Builder<'a> {
    fn new(
        direction: Direction,
        ends: &Ends,
        numbering: &Numbering,
        bindings: &'a Bindings,
    ) -> Self {
        let (source, destination) = match direction {
            Direction::FromDevice => (ends.device, ends.far),
            Direction::FromEngine => (ends.far, ends.device),
        };
        Self {
            source,
            destination,
            protocol: ends.protocol,
            sender_isn: numbering.sender(direction).unwrap_or_default(),
            receiver_isn: numbering.receiver(direction).unwrap_or_default(),
            bindings,
        }
    }

    fn body(&self, body: &Body) -> Result<Vec<u8>, BuildError> {
        match body {
            Body::Tcp(tcp) => self.tcp(tcp),
            Body::Udp { len, payload } => {
                let payload = self.sized(len, payload.as_ref())?;
                Ok(build::udp(self.source, self.destination, &payload))
            }
            Body::Icmp(message) => self.icmp(message),
            // Only the headers: the fragment's bytes come after.
            Body::Fragment(_) => Ok(build::ip(
                self.source.ip(),
                self.destination.ip(),
                self.protocol,
                64,
                0,
                &[],
            )),
            Body::Raw(bytes) => Ok(bytes.clone()),
        }
    }

    fn tcp(&self, tcp: &TcpBody) -> Result<Vec<u8>, BuildError> {
        let TcpBody {
            flags,
            range,
            ack,
            window,
            urgent,
            options,
            payload,
        } = tcp;
        let (start, len) = match range {
            Some(range) => {
                let (start, end) = (self.value(&range.start)?, self.value(&range.end)?);
                let len = match range.cut {
                    Cut::One => self.value(&range.len)?,
                    Cut::Any | Cut::Acked => end.wrapping_sub(start),
                };
                if start.wrapping_add(len) != end || len > LENGTH_MAX {
                    return Err(BuildError::Range { start, end, len });
                }
                (start, len)
            }
            None => (0, 0),
        };
        // The first byte of the stream has number 1, or, on a SYN, comes just after it.
        let offset = if flags.contains(Flags::SYN) {
            start
        } else {
            start.wrapping_sub(1)
        };
        let length = usize::try_from(len).unwrap_or_default();
        let payload = bytes_of(payload.as_ref(), u64::from(offset), length);
        let options = match options {
            Some(options) => options.encode(self.receiver_isn, self.bindings)?,
            None => Vec::new(),
        };
        let acknowledgement = match ack {
            Some(ack) => self.receiver_isn.plus(self.value(ack)?),
            None => Seq(0),
        };
        Ok(build::tcp(&TcpSpec {
            sequence: self.sender_isn.plus(start),
            acknowledgement,
            flags: *flags,
            window: self.half(window.as_ref(), 65_535)?,
            urgent: self.half(urgent.as_ref(), 0)?,
            options: &options,
            payload: &payload,
            ..TcpSpec::new(self.source, self.destination)
        }))
    }

    fn icmp(&self, message: &IcmpMessage) -> Result<Vec<u8>, BuildError> {
        let (source, destination) = (self.source.ip(), self.destination.ip());
        let v4 = source.is_ipv4() && destination.is_ipv4();
        let send = |kind, code, rest, data: &[u8]| {
            build::icmp(source, destination, kind, code, rest, data)
        };
        Ok(match message {
            IcmpMessage::Echo {
                reply,
                identifier,
                sequence,
                len,
                payload,
            } => {
                let data = self.sized(len, payload.as_ref())?;
                let identifier = self.half(Some(identifier), 0)?;
                let sequence = self.half(Some(sequence), 0)?;
                build::icmp_echo(source, destination, *reply, identifier, sequence, &data)
            }
            IcmpMessage::Unreachable { reason, quote } => {
                let version = if v4 { 4 } else { 6 };
                let code = reason
                    .code(v4)
                    .ok_or(BuildError::NoSuchMessage { version })?;
                send(if v4 { 3 } else { 1 }, code, [0; 4], &self.quote(quote)?)
            }
            IcmpMessage::TooBig { mtu, quote } => {
                let mtu = self.value(mtu)?.to_be_bytes();
                let quoted = self.quote(quote)?;
                // RFC 1191 section 4 has 16 bits for the MTU, RFC 4443 section 3.2 has 32.
                if v4 {
                    send(3, 4, [0, 0, mtu[2], mtu[3]], &quoted)
                } else {
                    send(2, 0, mtu, &quoted)
                }
            }
            IcmpMessage::TimeExceeded { reassembly, quote } => send(
                if v4 { 11 } else { 3 },
                u8::from(*reassembly),
                [0; 4],
                &self.quote(quote)?,
            ),
            IcmpMessage::ParameterProblem {
                code,
                pointer,
                quote,
            } => {
                let [.., code] = self.value(code)?.to_be_bytes();
                let pointer = self.value(pointer)?.to_be_bytes();
                let rest = if v4 { [pointer[3], 0, 0, 0] } else { pointer };
                send(if v4 { 12 } else { 4 }, code, rest, &self.quote(quote)?)
            }
            IcmpMessage::OtherError { kind, code, quote } => {
                send(*kind, *code, [0; 4], &self.quote(quote)?)
            }
            IcmpMessage::Other { kind, code, body } => {
                let body = body.as_deref().unwrap_or(&[0; 4]);
                let mut rest = [0; 4];
                rest.iter_mut()
                    .zip(body)
                    .for_each(|(field, byte)| *field = *byte);
                send(*kind, *code, rest, body.get(4..).unwrap_or_default())
            }
        })
    }

    /// A packet of the other side, as much of it as an error message quotes.
    fn quote(&self, quote: &Quote) -> Result<Vec<u8>, BuildError> {
        let sequence = match quote {
            Quote::Bytes(bytes) => return Ok(bytes.clone()),
            Quote::Sequence(number) => self.value(number)?,
            Quote::Flow => 1,
        };
        let (source, destination) = (self.destination, self.source);
        let packet = match self.protocol {
            TCP => build::tcp(&TcpSpec {
                sequence: self.receiver_isn.plus(sequence),
                flags: Flags::ACK,
                ..TcpSpec::new(source, destination)
            }),
            UDP => build::udp(source, destination, &[]),
            _ => build::icmp_echo(source.ip(), destination.ip(), false, 0, 0, &[]),
        };
        Ok(build::quote(&packet).to_vec())
    }

    fn fragment(&self, packet: &[u8], fragment: &FragmentBody) -> Result<Vec<u8>, BuildError> {
        let identification = self.value(&fragment.identification)?;
        let (start, end) = (fragment.start as usize, fragment.end as usize);
        let length = end.saturating_sub(start);
        let piece = match &fragment.source {
            FragmentSource::Unwritten => pattern_bytes(0, u64::from(fragment.start), length),
            FragmentSource::Payload(payload) => payload.bytes(u64::from(fragment.start), length),
            FragmentSource::Of(_) => {
                let payload = Packet::whole(packet)
                    .map(|packet| packet.payload())
                    .unwrap_or_default();
                let past = BuildError::FragmentPastEnd {
                    end: fragment.end,
                    len: payload.len(),
                };
                payload.get(start..end).ok_or(past)?.to_vec()
            }
        };
        Ok(build::fragment(
            packet,
            identification,
            start,
            fragment.more,
            &piece,
        ))
    }

    fn sized(&self, len: &Num, payload: Option<&Payload>) -> Result<Vec<u8>, BuildError> {
        // A name may stand for any 32 bits; no packet has that many bytes.
        let length = self.value(len)?.min(LENGTH_MAX) as usize;
        Ok(bytes_of(payload, 0, length))
    }

    fn value(&self, number: &Num) -> Result<u32, BuildError> {
        number.resolve(self.bindings)
    }

    fn half(&self, number: Option<&Num>, otherwise: u16) -> Result<u16, BuildError> {
        let Some(number) = number else {
            return Ok(otherwise);
        };
        // A name may stand for more than 16 bits; the field has room for the low ones.
        Ok(u16::try_from(self.value(number)? & 0xffff).unwrap_or_default())
    }
}

fn bytes_of(payload: Option<&Payload>, offset: u64, length: usize) -> Vec<u8> {
    payload.map_or_else(
        || pattern_bytes(0, offset, length),
        |payload| payload.bytes(offset, length),
    )
}
