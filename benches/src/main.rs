//! One workload on the engine, in this process: what a profiler or a clock is pointed at.
//!
//! ```text
//! benches WORKLOAD [FLOWS]       prints one line of JSON: frames, octets, seconds
//! ```

use std::process::ExitCode;
use std::time::Instant;

use benches::workload::{Workload, run};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let workload = arguments.first().and_then(|name| Workload::named(name));
    let flows = arguments
        .get(1)
        .map_or(Ok(None), |text| text.parse().map(Some));
    let (Some(workload), Ok(flows)) = (workload, flows) else {
        eprintln!("usage: benches WORKLOAD [FLOWS], with WORKLOAD one of");
        for workload in Workload::ALL {
            eprintln!("  {:14} {}", workload.name(), workload.what());
        }
        return ExitCode::from(2);
    };
    let flows = flows.unwrap_or_else(|| workload.flows());
    let began = Instant::now();
    match run(workload, flows) {
        Ok(done) => {
            println!(
                "{{\"workload\":\"{}\",\"flows\":{flows},\"frames_in\":{},\"frames_out\":{},\"octets\":{},\"seconds\":{:.4}}}",
                workload.name(),
                done.frames_in,
                done.frames_out,
                done.octets,
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
