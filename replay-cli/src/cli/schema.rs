//! `replay schema`: the JSON Schema of a file format.

use clap::{Args, ValueEnum};

use super::Stop;
use crate::base::exit_code;
use crate::base::term::Terminal;
use crate::scenario::schema::scenario_schema_text;

#[derive(Debug, Args)]
#[command(after_long_help = "Examples:\n  replay schema > scenario.schema.json")]
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
    /// What `replay stress --format json` prints.
    StressReport,
}

pub(crate) fn run(args: &SchemaArgs, terminal: &mut Terminal<'_>) -> Result<u8, Stop> {
    let text = match args.format {
        SchemaOf::Scenario => scenario_schema_text(),
        SchemaOf::Stress => crate::load::stress::schema_text(),
        SchemaOf::StressReport => crate::load::stress::report_schema_text(),
    };
    terminal.out().write_all(text.as_bytes())?;
    Ok(exit_code::SUCCESS)
}
