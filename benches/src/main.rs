//! One workload on the engine, in this process: what a profiler or a clock is pointed at.
//!
//! ```text
//! benches WORKLOAD [FLOWS [SHARE]]       prints one line of JSON: frames, octets, seconds
//! benches times                          nanoseconds of the engine per frame, and the floor under them
//! ```

use std::process::ExitCode;
use std::time::Instant;

use benches::times;
use benches::workload::{Workload, run};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments == ["times"] {
        return match times::print() {
            Ok(()) => ExitCode::SUCCESS,
            Err(trouble) => {
                eprintln!("{trouble}");
                ExitCode::FAILURE
            }
        };
    }
    let workload = arguments.first().and_then(|name| Workload::named(name));
    let number = |at: usize| {
        arguments
            .get(at)
            .map(|text| text.parse::<u32>())
            .transpose()
    };
    let (Some(workload), Ok(flows), Ok(share)) = (workload, number(1), number(2)) else {
        eprintln!("usage: benches WORKLOAD [FLOWS [SHARE]], with WORKLOAD one of");
        for workload in Workload::ALL {
            eprintln!("  {:14} {}", workload.name(), workload.what());
        }
        eprintln!("or: benches times");
        return ExitCode::from(2);
    };
    let flows = flows.map_or_else(|| workload.flows(), |flows| flows as usize);
    let share = share.map_or_else(|| workload.share(flows), u64::from);
    let began = Instant::now();
    match run(workload, flows, share) {
        Ok(done) => {
            println!(
                "{{\"workload\":\"{}\",\"flows\":{flows},\"frames_in\":{},\"frames_out\":{},\"octets\":{},\"served\":{},\"ticks\":{},\"seconds\":{:.4}}}",
                workload.name(),
                done.frames_in,
                done.frames_out,
                done.octets,
                done.served,
                done.ticks,
                began.elapsed().as_secs_f64(),
            );
            ExitCode::SUCCESS
        }
        Err(trouble) => {
            eprintln!("{}: {trouble}", workload.name());
            ExitCode::FAILURE
        }
    }
}
