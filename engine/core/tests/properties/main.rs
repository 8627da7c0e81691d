//! What holds whatever a device, a dialer and a clock do.

#[path = "../support/mod.rs"]
mod support;

mod closes;
mod limits;

use proptest::prelude::ProptestConfig;

fn config(cases: u32) -> ProptestConfig {
    ProptestConfig {
        cases,
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}
