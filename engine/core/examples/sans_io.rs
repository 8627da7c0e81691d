//! The engine without a driver: one thread, one channel of inputs, and the wait that the engine asks for.
//!
//!     cargo run -p packet-tunnel-engine --example sans_io
//!
//! A device pings and connects twice; one dial is refused, the other never answered, and the engine's own timer ends that flow.

#![expect(
    clippy::disallowed_types,
    clippy::disallowed_methods,
    reason = "this is a host: the clock and the entropy that the engine has not are its own"
)]

use std::collections::hash_map::RandomState;
use std::error::Error;
use std::hash::{BuildHasher, Hasher};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, Instant};

use engine::{Config, DialResult, Engine, FlowId, Micros, Output};
use etherparse::PacketBuilder;

/// What comes in: frames of the device, answers of the dialer, and likewise `remote_data` and what else there is.
enum Input {
    Frame(Vec<u8>),
    Dialed(FlowId, DialResult),
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut engine = Engine::new(Config {
        seed: Some(RandomState::new().build_hasher().finish()),
        dial_timeout: Duration::from_millis(200),
        ..Config::phone()
    })?;
    let (inputs, inbox) = mpsc::channel();
    for frame in device()? {
        inputs.send(Input::Frame(frame))?;
    }
    let started = Instant::now();
    // Never zero, and never running back.
    let now = || Micros(1).plus(started.elapsed());
    let mut closes = 0;
    while closes < 2 {
        let deadline = engine.poll_timeout();
        let wait = deadline.map_or(Duration::MAX, |due| due.at.since(now()));
        match inbox.recv_timeout(wait) {
            Ok(Input::Frame(frame)) => engine.handle_frames(now(), [frame.as_slice()]),
            Ok(Input::Dialed(flow, result)) => engine.dial_result(now(), flow, result)?,
            Err(RecvTimeoutError::Timeout) => engine.handle_timeout(now()),
            Err(RecvTimeoutError::Disconnected) => break,
        }
        while let Some(output) = engine.poll_output(now()) {
            match output {
                Output::Frames(frames) => println!("{} frame for the device", frames.len()),
                Output::Dial { flow, key, .. } => {
                    println!("connect to {}", key.server);
                    // Who connects says so when it knows, from whatever thread.
                    if key.server.port() == 80 {
                        inputs.send(Input::Dialed(flow, DialResult::Refused))?;
                    }
                }
                Output::Data { bytes, .. } => println!("{} bytes up", bytes.took_all().len()),
                Output::Close { key, close, .. } => {
                    println!("{} ended: {}", key.server, close.how.label());
                    closes += 1;
                }
                _ => {}
            }
        }
    }
    Ok(())
}

/// A ping, and the first segments of two connections.
fn device() -> Result<[Vec<u8>; 3], Box<dyn Error>> {
    let ip = || PacketBuilder::ipv4([10, 0, 0, 2], [203, 0, 113, 80], 64);
    let mut frames = [Vec::new(), Vec::new(), Vec::new()];
    let [ping, first, second] = &mut frames;
    ip().icmpv4_echo_request(1, 1).write(ping, b"ping")?;
    ip().tcp(40_000, 80, 1, 65_535).syn().write(first, &[])?;
    ip().tcp(40_001, 81, 1, 65_535).syn().write(second, &[])?;
    Ok(frames)
}
