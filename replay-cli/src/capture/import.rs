//! A two-sided capture becomes a runnable scenario.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;

pub(crate) mod endings;

use sha2::{Digest as _, Sha256};

use crate::base::diagnostic::Diagnostic;
use crate::base::duration::Micros;
use crate::base::hash::Quick;
use crate::base::sha256::hex;
use crate::capture::Shared;
use crate::capture::conversation::{
    Adopt, Backpressure, ByteReader, Conversation, Conversations, Echo, FarEventKind, MTU_BOUND,
    ReadOptions, Recording, Stream, Talk, TcpConversation, UdpConversation,
};
use crate::capture::recording::RemoteEnd;
use crate::scenario::{
    self, Bytes, CaptureSettings, ClosedList, Decap, Device, Dial, DialExpectation, EngineSettings,
    Expected, FlowSpec, Input, Named, Protocol, Rule, Scenario, Step, StreamExpectation,
    StreamPair, True, When,
};

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

/// What a scenario is made for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Purpose {
    /// To be written: with its expectations, and with its steps unless they are too many.
    File,
    /// To be replayed at once: what the capture says is not said again.
    Attempt,
}

/// Doings of far sides in a capture from which on nobody edits their steps: they are not listed.
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
    made_for(Purpose::File, path, reference, options)
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
    let import = derive(capture, &mut reader, reference, options, Purpose::File);
    reader.finish().map_err(Diagnostic::from)?;
    Ok(import)
}

/// As [`for_attempt`], of a capture that is held.
pub(crate) fn for_attempt_of(
    name: &str,
    bytes: Shared,
    options: &ImportOptions,
) -> Result<(Import, Conversations), Diagnostic> {
    let capture = Conversations::of_held(name, bytes, &read_options(options))?;
    derived(Purpose::Attempt, capture, name, options)
}

/// Reads a capture and derives what replays it at once ([`RunMode::RECORDED`](crate::simulation::RunMode)): without expectations,
/// flows and rules, of which each would stand for what the capture says anyhow.
pub(crate) fn for_attempt(
    path: &Path,
    options: &ImportOptions,
) -> Result<(Import, Conversations), Diagnostic> {
    let reference = path.display().to_string();
    made_for(Purpose::Attempt, path, &reference, options)
}

fn made_for(
    purpose: Purpose,
    path: &Path,
    reference: &str,
    options: &ImportOptions,
) -> Result<(Import, Conversations), Diagnostic> {
    let capture = Conversations::read(path, &read_options(options)).map_err(Diagnostic::from)?;
    derived(purpose, capture, reference, options)
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

fn derived(
    purpose: Purpose,
    capture: Conversations,
    reference: &str,
    options: &ImportOptions,
) -> Result<(Import, Conversations), Diagnostic> {
    let mut reader = ByteReader::new(&capture.bytes);
    let import = derive(&capture, &mut reader, reference, options, purpose);
    reader.finish().map_err(Diagnostic::from)?;
    Ok((import, capture))
}

/// Derives the scenario of a capture that was read.
fn derive(
    capture: &Conversations,
    reader: &mut ByteReader<'_>,
    reference: &str,
    options: &ImportOptions,
    purpose: Purpose,
) -> Import {
    let mut notes = Vec::new();
    note_device(capture, &mut notes);
    notes.extend(capture.notes.iter().cloned());
    let engine = if options.default_settings {
        EngineSettings::default()
    } else {
        settings(capture, &mut notes)
    };
    note_backpressure(capture, &mut notes);
    let mut scenario = Scenario {
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
        flows: Named(Vec::new()),
        dialer: scenario::DialerScript::default(),
        faults: Vec::new(),
        expect: scenario::Expectations::default(),
    };
    let doings: usize = capture.flows.iter().map(doings).sum();
    let listed = purpose == Purpose::File && doings <= LISTED && !options.recorded;
    if purpose == Purpose::File && !listed && !options.recorded {
        notes.push(format!(
            "what the far sides did, {doings} steps and more, is not listed: `recorded` stands for what the capture says"
        ));
    }
    let mut flows = Vec::new();
    let mut streams = Vec::new();
    let mut dials = Vec::new();
    let mut names = Vec::new();
    let mut replayable = 0;
    for (index, flow) in capture.flows.iter().enumerate() {
        if let Some(reason) = &flow.unreplayable {
            if purpose == Purpose::File {
                notes.push(format!("{} left out: {reason}", flow.spec));
            }
            continue;
        }
        let nth = replayable;
        replayable += 1;
        if purpose == Purpose::Attempt {
            continue;
        }
        let name = name_of(&flow.spec, nth);
        notes.extend(flow.notes.iter().map(|note| format!("{name}: {note}")));
        if flow.tcp().is_some_and(|tcp| tcp.adopted) {
            scenario.input.adopted.push(name.clone());
        }
        scenario.dialer.rules.push(rule(flow, &name, listed));
        dials.push(DialExpectation {
            flow: name.clone(),
            at: None,
            name: None,
        });
        streams.push((name.clone(), expected_streams(flow, reader)));
        names.push((name.clone(), index));
        flows.push((name, flow.spec));
    }
    for echo in &capture.echoes {
        let spec = echo.spec();
        if let Some(reason) = &echo.unreplayable {
            notes.push(format!("{spec} left out: {reason}"));
            continue;
        }
        if purpose == Purpose::File {
            let name = name_of(&spec, replayable);
            replayable += 1;
            notes.extend(echo.notes().iter().map(|note| format!("{name}: {note}")));
            flows.push((name, spec));
        }
    }
    for (reason, count) in capture.recording.iter().flat_map(|r| &r.unused) {
        notes.push(format!("{count} event(s) not used: {reason}"));
    }
    if purpose == Purpose::Attempt {
        return Import { scenario, notes };
    }
    for (reason, count) in &capture.skipped {
        notes.push(format!("{count} packet(s) skipped: {reason}"));
    }
    scenario.flows = Named(flows);
    scenario.expect.dials = Some(ClosedList {
        items: dials,
        others_allowed: false,
    });
    scenario.expect.streams = Named(streams);
    endings::expect(capture, &names, reader, &mut scenario.expect);
    Import { scenario, notes }
}

fn name_of(spec: &FlowSpec, index: usize) -> String {
    format!("{}{}", spec.protocol.as_str(), index + 1)
}

/// Names the likely device with its evidence, and where the capture was taken, as far as it shows.
fn note_device(capture: &Conversations, notes: &mut Vec<String>) {
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
}

/// Says what is made of times in which a far side took no more.
fn note_backpressure(capture: &Conversations, notes: &mut Vec<String>) {
    let Backpressure {
        window: _,
        replayed: _,
        too_early,
        unknown,
    } = capture.backpressure;
    if too_early > 0 {
        notes.push(format!(
            "{too_early} stall(s) of far sides not replayed: the device had sent less before than two segments of this capture hold"
        ));
    }
    if unknown > 0 {
        notes.push(format!(
            "whether a far side took no more is not known of {unknown} flow(s) unless its window was zero: the scale of its window is not in the capture"
        ));
    }
}

/// Engine settings under which the capture can be replayed at all; each is noted.
fn settings(capture: &Conversations, notes: &mut Vec<String>) -> EngineSettings {
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
        .filter(|tcp| tcp.dial != scenario::DialResult::Never)
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
        Talk::Tcp(tcp) if tcp.dial == scenario::DialResult::Never => config.dial_timeout,
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

/// Settings of a recorded engine that say nothing of what it does with a capture: its secret, its log, and queries that it answered
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

/// How many things the far side did.
fn doings(flow: &Conversation) -> usize {
    match &flow.talk {
        Talk::Tcp(tcp) => tcp.far.len(),
        Talk::Udp(udp) => udp.far.len(),
    }
}

/// The dialer's rule for a flow; its steps one by one if they are to be `listed`.
fn rule(flow: &Conversation, name: &str, listed: bool) -> Rule {
    let (result, after) = flow.dial();
    let then = match &flow.talk {
        _ if result != scenario::DialResult::Connected => Vec::new(),
        _ if !listed => vec![Step::Recorded(True)],
        Talk::Tcp(tcp) => tcp_steps(tcp, name),
        Talk::Udp(udp) => udp_steps(udp, name),
    };
    Rule {
        when: When {
            flow: Some(name.to_owned()),
            ..When::default()
        },
        dial: Dial {
            result,
            after: (after > 0).then_some(Micros(after)),
        },
        then,
    }
}

/// The far side of a connection, step by step: what it had read, how long it took, what it did then.
fn tcp_steps(tcp: &TcpConversation, name: &str) -> Vec<Step> {
    let mut steps = Vec::new();
    let mut read = 0;
    let mut read_eof = false;
    for event in &tcp.far {
        if event.acked > read {
            steps.push(Step::Read(event.acked - read));
            read = event.acked;
        }
        if event.fin_acked && !read_eof {
            steps.push(Step::ReadEof(True));
            read_eof = true;
        }
        if event.wait_us > 0 {
            steps.push(Step::Wait(Micros(event.wait_us)));
        }
        steps.push(match event.kind {
            FarEventKind::Send { from, to } => Step::Send(Bytes::Capture {
                flow: name.to_owned(),
                from,
                to,
            }),
            FarEventKind::Fin => Step::Shutdown(True),
            FarEventKind::Reset => Step::Reset(True),
            FarEventKind::Fail => Step::Fail(RECORDED_FAILURE.to_owned()),
            FarEventKind::Take(count) => Step::Take(count),
            FarEventKind::Block => Step::Block(True),
            FarEventKind::Unblock => Step::Unblock(True),
        });
    }
    steps
}

fn udp_steps(udp: &UdpConversation, name: &str) -> Vec<Step> {
    let mut steps = Vec::new();
    let mut read = 0;
    for datagram in &udp.far {
        if datagram.after > read {
            steps.push(Step::Read(datagram.after - read));
            read = datagram.after;
        }
        if datagram.wait_us > 0 {
            steps.push(Step::Wait(Micros(datagram.wait_us)));
        }
        let (from, to) = (datagram.from, datagram.to);
        steps.push(Step::Send(Bytes::Capture {
            flow: name.to_owned(),
            from,
            to,
        }));
    }
    if let Some((end, after, wait_us)) = udp.end {
        if after > read {
            steps.push(Step::Read(after - read));
        }
        if wait_us > 0 {
            steps.push(Step::Wait(Micros(wait_us)));
        }
        steps.push(match end {
            RemoteEnd::Eof => Step::Shutdown(True),
            RemoteEnd::Reset => Step::Reset(True),
            RemoteEnd::Error => Step::Fail(RECORDED_FAILURE.to_owned()),
        });
    }
    steps
}

/// The reason of a failure that a recording tells without one.
const RECORDED_FAILURE: &str = "recorded";

fn expected_streams(flow: &Conversation, reader: &mut ByteReader<'_>) -> StreamPair {
    // All of a stream, or its first bytes.
    let mut expected = |stream: &Stream, count: Option<u64>| {
        let mut hash = Sha256::new();
        let count = count.unwrap_or_else(|| stream.len());
        let mut left = count;
        stream.each(reader, |bytes| {
            let count = left.min(bytes.len() as u64);
            hash.update(bytes.get(..count as usize).unwrap_or_default());
            left -= count;
        });
        StreamExpectation {
            bytes: Expected::Exact(count),
            sha256: Some(hex(&hash.finalize())),
        }
    };
    match &flow.talk {
        Talk::Udp(udp) if udp.dial.0 != scenario::DialResult::Connected => StreamPair {
            upstream: Some(expected(&Stream::default(), None)),
            downstream: Some(expected(&Stream::default(), None)),
        },
        Talk::Udp(udp) => StreamPair {
            upstream: Some(expected(&udp.device_bytes, None)),
            downstream: Some(expected(&udp.far_bytes, None)),
        },
        // What the device sent before anybody had answered was delivered to nobody.
        Talk::Tcp(tcp) if tcp.dial != scenario::DialResult::Connected => StreamPair {
            upstream: Some(expected(&Stream::default(), None)),
            downstream: Some(expected(&Stream::default(), None)),
        },
        Talk::Tcp(tcp) => StreamPair {
            upstream: Some(expected(&tcp.device_stream, tcp.far_took)),
            downstream: Some(match tcp.device_took {
                // What the device had not acknowledged when it reset the connection is not owed to it.
                Some(took) => StreamExpectation {
                    bytes: Expected::Range {
                        min: Some(took),
                        max: Some(tcp.far_stream.len()),
                    },
                    sha256: None,
                },
                None => expected(&tcp.far_stream, None),
            }),
        },
    }
}
