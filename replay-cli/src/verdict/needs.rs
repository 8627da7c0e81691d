//! What a scenario asks of a stack that another stack cannot do or take: then it is not run, and has a reason.

use stack_protocol::{Ability, Hello, Time};

use crate::base::diagnostic::Diagnostic;
use crate::notation::{Action, Line};
use crate::scenario::{EngineSettings, Scenario, Step};
use crate::simulation::RunOutput;
use crate::stack::Via;
use crate::verdict::outcome::Verdict;

/// The longest run of a stack in real time.
const REAL_TIME_MAX_US: u64 = 20_000_000;

/// Settings that choose among what a requirement allows: a stack that does not follow them is held to it all the same.
/// The seed picks numbers, the buffer how much waits, congestion control when bytes go; a least timeout of a second and no probe for the end
/// of a flight are what RFC 6298 has, and only our own defaults have not.
const FREE: [&str; 5] = [
    "seed",
    "tx_buffer",
    "congestion_control",
    "min_rto",
    "loss_probe",
];

/// What of a scenario the stack lacks; the pointers are of the scenario.
pub(crate) fn of_scenario(
    scenario: &Scenario,
    lines: &[(String, Line)],
    via: &Via,
) -> Vec<(String, Diagnostic)> {
    let Some(hello) = via.stack().map(|program| &program.hello) else {
        return Vec::new();
    };
    let mut lacks = settings(&scenario.engine, hello);
    let mut need = |pointer: String, ability: Ability, what: &str| {
        if !hello.can(ability) {
            lacks.push((pointer, Diagnostic::new(format!("the stack {what}"))));
        }
    };
    for (pointer, line) in lines {
        match &line.action {
            Action::Stop => need(pointer.clone(), Ability::Stop, "cannot be stopped"),
            Action::Path { .. } => need(
                pointer.clone(),
                Ability::Path,
                "cannot be told that the path changed",
            ),
            Action::AddressLost { .. } => need(
                pointer.clone(),
                Ability::Address,
                "cannot be told that an address is gone",
            ),
            Action::Inject(_)
            | Action::Expect(_)
            | Action::Allow(_)
            | Action::Silence { .. }
            | Action::Sleep
            | Action::Output { .. } => {}
        }
    }
    for (index, rule) in scenario.dialer.rules.iter().enumerate() {
        for (step, action) in rule.then.iter().enumerate() {
            let pointer = format!("/dialer/rules/{index}/then/{step}");
            match action {
                Step::Take(_) => need(
                    pointer,
                    Ability::Take,
                    "cannot be told how many bytes the far side takes",
                ),
                Step::SendFrom(_) => need(
                    pointer,
                    Ability::From,
                    "has no datagrams of another source than the one dialed",
                ),
                _ => {}
            }
        }
    }
    lacks
}

/// Whether a script with these settings cannot be held against the stack.
pub(crate) fn of_script(settings: &EngineSettings, via: &Via) -> Option<Verdict> {
    let hello = &via.stack()?.hello;
    let mtu = settings.get("mtu").is_some() && !hello.settings.has("mtu");
    mtu.then(|| Verdict::NotApplicable(vec![no_setting("mtu")]))
}

/// Why a run that takes this long in virtual time is not made in real time.
pub(crate) fn too_long(core: &RunOutput, via: &Via) -> Option<Verdict> {
    let real = via.stack()?.hello.time == Time::Real;
    let needs = core.figures.virtual_us;
    (real && needs > REAL_TIME_MAX_US).then(|| {
        Verdict::Skipped(format!(
            "the stack runs in real time, and it would take {} s, more than {}",
            needs.div_ceil(1_000_000),
            REAL_TIME_MAX_US / 1_000_000
        ))
    })
}

fn settings(settings: &EngineSettings, hello: &Hello) -> Vec<(String, Diagnostic)> {
    let all = serde_json::to_value(settings).unwrap_or_default();
    let names = all.as_object().into_iter().flat_map(|all| all.keys());
    names
        .filter(|name| !FREE.contains(&name.as_str()) && !hello.settings.has(name))
        .map(|name| (format!("/engine/{name}"), no_setting(name)))
        .collect()
}

fn no_setting(name: &str) -> Diagnostic {
    Diagnostic::new(format!("the stack has no setting `{name}`"))
}
