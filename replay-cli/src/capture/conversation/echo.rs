//! Echo (ping): who asked whom, and what the capture has of the answers. The engine answers for every far side itself.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use super::raw::Part;
use crate::packet::Icmp;
use crate::scenario::{Device, FlowSpec, Protocol};

/// The echo requests of one address to another.
#[derive(Clone, Debug)]
pub struct Echo {
    /// Who asked.
    pub client: IpAddr,
    /// Whom.
    pub server: IpAddr,
    /// Its requests, in the order in which they came.
    pub requests: Vec<EchoRequest>,
    /// Why it cannot be replayed.
    pub unreplayable: Option<String>,
}

/// One echo request (RFC 792, RFC 4443 section 4.1).
#[derive(Clone, Copy, Debug)]
pub struct EchoRequest {
    pub(crate) packet: Part,
    pub(crate) time_ns: i64,
    /// Its identifier.
    pub identifier: u16,
    /// Its sequence number.
    pub sequence: u16,
    /// Bytes of data on the wire.
    pub len: u32,
    /// Bytes of data that the recorded answer has; none if there is no answer.
    pub answer: Option<u32>,
}

impl Echo {
    /// Its ends as a flow.
    #[must_use]
    pub fn spec(&self) -> FlowSpec {
        FlowSpec {
            protocol: Protocol::Icmp,
            client: SocketAddr::new(self.client, 0),
            server: SocketAddr::new(self.server, 0),
            occurrence: 1,
        }
    }

    /// What is worth telling about the answers: one line each.
    #[must_use]
    pub fn notes(&self) -> Vec<String> {
        let all = self.requests.len();
        let answers = self.requests.iter().filter_map(|request| request.answer);
        let answered = answers.count();
        let odd = |request: &&EchoRequest| request.answer.is_some_and(|len| len != request.len);
        let odd = self.requests.iter().filter(odd).count();
        let mut notes = Vec::new();
        if answered < all {
            notes.push(format!(
                "{answered} of {all} echo request(s) were answered in the capture; the engine answers every one itself"
            ));
        }
        if odd > 0 {
            notes.push(format!(
                "{odd} answer(s) of the capture are not as long as their request; the engine's are"
            ));
        }
        notes
    }
}

/// Collects echo requests and their answers.
#[derive(Debug, Default)]
pub(super) struct Echoes {
    all: Vec<Echo>,
    by_ends: BTreeMap<(IpAddr, IpAddr), usize>,
    /// The newest request of an identifier and sequence number.
    newest: BTreeMap<(usize, u16, u16), usize>,
}

impl Echoes {
    pub(super) fn len(&self) -> usize {
        self.all.len()
    }

    /// Takes an echo message; false if it is none, or an answer to nothing.
    pub(super) fn take(
        &mut self,
        (from, to): (IpAddr, IpAddr),
        icmp: &Icmp<'_>,
        packet: Part,
        time_ns: i64,
    ) -> bool {
        let (Some(&[a, b, c, d]), 0) = (icmp.body.first_chunk(), icmp.code) else {
            return false;
        };
        let (identifier, sequence) = (u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d]));
        let len = u32::try_from(icmp.body_len.saturating_sub(4)).unwrap_or(u32::MAX);
        match (from.is_ipv4(), icmp.kind) {
            (true, 8) | (false, 128) => {
                let index = *self.by_ends.entry((from, to)).or_insert_with(|| {
                    self.all.push(Echo {
                        client: from,
                        server: to,
                        requests: Vec::new(),
                        unreplayable: [from, to].iter().any(is_reserved).then(|| {
                            "one of its addresses is reserved: nobody answers there".to_owned()
                        }),
                    });
                    self.all.len() - 1
                });
                if let Some(echo) = self.all.get_mut(index) {
                    let newest = echo.requests.len();
                    self.newest.insert((index, identifier, sequence), newest);
                    echo.requests.push(EchoRequest {
                        packet,
                        time_ns,
                        identifier,
                        sequence,
                        len,
                        answer: None,
                    });
                }
                true
            }
            (true, 0) | (false, 129) => {
                let asked = self.by_ends.get(&(to, from)).copied();
                let request = asked.and_then(|index| {
                    let newest = *self.newest.get(&(index, identifier, sequence))?;
                    self.all.get_mut(index)?.requests.get_mut(newest)
                });
                request.is_some_and(|request| {
                    request.answer.get_or_insert(len);
                    true
                })
            }
            _ => false,
        }
    }

    /// What was collected; of a device that is known only its own requests can be replayed.
    pub(super) fn finish(mut self, device: &Device) -> Vec<Echo> {
        for echo in &mut self.all {
            if device.is_device(echo.client) == Some(false) {
                echo.unreplayable = Some(match device.is_device(echo.server) {
                    Some(true) => {
                        "asked by the far side: an engine never asks its device".to_owned()
                    }
                    _ => format!("asked by {}, which is not the device", echo.client),
                });
            }
        }
        self.all
    }
}

/// Whether no host has this address (RFC 6890): 0/8, and 240/4.
fn is_reserved(address: &IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => !(1..240).contains(&address.octets()[0]),
        IpAddr::V6(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::capture::conversation::store::Span;
    use crate::packet::build::icmp_echo;
    use crate::packet::{Packet, Transport};

    fn taken(
        echoes: &mut Echoes,
        from: &str,
        to: &str,
        reply: bool,
        sequence: u16,
        data: &[u8],
    ) -> bool {
        let (from, to) = (from.parse().unwrap(), to.parse().unwrap());
        let bytes = icmp_echo(from, to, reply, 7, sequence, data);
        let packet = Packet::whole(&bytes).unwrap();
        let Transport::Icmp(icmp) = packet.transport else {
            panic!("no ICMP");
        };
        let part = Part {
            span: Span::new(0, bytes.len()),
            number: 1,
        };
        echoes.take((from, to), &icmp, part, 0)
    }

    #[test]
    fn answers_find_their_request_by_identifier_and_sequence() {
        let mut echoes = Echoes::default();
        for (device, far) in [("10.0.0.2", "192.0.2.1"), ("fd00::2", "2001:db8::1")] {
            assert!(taken(&mut echoes, device, far, false, 1, b"data"));
            assert!(taken(&mut echoes, device, far, false, 2, b"data"));
            assert!(taken(&mut echoes, far, device, true, 2, b"data!"));
            assert!(!taken(&mut echoes, far, device, true, 3, b"data"));
            assert!(!taken(&mut echoes, device, far, true, 1, b"data"));
        }
        let all = echoes.finish(&Device::Any);
        assert_eq!(all.len(), 2);
        for echo in all {
            let answers: Vec<_> = echo.requests.iter().map(|request| request.answer).collect();
            assert_eq!(answers, [None, Some(5)]);
            let notes = echo.notes();
            assert!(notes[0].starts_with("1 of 2 echo request(s)"), "{notes:?}");
            assert!(notes[1].starts_with("1 answer(s)"), "{notes:?}");
        }
    }

    #[test]
    fn what_the_far_side_asks_is_listed_with_its_reason() {
        let mut echoes = Echoes::default();
        taken(&mut echoes, "192.0.2.1", "10.0.0.2", false, 1, b"");
        taken(&mut echoes, "192.0.2.1", "10.0.0.9", false, 1, b"");
        taken(&mut echoes, "10.0.0.2", "192.0.2.1", false, 1, b"");
        taken(&mut echoes, "10.0.0.2", "250.0.2.1", false, 1, b"");
        let device = Device::Addresses(vec!["10.0.0.2".parse().unwrap()]);
        let all = echoes.finish(&device);
        let reason = |nth: usize| all[nth].unreplayable.clone().unwrap_or_default();
        assert_eq!(
            reason(0),
            "asked by the far side: an engine never asks its device"
        );
        assert_eq!(reason(1), "asked by 192.0.2.1, which is not the device");
        assert_eq!(reason(2), "");
        assert!(reason(3).ends_with("nobody answers there"));
    }
}
