//! `replay minimize`: the least of a scenario or a capture that still shows what it shows.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use clap::Args;
use indicatif::{ProgressBar, ProgressDrawTarget};

use super::arguments::Reading;
use super::{Stop, code_if};
use crate::base::exit_code;
use crate::base::output::{self, Existing, Planned};
use crate::base::term::Terminal;
use crate::golden::minimize::{
    Keep, MinimizeOptions, Minimized, NotMinimized, minimize, minimize_capture,
};

#[derive(Debug, Args)]
#[command(after_long_help = EXAMPLES)]
pub(crate) struct MinimizeArgs {
    /// A scenario file (.json), or a capture.
    input: PathBuf,

    /// Write the scenario to FILE, and its capture beside it as a pcapng.
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,

    /// Overwrite the files if they exist.
    #[arg(long)]
    force: bool,

    /// What a run that passes is to show still: stall, reset, retransmission, zero-window, a counter, or `packet LINE`.
    #[arg(long, value_name = "WHAT")]
    keep: Option<Keep>,

    /// The flow of a capture whose failure is kept, by number.
    #[arg(long, value_name = "N")]
    flow: Option<usize>,

    #[command(flatten)]
    files: Reading,

    /// How many runs are made at a time [default: one for each core].
    #[arg(
        short,
        long,
        value_name = "N",
        default_value_t = 0,
        hide_default_value = true
    )]
    jobs: usize,
}

const EXAMPLES: &str = "\
Examples:
  replay minimize expectations/tcp/upload.json -o small.json
  replay minimize phone.pcapng -o small.json --flow 3
  replay minimize phone.pcapng -o small.json --keep zero-window
  replay minimize get.json -o small.json --keep 'packet ~ > get R'

It removes flows, then expectations, packets or lines, steps and settings, bytes of streams and pauses, as long as the rest still fails with the \
same kind of failure, on the same flow, at the same expectation; with --keep, as long as it passes and shows what is named. Of a capture, and of a \
scenario that expects what import would write, the expectations are imported anew at each try. Ctrl-C keeps the best so far.

Exit codes:
  0    done
  2    a file exists, is an input or cannot be written
  3    the scenario or its capture is missing, damaged or invalid
  4    there is nothing to keep: the run passes, or does not show what is named; nothing is written
  6    two runs of the rest gave different outputs; nothing is written
  130  interrupted: the best so far is written";

pub(crate) fn run(args: &MinimizeArgs, terminal: &mut Terminal<'_>) -> Result<u8, Stop> {
    let beside = args.output.with_extension("pcapng");
    let existing = Existing::forced(args.force);
    for file in [&args.output, &beside] {
        existing.admit(file).map_err(Stop::usage)?;
        output::refuse_input(file, std::slice::from_ref(&args.input)).map_err(Stop::usage)?;
    }
    let started = Instant::now();
    let options = MinimizeOptions {
        keep: args.keep.clone(),
        jobs: args.jobs,
        run: args.files.options(),
        stop: stopped_by_interrupt(),
    };
    let bar = spinner(terminal.progress);
    let least = if args.input.extension().is_some_and(|end| end == "json") {
        minimize(&args.input, &options)
    } else {
        let bytes = super::scrub::read(&args.input)?;
        let name = args.input.display().to_string();
        minimize_capture(&name, &bytes, args.flow, &options)
    };
    bar.finish_and_clear();
    let mut least = least.map_err(|why| not_minimized(why, &args.input))?;
    let planned = |path, content| Planned {
        path,
        content,
        existing,
    };
    let capture = least.capture.take().map(|capture| {
        let name = beside.file_name().unwrap_or_default().to_string_lossy();
        least.scenario.input.capture = Some(format!("./{name}"));
        planned(beside.clone(), capture)
    });
    let scenario = least.scenario.to_canonical_string().into_bytes();
    let mut files = vec![planned(args.output.clone(), scenario)];
    files.extend(capture);
    output::write_together(&files, std::slice::from_ref(&args.input)).map_err(Stop::usage)?;
    say(&least, started.elapsed(), terminal)?;
    for file in &files {
        terminal.say(&format!("wrote {}", file.path.display()))?;
    }
    Ok(code_if(least.interrupted, exit_code::INTERRUPTED))
}

/// What went and what it came to.
pub(super) fn say(
    least: &Minimized,
    took: Duration,
    terminal: &mut Terminal<'_>,
) -> Result<(), Stop> {
    let (before, after) = (least.before, least.after);
    let out = terminal.out();
    writeln!(out, "keeps: {}", least.shows)?;
    let pairs = [
        ("flows", before.flows, after.flows),
        ("packets", before.packets, after.packets),
        ("steps", before.steps, after.steps),
        ("expectations", before.expectations, after.expectations),
        ("bytes of capture", before.capture, after.capture),
        ("bytes of scenario", before.bytes, after.bytes),
    ];
    let went = pairs.iter().filter(|(_, before, after)| before > after);
    let went = went.map(|(what, before, after)| format!("{} of {before} {what}", before - after));
    let went = went.collect::<Vec<_>>().join(", ");
    let went = if went.is_empty() { "nothing" } else { &went };
    writeln!(out, "took out: {went}")?;
    writeln!(
        out,
        "result: {} packet(s), {} bytes of capture, {} bytes of scenario; {} runs in {:.2} s",
        after.packets,
        after.capture,
        after.bytes,
        least.runs,
        took.as_secs_f64()
    )?;
    Ok(())
}

/// Why nothing was made smaller, with its exit code.
pub(super) fn not_minimized(why: NotMinimized, input: &Path) -> Stop {
    let (problems, code) = match why {
        NotMinimized::Invalid(problems) => (problems, exit_code::BAD_INPUT),
        NotMinimized::NeverHeld(problem) => (vec![problem], exit_code::NOTHING_SELECTED),
        NotMinimized::Unsteady(problem) => (vec![problem], exit_code::NONDETERMINISM),
    };
    let placed = problems.into_iter().map(|problem| match problem.where_ {
        Some(_) => problem,
        None => problem.in_file(input),
    });
    Stop::Refused(placed.collect(), code)
}

/// A line that shows that it goes on.
pub(super) fn spinner(watched: bool) -> ProgressBar {
    let bar = ProgressBar::new_spinner().with_message("making it smaller");
    if watched {
        bar.enable_steady_tick(Duration::from_millis(100));
    } else {
        bar.set_draw_target(ProgressDrawTarget::hidden());
    }
    bar
}

/// Set by the first Ctrl-C; a second one ends the process.
pub(super) fn stopped_by_interrupt() -> Arc<AtomicBool> {
    let stop = Arc::new(AtomicBool::new(false));
    #[cfg(unix)]
    {
        use signal_hook::consts::SIGINT;
        // Without a handler Ctrl-C ends the process as it always does.
        let code = i32::from(exit_code::INTERRUPTED);
        let _ = signal_hook::flag::register_conditional_shutdown(SIGINT, code, Arc::clone(&stop));
        let _ = signal_hook::flag::register(SIGINT, Arc::clone(&stop));
    }
    stop
}
