//! `replay run --stack engine`: the engine behind the protocol that other stacks speak, to tell faults of the protocol
//! from those of a stack. Also the shortest whole program of its kind: see docs/STACK_PROTOCOL.md.
//!
//! `replay-stack-engine ffi` is the engine by way of the C ABI: what programs in other languages over the same ABI, which speak the
//! protocol as well, are held against line by line.

use std::io;
use std::process::ExitCode;

use replay::stack::Via;

fn main() -> ExitCode {
    let mut output = io::BufWriter::new(io::stdout().lock());
    let via = match std::env::args().nth(1).as_deref() {
        None | Some("core") => Via::Core,
        Some("driver") => Via::Driver,
        Some("ffi") => Via::Ffi,
        Some(other) => {
            eprintln!("error: {other:?} is no way into the engine; there are core, driver and ffi");
            return ExitCode::from(2);
        }
    };
    match replay::stack::serve_engine(&via, io::stdin().lock(), &mut output) {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            eprintln!("error: {problem}");
            ExitCode::FAILURE
        }
    }
}
