//! `replay show`: what happened in a run, packet by packet, in the terminal.

use std::path::{Path, PathBuf};

use clap::Args;

use super::arguments::{self, WayIn};
use super::{Stop, batch, code_if};
use crate::base::diagnostic::Diagnostic;
use crate::base::exit_code;
use crate::base::term::{Paint, Terminal, printable};
use crate::report::ladder::{Ladder, text};
use crate::report::likely::likely;
use crate::scenario::discover::FoundKind;
use crate::verdict::attempt::{TryOptions, watch_capture};
use crate::verdict::run::{RunOptions, Tracing, run_file};

mod against;

#[derive(Debug, Args)]
#[command(after_long_help = EXAMPLES)]
pub(crate) struct ShowArgs {
    /// A scenario or packetdrill script, by its file or its name, or a capture, which is replayed.
    what: PathBuf,

    /// One flow: its name, or its number as `replay try` counts.
    #[arg(long, value_name = "NAME|N")]
    flow: Option<String>,

    /// The events around the first divergence, or around a time in seconds.
    #[arg(long, value_name = "divergence|T")]
    around: Option<Around>,

    /// Draw a ladder: device, engine, far side, time downwards; without it a line for each event.
    #[arg(long)]
    ladder: bool,

    /// Compare with another scenario or capture, flow by flow: where the first difference is.
    #[arg(long, value_name = "SCENARIO|CAPTURE", conflicts_with_all = ["around", "ladder"])]
    against: Option<PathBuf>,

    /// How the engine is driven.
    #[arg(long, value_enum, default_value_t)]
    via: WayIn,

    #[command(flatten)]
    files: arguments::Reading,
}

const EXAMPLES: &str = "\
Examples:
  replay show http/get                             a line for each event
  replay show http/get --ladder                    drawn as a ladder
  replay show wrong.json --ladder --around divergence
  replay show phone.pcapng --flow 3 --ladder       one flow of a capture
  replay show good.pcapng --against bad.pcapng     the first difference

Exit codes:
  0  it was shown; with --against, nothing differs
  1  with --against: something differs
  3  the file is missing, invalid or damaged, or has no such flow
  4  there is nothing to show";

/// Which events are shown.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Around {
    Divergence,
    /// Microseconds.
    Time(u64),
}

impl std::str::FromStr for Around {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "divergence" {
            return Ok(Self::Divergence);
        }
        let seconds: f64 = text.trim_end_matches('s').parse().map_err(|_| {
            format!("`{text}` is neither `divergence` nor a time in seconds, such as 1.25")
        })?;
        let time = std::time::Duration::try_from_secs_f64(seconds)
            .map_err(|_| format!("`{text}` is no time of a run"))?;
        let micros = u64::try_from(time.as_micros());
        Ok(Self::Time(micros.unwrap_or(u64::MAX)))
    }
}

/// Events shown on either side.
const AROUND: usize = 12;
/// Events that are kept of one run, the last ones.
const EVENTS_KEPT: usize = 200_000;

/// What is shown of one run.
struct Shown {
    name: String,
    ladder: Ladder,
    /// Its flows by number, as they are called in the ladder.
    numbered: Vec<String>,
    /// What most likely led to its failure, and the lines that prove it.
    likely: Option<(String, Vec<String>)>,
}

pub(crate) fn run(args: &ShowArgs, terminal: &mut Terminal<'_>) -> Result<u8, Stop> {
    batch::check_captures(args.files.captures.as_deref())?;
    let mut shown = read(&args.what, args)?;
    if let Some(other) = &args.against {
        let mut others = read(other, args)?;
        let (Some(one), Some(other)) = (shown.pop(), others.pop()) else {
            return Ok(exit_code::NOTHING_SELECTED);
        };
        let flow = args.flow.as_deref();
        let one = of_flow(one, flow, &args.what)?;
        let other = of_flow(other, flow, &args.what)?;
        let style = terminal.style;
        let names = (one.name.as_str(), other.name.as_str());
        let differ = against::compare(terminal.out(), names, &one.ladder, &other.ladder, style)?;
        return Ok(code_if(differ, exit_code::EXPECTATION_FAILED));
    }
    let mut any = false;
    for one in shown {
        let one = of_flow(one, args.flow.as_deref(), &args.what)?;
        any |= !one.ladder.rungs.is_empty();
        print(&one, args, terminal)?;
    }
    if any {
        return Ok(exit_code::SUCCESS);
    }
    terminal.say("nothing to show: nothing crossed the engine's border")?;
    Ok(exit_code::NOTHING_SELECTED)
}

/// The runs of a scenario, one for each family, or of a capture.
fn read(what: &Path, args: &ShowArgs) -> Result<Vec<Shown>, Stop> {
    let is_scenario = |extension: &std::ffi::OsStr| extension == "json" || extension == "pkt";
    if what.is_file() && !what.extension().is_some_and(is_scenario) {
        let options = TryOptions {
            via: args.via.into(),
            ..TryOptions::default()
        };
        let watched = watch_capture(what, &options, Some(EVENTS_KEPT)).map_err(Stop::input)?;
        let flows = watched.attempt.flows.iter();
        let numbered =
            flows.map(|flow| format!("{} {} > {}", flow.protocol, flow.client, flow.server));
        let ladder = watched.trace.map(|trace| Ladder::of(&trace, None));
        return Ok(vec![Shown {
            name: what.display().to_string(),
            numbered: numbered.collect(),
            ladder: ladder.unwrap_or_default(),
            likely: None,
        }]);
    }
    let found = batch::select(&[what.to_owned()], "")?.found;
    let [only] = found.as_slice() else {
        let problem = Diagnostic::new("this is not one scenario").in_file(what);
        let help = "name one: `replay run --list` has their names";
        return Err(Stop::input(problem.help(help)));
    };
    if only.kind == FoundKind::Stress {
        let problem = Diagnostic::new("events of a load are not kept").in_file(what);
        let help = "`replay stress --html DIR` draws it over time";
        return Err(Stop::input(problem.help(help)));
    }
    let options = RunOptions {
        trace: Tracing::Always,
        via: args.via.into(),
        ..args.files.options()
    };
    let mut shown = Vec::new();
    for outcome in run_file(&only.path, &options) {
        let Some(trace) = outcome.trace else {
            return match outcome.verdict {
                crate::verdict::outcome::Verdict::Invalid(problems) => {
                    Err(Stop::Refused(problems, exit_code::BAD_INPUT))
                }
                _ => continue,
            };
        };
        let first = outcome.failures.first();
        let ladder = Ladder::of(&trace, first);
        let found = first.and_then(|first| likely(&trace, &ladder, first));
        shown.push(Shown {
            name: outcome.name,
            numbered: ladder.flows().into_iter().map(str::to_owned).collect(),
            likely: found.map(|found| (found.text.clone(), found.proof(&ladder))),
            ladder,
        });
    }
    Ok(shown)
}

/// What is shown of one flow, if one is named.
fn of_flow(shown: Shown, flow: Option<&str>, path: &Path) -> Result<Shown, Stop> {
    let Some(flow) = flow else { return Ok(shown) };
    let by_number = || {
        let number: usize = flow.parse().ok()?;
        shown.numbered.get(number.checked_sub(1)?).cloned()
    };
    let by_name = || shown.numbered.iter().find(|name| *name == flow).cloned();
    let Some(name) = by_name().or_else(by_number) else {
        let what = format!("there is no flow `{flow}`");
        let known: Vec<&str> = shown.numbered.iter().take(8).map(String::as_str).collect();
        let help = format!("there are {}: {}", shown.numbered.len(), known.join(", "));
        return Err(Stop::input(Diagnostic::new(what).in_file(path).help(help)));
    };
    Ok(Shown {
        ladder: shown.ladder.of_flow(&name),
        ..shown
    })
}

fn print(shown: &Shown, args: &ShowArgs, terminal: &mut Terminal<'_>) -> Result<(), Stop> {
    let ladder = &shown.ladder;
    let middle = match args.around {
        None => None,
        Some(Around::Divergence) => {
            let Some(found) = &ladder.divergence else {
                let problem = format!("{} has no divergence", shown.name);
                let help = "name a time in seconds, or leave out --around";
                return Err(Stop::input(Diagnostic::new(problem).help(help)));
            };
            Some(found.rung)
        }
        Some(Around::Time(at)) => Some(ladder.rungs.partition_point(|rung| rung.event.at_us < at)),
    };
    let all = ladder.rungs.len();
    let range = middle.map_or(0..all, |middle| {
        middle.saturating_sub(AROUND).min(all)..all.min(middle + AROUND + 1)
    });
    let style = terminal.style;
    let width = width();
    let out = terminal.out();
    let name = printable(&shown.name);
    writeln!(out, "{}", style.paint(Paint::Strong, &name))?;
    if args.ladder {
        text::rungs(out, ladder, range, width, style)?;
    } else {
        text::lines(out, ladder, range, style)?;
    }
    if let Some((text, proof)) = &shown.likely {
        writeln!(out, "likely: {}", printable(text))?;
        for line in proof {
            writeln!(out, "  {}", printable(line))?;
        }
    }
    Ok(())
}

/// Columns of the terminal; 80 where there is none.
fn width() -> usize {
    let columns = std::env::var("COLUMNS").ok();
    let columns = columns.and_then(|text| text.parse().ok());
    let own = || Some(console::Term::stdout().size_checked()?.1.into());
    columns.or_else(own).unwrap_or(80)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn around_is_the_divergence_or_a_time() {
        assert_eq!("divergence".parse(), Ok(Around::Divergence));
        assert_eq!("1.25".parse(), Ok(Around::Time(1_250_000)));
        assert_eq!("2s".parse(), Ok(Around::Time(2_000_000)));
        for wrong in ["", "-1", "soon", "1e300"] {
            assert!(wrong.parse::<Around>().is_err(), "{wrong}");
        }
    }
}
