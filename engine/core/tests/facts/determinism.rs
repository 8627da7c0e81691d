//! The same inputs give the same outputs, byte by byte.

use core::time::Duration;

use engine::{DialResult, RemoteEnd};

use crate::support::{Bench, Device, Family, Seen, Udp, dials};

/// The wire, what was seen, the counters.
type Session = (Vec<Vec<u8>>, Vec<Seen>, Vec<(&'static str, u64)>);

/// A busy minute of many flows, with losses, resets, timers and limits.
fn session() -> Session {
    let mut bench = Bench::with(|config| {
        config.tcp_limit = 40;
        config.dial_timeout = Duration::from_secs(20);
    });
    let mut devices: Vec<_> = (0..50)
        .map(|at| Device::on_port(Family::BOTH[at % 2], 1000 + at as u16, 443))
        .collect();
    let syns: Vec<_> = devices.iter_mut().map(Device::syn).collect();
    let mut seen = bench.feed(&syns);
    let flows = dials(&seen);
    for (at, (flow, _)) in flows.iter().enumerate() {
        match at % 5 {
            0 => {}
            1 => seen.extend(bench.dialed(*flow, DialResult::Refused)),
            _ => {
                seen.extend(bench.dialed(*flow, DialResult::Connected));
                seen.extend(bench.remote(*flow, &[at as u8; 5000]).1);
            }
        }
    }
    for device in &mut devices {
        device.receive(&seen);
    }
    let frames: Vec<_> = devices
        .iter_mut()
        .map(|device| device.data(b"some upload"))
        .collect();
    seen.extend(bench.feed(&frames));
    for (at, (flow, _)) in flows.iter().enumerate().filter(|(at, _)| at % 5 == 2) {
        let end = if at % 2 == 0 {
            RemoteEnd::Eof
        } else {
            RemoteEnd::Reset
        };
        if bench.engine.remote_closed(bench.now, *flow, end).is_ok() {
            seen.extend(bench.drain());
        }
    }
    let udp: Vec<_> = (0..30)
        .map(|at| Udp::new(Family::V6, 2000 + at, 53).send(b"?"))
        .collect();
    seen.extend(bench.feed(&udp));
    seen.extend(bench.wait(Duration::from_secs(60)));
    bench.engine.stop(bench.now);
    seen.extend(bench.drain());
    let counters = bench.engine.counters().iter().collect();
    (bench.wire, seen, counters)
}

#[test]
fn two_runs_are_equal_byte_by_byte() {
    let (first, second) = (session(), session());
    assert!(first.0.len() > 100);
    assert!(first == second);
}

#[test]
fn flows_are_closed_in_the_order_of_their_places() {
    let closes = |seen: &[Seen]| -> Vec<u64> {
        let ids = seen.iter().filter_map(|seen| match seen {
            Seen::Close(flow, _) => Some(flow.to_bits()),
            _ => None,
        });
        ids.collect()
    };
    let mut bench = Bench::with(|_| {});
    for port in 1..=20 {
        bench.connect(&mut Device::on_port(Family::V4, port, 443));
    }
    bench.engine.stop(bench.now);
    let order = closes(&bench.drain());
    assert!(order.is_sorted());
    assert_eq!(order.len(), 20);
}
