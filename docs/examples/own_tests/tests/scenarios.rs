//! Every scenario of this project passes; what does not is reported as `replay run` would.

#[test]
fn every_scenario_passes() -> Result<(), replay::Failed> {
    replay::check("expectations").map(drop)
}
