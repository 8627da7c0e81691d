//! In a steady state no packet costs an allocation, whichever way it goes.

use core::time::Duration;

use engine::{DialResult, Engine, FlowId, Micros, Output};

use super::seeded;
use super::support::{Device, Family, Packet, Udp, heap};

/// An engine whose calls are watched for allocations.
struct Watched {
    engine: Engine,
    now: Micros,
    taken: u64,
}

impl Watched {
    fn call<R>(&mut self, call: impl FnOnce(&mut Engine, Micros) -> R) -> R {
        let before = heap::taken();
        let result = call(&mut self.engine, self.now);
        self.taken += heap::taken() - before;
        result
    }

    /// Takes everything the engine says; shows the device what is for it. The flow that was dialed, the bytes and
    /// datagrams that were handed over.
    fn drain(&mut self, device: &mut Device) -> (Option<FlowId>, usize) {
        let (mut dialed, mut total) = (None, 0);
        loop {
            let before = heap::taken();
            let output = self.engine.poll_output(self.now);
            self.taken += heap::taken() - before;
            match output {
                None => return (dialed, total),
                Some(Output::Dial { flow, .. }) => dialed = Some(flow),
                Some(Output::Data { bytes, .. }) => total += bytes.took_all().len(),
                Some(Output::Datagram { payload, .. }) => total += payload.len(),
                Some(Output::Frames(frames)) => {
                    for frame in frames {
                        if let Packet::Tcp(segment) = Packet::read(frame) {
                            device.take(&segment);
                        }
                    }
                }
                Some(_) => {}
            }
        }
    }

    fn dial(&mut self, device: &mut Device, frame: &[u8]) -> FlowId {
        self.engine.handle_frames(self.now, [frame]);
        let flow = self.drain(device).0.expect("a dial");
        self.engine
            .dial_result(self.now, flow, DialResult::Connected)
            .expect("a pending dial");
        self.drain(device);
        flow
    }

    /// Time passes, and timers are looked at as a driver does.
    fn pass(&mut self) {
        self.now = self.now.plus(Duration::from_micros(100));
        let due = self.call(|engine, _| engine.poll_timeout());
        if due.is_some_and(|deadline| deadline.at <= self.now) {
            self.call(Engine::handle_timeout);
        }
    }
}

#[test]
fn packets_of_open_flows_cost_no_allocation() {
    for family in [Family::V4, Family::V6] {
        let mut watched = Watched {
            engine: Engine::new(seeded()).expect("sound settings"),
            now: Micros::from_secs(1000),
            taken: 0,
        };
        let mut device = Device::on_port(family, 20_000, 443);
        let syn = device.syn();
        let stream = watched.dial(&mut device, &syn);
        watched
            .engine
            .handle_frames(watched.now, [&device.ack()[..]]);
        watched.drain(&mut device);
        let udp = Udp::new(family, 30_000, 4433);
        let mapping = watched.dial(&mut device, &udp.send(&[1; 400]));
        let (payload, datagram) = ([7; 1200], udp.send(&[3; 400]));
        let mut warm = 0;
        for round in 0..1200 {
            if round == 200 {
                // Rings have wrapped, arenas and tables have grown to what they need.
                warm = watched.taken;
            }
            let frame = device.data(&payload);
            watched.call(|engine, now| engine.handle_frames(now, [&frame[..], &datagram]));
            assert_eq!(watched.drain(&mut device).1, 1600);
            let sent = watched
                .call(|engine, now| engine.remote_data(now, stream, &payload))
                .expect("an open flow");
            assert_eq!(sent, 1200, "the device keeps up");
            watched
                .call(|engine, now| engine.remote_datagram(now, mapping, &[4; 400]))
                .expect("an open mapping");
            watched.drain(&mut device);
            let frame = device.ack();
            watched.call(|engine, now| engine.handle_frames(now, [&frame[..]]));
            watched.drain(&mut device);
            watched.pass();
        }
        assert_eq!(watched.taken, warm, "{family:?}");
        assert!(warm > 0, "nothing was watched");
    }
}

#[test]
fn an_idle_engine_waits_for_idle_limits_only() {
    let mut watched = Watched {
        engine: Engine::new(seeded()).expect("sound settings"),
        now: Micros::from_secs(1000),
        taken: 0,
    };
    assert_eq!(watched.engine.poll_timeout(), None);
    let mut device = Device::on_port(Family::V4, 20_000, 443);
    let syn = device.syn();
    watched.dial(&mut device, &syn);
    for frame in [device.ack(), device.data(&[7; 1200])] {
        watched.engine.handle_frames(watched.now, [&frame[..]]);
        watched.drain(&mut device);
    }
    let deadline = watched.engine.poll_timeout().expect("an idle limit");
    assert!(deadline.timer.is_idle(), "{deadline:?}");
    assert!(
        deadline.at > watched.now.plus(Duration::from_secs(60)),
        "{deadline:?}"
    );
}
