//! `expect.packets` and `expect.never`, held against the frames of a run that is over.

use super::Check;
use crate::base::duration::Micros;
use crate::base::wording::seconds_of as seconds;
use crate::notation::{Action, Line, TimeSpec};
use crate::packet::{Flags, Packet, Transport};
use crate::scenario::failure::FailureKind;
use crate::scenario::{Never, Protocol};
use crate::simulation::matcher::{Found, Matcher, told};

/// Whether a line's time allows `at`, give or take `slack`.
fn accepts(line: TimeSpec, at: u64, previous: u64, slack: u64) -> bool {
    let (from, to) = line.window(previous);
    (from.saturating_sub(slack)..=to.saturating_add(slack)).contains(&at)
}

pub(crate) fn check(check: &mut Check<'_>) {
    let mut matcher = Matcher::default();
    let mut previous = 0;
    let mut failures = Vec::new();
    for (index, text) in check.scenario.expect.packets.iter().enumerate() {
        check.verdicts.checks += 1;
        let pointer = format!("/expect/packets/{index}");
        // Lines were parsed when the scenario was loaded.
        let Ok(line) = Line::parse(text) else {
            continue;
        };
        let Action::Expect(segment) = &line.action else {
            continue;
        };
        let found = matcher.find(check.view(), segment);
        let flow = Some(segment.flow.clone());
        match found {
            Found::Match(at) => {
                let time = check.run.emitted.get(at).map_or(0, |emitted| emitted.at);
                let exact = line.time.is_exact() && check.traits.tolerance > 0;
                check.verdicts.core_only += u64::from(exact);
                if !accepts(line.time, time, previous, check.traits.tolerance) {
                    let what = format!(
                        "it came at {} s, {} s after the one before",
                        seconds(time),
                        seconds(time.saturating_sub(previous))
                    );
                    let mut late = check.failure(FailureKind::WrongTime, &pointer, what);
                    (late.expected, late.actual, late.flow) =
                        (Some(text.clone()), Some(check.view().shown(at)), flow);
                    late.at_us = Some(time);
                    failures.push(late);
                }
                previous = time;
            }
            Found::Other(at, differences) => {
                let (what, payload) = told(&differences);
                let mut wrong = check.failure(FailureKind::WrongPacket, &pointer, what);
                wrong.payload = payload;
                (wrong.expected, wrong.actual, wrong.flow) =
                    (Some(text.clone()), Some(check.view().shown(at)), flow);
                wrong.at_us = check.run.emitted.get(at).map(|emitted| emitted.at);
                previous = wrong.at_us.unwrap_or(previous);
                failures.push(wrong);
            }
            Found::Nothing => {
                let what = "nothing more came on this flow that could be it".to_owned();
                let mut missing = check.failure(FailureKind::MissingPacket, &pointer, what);
                (missing.expected, missing.flow) = (Some(text.clone()), flow);
                missing.at_us = Some(check.run.figures.virtual_us);
                failures.push(missing);
            }
        }
    }
    for (name, index) in matcher.leftovers(check.view()) {
        let what = format!("flow {name} got a packet beyond all that was expected");
        let mut extra = check.failure(FailureKind::UnexpectedPacket, "/expect/packets", what);
        (extra.actual, extra.flow) = (Some(check.view().shown(index)), Some(name));
        extra.at_us = check.run.emitted.get(index).map(|emitted| emitted.at);
        failures.push(extra);
    }
    check.verdicts.failures.extend(failures);
}

pub(crate) fn never(check: &mut Check<'_>) {
    let mut failures = Vec::new();
    for (index, never) in check.scenario.expect.never.iter().enumerate() {
        check.verdicts.checks += 1;
        let pointer = format!("/expect/never/{index}");
        for (at, emitted) in check.run.emitted.iter().enumerate() {
            let Ok(packet) = Packet::whole(&emitted.bytes) else {
                continue;
            };
            let view = check.view();
            let on_flow = match &never.flow {
                None => true,
                Some(name) => view
                    .spec(name)
                    .is_some_and(|spec| view.belongs(&packet, emitted, &spec)),
            };
            if on_flow && is_forbidden(never, &packet, emitted.at) {
                let mut forbidden = check.failure(
                    FailureKind::ForbiddenPacket,
                    &pointer,
                    "a packet came that must never come".to_owned(),
                );
                forbidden.actual = Some(view.shown(at));
                forbidden.flow.clone_from(&never.flow);
                forbidden.at_us = Some(emitted.at);
                failures.push(forbidden);
            }
        }
    }
    check.verdicts.failures.extend(failures);
}

fn is_forbidden(never: &Never, packet: &Packet<'_>, at: u64) -> bool {
    let Never {
        flow: _,
        proto,
        flags,
        length,
        window,
        at: time,
    } = never;
    let protocol = match packet.transport {
        Transport::Tcp(_) => Some(Protocol::Tcp),
        Transport::Udp(_) => Some(Protocol::Udp),
        Transport::Icmp(_) => Some(Protocol::Icmp),
        _ => None,
    };
    let tcp = packet.tcp();
    let payload = tcp
        .map(|tcp| tcp.payload_len)
        .or_else(|| packet.udp().map(|udp| udp.payload_len))
        .unwrap_or(0) as u64;
    proto.is_none_or(|wanted| protocol == Some(wanted))
        && flags.as_ref().is_none_or(|wanted| {
            // Every flag written must be there; others may be.
            let wanted = wanted
                .chars()
                .filter_map(Flags::from_letter)
                .fold(Flags(0), Flags::with);
            tcp.is_some_and(|tcp| tcp.flags.contains(wanted))
        })
        && length
            .as_ref()
            .is_none_or(|wanted| wanted.matches(&payload))
        && window
            .as_ref()
            .is_none_or(|wanted| tcp.is_some_and(|tcp| wanted.matches(&u64::from(tcp.window))))
        && time
            .as_ref()
            .is_none_or(|wanted| wanted.matches(&Micros(at)))
}
