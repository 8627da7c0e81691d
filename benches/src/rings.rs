//! `benches rings`: what the bound of a flow's rings is worth: how fast one flow goes through the engine, and how long a lossy
//! one takes.
//!
//! Speed is that of the engine's calls alone, of one flow that carries as many segments as `SHARE` says, the least of several runs. The
//! time with loss is virtual: nothing but timers and windows makes it, so that it is the same on every machine.

use std::time::Duration;

use replay::load::{Device, Session, Weather, clock};

use crate::workload::{Workload, config, verify};

/// Runs of each figure.
const RUNS: usize = 3;
/// Segments of a flow.
const SHARE: u64 = 40_000;
/// The bounds, KiB.
const RINGS: [usize; 8] = [8, 16, 32, 64, 128, 256, 512, 1024];
/// Frames lost out of a thousand.
const LOSSES: [u32; 2] = [1, 10];

/// Prints the table.
///
/// # Errors
/// What was lost, altered or stuck in a run.
pub fn print() -> Result<(), String> {
    println!(
        "ring KiB   up Gbit/s   down Gbit/s   down, 0.1 % lost: ms a MiB   1 % lost: ms a MiB"
    );
    for ring in RINGS {
        let (up, down) = (
            speed(Workload::BulkUp, ring << 10)?,
            speed(Workload::BulkDown, ring << 10)?,
        );
        let [few, many] = [lossy(ring << 10, LOSSES[0])?, lossy(ring << 10, LOSSES[1])?];
        println!("{ring:8} {up:11.1} {down:13.1} {few:29.2} {many:20.2}");
    }
    Ok(())
}

fn session(workload: Workload, ring: usize) -> Result<Session, String> {
    let mut config = config(1);
    if ring < config.rx_ring() {
        (config.rx_buffer, config.tx_buffer) = (Some(ring), Some(ring));
    }
    (config.rx_limit, config.tx_limit) = (ring, ring);
    let mut device = Device::new(config.mtu);
    device.add(vec![workload.plan(SHARE)]);
    Session::new(config, device).map_err(|problem| problem.to_string())
}

fn run(session: &mut Session) -> Result<(), String> {
    session.run().map_err(|stalled| stalled.to_string())?;
    verify(&session.device, &session.far)
}

/// Gbit of payload a second.
fn speed(workload: Workload, ring: usize) -> Result<f64, String> {
    let overhead = clock::overhead();
    let mut least = Duration::MAX;
    for _ in 0..RUNS {
        let mut session = session(workload, ring)?;
        clock::watch();
        let done = run(&mut session);
        let spent = clock::spent();
        done?;
        let calls = u32::try_from(spent.calls).unwrap_or(u32::MAX);
        least = least.min(spent.time.saturating_sub(overhead * calls));
    }
    let bits = (SHARE * 1460 * 8) as f64;
    Ok(bits / least.as_secs_f64() / 1e9)
}

/// Virtual milliseconds that a MiB toward the device takes while frames are lost both ways.
fn lossy(ring: usize, loss: u32) -> Result<f64, String> {
    let mut session = session(Workload::BulkDown, ring)?;
    let began = session.now();
    session.set_weather(Weather::new(loss, 0, 1));
    run(&mut session)?;
    let took = session.now().since(began).as_secs_f64() * 1e3;
    Ok(took / ((SHARE * 1460) as f64 / f64::from(1 << 20)))
}
