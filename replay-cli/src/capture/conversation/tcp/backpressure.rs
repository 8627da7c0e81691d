//! The far side's backpressure: the dialer takes no more than lets the device's window close where it closed.
//!
//! The engine's receive window is not the far side's. With one of a fixed size, the far side's where that will do, and no
//! larger than what the device had sent at its first stall, the bytes the dialer has taken say where the window ends.

use super::{DeviceSegment, FarEvent, FarEventKind, Stall, TcpConversation};
use crate::base::wording::seconds_of;
use crate::capture::conversation::Conversation;
use crate::packet::Flags;

/// What was made of all stalls of a capture.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Backpressure {
    /// The receive window under which the stalls come out, bytes; `None` if there are none.
    pub window: Option<u64>,
    /// Stalls that a replay shows to the device.
    pub replayed: u64,
    /// Stalls before which the device had sent less than any window that the flows of this capture fit.
    pub too_early: u64,
    /// Flows with payload of the device whose far side's window is not known, as its scale is not in the capture.
    pub unknown: u64,
}

/// The receive window of a flow that has moved nothing yet, by default: none is made larger.
const WINDOW: u64 = 16_384;

/// Headers without options.
const HEADERS: [u64; 2] = [40, 60];

/// Has the dialers of flows that stalled hold back; `mtu` is that of the device.
pub(crate) fn replay_stalls(flows: &mut [Conversation], mtu: u64) -> Backpressure {
    let replayable = |flow: &Conversation| flow.unreplayable.is_none();
    let connections = || flows.iter().filter(|flow| replayable(flow));
    let mut found = Backpressure {
        unknown: connections()
            .filter_map(Conversation::tcp)
            .filter(|tcp| !tcp.far_window_known && !tcp.device_stream.is_empty())
            .count() as u64,
        ..Backpressure::default()
    };
    let firsts = || {
        let tcp = connections().filter_map(Conversation::tcp);
        tcp.filter_map(|tcp| tcp.stalls.first())
    };
    if firsts().next().is_none() {
        return found;
    }
    // A window of two segments is one that no segment waits for.
    let segments = connections()
        .filter_map(Conversation::tcp)
        .flat_map(|tcp| &tcp.device);
    let largest = segments.map(DeviceSegment::bytes).max().unwrap_or(0);
    let least = 2 * largest.min(mtu.saturating_sub(HEADERS[0])).max(1);
    let fit = firsts().filter(|stall| stall.edge >= least);
    let window = fit.map(|stall| stall.edge.min(stall.widest.max(least)));
    let window = window.min().map(|window| window.min(WINDOW.max(least)));
    found.window = window;
    for flow in flows.iter_mut().filter(|flow| replayable(flow)) {
        let headers = HEADERS[usize::from(flow.spec.client.is_ipv6())];
        let super::super::Talk::Tcp(tcp) = &mut flow.talk else {
            continue;
        };
        let many = tcp.stalls.len() as u64;
        match window.filter(|window| {
            tcp.stalls
                .first()
                .is_some_and(|stall| stall.edge >= *window)
        }) {
            Some(window) => {
                let step = mtu.saturating_sub(headers).min(window / 2).max(1);
                hold_back(tcp, window, step);
                found.replayed += many;
            }
            None => found.too_early += many,
        }
        flow.notes.extend(tcp.stalls.iter().map(describe));
    }
    found
}

/// One line for the flow's notes.
fn describe(stall: &Stall) -> String {
    let Stall {
        from_us,
        until_us,
        edge,
        sent_us: _,
        widest: _,
        resumed,
        replayed,
    } = stall;
    let long = until_us.map_or_else(
        || "to the end of the capture".to_owned(),
        |until| format!("for {} s", seconds_of(until - from_us)),
    );
    let end = match (until_us, resumed) {
        (Some(_), false) => "; it ended as one side gave up",
        _ => "",
    };
    let replay = if *replayed {
        ""
    } else {
        "; it is not replayed"
    };
    format!(
        "stalled: the far side took no more from {} s on {long}, its window closed behind byte {edge}{end}{replay}",
        seconds_of(*from_us)
    )
}

/// Puts the dialer's takes among what the far side did. The window's edge moves by `step` bytes at the least.
fn hold_back(tcp: &mut TcpConversation, window: u64, step: u64) {
    let sent = Sent::of(&tcp.device);
    // How many bytes the dialer takes before each stall.
    let takes: Vec<u64> = tcp
        .stalls
        .iter()
        .map(|stall| match stall.edge.saturating_sub(window) {
            0 => 0,
            beyond => beyond + step - 1,
        })
        .collect();
    let mut next = 0;
    let mut at = tcp.dial_us;
    let mut clamped_at = at;
    for event in &mut tcp.far {
        let cause = sent.cause(event.acked, event.fin_acked);
        at = at.max(cause) + event.wait_us;
        if let Some(taken) = takes.get(next) {
            // What waits at the dialer's door is not reported there, whatever the far side acknowledged.
            event.acked = event.acked.min(*taken);
            event.fin_acked = false;
            let cause = sent.cause(event.acked, false);
            event.wait_us = at.saturating_sub(cause.max(clamped_at));
            if event.kind == FarEventKind::Unblock {
                event.kind = match takes.get(next + 1).map(|then| then.saturating_sub(*taken)) {
                    None => FarEventKind::Unblock,
                    Some(0) => FarEventKind::Block,
                    Some(more) => FarEventKind::Take(more),
                };
                next += 1;
            }
        }
        clamped_at = at;
    }
    let first = takes.first().copied().unwrap_or(0);
    tcp.far.insert(
        0,
        FarEvent {
            kind: match first {
                0 => FarEventKind::Block,
                count => FarEventKind::Take(count),
            },
            acked: 0,
            fin_acked: false,
            wait_us: 0,
        },
    );
    tcp.far_took = takes.get(next).copied();
    for stall in &mut tcp.stalls {
        stall.replayed = true;
    }
}

/// When the device had sent how much.
struct Sent {
    /// Bytes and microseconds, both rising.
    reached: Vec<(u64, u64)>,
    fin_at: u64,
}

impl Sent {
    fn of(device: &[DeviceSegment]) -> Self {
        let mut reached = vec![(0, 0)];
        let mut fin_at = 0;
        for segment in device {
            let end = (segment.at + segment.bytes()).saturating_sub(1);
            if segment.bytes() > 0 && reached.last().is_some_and(|(last, _)| *last < end) {
                reached.push((end, segment.at_us));
            }
            if segment.flags.contains(Flags::FIN) && fin_at == 0 {
                fin_at = segment.at_us;
            }
        }
        Self { reached, fin_at }
    }

    /// When the device had sent so many bytes, and its FIN if that counts.
    fn cause(&self, bytes: u64, fin: bool) -> u64 {
        let place = self
            .reached
            .partition_point(|(reached, _)| *reached < bytes);
        let at = self.reached.get(place).map_or(0, |(_, at)| *at);
        if fin { at.max(self.fin_at) } else { at }
    }
}
