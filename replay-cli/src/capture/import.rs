//! A two-sided capture becomes a runnable scenario.

use std::path::Path;

use crate::base::diagnostic::Diagnostic;
use crate::capture::Shared;
use crate::capture::conversation::{Adopt, ByteReader, Conversations, ReadOptions};
use crate::scenario::{
    self, CaptureSettings, Decap, Device, DialExpectation, EngineSettings, FlowSpec, Input, Named,
    Scenario,
};

pub(crate) mod endings;
mod far_side;
mod settings;

/// A scenario made from a capture, and what was done on the way.
///
/// ```
/// use replay::capture::import::{ImportOptions, import};
///
/// let path = "../captures/http/get.pcapng".as_ref();
/// let (import, _capture) = import(path, "http/get.pcapng", &ImportOptions::default())?;
/// assert!(import.scenario.to_canonical_string().contains("\"closes\""));
/// # Ok::<(), replay::base::diagnostic::Diagnostic>(())
/// ```
#[derive(Clone, Debug)]
pub struct Import {
    /// The scenario.
    pub scenario: Scenario,
    /// What was set, inferred or left out: one line each.
    pub notes: Vec<String>,
}

/// Options of [`import`].
#[derive(Clone, Debug, Default)]
pub struct ImportOptions {
    /// Who the device is.
    pub device: Device,
    /// The tunnels that are taken off its packets.
    pub decap: Decap,
    /// Whether the engine keeps its default limits instead of ones that fit the capture.
    pub default_settings: bool,
    /// Whether flows whose beginning is not in the capture are left out.
    pub no_adopt: bool,
    /// The most bytes of what a packed file or a pipe holds. `None`: 512 MiB.
    pub max_unpacked: Option<u64>,
    /// Whether what the far sides did is never listed step by step.
    pub recorded: bool,
}

/// Steps of far sides in a capture beyond which nobody edits them: they are not listed.
const LISTED: usize = 5_000;

/// Reads a capture and derives the scenario that replays it. `reference` is how the scenario names the capture.
///
/// # Errors
/// The file is missing, is no capture at all, or changes while it is read.
pub fn import(
    path: &Path,
    reference: &str,
    options: &ImportOptions,
) -> Result<(Import, Conversations), Diagnostic> {
    let capture = Conversations::read(path, &read_options(options))?;
    let import = of_read(&capture, reference, options)?;
    Ok((import, capture))
}

/// Derives the scenario of a capture that was read.
///
/// # Errors
/// The capture cannot be read any more.
pub(crate) fn of_read(
    capture: &Conversations,
    reference: &str,
    options: &ImportOptions,
) -> Result<Import, Diagnostic> {
    let mut reader = ByteReader::new(&capture.bytes);
    let import = with_expectations(capture, &mut reader, reference, options);
    reader.finish()?;
    Ok(import)
}

/// As [`for_attempt`], of a capture that is in memory.
pub(crate) fn for_attempt_of(
    name: &str,
    bytes: Shared,
    options: &ImportOptions,
) -> Result<(Import, Conversations), Diagnostic> {
    let capture = Conversations::of_held(name, bytes, &read_options(options))?;
    Ok((bare(&capture, name, options), capture))
}

/// Reads a capture and derives what replays it at once ([`RunMode::RECORDED`](crate::simulation::RunMode)): without expectations,
/// flows and rules, of which each would stand for what the capture has anyhow.
pub(crate) fn for_attempt(
    path: &Path,
    options: &ImportOptions,
) -> Result<(Import, Conversations), Diagnostic> {
    let capture = Conversations::read(path, &read_options(options))?;
    let reference = path.display().to_string();
    Ok((bare(&capture, &reference, options), capture))
}

/// How a capture is read to be imported.
pub(crate) fn read_options(options: &ImportOptions) -> ReadOptions {
    ReadOptions {
        device: options.device.clone(),
        decap: options.decap,
        adopt: if options.no_adopt {
            Adopt::Nothing
        } else {
            Adopt::All
        },
        // Without a receive window that fits, the device would not see them.
        ignore_stalls: options.default_settings,
        max_unpacked: options.max_unpacked,
        ..ReadOptions::default()
    }
}

/// The scenario of a capture without flows, rules and expectations.
fn bare(capture: &Conversations, reference: &str, options: &ImportOptions) -> Import {
    let mut import = begun(capture, reference, options);
    for echo in &capture.echoes {
        import.leave_out(echo.spec(), echo.unreplayable.as_deref());
    }
    import.note_unused(capture);
    import
}

/// The scenario of a capture with all that is in it.
fn with_expectations(
    capture: &Conversations,
    reader: &mut ByteReader<'_>,
    reference: &str,
    options: &ImportOptions,
) -> Import {
    let mut import = begun(capture, reference, options);
    let steps: usize = capture.flows.iter().map(far_side::steps_of).sum();
    let listed = steps <= LISTED && !options.recorded;
    if steps > LISTED && !options.recorded {
        import.notes.push(format!(
            "what the far sides did, {steps} steps and more, is not listed: `recorded` stands for what the capture says"
        ));
    }
    let mut names = Vec::new();
    for (index, flow) in capture.flows.iter().enumerate() {
        if import.leave_out(flow.spec, flow.unreplayable.as_deref()) {
            continue;
        }
        let name = import.name(flow.spec, &flow.notes);
        let scenario = &mut import.scenario;
        if flow.tcp().is_some_and(|tcp| tcp.adopted) {
            scenario.input.adopted.push(name.clone());
        }
        let rule = far_side::rule(flow, &name, listed);
        scenario.dialer.rules.push(rule);
        let dials = scenario.expect.dials.get_or_insert_default();
        dials.items.push(DialExpectation {
            flow: name.clone(),
            at: None,
            name: None,
        });
        let streams = far_side::expected_streams(flow, reader);
        scenario.expect.streams.0.push((name.clone(), streams));
        names.push((name, index));
    }
    for echo in &capture.echoes {
        let spec = echo.spec();
        if !import.leave_out(spec, echo.unreplayable.as_deref()) {
            import.name(spec, &echo.notes());
        }
    }
    import.note_unused(capture);
    for (reason, count) in &capture.skipped {
        import
            .notes
            .push(format!("{count} packet(s) skipped: {reason}"));
    }
    let expect = &mut import.scenario.expect;
    expect.dials.get_or_insert_default();
    endings::expect(capture, &names, reader, expect);
    import
}

/// The head of the scenario of a capture, and notes on the capture as a whole.
fn begun(capture: &Conversations, reference: &str, options: &ImportOptions) -> Import {
    let mut notes = settings::device_notes(capture);
    notes.extend(capture.notes.iter().cloned());
    let engine = if options.default_settings {
        EngineSettings::default()
    } else {
        settings::fitting(capture, &mut notes)
    };
    notes.extend(settings::backpressure_notes(capture));
    let scenario = Scenario {
        schema: scenario::SCHEMA,
        title: format!("imported from {reference}"),
        engine,
        input: Input {
            capture: Some(reference.to_owned()),
            device: (options.device != Device::Any).then(|| options.device.clone()),
            decap: (options.decap != Decap::default()).then_some(options.decap),
            settings: options.default_settings.then_some(CaptureSettings::Default),
            ..Input::default()
        },
        kind: None,
        covers: Vec::new(),
        deviation: None,
        flows: Named::default(),
        dialer: scenario::DialerScript::default(),
        faults: Vec::new(),
        expect: scenario::Expectations::default(),
    };
    Import { scenario, notes }
}

impl Import {
    /// Notes a flow that cannot be replayed, and why.
    fn leave_out(&mut self, spec: FlowSpec, why: Option<&str>) -> bool {
        let note = why.map(|reason| format!("{spec} left out: {reason}"));
        self.notes.extend(note);
        why.is_some()
    }

    /// Gives a flow a name, under which its notes stand.
    fn name(&mut self, spec: FlowSpec, notes: &[String]) -> String {
        let nth = self.scenario.flows.len() + 1;
        let name = format!("{}{nth}", spec.protocol);
        let notes = notes.iter().map(|note| format!("{name}: {note}"));
        self.notes.extend(notes);
        self.scenario.flows.0.push((name.clone(), spec));
        name
    }

    fn note_unused(&mut self, capture: &Conversations) {
        for (reason, count) in capture.recording.iter().flat_map(|r| &r.unused) {
            self.notes
                .push(format!("{count} event(s) not used: {reason}"));
        }
    }
}
