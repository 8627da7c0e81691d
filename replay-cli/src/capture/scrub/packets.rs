//! One IP packet: other addresses, other payload, the same headers, and checksums as right or as wrong as they were.

use std::net::{IpAddr, SocketAddr};

use super::Mark;
use super::addresses::bytes_of;
use super::content::Content;
use super::read::is_of_dns;
use crate::packet::checksum::{fold, sum};
use crate::packet::read::{u16_at, write_at};
use crate::packet::{
    Flags, Fragment, ICMPV6, Packet, TCP, TcpOption, Transport, UDP, extension_len,
    walk_tcp_options,
};

/// A packet as it is written.
pub(super) struct Rewritten {
    pub(super) bytes: Vec<u8>,
    pub(super) marks: Vec<Mark>,
    /// Of a fragment: what its datagram's checksum has to follow, and where it stands if it stands here.
    pub(super) follows: Option<(Change, Option<usize>)>,
}

/// What checksums cover, before and after: sums of 16-bit words.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Change {
    pub(super) old: u64,
    pub(super) new: u64,
}

impl Change {
    pub(super) fn and(self, other: Self) -> Self {
        Self {
            old: u64::from(fold(self.old)) + u64::from(fold(other.old)),
            new: u64::from(fold(self.new)) + u64::from(fold(other.new)),
        }
    }

    fn of(old: &[u8], new: &[u8]) -> Self {
        Self {
            old: sum(old),
            new: sum(new),
        }
    }

    /// Makes a checksum follow (RFC 1624): one that was right is right, one that was wrong is wrong by as much.
    pub(super) fn apply(self, bytes: &mut [u8], at: usize, is_udp: bool) {
        let Some(before) = u16_at(bytes, at) else {
            return;
        };
        // A datagram of IPv4 may state none.
        if is_udp && before == 0 {
            return;
        }
        let total = u64::from(!before) + u64::from(!fold(self.old)) + u64::from(fold(self.new));
        let mut after = !fold(total);
        if is_udp && after == 0 {
            after = 0xffff;
        }
        write_at(bytes, at, &after.to_be_bytes());
    }
}

impl Content<'_> {
    /// Rewrites a packet of a flow, if it belongs to one; `quoted` by an error, of which a beginning is enough.
    pub(super) fn rewrite(
        &mut self,
        packet: &Packet<'_>,
        flow: Option<usize>,
        quoted: bool,
    ) -> Result<Rewritten, String> {
        let mut new = Rewritten {
            bytes: packet.bytes.to_vec(),
            marks: vec![Mark::Structure; packet.bytes.len()],
            follows: None,
        };
        self.addresses(packet, &mut new);
        let from = packet.transport_offset;
        let ends = packet.ends();
        let (sender, receiver) = ends.unwrap_or_else(|| bare_ends(packet));
        match packet.transport {
            Transport::Tcp(tcp) => {
                self.tcp_options(tcp.option_bytes, from + 20, &mut new);
                let payload = new.bytes.get_mut(tcp.payload_offset..).unwrap_or_default();
                let marks = if let Some(flow) = flow {
                    let key = (flow, self.known.is_client(flow, sender));
                    let base = self.known.bases.get(&key).copied();
                    let syn = u32::from(tcp.flags.contains(Flags::SYN));
                    let first = tcp.sequence.plus(syn);
                    let at = base.map_or(0, |base| i64::from(first.minus(base)));
                    self.stream(key, at, payload)
                } else {
                    let seed = self.seed(sender, receiver, true, 0);
                    self.opaque(seed, 0, payload, false)
                };
                mark(&mut new.marks, tcp.payload_offset, &marks);
            }
            Transport::Udp(udp) => {
                let seed = self.seed(sender, receiver, true, 0);
                let is_dns = is_of_dns(udp.source_port, udp.destination_port);
                let rest = new.bytes.get_mut(from + 8..).unwrap_or_default();
                let (payload, behind) = rest.split_at_mut(udp.payload.len().min(rest.len()));
                let mut marks = self.datagram(seed, is_dns, payload);
                marks.extend(self.opaque(seed, 1 << 20, behind, true));
                mark(&mut new.marks, from + 8, &marks);
            }
            Transport::Icmp(icmp) => {
                let echo = matches!(
                    (icmp.kind, packet.is_v4()),
                    (0 | 8, true) | (128 | 129, false)
                );
                let quote = icmp.quoted(packet.is_v4());
                match quote.map(|bytes| Packet::parse(bytes, bytes.len())) {
                    Some(Ok(inner)) if !quoted => {
                        let inside = self.rewrite(&inner, flow, true)?;
                        let end = from + 8 + inside.bytes.len();
                        write_at(&mut new.bytes, from + 8, &inside.bytes);
                        new.bytes.get_mut(end..).unwrap_or_default().fill(0);
                        mark(&mut new.marks, from + 8, &inside.marks);
                    }
                    None if echo => {
                        let payload = new.bytes.get_mut(from + 8..).unwrap_or_default();
                        let marks = self.opaque(u64::from(icmp.kind), 0, payload, false);
                        mark(&mut new.marks, from + 8, &marks);
                    }
                    _ => return Err("icmp that is neither echo nor an error that quotes".into()),
                }
            }
            Transport::Fragment => self.fragment(packet, &mut new),
            Transport::Cut if quoted => {}
            Transport::Cut => return Err("transport header cut by the snap length".into()),
            Transport::Malformed(problem) if !quoted => {
                return Err(format!("malformed: {problem}"));
            }
            Transport::Malformed(_) | Transport::Other(_) if quoted => {
                new.bytes.get_mut(from..).unwrap_or_default().fill(0);
            }
            Transport::Other(protocol) => return Err(format!("ip protocol {protocol}")),
            Transport::Malformed(_) => {}
        }
        follow(packet, &mut new);
        Ok(new)
    }

    fn addresses(&self, packet: &Packet<'_>, new: &mut Rewritten) {
        let size = if packet.is_v4() { 4 } else { 16 };
        let first = if packet.is_v4() { 12 } else { 8 };
        for place in [first..first + size, first + size..first + 2 * size] {
            if let Some(bytes) = new.bytes.get_mut(place.clone()) {
                self.mapping.put_address(bytes);
            }
            mark(&mut new.marks, place.start, &vec![Mark::Named; size]);
        }
        let headers = first + 2 * size..packet.transport_offset;
        let options = new.bytes.get_mut(headers.clone()).unwrap_or_default();
        if packet.is_v4() {
            ip_options(options);
        } else {
            // What is in other headers is searched for addresses as names are.
            self.routes(packet.bytes.get(6).copied().unwrap_or(59), options);
            let marks = vec![Mark::Named; options.len()];
            mark(&mut new.marks, headers.start, &marks);
        }
    }

    /// The addresses of routing headers among the headers of IPv6.
    fn routes(&self, mut kind: u8, headers: &mut [u8]) {
        let mut at = 0;
        while let Some([next, length]) = headers.get(at..).and_then(|rest| rest.first_chunk()) {
            let (next, size) = (*next, extension_len(kind, *length));
            if kind == 43 {
                let listed = headers.get_mut(at + 8..(at + size).max(at + 8));
                for address in listed.unwrap_or_default().chunks_exact_mut(16) {
                    self.mapping.put_address(address);
                }
            }
            (kind, at) = (next, at + size);
        }
    }

    /// Options that a middlebox would not know what to do with say something about an end: cookies, keys, signatures.
    fn tcp_options(&self, options: &[u8], start: usize, new: &mut Rewritten) {
        for (at, option) in walk_tcp_options(options) {
            if let TcpOption::Known { kind, value } = option
                && !matches!(kind, 0..=5 | 8 | 28)
            {
                let place = start + at + 2..start + at + 2 + value.len();
                for byte in new.bytes.get_mut(place).unwrap_or_default() {
                    *byte = self
                        .mapping
                        .pattern(byte.wrapping_mul(151).wrapping_add(kind));
                }
            }
        }
    }

    fn fragment(&mut self, packet: &Packet<'_>, new: &mut Rewritten) {
        let Some(Fragment { offset, .. }) = packet.fragment else {
            return;
        };
        let from = packet.transport_offset;
        let header = match (offset, packet.protocol) {
            (0, TCP) => packet
                .payload()
                .get(12)
                .map_or(20, |byte| usize::from(byte >> 4) * 4),
            (0, _) => 8,
            _ => 0,
        };
        let start = (from + header).min(new.bytes.len());
        let (sender, receiver) = bare_ends(packet);
        let seed = self.seed(sender, receiver, true, 0);
        let at = i64::from(offset) + header as i64;
        let payload = new.bytes.get_mut(start..).unwrap_or_default();
        let marks = self.opaque(seed, at, payload, false);
        mark(&mut new.marks, start, &marks);
    }
}

/// Source and destination without ports.
fn bare_ends(packet: &Packet<'_>) -> (SocketAddr, SocketAddr) {
    ((packet.source, 0).into(), (packet.destination, 0).into())
}

/// Zeros for what options of IPv4 recorded, routes and times among it.
fn ip_options(options: &mut [u8]) {
    let mut at = 0;
    while let Some(kind) = options.get(at).copied() {
        match (kind, options.get(at + 1).copied()) {
            (0, _) => return,
            (1, _) => at += 1,
            (_, Some(length @ 2..)) => {
                let end = (at + usize::from(length)).min(options.len());
                options
                    .get_mut((at + 3).min(end)..end)
                    .unwrap_or_default()
                    .fill(0);
                at = end;
            }
            _ => return,
        }
    }
}

fn mark(marks: &mut [Mark], from: usize, with: &[Mark]) {
    for (mark, with) in marks.iter_mut().skip(from).zip(with) {
        *mark = *with;
    }
}

/// Makes the checksums follow what was changed.
fn follow(packet: &Packet<'_>, new: &mut Rewritten) {
    let from = packet.transport_offset;
    if packet.is_v4() {
        let old = packet.bytes.get(..from).unwrap_or_default();
        let header = Change::of(old, new.bytes.get(..from).unwrap_or_default());
        header.apply(&mut new.bytes, 10, false);
    }
    let field = match packet.protocol {
        TCP => 16,
        UDP => 6,
        crate::packet::ICMP | ICMPV6 => 2,
        _ => return,
    };
    let end = match packet.transport {
        Transport::Udp(udp) => (from + 8 + udp.payload.len()).min(packet.bytes.len()),
        _ => packet.bytes.len(),
    };
    // The field itself is the same in both, and takes no part.
    let mut change = Change::of(
        packet.bytes.get(from..end).unwrap_or_default(),
        new.bytes.get(from..end).unwrap_or_default(),
    );
    let first = packet.fragment.is_none_or(|fragment| fragment.offset == 0);
    if first && packet.protocol != crate::packet::ICMP {
        let (source, destination) = (packet.source, packet.destination);
        change = change.and(Change::of(
            &[bytes_of(source), bytes_of(destination)].concat(),
            &addresses_of(&new.bytes, source),
        ));
    }
    if packet.fragment.is_some() {
        new.follows = Some((change, first.then_some(from + field)));
    } else {
        change.apply(&mut new.bytes, from + field, packet.protocol == UDP);
    }
}

/// Both addresses as they stand in a header of the family of one.
fn addresses_of(bytes: &[u8], one: IpAddr) -> Vec<u8> {
    let place = if one.is_ipv4() { 12..20 } else { 8..40 };
    bytes.get(place).unwrap_or_default().to_vec()
}
