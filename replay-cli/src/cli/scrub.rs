//! `replay scrub`: a capture without what identifies its owner.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args;

use super::Stop;
use super::cut::refused;
use crate::base::diagnostic::Diagnostic;
use crate::base::exit_code;
use crate::base::output::{self, Existing, Planned};
use crate::base::term::Terminal;
use crate::base::wording::counted;
use crate::capture::Shared;
use crate::capture::conversation::Conversations;
use crate::capture::cut::{Selection, cut};
use crate::capture::import::{ImportOptions, of_read, read_options};
use crate::capture::scrub::{LARGEST, Payload, ScrubOptions, ScrubReport, scrub};
use crate::scenario::files::Reach;
use crate::scenario::{Input, Rule, Scenario, Step, load};
use crate::verdict::attempt::{TryOptions, try_held};
use crate::verdict::same::same;

#[derive(Debug, Args)]
#[command(after_long_help = EXAMPLES)]
pub(crate) struct ScrubArgs {
    /// The capture: pcap or pcapng, gzip or not; or a scenario (.json) as `replay import` makes it.
    capture: PathBuf,

    /// Write the pcapng to FILE; of a scenario the scenario, and its capture beside it.
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,

    /// Overwrite FILE if it exists.
    #[arg(long)]
    force: bool,

    #[command(flatten)]
    how: How,
}

/// How a capture is scrubbed.
#[derive(Debug, Args)]
pub(super) struct How {
    /// A secret: the same gives the same addresses and names in every file [default: a new one each time].
    #[arg(long, value_name = "WORD")]
    key: Option<String>,

    /// What stands for payload.
    #[arg(long, value_enum, default_value_t)]
    payload: Payload,

    /// Keep comments and options of pcapng as they are.
    #[arg(long)]
    keep_options: bool,
}

const EXAMPLES: &str = "\
Examples:
  replay scrub phone.pcapng -o clean.pcapng
  replay scrub expectations/field/phone.json -o clean.json
  replay scrub phone.pcapng -o clean.pcapng --key \"$KEY\"

Addresses become ones of 192.0.2.0/24, 198.51.100.0/24, 203.0.113.0/24 and 2001:db8::/32, or of 198.18.0.0/15 if these are used up. Names in DNS, \
TLS and HTTP keep their length; ports and sequence numbers stay; times begin on 2000-01-01; a wrong checksum stays wrong. With the same --key, \
several files get the same addresses and names.

The result is searched for the original's addresses, names and payload, and both are replayed. If anything is left, or a flow gets another \
verdict, nothing is written.

Exit codes:
  0  done
  1  something is left, or a flow would get another verdict; nothing is written
  2  FILE exists, is the capture itself or cannot be written
  3  the capture is missing, no capture, damaged, or larger than 32 MiB";

pub(crate) fn run(args: &ScrubArgs, terminal: &mut Terminal<'_>) -> Result<u8, Stop> {
    let inputs = [args.capture.clone()];
    let file = &args.output;
    let existing = Existing::forced(args.force);
    existing.admit(file).map_err(Stop::usage)?;
    if args.capture.extension().is_some_and(|end| end == "json") {
        return scenario(args, existing, terminal);
    }
    let bytes = read(&args.capture)?;
    let (clean, report) = proved(&args.capture, &bytes, &args.how)?;
    output::write(file, &clean, existing, &inputs).map_err(Stop::usage)?;
    say(&report, terminal)?;
    terminal.say(&format!(
        "searched and replayed: nothing of it is left, and every flow gets the verdict it had\nwrote {}: {}, {} bytes",
        file.display(),
        counted(report.packets.1, "packet"),
        clean.len()
    ))?;
    Ok(exit_code::SUCCESS)
}

/// Scrubs a scenario that is as import makes it: what it names is made anew from the capture that was scrubbed.
fn scenario(args: &ScrubArgs, existing: Existing, terminal: &mut Terminal<'_>) -> Result<u8, Stop> {
    let path = &args.capture;
    let loaded = load::load(path).map_err(|all| Stop::Refused(all, exit_code::BAD_INPUT))?;
    let own = &loaded.scenario;
    let refused = |what: &str| {
        let help = "scrub its capture, and import that; what is written by hand is changed by hand";
        Stop::input(Diagnostic::new(what).in_file(path).help(help))
    };
    let reach = Reach::of(path, None, false);
    let found = loaded.capture_path(None, &reach).map_err(Stop::input)?;
    let capture = found.ok_or_else(|| refused("this scenario has no capture"))?;
    let is_recorded = |rule: &Rule| matches!(rule.then.as_slice(), [Step::Recorded(_)]);
    let options = ImportOptions {
        recorded: own.dialer.rules.iter().any(is_recorded),
        ..ImportOptions::default()
    };
    let beside = args.output.with_extension("pcapng");
    let name = beside.file_name().unwrap_or_default().to_string_lossy();
    let reference = format!("./{name}");
    let imported = |bytes: &[u8]| {
        let held = Shared(Arc::new(bytes.to_vec()));
        let name = capture.display().to_string();
        let read = Conversations::of_held(&name, held, &read_options(&options));
        let read = read.map_err(|error| Stop::input(error.into()))?;
        of_read(&read, &reference, &options).map_err(Stop::input)
    };
    let bytes = read(&capture)?;
    let before = imported(&bytes)?.scenario;
    if own.input.device.is_some()
        || (&own.flows, &own.dialer, &own.expect) != (&before.flows, &before.dialer, &before.expect)
    {
        let what = "this scenario says more than `replay import` would say of its capture";
        return Err(refused(what));
    }
    let (clean, report) = proved(&capture, &bytes, &args.how)?;
    let after = imported(&clean)?.scenario;
    let scrubbed = Scenario {
        engine: own.engine.clone(),
        input: Input {
            capture: Some(reference.clone()),
            capture_sha256: None,
            ..own.input.clone()
        },
        faults: own.faults.clone(),
        ..after
    };
    let planned = |path: &Path, content: Vec<u8>| Planned {
        path: path.to_owned(),
        content,
        existing,
    };
    let files = [
        planned(&args.output, scrubbed.to_canonical_string().into_bytes()),
        planned(&beside, clean),
    ];
    output::write_together(&files, &[path.clone(), capture.clone()]).map_err(Stop::usage)?;
    say(&report, terminal)?;
    for file in &files {
        let (path, len) = (file.path.display(), file.content.len());
        terminal.say(&format!("wrote {path}: {len} bytes"))?;
    }
    Ok(exit_code::SUCCESS)
}

/// A capture as one pcapng, not compressed.
pub(super) fn read(capture: &Path) -> Result<Vec<u8>, Stop> {
    let mut bytes = Vec::new();
    let mut out = Bounded(&mut bytes);
    cut(capture, &Selection::default(), &mut out).map_err(|problem| match problem {
        output::Written::Failed(error) if error.kind() == std::io::ErrorKind::FileTooLarge => {
            let what = "more than 32 MiB, and it is held in memory as a whole";
            let help = "cut it first: `replay cut`";
            Stop::input(Diagnostic::new(what).in_file(capture).help(help))
        }
        other => refused(other),
    })?;
    Ok(bytes)
}

/// Takes no more bytes than are scrubbed.
struct Bounded<'a>(&'a mut Vec<u8>);

impl std::io::Write for Bounded<'_> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        if (self.0.len() + bytes.len()) as u64 > LARGEST {
            return Err(std::io::ErrorKind::FileTooLarge.into());
        }
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Scrubs a capture, and replays it before and after.
pub(super) fn proved(name: &Path, bytes: &[u8], how: &How) -> Result<(Vec<u8>, ScrubReport), Stop> {
    let options = ScrubOptions {
        key: how.key(),
        payload: how.payload,
        options: how.keep_options,
    };
    let failed = |problem| Stop::Refused(vec![problem], exit_code::EXPECTATION_FAILED);
    let shown = name.display().to_string();
    let scrubbed = scrub(&shown, bytes, &options).map_err(failed)?;
    let tried = |bytes: &[u8]| {
        try_held(&shown, Arc::new(bytes.to_vec()), &TryOptions::default()).map_err(Stop::input)
    };
    let (before, after) = (tried(bytes)?, tried(&scrubbed.bytes)?);
    same(&before, &after).map_err(|what| {
        let what = format!("scrubbed, it would get another verdict: {what}");
        let problem = Diagnostic::new(what).in_file(name);
        failed(problem.help("nothing is written"))
    })?;
    Ok((scrubbed.bytes, scrubbed.report))
}

impl How {
    fn key(&self) -> [u8; 16] {
        match &self.key {
            Some(word) => ScrubOptions::key_of(word),
            None => {
                let drawn = [0_u8, 1].map(|nth| RandomState::new().hash_one(nth).to_le_bytes());
                let mut key = [0; 16];
                for (to, from) in key.iter_mut().zip(drawn.as_flattened()) {
                    *to = *from;
                }
                key
            }
        }
    }
}

pub(super) fn say(report: &ScrubReport, terminal: &mut Terminal<'_>) -> Result<(), Stop> {
    let (addresses, beyond) = report.addresses;
    terminal.say(&format!(
        "replaced: {addresses} address(es), {} name(s), {} hardware address(es), {} bytes of payload",
        report.names, report.hardware, report.payload
    ))?;
    if beyond > 0 {
        terminal.say(&format!(
            "note: {beyond} of the addresses are of 198.18.0.0/15: the ranges for documentation had no room"
        ))?;
    }
    for (reason, count) in &report.left_out {
        terminal.say(&format!("left out: {count} of: {reason}"))?;
    }
    Ok(())
}
