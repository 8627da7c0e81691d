//! The end of a reading: what the connection came to, and what was found on the way.

use super::{Reader, Received};
use crate::capture::conversation::raw::{QuotedError, RawFlow};
use crate::capture::conversation::tcp::{DeviceSegment, FarEventKind, TcpConversation};
use crate::packet::Flags;
use crate::scenario::DialResult;

/// What is said of a flow whose beginning is made up.
const ADOPTED: &str = "adopted: its beginning is not in the capture, and a handshake is made up before its first byte";

impl Reader<'_, '_> {
    pub(crate) fn finish(mut self, raw: &RawFlow, notes: &mut Vec<String>) -> TcpConversation {
        let unopened = self.end_syn_payload();
        let retracted = self.retract_ends();
        // Nobody waits for what the far side is not known to have sent.
        self.unacknowledge(1 + self.far.stream.contiguous() + u64::from(self.far.fin_reported));
        let connected =
            matches!(self.dial, Some((DialResult::Connected, _))) || self.opening.missing_syn_ack;
        // Whatever the device sent, it sent before the reset reached it.
        if let Some(at) = self
            .far
            .rst_at
            .filter(|at| connected && self.device.rst_at.is_none_or(|device| device > *at))
        {
            self.far.acked = self.device.stream.contiguous();
            let received = Received {
                count: self.far.acked,
                fin: self.device.fins.contains_key(&self.far.acked),
            };
            let at = at.max(self.device.last_data_at).max(self.far.event_at);
            self.push_event(FarEventKind::Reset, at, self.device.last_data_at, received);
        }
        let dial = self.dial_result(raw, connected);
        self.note(raw, retracted, notes);
        note_count(
            notes,
            unopened,
            "byte(s) on a SYN left out: the device ends no handshake in the capture",
        );
        let [sent, came] =
            [&self.device.stream, &self.far.stream].map(|stream| stream.filled() + stream.cut());
        let (device_stream, behind) = self.device.stream.finish();
        let what = "byte(s) of the device behind a hole that nobody acknowledged left out";
        note_count(notes, behind, what);
        let (far_stream, behind) = self.far.stream.finish();
        let what = "byte(s) of the far side behind a hole that nobody acknowledged left out";
        note_count(notes, behind, what);
        let device_fin = self.device.fins.contains_key(&device_stream.len());
        let far_window_known = self.watch.is_known();
        let recorded = self.dialer.finish();
        if let Some(recorded) = &recorded {
            let over = device_fin || self.device.rst_at.is_some();
            recorded.notes(&far_stream, over, self.bytes, notes);
        }
        let stalls = if recorded.is_some() {
            Vec::new()
        } else {
            self.watch.finish()
        };
        let (far_stream, far, dial, invented) = match recorded {
            Some(recorded) => (recorded.stream, recorded.far, recorded.dial, sent),
            None => (far_stream, self.far.events, dial, sent + came),
        };
        let device_took = (self.device.rst_at.is_some() && self.device.acked < far_stream.len())
            .then_some(self.device.acked);
        let end = 1 + device_stream.len();
        self.device.segments.retain_mut(|segment| {
            if segment.flags.contains(Flags::RST) {
                // It stands behind what the device is known to have sent.
                segment.at = segment.at.min(end + u64::from(device_fin));
            }
            segment.at <= end + 1
        });
        self.device.segments.shrink_to_fit();
        let mut far = far;
        far.shrink_to_fit();
        TcpConversation {
            device_isn: self.opening.device_isn,
            far_isn: self.opening.far_isn,
            device: self.device.segments,
            device_fin,
            device_rst: self.device.rst_at.is_some(),
            device_stream,
            far_stream,
            far,
            device_took,
            stalls,
            far_took: None,
            far_window_known,
            adopted: raw.client_isn.is_some() && (self.opening.missing_syn_ack || raw.adopted),
            made_up: self.opening.adopted,
            dial: dial.0,
            dial_us: dial.1,
            window_shift: self.opening.device_shift,
            invented,
        }
    }

    /// What the dial came to, and when.
    fn dial_result(&mut self, raw: &RawFlow, connected: bool) -> (DialResult, u64) {
        match (self.dial, raw.icmp.first()) {
            (None, _) if connected => (DialResult::Connected, 0),
            (None | Some((DialResult::Never, _)), Some(error)) => (
                dial_result_of(error.kind, error.code, error.v4),
                self.time.at(error.time_ns, self.patience.dial),
            ),
            (dial, _) => dial.unwrap_or((DialResult::Never, 0)),
        }
    }

    /// Says what was left out, made up and put right.
    fn note(&self, raw: &RawFlow, retracted: u64, notes: &mut Vec<String>) {
        if self.opening.adopted.is_some() {
            notes.push(ADOPTED.to_owned());
        }
        self.time.note(notes);
        notes.extend(raw.icmp.iter().map(QuotedError::describe));
        let of_device = |is: fn(&DeviceSegment) -> bool| {
            self.device
                .segments
                .iter()
                .filter(|segment| is(segment))
                .count() as u64
        };
        let (sent, came) = (&self.device.stream, &self.far.stream);
        let mut say = |count: u64, what: &str| note_count(notes, count, what);
        let repeated = of_device(DeviceSegment::is_repeated);
        say(repeated, "segment(s) of the device sent again");
        say(came.repeated, "byte(s) of the far side came more than once");
        say(
            sent.conflicting + came.conflicting,
            "repeated byte(s) differ from the first copy, which counts",
        );
        say(
            sent.cut() + came.cut(),
            "byte(s) cut by the snap length stand as zeros",
        );
        say(
            sent.filled() + came.filled(),
            "byte(s) acknowledged but not in the capture stand as zeros",
        );
        say(
            self.far.early_resets,
            "RST of the far side before its SYN-ACK left out: the device went on",
        );
        say(
            retracted,
            "FIN or RST of the device left out: it sent more after that",
        );
        say(self.outside, "segment(s) far outside both streams left out");
        say(
            u64::from(self.opening.second_isn),
            "SYN-ACK with another sequence number besides the one acknowledged",
        );
        say(
            u64::from(self.opening.missing_syn_ack && self.opening.adopted.is_none()),
            "SYN-ACK is not in the capture; its number is taken from the device's acknowledgement",
        );
        let urgent = of_device(|segment| segment.flags.contains(Flags::URG));
        say(urgent, "segment(s) with urgent data: kept in line");
    }
}

fn note_count(notes: &mut Vec<String>, count: u64, what: &str) {
    if count > 0 {
        notes.push(format!("{count} {what}"));
    }
}

impl Reader<'_, '_> {
    /// The payload of a SYN after which the device sends nothing more: if the far side acknowledged it, it ends the handshake, as the
    /// device would have; otherwise it reached nobody. How many bytes are left out.
    fn end_syn_payload(&mut self) -> u64 {
        let Some(payload) = self.device.syn_payload.take() else {
            return 0;
        };
        if self.far.acked > 0 {
            self.device.segments.push(payload);
            return 0;
        }
        std::mem::take(&mut self.device.stream).finish().0.len()
    }
}

/// What an ICMP error in answer to a SYN says of the dial (RFC 792, RFC 4443).
pub(crate) fn dial_result_of(kind: u8, code: u8, v4: bool) -> DialResult {
    match (v4, kind, code) {
        (true, 3, 0 | 6 | 11) | (false, 1, 0 | 3 | 5) if v4 || code == 0 => {
            DialResult::NetworkUnreachable
        }
        (true, 3, 2 | 3) | (false, 1, 4) => DialResult::Refused,
        (true, 3, 9 | 10 | 13) | (false, 1, 1) => DialResult::Denied,
        (true, 3, _) | (false, 1, _) => DialResult::HostUnreachable,
        _ => DialResult::Never,
    }
}
