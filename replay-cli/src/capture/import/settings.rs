//! Engine settings under which a capture can be replayed, and notes on how it was made.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr};

use super::endings;
use crate::base::duration::Micros;
use crate::base::hash::Quick;
use crate::capture::conversation::{
    Backpressure, Conversation, Conversations, Echo, MTU_BOUND, Recording, Talk,
};
use crate::scenario::{DialResult, EngineSettings, Protocol};

/// Names the likely device with its evidence, and where the capture was taken, as far as it shows.
pub(super) fn device_notes(capture: &Conversations) -> Vec<String> {
    let mut notes = Vec::new();
    // Flows of each address, and the last of equals that came first counts.
    let mut openers: HashMap<IpAddr, (usize, usize), Quick> = HashMap::default();
    for (index, flow) in capture.flows.iter().enumerate() {
        let opener = openers.entry(flow.spec.client.ip());
        opener.or_insert((0, index)).0 += 1;
    }
    if let Some((address, (count, _))) = openers.iter().max_by_key(|(_, count)| **count) {
        let total = capture.flows.len();
        notes.push(format!("the device is likely {address}: it opens {count} of {total} flow(s); `--device` overrides"));
        if let Some(recording) = &capture.recording {
            notes.push(format!("a flight recorder wrote this at an engine's tunnel: the far side is taken from its {} event(s) of the dialer; the far side's frames are that engine's own output, and not the truth", recording.events));
        } else if capture.at_tunnel {
            notes.push("this looks like a capture made at a tunnel: if an engine was behind it, the far side's frames are that engine's own output, and a bug in it would be learned as truth".to_owned());
        }
    }
    notes
}

/// Notes on what is made of times in which a far side took no more.
pub(super) fn backpressure_notes(capture: &Conversations) -> impl Iterator<Item = String> {
    let Backpressure {
        too_early, unknown, ..
    } = capture.backpressure;
    let too_early = (too_early > 0).then(|| {
        format!(
            "{too_early} stall(s) of far sides not replayed: the device had sent less before than two segments of this capture hold"
        )
    });
    let unknown = (unknown > 0).then(|| {
        format!(
            "whether a far side took no more is not known of {unknown} flow(s) unless its window was zero: the scale of its window is not in the capture"
        )
    });
    too_early.into_iter().chain(unknown)
}

/// Engine settings under which the capture can be replayed at all; each is noted.
pub(super) fn fitting(capture: &Conversations, notes: &mut Vec<String>) -> EngineSettings {
    if let Some(recording) = &capture.recording
        && !recording.settings.is_empty()
    {
        return recorded_settings(recording, notes);
    }
    let mut settings = EngineSettings::default();
    let defaults = engine::Config::default();
    for (protocol, limit, name) in [
        (Protocol::Tcp, defaults.tcp_limit, "tcp_limit"),
        (Protocol::Udp, defaults.udp_limit, "udp_limit"),
    ] {
        let peak = capture.peak(protocol, |flow| lingers_us(flow, &defaults));
        if peak > limit {
            notes.push(format!(
                "{name} set to {peak}, as many flows as are open at once (the default is {limit})"
            ));
            settings.set(name, peak);
        }
    }
    if let Backpressure {
        window: Some(window),
        replayed,
        ..
    } = capture.backpressure
    {
        settings.set("rx_buffer", window);
        notes.push(format!(
            "rx_buffer set to {window}, under which the device sees its window close where it did: {replayed} stall(s) of far sides"
        ));
    }
    let replayed = || {
        capture
            .flows
            .iter()
            .filter(|flow| flow.unreplayable.is_none())
    };
    let odd_flow =
        |flow: &Conversation| is_odd(flow.spec.client.ip()) || is_odd(flow.spec.server.ip());
    let odd_echo = |echo: &Echo| is_odd(echo.client) || is_odd(echo.server);
    if replayed().any(odd_flow) || capture.echoes.iter().any(odd_echo) {
        settings.set("martians", "admit");
        notes.push(
            "martians admitted: the capture has loopback, link-local or reserved addresses"
                .to_owned(),
        );
    }
    let (largest, beyond) = (capture.largest, capture.oversize);
    let slowest = replayed()
        .filter_map(Conversation::tcp)
        .filter(|tcp| tcp.dial != DialResult::Never)
        .map(|tcp| tcp.dial_us)
        .max()
        .unwrap_or(0);
    if u128::from(slowest) >= defaults.dial_timeout.as_micros() {
        let timeout = Micros(slowest.saturating_add(1_000_000));
        settings.set("dial_timeout", timeout.as_micros());
        notes.push(format!(
            "dial_timeout set to {timeout}: a SYN of the capture was answered that late"
        ));
    }
    if beyond > 0 {
        notes.push(format!(
            "{beyond} frame(s) above {MTU_BOUND} bytes: segmentation offload, cut to the MTU"
        ));
    }
    let v6 = replayed().any(|flow| flow.spec.client.is_ipv6());
    let least = if v6 { 1280 } else { 576 };
    if let Some(mtu) = capture
        .path_mtu
        .filter(|mtu| (least..defaults.mtu as u64).contains(&u64::from(*mtu)))
    {
        settings.set("mtu", mtu);
        notes.push(format!(
            "mtu set to {mtu}: an ICMP error told a device that its packets were too big for the way"
        ));
    } else if largest > defaults.mtu {
        settings.set("mtu", largest);
        notes.push(format!(
            "mtu set to {largest}, the largest frame (the default is {})",
            defaults.mtu
        ));
    }
    settings
}

/// How long the engine keeps a flow behind its last packet, microseconds: one that ended for no longer than a replay may
/// lag behind the capture, one that is open until its time is up.
fn lingers_us(flow: &Conversation, config: &engine::Config) -> u64 {
    const LAG: std::time::Duration = std::time::Duration::from_secs(5);
    let after = match &flow.talk {
        Talk::Udp(_) if flow.spec.server.port() == 53 => config.dns_idle,
        Talk::Udp(_) => config.udp_idle,
        Talk::Tcp(tcp) if tcp.dial == DialResult::Never => config.dial_timeout,
        Talk::Tcp(tcp) => {
            let ending = endings::of(tcp);
            match (ending.close, ending.half) {
                (Some(_), _) => LAG,
                (None, Some(_)) => config.tcp_half_closed,
                (None, None) => config.tcp_idle,
            }
        }
    };
    u64::try_from(after.as_micros()).unwrap_or(u64::MAX)
}

/// Settings of a recorded engine that change nothing of what it does with a capture: its secret, its log, and queries that it answered
/// itself, which are flows of the capture.
const NOT_REPLAYED: [&str; 4] = [
    "seed",
    "log_addresses",
    "metrics_interval",
    "dns_interception",
];

/// The settings of the engine that was recorded, as far as they differ from the defaults.
fn recorded_settings(recording: &Recording, notes: &mut Vec<String>) -> EngineSettings {
    let defaults = engine::Config::default().named();
    let mut settings = EngineSettings::default();
    for (name, text) in &recording.settings {
        let differs = !defaults
            .iter()
            .any(|(known, default)| known == name && default == text);
        if differs && !NOT_REPLAYED.contains(&name.as_str()) {
            settings.set(name, text);
        }
    }
    notes.push("engine settings are those of the recorded engine".to_owned());
    for path in &recording.paths {
        notes.push(format!("a change of the path is not replayed: {path}"));
    }
    settings
}

/// Whether only `martians: admit` lets this address in.
fn is_odd(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(a) => a.is_loopback() || a.octets()[0] == 0 || a >= Ipv4Addr::new(240, 0, 0, 0),
        IpAddr::V6(a) => {
            a.is_loopback() || a.is_unicast_link_local() || a.to_ipv4_mapped().is_some()
        }
    }
}
