//! What an open flow costs while nothing moves on it, before and after it has moved something.

use core::time::Duration;

use engine::{Config, DialResult, Engine, FlowId, Micros, Output, PathChange};

use super::seeded;
use super::support::{Device, Family, Packet, heap};

const NOW: Micros = Micros::from_secs(1000);

/// Takes everything the engine says; the flow that was dialed.
fn drain(engine: &mut Engine, device: &mut Device) -> Option<FlowId> {
    let mut dialed = None;
    while let Some(output) = engine.poll_output(NOW) {
        match output {
            Output::Dial { flow, .. } => dialed = Some(flow),
            Output::Data { bytes, .. } => _ = bytes.took_all(),
            Output::Frames(frames) => {
                for frame in frames {
                    if let Packet::Tcp(segment) = Packet::read(frame) {
                        device.take(&segment);
                    }
                }
            }
            _ => {}
        }
    }
    dialed
}

fn feed(engine: &mut Engine, device: &mut Device, frame: &[u8]) -> Option<FlowId> {
    engine.handle_frames(NOW, [frame]);
    drain(engine, device)
}

/// An established flow.
fn open(engine: &mut Engine, port: u16) -> (Device, FlowId) {
    let mut device = Device::on_port(Family::V4, port, 443);
    let syn = device.syn();
    let flow = feed(engine, &mut device, &syn).expect("a dial");
    engine
        .dial_result(NOW, flow, DialResult::Connected)
        .expect("a pending dial");
    drain(engine, &mut device);
    let ack = device.ack();
    feed(engine, &mut device, &ack);
    (device, flow)
}

/// Moves `bytes` each way.
fn exchange(engine: &mut Engine, device: &mut Device, flow: FlowId, bytes: usize) {
    const PIECE: usize = 1024;
    for _ in 0..bytes / PIECE {
        let payload = device.data(&[7; PIECE]);
        feed(engine, device, &payload);
        let taken = engine
            .remote_data(NOW, flow, &[5; PIECE])
            .expect("an open flow");
        assert_eq!(taken, PIECE, "the device keeps up");
        drain(engine, device);
        let ack = device.ack();
        feed(engine, device, &ack);
    }
    assert_eq!(device.received.len(), bytes);
}

/// Bytes of heap that each of `flows` holds; each moves `bytes` both ways first.
fn each(mut config: Config, flows: u16, bytes: usize) -> isize {
    config.seed = Some(1);
    let before = heap::held();
    let mut engine = Engine::new(config).expect("sound settings");
    for at in 0..flows {
        let (mut device, flow) = open(&mut engine, 20_000 + at);
        exchange(&mut engine, &mut device, flow, bytes);
    }
    assert_eq!(engine.counters().tcp_connected, u64::from(flows));
    (heap::held() - before) / isize::try_from(flows).expect("few")
}

#[test]
fn an_idle_flow_holds_no_ring_before_and_after_use() {
    let config = |flows: usize| Config {
        tcp_limit: flows,
        ..Config::default()
    };
    let idle = each(config(1000), 1000, 0);
    let moved = each(config(100), 100, 256 << 10);
    println!("{idle} bytes while idle, {moved} after 256 KiB each way");
    assert!(idle <= 6 << 10, "{idle}");
    assert!(moved <= 6 << 10, "{moved}");
}

#[test]
fn ten_thousand_flows_of_the_preset_for_many_fit_in_a_hundred_megabytes() {
    let mut config = Config::many_flows();
    config.tcp_limit = 10_000;
    config.byte_budget = None;
    let each = each(config, 10_000, 0);
    println!("{each} bytes");
    assert!(each <= 10_000, "{each}");
}

/// Opens flows and ends all of them in order.
fn come_and_go(engine: &mut Engine, ports: core::ops::Range<u16>) {
    let mut open: Vec<_> = ports.map(|port| open(engine, port)).collect();
    for (device, flow) in &mut open {
        exchange(engine, device, *flow, 4096);
        let fin = device.fin();
        feed(engine, device, &fin);
        engine
            .remote_closed(NOW, *flow, engine::RemoteEnd::Eof)
            .expect("an open flow");
        drain(engine, device);
        let ack = device.ack();
        feed(engine, device, &ack);
    }
    assert_eq!(engine.counters().tcp_connected, 0);
}

#[test]
fn rings_that_are_kept_are_given_back_when_no_flow_ends_any_more() {
    let mut engine = Engine::new(seeded()).expect("sound settings");
    let before = heap::held();
    come_and_go(&mut engine, 20_000..20_100);
    let busy = heap::held() - before;
    assert!(busy < 3 << 20, "{busy}");
    engine.handle_timeout(NOW.plus(Duration::from_secs(2)));
    let idle = heap::held() - before;
    assert!(idle < 400_000, "{idle}");
}

#[test]
fn a_flow_takes_the_rings_of_one_that_has_ended() {
    let mut engine = Engine::new(seeded()).expect("sound settings");
    let mut held = Vec::new();
    for round in 0..20 {
        let port = 20_000 + round;
        come_and_go(&mut engine, port..port + 1);
        let before = heap::held();
        let (device, _) = open(&mut engine, 30_000 + round);
        let address = device.local.ip();
        drop(device);
        held.push(heap::held() - before);
        // Without a frame, and not in order: its rings go back to the allocator.
        engine.path_changed(NOW, PathChange::AddressLost(address));
        while engine.poll_output(NOW).is_some() {}
    }
    assert!(held.iter().all(|held| *held < 8192), "{held:?}");
}
