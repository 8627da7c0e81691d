//! smoltcp's network card: one frame in at the most, frames out into the batch, cut apart, numbered and summed up as they
//! leave.

use core::num::NonZeroUsize;

use smoltcp::iface::{self, Interface};
use smoltcp::phy::{Checksum, Device, DeviceCapabilities, Medium, RxToken, TxToken};
use smoltcp::time::Instant;
use smoltcp::wire::HardwareAddress;

use crate::api::batch::FrameBatch;
use crate::ip::build::{Addresses, IPV4_HEADER_LEN, IPV6_HEADER_LEN, protocol};
use crate::ip::checksum;
use crate::tcp::seq::Seq;

/// The longest packet that smoltcp may make of several segments.
pub(crate) const LONGEST: usize = 65_535;

/// Octets of text that fit such a packet in either family: more would be cut where no segment ends.
pub(crate) const LONGEST_ROW: i32 = 65_000;

/// What smoltcp put on the wire in one call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Emitted {
    pub(crate) seq: Seq,
    pub(crate) ack: Seq,
    pub(crate) window: u16,
    pub(crate) payload: u32,
    pub(crate) syn: bool,
    pub(crate) fin: bool,
    pub(crate) rst: bool,
}

/// An interface of IP alone that takes packets for any address, for a device of this MTU.
pub(crate) fn interface(mtu: usize, seed: u64, offload: bool) -> Interface {
    let mut config = iface::Config::new(HardwareAddress::Ip);
    config.random_seed = seed;
    let mut nowhere = FrameBatch::default();
    let mut port = Port {
        rx: None,
        out: &mut nowhere,
        mtu,
        floor: Seq(0),
        offload,
        size: None,
        emitted: None,
    };
    let mut iface = Interface::new(config, &mut port, Instant::ZERO);
    iface.set_any_ip(true);
    iface
}

/// A network card of one call: at most one frame in, frames out into the batch.
pub(crate) struct Port<'a> {
    pub(crate) rx: Option<&'a [u8]>,
    pub(crate) out: &'a mut FrameBatch,
    pub(crate) mtu: usize,
    pub(crate) floor: Seq,
    /// Whether it cuts segments apart; smoltcp asks when it makes an interface.
    pub(crate) offload: bool,
    /// Octets of text in each segment that leaves, if packets may hold more than one.
    pub(crate) size: Option<usize>,
    pub(crate) emitted: Option<Emitted>,
}

impl Device for Port<'_> {
    type RxToken<'t>
        = Incoming<'t>
    where
        Self: 't;
    type TxToken<'t>
        = Outgoing<'t>
    where
        Self: 't;

    fn receive(&mut self, _: Instant) -> Option<(Incoming<'_>, Outgoing<'_>)> {
        let frame = self.rx.take()?;
        Some((
            Incoming(frame),
            Outgoing {
                out: self.out,
                floor: self.floor,
                size: self.size,
                emitted: &mut self.emitted,
            },
        ))
    }

    fn transmit(&mut self, _: Instant) -> Option<Outgoing<'_>> {
        Some(Outgoing {
            out: self.out,
            floor: self.floor,
            size: self.size,
            emitted: &mut self.emitted,
        })
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let mut capabilities = DeviceCapabilities::default();
        capabilities.medium = Medium::Ip;
        capabilities.max_transmission_unit = self.mtu;
        // Received checksums were verified at the edge, where a failure has a reason and a counter; those of what it
        // emits are filled in by `Outgoing`, in wider words.
        capabilities.checksum.ipv4 = Checksum::None;
        capabilities.checksum.tcp = Checksum::None;
        if self.offload {
            capabilities.segmentation.tcpv4 = NonZeroUsize::new(LONGEST);
            capabilities.segmentation.tcpv6 = NonZeroUsize::new(LONGEST);
        }
        capabilities
    }
}

/// A frame for smoltcp.
pub(crate) struct Incoming<'a>(&'a [u8]);

impl RxToken for Incoming<'_> {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, f: F) -> R {
        f(self.0)
    }
}

/// Where a frame of smoltcp goes.
pub(crate) struct Outgoing<'a> {
    out: &'a mut FrameBatch,
    floor: Seq,
    size: Option<usize>,
    emitted: &'a mut Option<Emitted>,
}

impl TxToken for Outgoing<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, len: usize, f: F) -> R {
        let Self {
            out,
            floor,
            size,
            emitted,
        } = self;
        let hop_limit = out.hop_limit();
        let result = out.push_with(len, |frame| {
            let result = f(frame);
            *emitted = read_back(frame);
            if let Some(sent) = emitted
                && sent.is_bare()
                && sent.seq.is_before(floor)
            {
                sent.seq = floor;
            }
            if row(*emitted, size).is_none() {
                finish(frame, hop_limit, *emitted);
            }
            result
        });
        if let Some((size, sent)) = row(*emitted, size) {
            let text = usize::try_from(sent.payload).unwrap_or(len);
            let headers = len.saturating_sub(text);
            out.cut_last(headers, size, |frame, before, last| {
                finish_piece(frame, headers, last);
                let before = u32::try_from(before).unwrap_or(0);
                let seq = sent.seq.plus(before);
                finish(frame, hop_limit, Some(Emitted { seq, ..sent }));
            });
        }
        result
    }
}

/// What is to be cut apart, and at which size, if more than one segment was emitted.
fn row(emitted: Option<Emitted>, size: Option<usize>) -> Option<(usize, Emitted)> {
    let (sent, size) = (emitted?, size?);
    usize::try_from(sent.payload)
        .is_ok_and(|text| text > size)
        .then_some((size, sent))
}

/// Fills in what differs between a packet of several segments and each of them, but for what [`finish`] does: the length,
/// and that only the last one pushes.
fn finish_piece(frame: &mut [u8], headers: usize, last: bool) {
    let v6 = frame.first().is_some_and(|first| first >> 4 == 6);
    let (place, len, ip) = if v6 {
        (
            4..6,
            frame.len().saturating_sub(IPV6_HEADER_LEN),
            IPV6_HEADER_LEN,
        )
    } else {
        (2..4, frame.len(), IPV4_HEADER_LEN)
    };
    debug_assert!(headers >= ip + 20, "a TCP header");
    let len = u16::try_from(len).unwrap_or(u16::MAX);
    if let Some(field) = frame.get_mut(place) {
        field.copy_from_slice(&len.to_be_bytes());
    }
    if let Some(segment) = frame.get_mut(ip..) {
        if !last && let Some(flags) = segment.get_mut(13) {
            *flags &= !PUSH;
        }
        if let Some(checksum) = segment.get_mut(16..18) {
            checksum.fill(0);
        }
    }
}

/// The bit of the flag PSH.
const PUSH: u8 = 8;

impl Emitted {
    /// An acknowledgement and nothing else.
    fn is_bare(&self) -> bool {
        self.payload == 0 && !self.syn && !self.fin && !self.rst
    }
}

/// Fills in what smoltcp was told to leave out, the checksums, and what it has no setting for: the TTL or hop limit of
/// its answers, the sequence number of a segment that was lifted.
fn finish(frame: &mut [u8], hop_limit: u8, emitted: Option<Emitted>) {
    let Some(addresses) = Addresses::of(frame) else {
        return;
    };
    let header = match addresses {
        Addresses::V4 { .. } => {
            let Some(header) = frame.first_chunk_mut::<IPV4_HEADER_LEN>() else {
                return;
            };
            [header[8], header[10], header[11]] = [hop_limit, 0, 0];
            [header[10], header[11]] = checksum::of_header(header).to_be_bytes();
            IPV4_HEADER_LEN
        }
        Addresses::V6 { .. } => {
            if let Some(field) = frame.get_mut(7) {
                *field = hop_limit;
            }
            IPV6_HEADER_LEN
        }
    };
    let Some(segment) = frame.get_mut(header..) else {
        return;
    };
    if let Some(sent) = emitted
        && let Some(seq) = segment.get_mut(4..8)
    {
        seq.copy_from_slice(&sent.seq.0.to_be_bytes());
    }
    let [c0, c1] = checksum::tcp_udp(&addresses, protocol::TCP, segment).to_be_bytes();
    if let Some(field) = segment.get_mut(16..18) {
        field.copy_from_slice(&[c0, c1]);
    }
}

/// The fields of a segment smoltcp has written: plain headers, no extension.
fn read_back(frame: &[u8]) -> Option<Emitted> {
    let header = if frame.first()? >> 4 == 6 { 40 } else { 20 };
    let tcp = frame.get(header..)?;
    let [
        _,
        _,
        _,
        _,
        s0,
        s1,
        s2,
        s3,
        a0,
        a1,
        a2,
        a3,
        offset,
        flags,
        w0,
        w1,
        ..,
    ] = *tcp
    else {
        return None;
    };
    Some(Emitted {
        seq: Seq(u32::from_be_bytes([s0, s1, s2, s3])),
        ack: Seq(u32::from_be_bytes([a0, a1, a2, a3])),
        window: u16::from_be_bytes([w0, w1]),
        payload: u32::try_from(tcp.len().checked_sub(usize::from(offset >> 4) * 4)?).ok()?,
        syn: flags & 2 != 0,
        fin: flags & 1 != 0,
        rst: flags & 4 != 0,
    })
}
