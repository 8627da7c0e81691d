//! `replay import`: a capture becomes a scenario file.

use crate::base::term::Terminal;
use std::io::{self, Write as _};
use std::path::{Component, Path, PathBuf};

use clap::Args;

use super::arguments::{Settings, parse_device};
use super::{Stop, diagnostic_of};
use crate::base::diagnostic::Diagnostic;
use crate::base::exit_code;
use crate::capture::conversation::Conversations;
use crate::capture::import::{ImportOptions, import};
use crate::report::attempt::why_nothing;
use crate::scenario::Device;
use crate::scenario::discover::captures_dir;

#[derive(Debug, Args)]
#[command(after_long_help = EXAMPLES)]
pub(crate) struct ImportArgs {
    /// The capture: pcap or pcapng, gzip or not.
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

    /// Engine settings that fit the capture, or the engine's defaults.
    #[arg(long, value_enum, default_value_t)]
    settings: Settings,
}

const EXAMPLES: &str = "\
Examples:
  replay import captures/tcp/upload.pcapng -o expectations/tcp/upload.json
  replay import phone.pcapng --device 10.0.0.2,fd00::2

What was set, inferred or left out is said on standard error. The scenario names its capture relative to the
folder captures/ above it, and otherwise relative to FILE.";

pub(crate) fn run(args: &ImportArgs, terminal: &mut Terminal<'_>) -> Result<u8, Stop> {
    if let Some(file) = &args.output
        && !args.force
        && file.symlink_metadata().is_ok()
    {
        return Err(Stop::usage(exists(file)));
    }
    let options = ImportOptions {
        device: args.device.clone(),
        default_settings: args.settings == Settings::Default,
    };
    let reference = reference(&args.capture, args.output.as_deref());
    let (imported, conversations) =
        import(&args.capture, &reference, &options).map_err(Stop::input)?;
    let nothing = imported.scenario.flows.is_empty();
    let text = imported.scenario.to_canonical_string();
    match &args.output {
        _ if nothing => {}
        Some(file) => {
            write(file, &text, args.force).map_err(Stop::usage)?;
            terminal.say(&format!("wrote {}", file.display()))?;
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
        terminal.diagnose(&diagnostic_of(damage))?;
        return Ok(exit_code::BAD_INPUT);
    }
    Ok(if nothing {
        exit_code::NOTHING_SELECTED
    } else {
        exit_code::SUCCESS
    })
}

/// The line that says why there is no scenario.
fn nothing_to_replay(capture: &Conversations) -> String {
    let why = why_nothing(capture.packets_read, capture.flows.len() as u64);
    format!("nothing to replay: {why}; no scenario is written")
}

fn exists(file: &Path) -> Diagnostic {
    Diagnostic::new("the file exists")
        .in_file(file)
        .help("name another file, or overwrite it with --force")
}

/// Writes the file; without `force` never over another, not even one that came up since it was looked for.
fn write(file: &Path, text: &str, force: bool) -> Result<(), Diagnostic> {
    let failed = |error: io::Error| match error.kind() {
        io::ErrorKind::AlreadyExists => exists(file),
        _ => Diagnostic::new(format!("cannot be written: {error}"))
            .in_file(file)
            .help("check the folder and its permissions"),
    };
    if let Some(folder) = file.parent() {
        std::fs::create_dir_all(folder).map_err(failed)?;
    }
    let mut open = std::fs::OpenOptions::new();
    open.write(true);
    if force {
        open.create(true).truncate(true);
    } else {
        open.create_new(true);
    }
    let mut opened = open.open(file).map_err(failed)?;
    opened.write_all(text.as_bytes()).map_err(failed)
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
    let folder = match scenario {
        Some(scenario) => absolute(scenario).parent().map(Path::to_owned),
        None => capture.parent().map(Path::to_owned),
    };
    relative(&capture, &folder.unwrap_or_default())
}

/// The nearest folder named captures above a capture.
fn nearest_captures(capture: &Path) -> Option<PathBuf> {
    let mut folders = capture.ancestors().skip(1);
    folders
        .find(|folder| folder.ends_with("captures"))
        .map(Path::to_owned)
}

/// The path from a folder to a file, `./` or `../` first.
fn relative(file: &Path, folder: &Path) -> String {
    let common = folder
        .ancestors()
        .find(|ancestor| file.starts_with(ancestor))
        .unwrap_or_else(|| Path::new(""));
    let below = file.strip_prefix(common).map(slashed).unwrap_or_default();
    let up = folder
        .strip_prefix(common)
        .map_or(0, |rest| rest.components().count());
    if up == 0 {
        format!("./{below}")
    } else {
        format!("{}{below}", "../".repeat(up))
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

    #[test]
    fn an_existing_file_is_overwritten_by_force_only() {
        let root = tree(&["a.json"]);
        let file = root.path().join("a.json");
        let refused = write(&file, "new", false).unwrap_err();
        assert!(refused.help.unwrap().contains("--force"));
        assert_eq!(std::fs::read_to_string(&file).unwrap(), "");
        write(&file, "new", true).unwrap();
        assert_eq!(std::fs::read_to_string(&file).unwrap(), "new");
    }
}
