//! Frames as a TUN device with offload has them: behind a header of virtio's (virtio 1.2 section 5.1.6) that says how a
//! packet of several segments is cut, and whose checksum is still to be made.

use tun_rs::{
    VIRTIO_NET_HDR_GSO_TCPV4, VIRTIO_NET_HDR_GSO_TCPV6, VIRTIO_NET_HDR_GSO_UDP_L4,
    VIRTIO_NET_HDR_LEN, VirtioNetHdr, checksum, checksum_no_fold, gso_split,
};

/// Bytes of the header before each frame.
pub(super) const HEADER: usize = VIRTIO_NET_HDR_LEN;

/// `VIRTIO_NET_HDR_F_NEEDS_CSUM`.
const NEEDS_CHECKSUM: u8 = 1;
/// The longest packet.
const LONGEST: usize = 65_535;
/// More datagrams than any packet is cut into.
const MOST_DATAGRAMS: usize = 128;

const UDP_HEADER: usize = 8;

const TCP: u8 = 6;
const PUSH: u8 = 0x08;
const ACK: u8 = 0x10;

/// Makes a packet of what was read into `place`: a run of segments stays one packet, whose checksum is filled in;
/// datagrams are cut apart into `apart`. With `partial` the checksum stays that of the pseudo header. Returns how long the
/// packet is, if there is one.
pub(super) fn take(
    place: &mut [u8],
    read: usize,
    partial: bool,
    apart: &mut Vec<Vec<u8>>,
) -> Option<usize> {
    let mut header = VirtioNetHdr::decode(place.get(..HEADER)?).ok()?;
    let packet = place.get_mut(HEADER..read)?;
    if header.gso_type == VIRTIO_NET_HDR_GSO_UDP_L4 {
        let v6 = packet.first()? >> 4 == 6;
        // The kernel says how much lies in one piece, which may be more than the headers.
        let headers = usize::from(header.csum_start) + UDP_HEADER;
        header.hdr_len = u16::try_from(headers).ok()?;
        let each = usize::from(header.gso_size).max(1);
        let count = packet.len().checked_sub(headers)?.div_ceil(each);
        let mut pieces = vec![vec![0; headers + each]; count.min(MOST_DATAGRAMS)];
        let mut sizes = [0; MOST_DATAGRAMS];
        let count = gso_split(packet, header, &mut pieces, &mut sizes, 0, v6).ok()?;
        for (mut piece, size) in pieces.into_iter().zip(sizes).take(count) {
            piece.truncate(size);
            apart.push(piece);
        }
        return None;
    }
    if header.flags & NEEDS_CHECKSUM != 0 {
        let start = usize::from(header.csum_start);
        let field = start + usize::from(header.csum_offset);
        if !(partial && is_partial(packet, start, field)?) {
            packet.get_mut(field..field + 2)?.fill(0);
            let sum = !transport_sum(packet, start)?;
            packet
                .get_mut(field..field + 2)?
                .copy_from_slice(&sum.to_be_bytes());
        }
    }
    let len = read - HEADER;
    place.copy_within(HEADER..read, 0);
    Some(len)
}

/// Whether the field holds the sum of the pseudo header for all from `start` on.
fn is_partial(packet: &[u8], start: usize, field: usize) -> Option<bool> {
    let sum = checksum(&[], pseudo_sum(packet, packet.len().checked_sub(start)?)?);
    Some(packet.get(field..field + 2)? == sum.to_be_bytes())
}

/// The sum of a packet's pseudo header and of all from `start` on.
fn transport_sum(packet: &[u8], start: usize) -> Option<u16> {
    let initial = pseudo_sum(packet, packet.len().checked_sub(start)?)?;
    Some(checksum(packet.get(start..)?, initial))
}

/// The sum of a pseudo header for a transport header and payload of `len` bytes.
fn pseudo_sum(packet: &[u8], len: usize) -> Option<u64> {
    let (addresses, protocol) = if packet.first()? >> 4 == 6 {
        (packet.get(8..40)?, *packet.get(6)?)
    } else {
        (packet.get(12..20)?, *packet.get(9)?)
    };
    let sum = checksum_no_fold(addresses, 0);
    let len = u16::try_from(len).ok()?.to_be_bytes();
    Some(checksum_no_fold(&[0, protocol, len[0], len[1]], sum))
}

/// Segments that leave as one frame: in order, of one size but for the last, and alike in all else.
#[derive(Debug, Default)]
pub(super) struct Run {
    /// The header and the packet.
    frame: Vec<u8>,
    /// Bytes of IP header, and of both headers.
    ip: usize,
    headers: usize,
    /// Bytes of payload of all segments but the last; 0 if nothing may follow.
    size: usize,
    next: u32,
    count: usize,
}

impl Run {
    /// Begins with a frame.
    pub(super) fn begin(&mut self, frame: &[u8]) {
        self.frame.clear();
        self.frame.resize(HEADER, 0);
        self.frame.extend_from_slice(frame);
        self.count = 1;
        self.size = 0;
        if let Some(segment) = Plain::of(frame) {
            (self.ip, self.headers) = (segment.ip, segment.headers);
            self.next = segment.seq.wrapping_add(segment.len32());
            self.size = if segment.pushes { 0 } else { segment.len };
        }
    }

    /// Takes a frame that belongs to the run; `false` if it does not.
    pub(super) fn extend(&mut self, frame: &[u8]) -> bool {
        if self.size == 0 {
            return false;
        }
        let Some(segment) = Plain::of(frame) else {
            return false;
        };
        let Some(first) = self.frame.get(HEADER..HEADER + self.headers) else {
            return false;
        };
        let fits = self.frame.len() - HEADER + segment.len <= LONGEST;
        let alike = segment.headers == self.headers
            && segment.seq == self.next
            && segment.len <= self.size
            && frame
                .get(..self.headers)
                .is_some_and(|headers| are_alike(first, headers, self.ip));
        let (true, true, Some(payload)) = (fits, alike, frame.get(self.headers..)) else {
            return false;
        };
        self.frame.extend_from_slice(payload);
        self.next = self.next.wrapping_add(segment.len32());
        self.count += 1;
        if self.count == 2 {
            self.finish_header();
        }
        if segment.pushes || segment.len < self.size {
            self.size = 0;
            if segment.pushes
                && let Some(flags) = self.frame.get_mut(HEADER + self.ip + 13)
            {
                *flags |= PUSH;
            }
        }
        true
    }

    /// Returns how the frame is to be cut apart.
    fn finish_header(&mut self) {
        let v6 = self.frame.get(HEADER).is_some_and(|first| first >> 4 == 6);
        let short = |value: usize| u16::try_from(value).unwrap_or(u16::MAX);
        let header = VirtioNetHdr {
            flags: NEEDS_CHECKSUM,
            gso_type: if v6 {
                VIRTIO_NET_HDR_GSO_TCPV6
            } else {
                VIRTIO_NET_HDR_GSO_TCPV4
            },
            hdr_len: short(self.headers),
            gso_size: short(self.size),
            csum_start: short(self.ip),
            csum_offset: 16,
        };
        // The frame is longer than that.
        let _ = header.encode(&mut self.frame);
    }

    /// The frame to write.
    pub(super) fn frame(&mut self) -> &[u8] {
        if self.count > 1 {
            self.finish_packet();
        }
        &self.frame
    }

    /// Puts lengths and sums right that changed with the length.
    fn finish_packet(&mut self) -> Option<()> {
        let ip = self.ip;
        let packet = self.frame.get_mut(HEADER..)?;
        let short = |value: usize| u16::try_from(value).unwrap_or(u16::MAX).to_be_bytes();
        if packet.first()? >> 4 == 6 {
            let len = short(packet.len() - ip);
            packet.get_mut(4..6)?.copy_from_slice(&len);
        } else {
            let len = short(packet.len());
            packet.get_mut(2..4)?.copy_from_slice(&len);
            packet.get_mut(10..12)?.fill(0);
            let sum = !checksum(packet.get(..ip)?, 0);
            packet.get_mut(10..12)?.copy_from_slice(&sum.to_be_bytes());
        }
        // The kernel adds the rest.
        let sum = checksum(&[], pseudo_sum(packet, packet.len() - ip)?);
        packet
            .get_mut(ip + 16..ip + 18)?
            .copy_from_slice(&sum.to_be_bytes());
        Some(())
    }
}

/// Whether two segments' headers differ only in sequence number, length, checksums and PSH.
fn are_alike(one: &[u8], two: &[u8], ip: usize) -> bool {
    let same = |from: usize, to: usize| one.get(from..to) == two.get(from..to);
    let network = if ip == 40 {
        same(0, 4) && same(6, 40)
    } else {
        same(0, 2) && same(6, 10) && same(12, 20)
    };
    let flags = |headers: &[u8]| headers.get(ip + 13).map(|flags| flags & !PUSH);
    let transport = same(ip, ip + 4)
        && same(ip + 8, ip + 13)
        && flags(one) == flags(two)
        && same(ip + 14, ip + 16)
        && one.get(ip + 18..) == two.get(ip + 18..);
    network && transport
}

/// A segment with payload that may be part of a run.
struct Plain {
    ip: usize,
    headers: usize,
    len: usize,
    seq: u32,
    pushes: bool,
}

impl Plain {
    fn of(frame: &[u8]) -> Option<Self> {
        let ip = match *frame.first()? {
            0x45 if *frame.get(9)? == TCP && *frame.get(6)? & 0x3f == 0 => 20,
            first if first >> 4 == 6 && *frame.get(6)? == TCP => 40,
            _ => return None,
        };
        let tcp = frame.get(ip..)?;
        let headers = ip + usize::from(tcp.get(12)? >> 4) * 4;
        let flags = *tcp.get(13)?;
        let len = frame.len().checked_sub(headers).filter(|len| *len > 0)?;
        (flags & !PUSH == ACK).then_some(Self {
            ip,
            headers,
            len,
            seq: u32::from_be_bytes(*tcp.get(4..)?.first_chunk()?),
            pushes: flags & PUSH != 0,
        })
    }

    fn len32(&self) -> u32 {
        u32::try_from(self.len).unwrap_or(u32::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A segment of the engine's, without sums.
    fn segment(v6: bool, seq: u32, flags: u8, len: usize) -> Vec<u8> {
        let mut frame = if v6 {
            let mut ip = vec![0x60, 0, 0, 0, 0, 0, TCP, 64];
            ip.extend([0xfd; 32]);
            ip
        } else {
            let mut ip = vec![0x45, 0, 0, 0, 0, 0, 0x40, 0, 64, TCP, 0, 0];
            ip.extend([192, 0, 2, 1, 10, 0, 0, 2]);
            ip
        };
        frame.extend([0, 80, 156, 64]);
        frame.extend(seq.to_be_bytes());
        frame.extend([0, 0, 0, 9, 5 << 4, flags, 4, 0, 0, 0, 0, 0]);
        frame.extend((0..len).map(|at| (seq as usize + at) as u8));
        frame
    }

    fn run_of(frames: &[Vec<u8>]) -> (usize, Vec<u8>) {
        let mut run = Run::default();
        run.begin(&frames[0]);
        let more = frames[1..]
            .iter()
            .take_while(|frame| run.extend(frame))
            .count();
        (1 + more, run.frame().to_vec())
    }

    #[test]
    fn segments_in_a_row_leave_as_one_frame_and_come_back_as_one_sound_packet() {
        for v6 in [false, true] {
            let frames: Vec<_> = (0..4)
                .map(|at| segment(v6, at * 1000, if at == 3 { ACK | PUSH } else { ACK }, 1000))
                .collect();
            let (count, frame) = run_of(&frames);
            assert_eq!(count, 4);
            let header = VirtioNetHdr::decode(&frame).expect("a header");
            assert_eq!((header.gso_size, header.flags), (1000, NEEDS_CHECKSUM));
            let ip = if v6 { 40 } else { 20 };
            assert_eq!(usize::from(header.hdr_len), ip + 20);
            let read = frame.len();
            let mut place = frame;
            let mut partial = place.clone();
            let len = take(&mut partial, read, true, &mut Vec::new()).expect("a packet");
            assert_eq!(is_partial(&partial[..len], ip, ip + 16), Some(true), "left");
            let len = take(&mut place, read, false, &mut Vec::new()).expect("a packet");
            assert_eq!(len, ip + 20 + 4000);
            place.truncate(len);
            assert_eq!(transport_sum(&place, ip), Some(0xffff), "the sum is sound");
            assert!(v6 || checksum(&place[..20], 0) == 0xffff);
            assert_eq!(place[ip + 13], ACK | PUSH);
            for (at, byte) in place[ip + 20..].iter().enumerate() {
                assert_eq!(*byte, at as u8);
            }
        }
    }

    #[test]
    fn a_run_ends_where_segments_differ() {
        let first = segment(false, 0, ACK, 1000);
        let mut other_window = segment(false, 1000, ACK, 1000);
        other_window[35] ^= 1;
        for (next, taken) in [
            (segment(false, 1000, ACK, 500), 2),
            (segment(false, 1000, ACK, 1001), 1),
            (segment(false, 1001, ACK, 1000), 1),
            (segment(false, 1000, ACK | 1, 1000), 1),
            (segment(true, 1000, ACK, 1000), 1),
            (segment(false, 1000, ACK, 0), 1),
            (other_window, 1),
        ] {
            let (count, frame) = run_of(&[first.clone(), next, segment(false, 2000, ACK, 1)]);
            assert_eq!(count, taken);
            if count == 1 {
                assert_eq!(frame[HEADER..], first, "as it came");
                assert_eq!(frame[..HEADER], [0; HEADER]);
            }
        }
    }
}
