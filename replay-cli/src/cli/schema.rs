//! `replay schema`: the JSON Schema of a file format, or of what a command prints for programs.

use clap::{Args, ValueEnum};

use super::Stop;
use crate::base::exit_code;
use crate::base::term::Terminal;
use crate::load::stress;
use crate::scenario::schema::scenario_schema_text;

#[derive(Debug, Args)]
#[command(
    after_long_help = "Examples:\n  replay schema > scenario.schema.json\n  replay schema run-report"
)]
pub(crate) struct SchemaArgs {
    /// Which format.
    #[arg(value_enum, default_value_t)]
    format: SchemaOf,
}

/// A format with a schema.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum SchemaOf {
    /// The scenario files under expectations/.
    #[default]
    Scenario,
    /// The stress scenarios of `replay stress`.
    Stress,
    /// What `replay run --format json` prints.
    RunReport,
    /// What `replay run --list --format json` prints.
    RunList,
    /// What `replay run --vacuity --format json` prints.
    VacuityReport,
    /// What `replay conformance --format json` prints.
    ConformanceReport,
    /// What `replay coverage --format json` prints.
    CoverageReport,
    /// What `replay try --format json` prints.
    TryReport,
    /// What `replay inspect --format json` prints.
    InspectReport,
    /// What `replay stress --format json` prints.
    StressReport,
}

/// The text of a schema that is written by hand; tests hold what the commands print against it.
macro_rules! written {
    ($name:literal) => {
        include_str!(concat!("../../schemas/", $name, ".schema.json")).to_owned()
    };
}

pub(crate) fn run(args: &SchemaArgs, terminal: &mut Terminal<'_>) -> Result<u8, Stop> {
    let text = match args.format {
        SchemaOf::Scenario => scenario_schema_text(),
        SchemaOf::Stress => stress::schema_text(),
        SchemaOf::RunReport => written!("run-report"),
        SchemaOf::RunList => written!("run-list"),
        SchemaOf::VacuityReport => written!("vacuity-report"),
        SchemaOf::ConformanceReport => written!("conformance-report"),
        SchemaOf::CoverageReport => written!("coverage-report"),
        SchemaOf::TryReport => written!("try-report"),
        SchemaOf::InspectReport => written!("inspect-report"),
        SchemaOf::StressReport => stress::report_schema_text(),
    };
    terminal.out().write_all(text.as_bytes())?;
    Ok(exit_code::SUCCESS)
}
