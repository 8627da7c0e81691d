//! Arguments that several subcommands take.

use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::{Args, ValueEnum};

use super::Stop;
use crate::base::diagnostic::Diagnostic;
use crate::base::duration::Size;
use crate::base::wording::shell_word;
use crate::report::facts::TimeForm;
use crate::report::flows::{Sort, View, Wanted};
#[cfg(target_os = "linux")]
use crate::scenario::{Decap, Device};
use crate::stack::{StackProgram, Via};
use crate::verdict::run::{RunOptions, Tracing};

/// What form results have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// Text to read.
    #[default]
    Human,
    /// One JSON object, `"schema": 1`.
    Json,
}

/// The form of a report of scenarios.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ReportFormat {
    /// Text to read.
    Human,
    /// One JSON object, `"schema": 1`.
    Json,
    /// Annotations of GitHub Actions after the text, and a summary of the job.
    Github,
}

/// Whether and where what crossed the engine's border is written.
#[derive(Debug, Args)]
pub(crate) struct Traces {
    /// Write what crossed the engine's border as a pcapng that Wireshark opens, one for each run.
    #[arg(long, value_enum, default_value_t, value_name = "WHEN")]
    trace: TraceWhen,

    /// Where traces are written [default: target/replay in a Cargo workspace, else .replay].
    #[arg(long, value_name = "DIR", hide_short_help = true)]
    trace_dir: Option<PathBuf>,
}

impl Traces {
    /// Whose events are kept.
    pub(crate) const fn when(&self) -> Tracing {
        match self.trace {
            TraceWhen::OnFailure => Tracing::OnFailure,
            TraceWhen::Always => Tracing::Always,
            TraceWhen::Never => Tracing::Never,
        }
    }

    /// Where they go.
    pub(crate) fn folder(&self) -> PathBuf {
        self.trace_dir.clone().unwrap_or_else(kept_dir)
    }
}

/// Where commands keep what they make and is not edited: where Cargo's own output goes, if this is one of its workspaces.
pub(crate) fn kept_dir() -> PathBuf {
    let here = std::env::current_dir().unwrap_or_default();
    let workspace = here
        .ancestors()
        .find(|folder| folder.join("Cargo.toml").is_file());
    workspace.map_or_else(|| ".replay".into(), |root| root.join("target/replay"))
}

/// The command line, as it can be run again.
pub(crate) fn command_line() -> String {
    let words = std::env::args().skip(1).map(|word| shell_word(&word));
    let words: Vec<String> = std::iter::once("replay".to_owned()).chain(words).collect();
    words.join(" ")
}

/// When the events of a run are written as a pcapng.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum TraceWhen {
    /// When it fails.
    #[default]
    OnFailure,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// How the engine is driven.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum WayIn {
    /// The engine as a library.
    #[default]
    Core,
    /// The driver's turns, with their ring and inboxes.
    Driver,
    /// The C ABI, driven by its host.
    Ffi,
}

impl From<WayIn> for Via {
    fn from(way: WayIn) -> Self {
        match way {
            WayIn::Core => Self::Core,
            WayIn::Driver => Self::Driver,
            WayIn::Ffi => Self::Ffi,
        }
    }
}

/// Which flows of a capture are shown, and how.
#[derive(Debug, Args)]
pub(crate) struct Flows {
    /// Only flows that failed, or in which something went wrong: stalled, unanswered, reset and the like.
    #[arg(long)]
    failed: bool,

    /// Only these flows; a single one is shown at length.
    #[arg(long, value_name = "N|ADDR|PORT|NAME")]
    pub(crate) flow: Option<Wanted>,

    /// In what order flows are listed [default: what needs a look first; JSON: their order].
    #[arg(long, value_enum, value_name = "KEY")]
    sort: Option<Sort>,

    /// A row for every flow, and every note.
    #[arg(long)]
    all: bool,

    /// How points in time are written.
    #[arg(long, value_enum, default_value_t)]
    time: TimeForm,
}

impl Flows {
    /// The view of a report as wide as the terminal.
    pub(crate) fn view(&self, width: usize) -> View {
        View {
            all: self.all,
            failed: self.failed,
            flow: self.flow.clone(),
            sort: self.sort,
            time: self.time,
            width,
        }
    }
}

/// Which files scenarios may read.
#[derive(Debug, Args)]
pub(crate) struct Reading {
    /// The folder captures are relative to [default: captures/, found upward from each scenario].
    #[arg(long, value_name = "DIR")]
    pub(crate) captures: Option<PathBuf>,

    /// Let scenarios read files outside of their own tree and the folder of captures.
    #[arg(long, hide_short_help = true)]
    pub(crate) allow_outside: bool,
}

impl Reading {
    /// How scenarios are run that may read these.
    pub(crate) fn options(&self) -> RunOptions {
        RunOptions {
            captures: self.captures.clone(),
            allow_outside: self.allow_outside,
            ..RunOptions::default()
        }
    }
}

/// Another stack to run instead of the engine.
#[derive(Debug, Args)]
pub(crate) struct OtherStack {
    /// Another stack: `exec:PATH`, or the NAME of a program replay-stack-NAME beside this one or on PATH.
    #[arg(long, value_name = "STACK")]
    pub(crate) stack: Option<String>,

    /// How long the other stack may take to answer.
    #[arg(long, value_name = "SECONDS", default_value_t = 10, requires = "stack")]
    pub(crate) stack_timeout: u64,
}

/// Which tunnels are taken off the packets of a capture.
#[derive(Debug, Args)]
pub(crate) struct Tunnels {
    /// Tunnels to take off, so that the packets in them are what the device sent: `auto` for all, or a list of 6in4, ipip, gre,
    /// gtp-u, vxlan.
    #[arg(long, value_name = "none|auto|LIST", default_value = "none")]
    pub(crate) decap: Decap,
}

/// How much a compressed capture may hold.
#[derive(Debug, Args)]
pub(crate) struct Unpacked {
    /// The most that a packed capture (gzip, zstd, xz, lz4) or a pipe may hold: it is copied, to be read again [default: 512MiB].
    #[arg(long, value_name = "SIZE", hide_short_help = true)]
    max_unpacked: Option<Size>,
}

impl Unpacked {
    pub(crate) fn limit(&self) -> Option<u64> {
        self.max_unpacked.map(Size::as_bytes)
    }
}

/// The way in that the command line asks for; another stack is found and asked who it is.
pub(crate) fn via(way: WayIn, other: &OtherStack) -> Result<Via, Stop> {
    let patience = Duration::from_secs(other.stack_timeout);
    match &other.stack {
        None => Ok(way.into()),
        Some(spec) => StackProgram::find_patiently(spec, patience)
            .map(|program| Via::Stack(Arc::new(program)))
            .map_err(Stop::input),
    }
}

/// Which settings the engine has for a capture.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Settings {
    /// Limits, MTU and address rules that fit the capture.
    #[default]
    Import,
    /// The engine's defaults.
    Default,
}

/// Reads `any`, an address, or addresses with commas between them.
pub(crate) fn parse_device(text: &str) -> Result<Device, String> {
    if text == "any" {
        return Ok(Device::Any);
    }
    let address = |word: &str| {
        let word = word.trim();
        word.parse::<IpAddr>().map_err(|_| {
            format!("`{word}` is no IP address; name the device's addresses, or `any`")
        })
    };
    text.split(',')
        .map(address)
        .collect::<Result<_, _>>()
        .map(Device::Addresses)
}

/// Refuses to write drafts or goldens in continuous integration: what a person has not looked at is no golden.
pub(crate) fn refuse_in_ci(command: &str) -> Result<(), Stop> {
    if !crate::base::term::in_ci() {
        return Ok(());
    }
    let what = format!("`replay {command}` writes nothing in continuous integration: CI is set");
    let help = "run it where a person looks at what it writes, and commit that";
    Err(Stop::usage(Diagnostic::new(what).help(help)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_is_any_or_a_list_of_addresses() {
        assert_eq!(parse_device("any"), Ok(Device::Any));
        let both = vec!["10.0.0.2".parse().unwrap(), "fd00::2".parse().unwrap()];
        assert_eq!(
            parse_device("10.0.0.2,fd00::2"),
            Ok(Device::Addresses(both))
        );
    }

    #[test]
    fn a_word_that_is_no_address_is_named() {
        let error = parse_device("10.0.0.2,phone").unwrap_err();
        assert_eq!(
            error,
            "`phone` is no IP address; name the device's addresses, or `any`"
        );
    }
}
