//! One cell of the tables: a contender, a workload, a number of flows; run in a process of its own.

use std::sync::{Arc, Mutex};
use std::time::Instant;

use serde::{Deserialize, Serialize};

use crate::clock::{Meter, process_cpu, resident};
use crate::contender::{Contender, Preset};
use crate::load::{Load, lock};
use crate::run;
use crate::stacks::Settings;
use crate::workload::{SEGMENT, Workload};

/// Bytes of the longest packet in every cell.
pub const MTU: usize = 1500;

/// What a cell came to.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Figure {
    /// What one unit cost: nanoseconds of the stack's processor time, or bytes resident.
    pub cost: f64,
    /// Units: segments of 1,460 bytes, connections, datagrams, flows.
    pub units: u64,
    /// Processor time of the process, in nanoseconds.
    pub cpu: u64,
    /// Of it the load's: device and verification.
    pub load: u64,
    /// Wall time, in nanoseconds.
    pub wall: u64,
    /// Of it with nothing to do.
    pub parked: u64,
    /// Frames to the stack, and from it.
    pub frames: (u64, u64),
    /// Segments that the device sent again.
    pub retransmissions: u64,
}

/// Runs a cell.
///
/// # Errors
/// What was lost, altered or stuck.
pub fn run(
    contender: Contender,
    workload: Workload,
    flows: usize,
    quick: bool,
) -> Result<Figure, String> {
    let meter = Arc::new(Meter::new());
    let load = Load::new(workload, flows, quick, MTU, Arc::clone(&meter));
    match contender {
        Contender::Core | Contender::Bare => {
            let mut load = load;
            let start = Start::now(&meter);
            if contender == Contender::Core {
                let engine = run::core::run(Preset::Default, flows, &mut load)?;
                let figure = start.figure(workload, flows, quick, &meter, &load);
                drop(engine);
                Ok(figure)
            } else {
                let sockets = run::bare::run(&mut load)?;
                let figure = start.figure(workload, flows, quick, &meter, &load);
                drop(sockets);
                Ok(figure)
            }
        }
        Contender::Ours(_) | Contender::Rival(..) => {
            on_tokio(contender, workload, flows, quick, &meter, load)
        }
    }
}

fn on_tokio(
    contender: Contender,
    workload: Workload,
    flows: usize,
    quick: bool,
    meter: &Arc<Meter>,
    load: Load,
) -> Result<Figure, String> {
    let (park, unpark) = (Arc::clone(meter), Arc::clone(meter));
    // One worker for all, and a runtime of several threads, because ipstack needs that kind.
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_time()
        .on_thread_park(move || park.park())
        .on_thread_unpark(move || unpark.unpark())
        .build()
        .map_err(|problem| problem.to_string())?;
    let shared = Arc::new(Mutex::new(load));
    let (task, counted) = (Arc::clone(&shared), Arc::clone(meter));
    // On the worker, as everything else.
    let done = runtime.spawn(async move {
        let start = Start::now(&counted);
        let figure = |load: &Load| start.figure(workload, flows, quick, &counted, load);
        match contender {
            Contender::Rival(kind, buffers) => {
                let settings = Settings { mtu: MTU, buffers };
                let stack = run::rival::run(kind, settings, Arc::clone(&task)).await?;
                let figure = figure(&lock(&task));
                drop(stack);
                Ok(figure)
            }
            Contender::Ours(preset) => {
                let handle = run::driver::run(preset, flows, MTU, Arc::clone(&task)).await?;
                let figure = figure(&lock(&task));
                handle.stop();
                Ok(figure)
            }
            _ => Err("runs without tokio".to_owned()),
        }
    });
    let result = runtime
        .block_on(done)
        .map_err(|problem| problem.to_string());
    // Some stacks do not let go of a runtime; the process ends anyway.
    runtime.shutdown_background();
    result?
}

/// Clocks at the start.
struct Start {
    cpu: u64,
    wall: Instant,
    resident: u64,
}

impl Start {
    fn now(meter: &Meter) -> Self {
        meter.reset();
        Self {
            resident: resident(),
            cpu: process_cpu(),
            wall: Instant::now(),
        }
    }

    fn figure(
        &self,
        workload: Workload,
        flows: usize,
        quick: bool,
        meter: &Meter,
        load: &Load,
    ) -> Figure {
        let cpu = process_cpu() - self.cpu;
        let wall = self.wall.elapsed().as_nanos() as u64;
        let spent = meter.spent();
        let stack = cpu as f64 - spent.load;
        let totals = load.device().totals();
        let units = match workload {
            // By bytes, whatever the segments were.
            Workload::Up | Workload::Down => {
                workload.units(flows, quick) / flows as u64 * SEGMENT * flows as u64 / SEGMENT
            }
            _ => workload.units(flows, quick),
        };
        let cost = if workload.weighs() {
            resident().saturating_sub(self.resident) as f64 / flows as f64
        } else {
            stack / units as f64
        };
        Figure {
            cost,
            units,
            cpu,
            load: spent.load as u64,
            wall,
            parked: spent.parked as u64,
            frames: (load.frames_in(), totals.frames),
            retransmissions: totals.retransmissions,
        }
    }
}
