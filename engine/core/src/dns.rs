//! Names for addresses: reads DNS answers that pass by (RFC 1035). A message that cannot be read only counts.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use simple_dns::rdata::RData;
use simple_dns::{Packet, PacketFlag};

/// What one DNS answer said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DnsRecord {
    /// The name that was asked for.
    pub name: String,
    /// Its A and AAAA addresses, through any chain of CNAMEs, in the order of the answer.
    pub addresses: Vec<IpAddr>,
    /// The shortest time to live among them, seconds.
    pub ttl: u32,
}

/// Most addresses kept of one answer.
const MAX_ADDRESSES: usize = 64;

/// Reads one message: `Ok(None)` if it is no successful answer with addresses.
pub(crate) fn read_answer(message: &[u8]) -> Result<Option<DnsRecord>, Unreadable> {
    let packet = Packet::parse(message).map_err(|_| Unreadable)?;
    if !packet.has_flags(PacketFlag::RESPONSE) || packet.rcode() != simple_dns::RCODE::NoError {
        return Ok(None);
    }
    let Some(question) = packet.questions.first() else {
        return Ok(None);
    };
    let mut record = DnsRecord {
        name: question.qname.to_string().to_ascii_lowercase(),
        addresses: Vec::new(),
        ttl: u32::MAX,
    };
    for answer in packet.answers.iter().take(MAX_ADDRESSES) {
        let address = match &answer.rdata {
            RData::A(a) => IpAddr::V4(Ipv4Addr::from_bits(a.address)),
            RData::AAAA(a) => IpAddr::V6(Ipv6Addr::from_bits(a.address)),
            _ => continue,
        };
        record.addresses.push(address);
        record.ttl = record.ttl.min(answer.ttl);
    }
    Ok((!record.addresses.is_empty()).then_some(record))
}

/// A message that is not DNS, or is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Unreadable;

/// DNS messages out of a TCP stream, each behind a length of two octets (RFC 1035 section 4.2.2).
#[derive(Debug, Default)]
pub(crate) struct DnsStream {
    held: Vec<u8>,
}

impl DnsStream {
    /// Takes the next bytes and calls `on_message` for every message that is whole.
    pub(crate) fn push(&mut self, bytes: &[u8], mut on_message: impl FnMut(&[u8])) {
        // A message is at most 65,535 octets, so no more than that and one read is ever held.
        self.held.extend_from_slice(bytes);
        let mut start = 0;
        while let Some(&[high, low]) = self.held.get(start..start + 2) {
            let end = start + 2 + usize::from(u16::from_be_bytes([high, low]));
            let Some(message) = self.held.get(start + 2..end) else {
                break;
            };
            on_message(message);
            start = end;
        }
        self.held.drain(..start);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// `a.example` A 192.0.2.1 behind a CNAME, TTL 60 and 300.
    fn answer() -> Vec<u8> {
        let mut m = vec![0x12, 0x34, 0x81, 0x80, 0, 1, 0, 2, 0, 0, 0, 0];
        m.extend(b"\x01a\x07example\x00\x00\x01\x00\x01");
        m.extend(b"\xc0\x0c\x00\x05\x00\x01\x00\x00\x01\x2c\x00\x04\x01b\xc0\x0e");
        m.extend(b"\x01b\xc0\x0e\x00\x01\x00\x01\x00\x00\x00\x3c\x00\x04\xc0\x00\x02\x01");
        m
    }

    #[test]
    fn address_behind_a_cname_belongs_to_the_name_asked() {
        let record = read_answer(&answer())
            .expect("readable")
            .expect("an answer");
        assert_eq!(record.name, "a.example");
        assert_eq!(
            record.addresses,
            ["192.0.2.1".parse::<IpAddr>().expect("address")]
        );
        assert_eq!(record.ttl, 60);
    }

    #[test]
    fn messages_split_over_segments_come_out_whole() {
        let mut stream = DnsStream::default();
        let mut wire = (answer().len() as u16).to_be_bytes().to_vec();
        wire.extend(answer());
        let mut seen = 0;
        for byte in wire.iter().chain(&wire) {
            stream.push(&[*byte], |message| seen += usize::from(message == answer()));
        }
        assert_eq!(seen, 2);
    }

    proptest! {
        #[test]
        fn no_message_makes_the_reader_panic(at in 0usize..60, value: u8, cut in 0usize..60) {
            let mut message = answer();
            if let Some(byte) = message.get_mut(at) {
                *byte = value;
            }
            message.truncate(cut.max(12));
            let _ = read_answer(&message);
        }
    }
}
