//! Workloads for benches: the same device and far sides for every stack, every octet verified.

mod bare;
mod counted;
pub mod times;
pub mod workload;
