//! `replay inspect`: what a capture holds, and what is wrong with it.

use std::path::PathBuf;

use clap::Args;

use super::arguments::{Flows, Format, Tunnels};
use super::{Stop, code_if};
use crate::base::diagnostic::Diagnostic;
use crate::base::exit_code;
use crate::base::term::Terminal;
use crate::capture::inspect::inspect;
use crate::report::inspect::{human, json, unmet};

#[derive(Debug, Args)]
#[command(after_long_help = EXAMPLES)]
pub(crate) struct InspectArgs {
    /// The capture: pcap, pcapng, snoop or ERF, packed (gzip, zstd, xz, lz4) or not, of any size.
    capture: PathBuf,

    #[command(flatten)]
    tunnels: Tunnels,

    #[command(flatten)]
    flows: Flows,

    /// The form of the report.
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

const EXAMPLES: &str = "\
Examples:
  replay inspect phone.pcapng
  replay inspect phone.pcapng --failed --time wall
  replay inspect phone.pcapng --flow www.example.com
  replay inspect phone.pcapng --format json

Exit codes:
  0  the file is sound, whatever is in it
  3  the file is missing, no capture, or damaged; what stands before the damage is described
  4  no flow is what --flow asks for";

pub(crate) fn run(args: &InspectArgs, terminal: &mut Terminal<'_>) -> Result<u8, Stop> {
    let seen =
        inspect(&args.capture, args.tunnels.decap).map_err(|error| Stop::input(error.into()))?;
    let damage = seen.damage.as_ref().map(Diagnostic::from);
    let style = terminal.style;
    let view = args.flows.view(terminal.width);
    match args.format {
        Format::Human => human(terminal.out(), &args.capture, &seen, &view, style)?,
        Format::Json => {
            let value = json(&args.capture, &seen, damage.as_ref(), &view);
            writeln!(terminal.out(), "{value:#}")?;
        }
    }
    let unmet = unmet(&seen, &view);
    if let Some(line) = &unmet {
        terminal.say(line)?;
    }
    if let Some(damage) = damage {
        terminal.diagnose(&damage)?;
        return Ok(exit_code::BAD_INPUT);
    }
    Ok(code_if(unmet.is_some(), exit_code::NOTHING_SELECTED))
}
