//! What is made smaller: a scenario, with the blocks of its capture if it has one.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::Value;

use super::Size;
use crate::base::diagnostic::Diagnostic;
use crate::capture::Shared;
use crate::capture::conversation::{Conversations, PlacedFlow};
use crate::capture::editable::{self, EditableBlock};
use crate::capture::import::{self, ImportOptions};
use crate::golden::witness::{Witness, of_prepared};
use crate::scenario::failure::Failure;
use crate::scenario::files::Reach;
use crate::scenario::load::{self, LoadedScenario};
use crate::scenario::{FlowSpec, Scenario};
use crate::verdict::run::{RunOptions, prepare_with};

/// A scenario and its capture, as far as they are left.
#[derive(Clone, Debug)]
pub(super) struct Subject {
    /// The scenario file, from which other files are found.
    path: PathBuf,
    /// The scenario as JSON: what is written in it is taken out of it.
    pub(super) json: Value,
    /// The blocks of its capture.
    pub(super) blocks: Option<Vec<EditableBlock>>,
    /// The flows of the capture as it was.
    pub(super) flows: Arc<Vec<PlacedFlow>>,
    /// Whether flows, rules and expectations are those that import gives, made anew for what is left of the capture.
    derived: bool,
    /// The scenario in force.
    current: Option<Arc<LoadedScenario>>,
}

/// What a run showed.
pub(super) struct Seen {
    pub(super) loaded: Arc<LoadedScenario>,
    pub(super) witnesses: Vec<Witness>,
}

impl Seen {
    /// Everything that was not as expected, in order of virtual time.
    pub(super) fn failures(&self) -> Vec<Failure> {
        let mut failures = Vec::new();
        for witness in &self.witnesses {
            failures.extend_from_slice(&witness.run.failures);
            failures.extend(witness.failures(&self.loaded));
        }
        failures.sort_by_key(|failure| failure.at_us.unwrap_or(u64::MAX));
        failures
    }
}

impl Subject {
    pub(super) fn of_scenario(path: &Path, options: &RunOptions) -> Result<Self, Vec<Diagnostic>> {
        let loaded = load::load(path)?;
        let one = |problem: Diagnostic| vec![problem];
        let captures = options.captures.as_deref();
        let reach = Reach::of(&loaded.path, captures, options.allow_outside);
        let capture = loaded.capture_path(captures, &reach).map_err(one)?;
        let mut subject = Self {
            path: path.to_owned(),
            json: json_of(&loaded.scenario).map_err(one)?,
            blocks: None,
            flows: Arc::default(),
            derived: false,
            current: Some(Arc::new(loaded)),
        };
        let Some(capture) = capture else {
            return Ok(subject);
        };
        let name = capture.display().to_string();
        let bytes = std::fs::read(&capture).map_err(|error| {
            one(Diagnostic::new(format!("cannot be read: {error}")).in_file(&capture))
        })?;
        let (blocks, flows) = editable::read(&name, &bytes).map_err(|error| one(error.into()))?;
        (subject.blocks, subject.flows) = (Some(blocks), Arc::new(flows));
        // A scenario that expects what import would expect of its capture is made anew for what is left of it.
        subject.derived = true;
        let imported = subject.imported().map_err(one)?;
        let own = subject.current.as_ref().map(|current| &current.scenario);
        subject.derived =
            own.is_some_and(|own| (&own.flows, &own.expect) == (&imported.flows, &imported.expect));
        if let Some(json) = subject.json.as_object_mut()
            && let Some(input) = json.get_mut("input").and_then(Value::as_object_mut)
        {
            // What is left of a capture is another file.
            input.remove("capture_sha256");
        }
        if subject.derived {
            subject.current = None;
        }
        Ok(subject)
    }

    pub(super) fn of_capture(name: &str, bytes: &[u8]) -> Result<Self, Diagnostic> {
        let (blocks, flows) = editable::read(name, bytes).map_err(Diagnostic::from)?;
        let mut subject = Self {
            path: PathBuf::from(name).with_extension("json"),
            json: Value::Null,
            blocks: Some(blocks),
            flows: Arc::new(flows),
            derived: true,
            current: None,
        };
        let imported = subject.imported()?;
        subject.json = json_of(&imported)?;
        Ok(subject)
    }

    pub(super) fn is_derived(&self) -> bool {
        self.derived
    }

    /// The same with other blocks.
    pub(super) fn with_blocks(&self, blocks: Vec<EditableBlock>) -> Self {
        Self {
            blocks: Some(blocks),
            ..self.clone()
        }
    }

    /// The same with another scenario, if that is one.
    pub(super) fn with_json(&self, json: Value) -> Option<Self> {
        let mut new = Self {
            json,
            ..self.clone()
        };
        if !self.derived {
            let scenario: Scenario = serde_json::from_value(new.json.clone()).ok()?;
            let loaded = load::parse(scenario.to_canonical_string(), &self.path).ok()?;
            new.current = Some(Arc::new(loaded));
        } else if serde_json::from_value::<Scenario>(new.json.clone()).is_err() {
            return None;
        }
        Some(new)
    }

    /// The capture as a file.
    pub(super) fn capture(&self) -> Option<Vec<u8>> {
        self.blocks.as_deref().map(editable::file)
    }

    /// The scenario as it stands.
    pub(super) fn scenario(&self) -> Result<Scenario, Vec<Diagnostic>> {
        self.loaded().map(|loaded| loaded.scenario.clone())
    }

    fn loaded(&self) -> Result<Arc<LoadedScenario>, Vec<Diagnostic>> {
        if let Some(current) = self.current.as_ref().filter(|_| !self.derived) {
            return Ok(Arc::clone(current));
        }
        let imported = self.imported().map_err(|problem| vec![problem])?;
        let own: Option<Scenario> = serde_json::from_value(self.json.clone()).ok();
        let scenario = match own {
            // What is not derived stays as it is written.
            Some(own) => Scenario {
                flows: imported.flows,
                dialer: crate::scenario::DialerScript {
                    resolver: own.dialer.resolver.clone(),
                    ..imported.dialer
                },
                expect: imported.expect,
                ..own
            },
            None => imported,
        };
        load::parse(scenario.to_canonical_string(), &self.path).map(Arc::new)
    }

    fn imported(&self) -> Result<Scenario, Diagnostic> {
        let input = self.json.get("input");
        let device = input.and_then(|input| input.get("device"));
        let options = ImportOptions {
            device: device
                .and_then(|device| serde_json::from_value(device.clone()).ok())
                .unwrap_or_default(),
            recorded: true,
            ..ImportOptions::default()
        };
        let name = self.path.display().to_string();
        let bytes = Shared(Arc::new(self.capture().unwrap_or_default()));
        let capture = Conversations::of_held(&name, bytes, &import::read_options(&options))?;
        let reference = input
            .and_then(|input| input.get("capture")?.as_str())
            .unwrap_or("./capture.pcapng")
            .to_owned();
        Ok(import::of_read(&capture, &reference, &options)?.scenario)
    }

    /// Runs it, once or twice.
    pub(super) fn run(&self, options: &RunOptions, twice: bool) -> Result<Seen, Vec<Diagnostic>> {
        let loaded = self.loaded()?;
        let held = self.capture().map(|bytes| Shared(Arc::new(bytes)));
        let prepared = prepare_with(&loaded, options, held)?;
        let witnesses = of_prepared(&loaded, &prepared, twice)?;
        Ok(Seen { loaded, witnesses })
    }

    /// The tuple of a flow that a failure names.
    pub(super) fn spec_in(&self, scenario: &Scenario, name: &str) -> Option<FlowSpec> {
        // Names given by import change with what is left, tuples do not: of a tuple all uses count as one.
        let spec = scenario.flow(name)?;
        Some(FlowSpec {
            occurrence: if self.derived { 1 } else { spec.occurrence },
            ..spec
        })
    }

    /// The flow with a number of the capture.
    pub(super) fn flow_of_number(&self, number: usize) -> Option<&PlacedFlow> {
        self.flows.iter().find(|flow| flow.number == number)
    }

    pub(super) fn size(&self) -> Size {
        let Ok(scenario) = self.scenario() else {
            return Size::default();
        };
        let capture = self.capture();
        let packets = self.blocks.iter().flatten().filter(|block| block.is_packet);
        let lines = scenario
            .input
            .frames
            .iter()
            .filter(|line| line.contains('<'));
        let steps = scenario.dialer.rules.iter().map(|rule| rule.then.len());
        Size {
            flows: scenario.flows.len(),
            packets: packets.count().max(lines.count()),
            steps: steps.sum(),
            expectations: expectations(&self.json),
            bytes: scenario.to_canonical_string().len(),
            capture: capture.map_or(0, |bytes| bytes.len()),
        }
    }
}

fn json_of(scenario: &Scenario) -> Result<Value, Diagnostic> {
    serde_json::to_value(scenario).map_err(|error| Diagnostic::new(error.to_string()))
}

/// How many elements a scenario expects.
fn expectations(json: &Value) -> usize {
    let kinds = json.get("expect").and_then(Value::as_object);
    let count = |value: &Value| match value {
        Value::Array(elements) => elements.len(),
        Value::Object(members) => members.len(),
        _ => 1,
    };
    kinds.map_or(0, |kinds| kinds.values().map(count).sum())
}
