//! Packets that are neither TCP nor UDP: echo is collected, ICMP errors are noted with the flow they quote, the rest is counted.

use super::{Demux, Placed, no_flow};
use crate::capture::conversation::Pair;
use crate::capture::conversation::raw::{Part, QuotedError};
use crate::packet::{self, Packet, Transport};
use crate::scenario::{Protocol, Tunnel};

impl Demux {
    /// A packet that is not a TCP segment or a UDP datagram as it stands.
    pub(super) fn other(&mut self, packet: &Packet<'_>, time_ns: i64, part: Part) {
        match packet.transport {
            Transport::Cut => self.skip("transport header cut by the snap length"),
            Transport::Malformed(problem) => self.skip(format!("malformed: {problem}")),
            Transport::Icmp(icmp) => {
                let ends = (packet.source, packet.destination);
                if no_flow(ends.0, ends.1).is_none() && self.echoes.take(ends, &icmp, part, time_ns)
                {
                    return self.note_size(packet);
                }
                let v4 = packet.is_v4();
                let quoted = icmp
                    .quoted(v4)
                    .and_then(|bytes| Packet::parse(bytes, bytes.len()).ok());
                let ends = quoted.and_then(|quoted| quoted.ends());
                let known = quoted.zip(ends).and_then(|(quoted, (from, to))| {
                    let protocol = match quoted.protocol {
                        packet::TCP => Protocol::Tcp,
                        _ => Protocol::Udp,
                    };
                    self.newest(&Pair::of(protocol, from, to))
                });
                self.placed = known.map(|flow| Placed {
                    flow,
                    parts: Vec::new(),
                });
                match known.and_then(|flow| self.flows.get_mut(flow)) {
                    Some(flow) => {
                        let about_client = ends.is_some_and(|(from, _)| from == flow.client);
                        let mtu = icmp.too_big(v4);
                        let toward_client = mtu.filter(|_| about_client);
                        self.path_mtu = self.path_mtu.into_iter().chain(toward_client).min();
                        flow.icmp.push(QuotedError {
                            kind: icmp.kind,
                            code: icmp.code,
                            v4,
                            number: self.number,
                            time_ns,
                            after: flow.packets.len(),
                            about_client,
                            mtu,
                        });
                        self.skip("icmp error about a flow (noted there)");
                    }
                    None => self.skip("icmp"),
                }
            }
            Transport::Other(2) => self.skip("igmp"),
            // Named as `--decap` has them.
            Transport::Other(4) => self.skip(format!("{} tunnel", Tunnel::IpIp)),
            Transport::Other(41) => self.skip(format!("{} tunnel", Tunnel::SixInFour)),
            Transport::Other(47) => self.skip(format!("{} tunnel", Tunnel::Gre)),
            Transport::Other(protocol) => self.skip(format!("ip protocol {protocol}")),
            Transport::Tcp(_) | Transport::Udp(_) | Transport::Fragment => {}
        }
    }
}
