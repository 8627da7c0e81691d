//! Workloads for benches: the same device and far sides for every stack, every byte verified; and captures as large as asked for.

mod bare;
pub mod capture;
mod counted;
pub mod frames;
pub mod rings;
pub mod times;
pub mod traffic;
pub mod workload;
