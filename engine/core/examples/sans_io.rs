//! The engine without a driver: one thread, one channel of inputs, and the wait that the engine asks for.
//!
//!     cargo run -p packet-tunnel-engine --example sans_io
//!
//! A device pings and connects; nobody ever answers the dial, and it is the engine's own timer that ends the flow.

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
    let mut open = true;
    while open {
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
                // Who connects says so from its own thread: `inputs.send(Input::Dialed(flow, DialResult::Connected))`.
                Output::Dial { key, .. } => println!("connect to {}", key.server),
                Output::Data { bytes, .. } => println!("{} bytes up", bytes.took_all().len()),
                Output::Close { key, close, .. } => {
                    println!("{} ended: {}", key.server, close.how.label());
                    open = false;
                }
                _ => {}
            }
        }
    }
    Ok(())
}

/// A ping, and the first segment of a connection.
fn device() -> Result<[Vec<u8>; 2], Box<dyn Error>> {
    let ip = || PacketBuilder::ipv4([10, 0, 0, 2], [203, 0, 113, 80], 64);
    let (mut ping, mut syn) = (Vec::new(), Vec::new());
    ip().icmpv4_echo_request(1, 1).write(&mut ping, b"ping")?;
    ip().tcp(40_000, 80, 1, 65_535).syn().write(&mut syn, &[])?;
    Ok([ping, syn])
}
