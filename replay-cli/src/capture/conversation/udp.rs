//! A UDP conversation: whoever speaks first is the client.

use std::collections::BTreeMap;

use super::ReadOptions;
use super::raw::{Part, RawFlow, RawPacket};
use super::recorded::{RawEvent, RawKind};
use super::store::{BLANK, Span, Stream};
use super::tcp::dial_result_of;
use super::timeline::Timeline;
use crate::capture::recording::RemoteEnd;
use crate::scenario::DialResult;

/// What both sides sent, in order.
#[derive(Debug, Default)]
pub struct UdpConversation {
    /// The device's datagrams.
    pub device: Vec<DeviceDatagram>,
    /// The far side's datagrams.
    pub far: Vec<FarDatagram>,
    /// The payloads of the far side, back to back.
    pub far_bytes: Stream,
    /// The payloads of the device, back to back.
    pub device_bytes: Stream,
    /// Bytes of both that the snap length cut off, and that stand as zeros.
    pub cut: u64,
    /// Silences cut to just under the idle limit.
    pub cuts: u64,
    /// What the dial came to, and how long that took, microseconds: connected at once unless a recording says more.
    pub dial: (DialResult, u64),
    /// How the far side ended, which only a recording can say: how, how many datagrams of the device it had then,
    /// and microseconds since it had received or sent something last.
    pub end: Option<(RemoteEnd, u64, u64)>,
    /// The fragments of the device's datagrams that came in some, by the number of the last one's packet.
    pub(crate) fragments: BTreeMap<u32, Vec<Part>>,
}

/// One datagram of the device.
#[derive(Clone, Copy, Debug)]
pub struct DeviceDatagram {
    /// The packet that carries it, put together if it came in fragments.
    pub(crate) packet: Part,
    /// Whether it came in fragments.
    pub(crate) in_parts: bool,
    /// Microseconds since the device's datagram before it.
    pub gap_us: u64,
    /// Microseconds since the flow's first packet.
    pub at_us: u64,
    /// Bytes of payload.
    pub len: u32,
}

impl UdpConversation {
    /// The packets that carry a datagram of the device: one, or its fragments.
    #[must_use]
    pub fn parts<'a>(&'a self, datagram: &'a DeviceDatagram) -> &'a [Part] {
        let fragments = datagram
            .in_parts
            .then(|| self.fragments.get(&datagram.packet.number))
            .flatten();
        fragments.map_or_else(|| std::slice::from_ref(&datagram.packet), Vec::as_slice)
    }

    /// A datagram of the device, as it was captured.
    fn add_device(&mut self, raw: &RawFlow, packet: &RawPacket, at_us: u64, gap_us: u64) {
        if let Some(parts) = raw.parts(packet) {
            self.fragments.insert(packet.number, parts.to_vec());
        }
        let payload = packet.payload();
        self.device.push(DeviceDatagram {
            packet: Part {
                span: packet.span(),
                number: packet.number,
            },
            in_parts: packet.is(RawPacket::IN_PARTS),
            gap_us,
            at_us,
            len: packet.payload_len,
        });
        let missing = packet.payload_len.saturating_sub(payload.len);
        self.device_bytes.push(payload.place, payload.len.into());
        self.device_bytes.push(BLANK, missing.into());
    }

    /// A datagram of the far side, which came after all of the device's so far.
    fn add_far(&mut self, payload: Span, missing: u64, at_us: u64, wait_us: u64) {
        let from = self.far_bytes.len();
        self.far_bytes.push(payload.place, payload.len.into());
        self.far_bytes.push(BLANK, missing);
        self.far.push(FarDatagram {
            from,
            to: self.far_bytes.len(),
            after: self.device.len() as u64,
            wait_us,
            at_us,
        });
    }
}

/// One datagram of the far side.
#[derive(Clone, Copy, Debug)]
pub struct FarDatagram {
    /// Where its payload begins in `far_bytes`.
    pub from: u64,
    /// Where it ends.
    pub to: u64,
    /// Datagrams the device had sent before it.
    pub after: u64,
    /// Microseconds since the later of: the device's datagram before it, the far side's datagram before it.
    pub wait_us: u64,
    /// Microseconds since the flow's first packet.
    pub at_us: u64,
}

pub(crate) fn read(
    raw: &RawFlow,
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
    let recorded = !raw.events.is_empty();
    let mut dialer = Dialer::default();
    let mut cut_short = 0;
    let mut events = raw.events.iter().peekable();
    for (index, packet) in raw.packets.iter().enumerate() {
        while let Some(event) = events.next_if(|event| event.after <= index) {
            let now = time.at(event.time_ns, limit);
            dialer.event(&mut talk, event, now);
        }
        let at_us = time.at(packet.time_ns, limit);
        let payload = packet.payload();
        let missing = u64::from(packet.payload_len.saturating_sub(payload.len));
        let used = packet.is_from_client() || !recorded;
        if missing > 0 && used {
            talk.cut += missing;
            cut_short += 1;
        }
        if packet.is_from_client() {
            talk.add_device(raw, packet, at_us, at_us - last_device);
            last_device = at_us;
        } else if !recorded {
            talk.add_far(payload, missing, at_us, at_us - last_any);
        }
        last_any = at_us;
    }
    for event in events {
        let now = time.at(event.time_ns, limit);
        dialer.event(&mut talk, event, now);
    }
    if recorded {
        dialer.note(raw.events.len(), notes);
        if dialer.result.is_none() {
            talk.dial = (DialResult::Never, 0);
        }
    }
    if cut_short > 0 {
        let bytes = talk.cut;
        notes.push(format!(
            "{bytes} byte(s) of {cut_short} datagram(s) cut by the snap length stand as zeros"
        ));
    }
    talk.device.shrink_to_fit();
    talk.far.shrink_to_fit();
    talk.far_bytes.shrink();
    talk.device_bytes.shrink();
    if let Some(error) = raw.icmp.last().filter(|error| !recorded && error.ends(raw)) {
        let wait = time.at(error.time_ns, limit).saturating_sub(last_any);
        let (end, what) = match dial_result_of(error.kind, error.code, error.v4) {
            DialResult::Refused => (RemoteEnd::Reset, "refuses datagrams"),
            _ => (RemoteEnd::Error, "cannot be reached"),
        };
        talk.end = Some((end, talk.device.len() as u64, wait));
        notes.push(format!(
            "the dialer says that the far side {what}, as an ICMP error did"
        ));
    }
    talk.cuts = time.cuts;
    time.note(notes);
    for error in &raw.icmp {
        notes.push(error.describe());
    }
    talk
}

/// The far side of a recorded flow.
#[derive(Default)]
struct Dialer {
    dials: u64,
    dialed_at: u64,
    result: Option<DialResult>,
    /// Datagrams of the device that the dialer was handed, and when it was the last one.
    handed: u64,
    received_at: u64,
    /// When the far side did something last.
    acted_at: u64,
}

impl Dialer {
    fn note(&self, events: usize, notes: &mut Vec<String>) {
        notes.push(format!(
            "its far side is taken from {events} recorded event(s) of the dialer, not from the frames"
        ));
        if self.dials > 1 {
            notes.push(format!(
                "dialed {} times in the recording; replayed as one flow",
                self.dials
            ));
        }
    }

    fn event(&mut self, talk: &mut UdpConversation, event: &RawEvent, now: u64) {
        let wait_us = now.saturating_sub(self.received_at.max(self.acted_at));
        match &event.kind {
            RawKind::Dial => {
                self.dials += 1;
                self.dialed_at = now;
            }
            RawKind::DialResult(result) => {
                if self.result.is_none() {
                    self.result = Some(*result);
                    talk.dial = (*result, now.saturating_sub(self.dialed_at));
                }
                self.acted_at = now;
            }
            RawKind::Datagram => {
                self.handed += 1;
                self.received_at = now;
            }
            RawKind::RemoteDatagram(payload) => {
                let from = talk.far_bytes.len();
                talk.far_bytes.push(payload.place, payload.len.into());
                talk.far.push(FarDatagram {
                    from,
                    to: talk.far_bytes.len(),
                    after: self.handed,
                    wait_us,
                    at_us: now,
                });
                self.acted_at = now;
            }
            RawKind::RemoteClosed(end) => {
                talk.end.get_or_insert((*end, self.handed, wait_us));
            }
            // What a UDP dialer does not take is dropped by the network as well.
            RawKind::Blocked
            | RawKind::Writable
            | RawKind::RemoteData(_)
            | RawKind::Took(_)
            | RawKind::HalfClose
            | RawKind::Close(_) => {}
        }
    }
}
