//! Other TUN stacks behind one interface, and this project's engine beside them: for benches, probes, and the
//! `replay-stack-*` programs.

pub mod cell;
pub mod clock;
pub mod contender;
pub mod load;
pub mod probes;
pub mod program;
mod run;
pub mod stacks;
pub mod table;
pub mod workload;
