//! One workload on the engine, in this process: what a profiler or a clock is pointed at.
//!
//! ```text
//! benches WORKLOAD [FLOWS [SHARE]]       prints one line of JSON: frames, bytes, seconds
//! benches times                          nanoseconds of the engine per frame, and the floor under them
//! benches rings                          what the bound of a flow's rings is worth
//! benches capture BYTES FILE [SEED]     makes a capture, pcapng if FILE is named so
//! ```

use std::fs::File;
use std::io::BufWriter;
use std::process::ExitCode;
use std::time::Instant;

use benches::traffic::{Format, Traffic};
use benches::workload::{Workload, run};
use benches::{rings, times};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let table = match arguments.first().map(String::as_str) {
        Some("times") => Some(times::print()),
        Some("rings") => Some(rings::print()),
        _ => None,
    };
    if let Some(printed) = table {
        return match printed {
            Ok(()) => ExitCode::SUCCESS,
            Err(trouble) => {
                eprintln!("{trouble}");
                ExitCode::FAILURE
            }
        };
    }
    if let [word, bytes, file, seed @ ..] = arguments.as_slice()
        && word == "capture"
    {
        return capture(bytes, file, seed.first().map_or("1", String::as_str));
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
        eprintln!("or: benches times, benches rings");
        return ExitCode::from(2);
    };
    let flows = flows.map_or_else(|| workload.flows(), |flows| flows as usize);
    let share = share.map_or_else(|| workload.share(flows), u64::from);
    let began = Instant::now();
    match run(workload, flows, share) {
        Ok(done) => {
            println!(
                "{{\"workload\":\"{}\",\"flows\":{flows},\"frames_in\":{},\"frames_out\":{},\"bytes\":{},\"served\":{},\"ticks\":{},\"seconds\":{:.4}}}",
                workload.name(),
                done.frames_in,
                done.frames_out,
                done.bytes,
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

/// Makes a capture file.
fn capture(bytes: &str, file: &str, seed: &str) -> ExitCode {
    let (Ok(size), Ok(seed)) = (bytes.parse(), seed.parse()) else {
        eprintln!("usage: benches capture BYTES FILE [SEED], with numbers for BYTES and SEED");
        return ExitCode::from(2);
    };
    let format = if file.ends_with(".pcapng") {
        Format::Pcapng
    } else {
        Format::Pcap
    };
    let traffic = Traffic { size, seed, format };
    let made = File::create(file).and_then(|file| traffic.write(BufWriter::new(file)));
    match made {
        Ok(made) => {
            println!(
                "{{\"packets\":{},\"flows\":{},\"bytes\":{}}}",
                made.packets, made.flows, made.bytes
            );
            ExitCode::SUCCESS
        }
        Err(problem) => {
            eprintln!("{file}: {problem}");
            ExitCode::FAILURE
        }
    }
}
