//! A UDP conversation: whoever speaks first is the client.

use super::demux::RawFlow;
use super::timeline::Timeline;
use super::{FrameStore, ReadOptions};
use crate::packet::Packet;

/// What both sides said, in order.
#[derive(Debug, Default)]
pub struct UdpConversation {
    /// The device's datagrams.
    pub device: Vec<DeviceDatagram>,
    /// The far side's datagrams.
    pub far: Vec<FarDatagram>,
    /// The payloads of the far side, back to back.
    pub far_bytes: Vec<u8>,
    /// The payloads of the device, back to back.
    pub device_bytes: Vec<u8>,
    /// Silences cut to just under the idle limit.
    pub cuts: u64,
}

/// One datagram of the device.
#[derive(Clone, Debug)]
pub struct DeviceDatagram {
    /// Indices of the packets that carry it: one, or its fragments.
    pub frames: Vec<usize>,
    /// Microseconds since the device's datagram before it.
    pub gap_us: u64,
    /// Microseconds since the flow's first packet.
    pub at_us: u64,
    /// Octets of payload.
    pub len: usize,
}

/// One datagram of the far side.
#[derive(Clone, Copy, Debug)]
pub struct FarDatagram {
    /// Where its payload begins in `far_bytes`.
    pub from: usize,
    /// Where it ends.
    pub to: usize,
    /// Datagrams the device had sent before it.
    pub after: u64,
    /// Microseconds since the later of: the device's datagram before it, the far side's datagram before it.
    pub wait_us: u64,
    /// Microseconds since the flow's first packet.
    pub at_us: u64,
}

pub(crate) fn read(
    raw: &RawFlow,
    frames: &FrameStore,
    options: &ReadOptions,
    notes: &mut Vec<String>,
) -> UdpConversation {
    let limit = if raw.server.port() == 53 {
        options.dns_idle_us.unwrap_or(30_000_000)
    } else {
        options.udp_idle_us.unwrap_or(300_000_000)
    };
    let mut time = Timeline::default();
    let mut talk = UdpConversation::default();
    let (mut last_device, mut last_any) = (0, 0);
    for packet in &raw.packets {
        let Some(frame) = frames.get(packet.frame) else {
            continue;
        };
        let Some(udp) = Packet::parse(frame.bytes, frame.original_len)
            .ok()
            .and_then(|p| p.udp().copied())
        else {
            continue;
        };
        let at_us = time.at(frame.time_ns, limit);
        if packet.from_client {
            talk.device.push(DeviceDatagram {
                frames: packet.parts.clone(),
                gap_us: at_us - last_device,
                at_us,
                len: udp.payload_len,
            });
            talk.device_bytes.extend_from_slice(udp.payload);
            last_device = at_us;
        } else {
            let from = talk.far_bytes.len();
            talk.far_bytes.extend_from_slice(udp.payload);
            talk.far.push(FarDatagram {
                from,
                to: talk.far_bytes.len(),
                after: talk.device.len() as u64,
                wait_us: at_us - last_any,
                at_us,
            });
        }
        last_any = at_us;
    }
    talk.cuts = time.cuts;
    time.note(notes);
    for error in &raw.icmp {
        notes.push(error.describe());
    }
    talk
}
