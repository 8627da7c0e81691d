//! `replay import`: a capture becomes a scenario file.

use crate::base::term::Terminal;
use std::path::{Component, Path, PathBuf};

use clap::Args;

use super::arguments::{Settings, Tunnels, Unpacked, parse_device};
use super::scrub::How;
use super::{Stop, code_if};
use crate::base::diagnostic::Diagnostic;
use crate::base::exit_code;
use crate::base::output::{self, Existing};
use crate::base::sha256;
use crate::capture::conversation::Conversations;
use crate::capture::import::{ImportOptions, import};
use crate::golden::minimize::Keep;
use crate::report::attempt::why_nothing;
use crate::scenario::Device;
use crate::scenario::discover::{captures_dir, resolve_capture};
use crate::scenario::files::Reach;
use crate::scenario::load::MAX_FILE_BYTES;

mod journey;

#[derive(Debug, Args)]
#[command(after_long_help = EXAMPLES)]
pub(crate) struct ImportArgs {
    /// The capture: pcap, pcapng, snoop or ERF, packed (gzip, zstd, xz, lz4) or not.
    capture: PathBuf,

    /// Write the scenario to FILE instead of printing it.
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,

    /// Overwrite FILE if it exists.
    #[arg(long, requires = "output")]
    force: bool,

    /// The device's addresses; `any`: the opener of each flow is the device.
    #[arg(long, value_name = "any|ADDR[,ADDR]", default_value = "any", value_parser = parse_device)]
    device: Device,

    #[command(flatten)]
    tunnels: Tunnels,

    /// Engine settings that fit the capture, or the engine's defaults.
    #[arg(long, value_enum, default_value_t)]
    settings: Settings,

    /// Leave TCP flows out whose beginning is not in the capture, instead of making up a handshake.
    #[arg(long)]
    no_adopt: bool,

    #[command(flatten)]
    unpacked: Unpacked,

    /// Take flow N alone, as `replay try` lists them, and write its capture beside the scenario.
    #[arg(long, value_name = "N", requires = "output")]
    flow: Option<usize>,

    /// Make the capture as small as it can be and still fail as it does, or show what --keep names; write it beside.
    #[arg(long, requires = "output")]
    minimize: bool,

    /// What a capture that passes is to show still: see `replay minimize`.
    #[arg(long, value_name = "WHAT", requires = "minimize")]
    keep: Option<Keep>,

    /// Put other addresses, names and payload into the capture, and write it beside.
    #[arg(long, requires = "output")]
    scrub: bool,

    #[command(flatten)]
    how: How,
}

const EXAMPLES: &str = "\
Examples:
  replay import captures/tcp/upload.pcapng -o expectations/tcp/upload.json
  replay import phone.pcapng --device 10.0.0.2,fd00::2
  replay import phone.pcapng --flow 3 --minimize --scrub -o expectations/field/a.json

The capture must be a regular file with a path in UTF-8, since the scenario names it: relative to the folder captures/ above it, else relative to \
FILE, and by its SHA-256 as well if it is outside of the scenario's tree. What was set, inferred or left out goes to standard error. With --flow, \
--minimize or --scrub the smaller capture is written below captures/, with its note and its line in the index: all of them or none.

Exit codes:
  0  done
  1  with --minimize or --scrub: what is left would get another verdict; nothing is written
  2  FILE exists, is the capture itself or cannot be written, or a scenario cannot name the capture
  3  the capture is missing, no capture, damaged, or needs a scenario of more than 64 MiB
  4  nothing of the capture can be replayed: no scenario is written";

pub(crate) fn run(args: &ImportArgs, terminal: &mut Terminal<'_>) -> Result<u8, Stop> {
    if let Some(file) = &args.output
        && (args.flow.is_some() || args.minimize || args.scrub)
    {
        return journey::run(args, file, terminal);
    }
    let inputs = [args.capture.clone()];
    let existing = Existing::forced(args.force);
    if let Some(file) = &args.output {
        existing.admit(file).map_err(Stop::usage)?;
        output::refuse_input(file, &inputs).map_err(Stop::usage)?;
    }
    let options = ImportOptions {
        device: args.device.clone(),
        decap: args.tunnels.decap,
        default_settings: args.settings == Settings::Default,
        no_adopt: args.no_adopt,
        max_unpacked: args.unpacked.limit(),
        recorded: false,
    };
    let reference = lasting_reference(&args.capture, args.output.as_deref())?;
    let (mut imported, conversations) =
        import(&args.capture, &reference, &options).map_err(Stop::input)?;
    // Outside of the scenario's tree it is read only by its digest.
    let outside = args.output.as_deref().is_some_and(|file| {
        let reach = Reach::of(file, None, false);
        reach.refuse_outside(&reference, &args.capture).is_err()
    });
    if outside {
        imported.scenario.input.capture_sha256 = Some(sha256::of_file(&args.capture)?);
    }
    let nothing = imported.scenario.flows.is_empty();
    let text = imported.scenario.to_canonical_string();
    if text.len() as u64 > MAX_FILE_BYTES {
        let len = text.len();
        let what = format!("a scenario of {len} bytes, of which at most {MAX_FILE_BYTES} are read");
        let help = "replay it as it stands with `replay try`, or cut the capture";
        let refused = Diagnostic::new(what).in_file(&args.capture);
        return Err(Stop::input(refused.help(help)));
    }
    match &args.output {
        _ if nothing => {}
        Some(file) => {
            output::write(file, text.as_bytes(), existing, &inputs).map_err(Stop::usage)?;
            terminal.say(&format!("wrote {}", file.display()))?;
            if outside {
                terminal.say(&format!(
                    "note: the capture is outside of the scenario's tree, and named by its SHA-256: {reference}"
                ))?;
            }
        }
        None => terminal.out().write_all(text.as_bytes())?,
    }
    for note in &imported.notes {
        terminal.say(&format!("note: {note}"))?;
    }
    if nothing {
        terminal.say(&nothing_to_replay(&conversations))?;
    }
    if let Some(damage) = &conversations.damage {
        terminal.diagnose(&damage.into())?;
        return Ok(exit_code::BAD_INPUT);
    }
    Ok(code_if(nothing, exit_code::NOTHING_SELECTED))
}

/// The line with the reason why there is no scenario.
fn nothing_to_replay(capture: &Conversations) -> String {
    let why = why_nothing(capture.packets_read, capture.flows.len() as u64);
    format!("nothing to replay: {why}; no scenario is written")
}

/// How the scenario names its capture, if that leads to it at every later run.
fn lasting_reference(capture: &Path, scenario: Option<&Path>) -> Result<String, Stop> {
    let refused =
        |what: &str, help: &str| Stop::usage(Diagnostic::new(what).in_file(capture).help(help));
    // What is missing or a folder is reported where it is read.
    let found = capture.metadata().ok();
    if found.is_some_and(|found| !found.is_file() && !found.is_dir()) {
        return Err(refused(
            "a scenario cannot name this capture: it is no regular file, and gone after this run",
            "save it in a file and import that; `replay try` takes it as it is",
        ));
    }
    let reference = reference(capture, scenario);
    if reference.contains(char::REPLACEMENT_CHARACTER) && absolute(capture).to_str().is_none() {
        return Err(refused(
            "a scenario cannot name this capture: its path is not UTF-8, as scenarios are",
            "rename it",
        ));
    }
    if let Some(scenario) = scenario
        && let Ok(real) = capture.canonicalize()
        && resolve_capture(&reference, &absolute(scenario), None)
            .ok()
            .and_then(|found| found.canonicalize().ok())
            .is_some_and(|found| found != real)
    {
        let what = format!("`{reference}` would lead the scenario to another file");
        return Err(refused(&what, "keep the capture beside the scenario"));
    }
    Ok(reference)
}

/// How the scenario names its capture: below the folder captures/ that the scenario will look in, else relative to its own folder.
fn reference(capture: &Path, scenario: Option<&Path>) -> String {
    let capture = absolute(capture);
    let captures = match scenario {
        Some(scenario) => captures_dir(&absolute(scenario)),
        None => nearest_captures(&capture),
    };
    if let Some(below) = captures.and_then(|folder| {
        let folder = absolute(&folder);
        capture.strip_prefix(folder).map(slashed).ok()
    }) {
        return below;
    }
    let beside = scenario.map_or_else(|| capture.clone(), absolute);
    relative(&capture, beside.parent().unwrap_or_else(|| Path::new("")))
}

/// The nearest folder named captures above a capture.
fn nearest_captures(capture: &Path) -> Option<PathBuf> {
    let mut folders = capture.ancestors().skip(1);
    let found = folders.find(|folder| folder.ends_with("captures"));
    found.map(Path::to_owned)
}

/// The path from a folder to a file, `./` or `../` first.
fn relative(file: &Path, folder: &Path) -> String {
    let common = folder
        .ancestors()
        .find(|ancestor| file.starts_with(ancestor))
        .unwrap_or_else(|| Path::new(""));
    let below = file.strip_prefix(common).map(slashed).unwrap_or_default();
    let rest = folder.strip_prefix(common);
    match rest.map_or(0, |rest| rest.components().count()) {
        0 => format!("./{below}"),
        up => format!("{}{below}", "../".repeat(up)),
    }
}

/// A path with its links resolved as far as it exists, so that two paths to one file are one.
fn absolute(path: &Path) -> PathBuf {
    if let Ok(real) = path.canonicalize() {
        return real;
    }
    let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    match (path.parent(), path.file_name()) {
        (Some(folder), Some(name)) => absolute(folder).join(name),
        _ => path,
    }
}

/// The parts of a path with slashes between them, on every system.
fn slashed(path: &Path) -> String {
    let parts = path.components().filter_map(|part| match part {
        Component::Normal(name) => Some(name.to_string_lossy()),
        _ => None,
    });
    parts.collect::<Vec<_>>().join("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A folder with empty files of these names.
    fn tree(files: &[&str]) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        for file in files {
            let path = root.path().join(file);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "").unwrap();
        }
        root
    }

    #[test]
    fn a_capture_below_captures_is_named_from_there() {
        let root = tree(&["captures/tcp/a.pcap"]);
        let capture = root.path().join("captures/tcp/a.pcap");
        assert_eq!(reference(&capture, None), "tcp/a.pcap");
        let scenario = root.path().join("expectations/new/a.json");
        assert_eq!(reference(&capture, Some(&scenario)), "tcp/a.pcap");
    }

    #[test]
    fn a_capture_elsewhere_is_named_relative_to_the_scenario() {
        let root = tree(&["a.pcap", "captures/x.pcap"]);
        let capture = root.path().join("a.pcap");
        assert_eq!(
            reference(&capture, Some(&root.path().join("a.json"))),
            "./a.pcap"
        );
        let scenario = root.path().join("expectations/new/a.json");
        assert_eq!(reference(&capture, Some(&scenario)), "../../a.pcap");
    }

    #[test]
    fn captures_that_the_scenario_cannot_find_do_not_count() {
        let root = tree(&["one/captures/a.pcap", "two/captures/b.pcap"]);
        let capture = root.path().join("one/captures/a.pcap");
        let scenario = root.path().join("two/expectations/a.json");
        assert_eq!(
            reference(&capture, Some(&scenario)),
            "../../one/captures/a.pcap"
        );
    }

    #[test]
    fn a_printed_scenario_names_a_loose_capture_beside_it() {
        let root = tree(&["loose/a.pcap"]);
        assert_eq!(
            reference(&root.path().join("loose/a.pcap"), None),
            "./a.pcap"
        );
    }
}
