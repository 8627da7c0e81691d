//! No flow outlives its limits without progress.

use core::time::Duration;

use engine::{DialResult, FlowId, RemoteEnd};
use proptest::prelude::*;

use crate::config;
use crate::support::{Bench, Device, Family, Seen};

/// A segment that a device sends on its own account, and how long after the one before.
#[derive(Clone, Debug)]
struct Whim {
    after: u64,
    flags: &'static str,
    /// Where it stands, relative to what the engine expects.
    ahead: i32,
    /// How far its acknowledgement lies behind.
    behind: u32,
    payload: usize,
    window: u16,
}

/// The window is never closed: a device may keep it closed for as long as it answers (RFC 9293 section 3.8.6.1).
fn whims() -> impl Strategy<Value = Vec<Whim>> {
    let whim = (
        200u64..20_000,
        prop_oneof![
            Just("."),
            Just("F."),
            Just("FP."),
            Just("P."),
            Just("S"),
            Just("S."),
            Just("F")
        ],
        prop_oneof![Just(0i32), -3i32..=3, -2000i32..20_000],
        prop_oneof![4 => Just(0u32), 1 => 0u32..3],
        prop_oneof![Just(0usize), 1usize..10, Just(1400)],
        prop_oneof![Just(1u16), 1u16..3000, Just(65_535)],
    )
        .prop_map(|(after, flags, ahead, behind, payload, window)| Whim {
            after,
            flags,
            ahead,
            behind,
            payload,
            window,
        });
    proptest::collection::vec(whim, 1..60)
}

/// The limit, the time to answer after a sleep, and the longest pause of the device.
const LIMIT: Duration = Duration::from_secs(120 + 10 + 20);

/// Lets the device do as it likes; returns whether the flow ends in time.
fn ends(
    bench: &mut Bench,
    device: &mut Device,
    flow: FlowId,
    whims: &[Whim],
    limit: Duration,
) -> bool {
    let start = bench.now;
    for whim in whims.iter().cycle() {
        let mut seen = bench.wait(Duration::from_millis(whim.after));
        device.window = whim.window;
        let mut sender = device.clone();
        sender.expected = sender.expected.wrapping_sub(whim.behind);
        let seq = device.next.wrapping_add_signed(whim.ahead);
        seen.extend(bench.feed([sender.raw(whim.flags, seq, b"", &vec![0; whim.payload])]));
        if seen
            .iter()
            .any(|seen| matches!(seen, Seen::Close(closed, _) if *closed == flow))
        {
            return true;
        }
        if bench.now.since(start) >= limit {
            break;
        }
    }
    false
}

proptest! {
    #![proptest_config(config(200))]

    #[test]
    fn what_is_never_acknowledged_ends_at_the_limit(
        whims in whims(),
        sent in prop_oneof![Just(0usize), 1usize..30_000],
        device_first in any::<bool>(),
        v6 in any::<bool>(),
    ) {
        let mut bench = Bench::with(|_| {});
        let mut device = Device::new(if v6 { Family::V6 } else { Family::V4 });
        let flow = bench.connect(&mut device);
        if device_first {
            bench.feed([device.fin()]);
        }
        // The device gets nothing of it.
        bench.remote(flow, &vec![1; sent]);
        bench.end(flow, RemoteEnd::Eof);
        prop_assert!(ends(&mut bench, &mut device, flow, &whims, LIMIT));
    }

    #[test]
    fn what_is_acknowledged_by_whatever_ends(whims in whims(), device_first in any::<bool>()) {
        let mut bench = Bench::with(|_| {});
        let mut device = Device::new(Family::V4);
        let flow = bench.connect(&mut device);
        if device_first {
            bench.feed([device.fin()]);
            device.receive(&bench.end(flow, RemoteEnd::Eof));
        } else {
            let seen = bench.end(flow, RemoteEnd::Eof);
            let fin = device.fin();
            bench.feed([fin]);
            device.receive(&seen);
        }
        prop_assert!(ends(&mut bench, &mut device, flow, &whims, LIMIT));
    }

    #[test]
    fn a_handshake_that_is_never_completed_ends(whims in whims()) {
        let mut bench = Bench::with(|_| {});
        let mut device = Device::new(Family::V4);
        let flow = bench.knock(&mut device);
        bench.dialed(flow, DialResult::Connected);
        // It never learns our number.
        device.expected = 7;
        let limit = Duration::from_secs(240 + 20);
        prop_assert!(ends(&mut bench, &mut device, flow, &whims, limit));
    }
}
