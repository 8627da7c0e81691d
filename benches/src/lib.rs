//! Workloads for benches: the same device and far sides for every stack, every octet verified.

pub mod workload;
