//! Other TUN stacks behind one interface, and this project's engine beside them: for benches, probes, and the
//! `replay-stack-*` programs.

pub mod stacks;
