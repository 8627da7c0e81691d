//! `replay run --stack engine`: the engine behind the protocol that other stacks speak, to tell faults of the protocol
//! from those of a stack. Also the shortest whole program of its kind: see docs/STACK_PROTOCOL.md.

use std::io;
use std::process::ExitCode;

fn main() -> ExitCode {
    let mut output = io::BufWriter::new(io::stdout().lock());
    match replay::stack::serve_engine(io::stdin().lock(), &mut output) {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            eprintln!("error: {problem}");
            ExitCode::FAILURE
        }
    }
}
