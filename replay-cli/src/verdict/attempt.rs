//! `replay try`: a capture imported and replayed in memory, with a verdict per flow.

use crate::simulation::RunMode;
use crate::simulation::play_capture;
use crate::stack::DnsSeen;
use crate::stack::Via;
use crate::stack::event::{Trace, Tracer};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use crate::base::diagnostic::Diagnostic;
use crate::base::threads::SIDE_BY_SIDE;
use crate::capture::Shared;
use crate::capture::conversation::{Conversation, Conversations, Echo, EchoRequest, Stream, Talk};
use crate::capture::facts::Facts;
use crate::capture::import::{self, Import, ImportOptions};
use crate::scenario::files::Files;
use crate::scenario::{Decap, Device, DialResult, FlowSpec, Protocol};
use crate::simulation::Figures;
use crate::simulation::device::echo::EchoSeen;
use crate::simulation::flow::Dialed;
use crate::simulation::share::{self, Share};
use crate::simulation::tape::{Against, Retention, StreamComparison};
use crate::simulation::{Retain, RunOutput};
use crate::verdict::expect::stalls;

/// What became of a capture.
///
/// ```
/// use replay::verdict::attempt::{FlowVerdict, TryOptions, try_capture};
///
/// let attempt = try_capture("../captures/http/get.pcapng".as_ref(), &TryOptions::default())?;
/// assert!(attempt.flows.iter().all(|flow| flow.verdict == FlowVerdict::Pass));
/// # Ok::<(), replay::base::diagnostic::Diagnostic>(())
/// ```
#[derive(Clone, Debug)]
pub struct Attempt {
    /// Records the file holds, as far as it could be read.
    pub packets_read: u64,
    /// The earliest frame's time, nanoseconds since the epoch.
    pub start_ns: i64,
    /// Packets that belong to no flow, by reason.
    pub skipped: BTreeMap<String, u64>,
    /// One entry per flow, in the order of their first packets.
    pub flows: Vec<FlowAttempt>,
    /// DNS records the engine reported.
    pub dns: Vec<DnsSeen>,
    /// What was set or done for this capture as a whole: one line each.
    pub notes: Vec<String>,
    /// Where the file is damaged, if it is.
    pub damage: Option<Diagnostic>,
    /// Whether two runs gave the same outputs.
    pub deterministic: bool,
    /// Numbers of the run.
    pub figures: Figures,
}

/// One flow's verdict.
#[derive(Clone, Debug)]
pub struct FlowAttempt {
    /// Transport.
    pub protocol: Protocol,
    /// The device's end.
    pub client: SocketAddr,
    /// The far end.
    pub server: SocketAddr,
    /// When its first packet came, nanoseconds since the epoch.
    pub start_ns: i64,
    /// How long it lasted in the capture, microseconds.
    pub lasted_us: u64,
    /// What an expert reads out of its packets, and what its server is called.
    pub facts: Facts,
    /// The verdict.
    pub verdict: FlowVerdict,
    /// What the dialer got from the engine.
    pub upstream: StreamSeen,
    /// What the device got from the engine.
    pub downstream: StreamSeen,
    /// Bytes of both streams that the capture does not hold, and that stand as zeros.
    pub invented_bytes: u64,
    /// Its beginning is not in the capture, and a handshake was made up for it.
    pub adopted: bool,
    /// How it ended, if it did: by whom, how.
    pub close: Option<(String, String)>,
    /// What import and the runner did about it: one line each.
    pub notes: Vec<String>,
}

impl FlowAttempt {
    /// A flow that passes, of which nothing is known yet.
    fn of(spec: &FlowSpec) -> Self {
        Self {
            protocol: spec.protocol,
            client: spec.client,
            server: spec.server,
            start_ns: 0,
            lasted_us: 0,
            facts: Facts::default(),
            verdict: FlowVerdict::Pass,
            upstream: StreamSeen::default(),
            downstream: StreamSeen::default(),
            invented_bytes: 0,
            adopted: false,
            close: None,
            notes: Vec::new(),
        }
    }

    /// The device's end and the far one as they are written: those of ICMP have no ports.
    #[must_use]
    pub fn ends(&self) -> [String; 2] {
        [self.client, self.server].map(|end| match self.protocol {
            Protocol::Icmp => end.ip().to_string(),
            Protocol::Tcp | Protocol::Udp => end.to_string(),
        })
    }
}

/// The share of bytes that are not in the capture, in hundredths, up to which a flow passes by default.
pub const INVENTED_PERCENT: u64 = 10;

/// Whether a flow replayed as recorded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FlowVerdict {
    /// Both streams as recorded.
    Pass,
    /// As recorded as far as the capture holds it; but more of its bytes than [`TryOptions::max_invented`] are not in it, and
    /// stand as zeros: how many.
    Partial(String),
    /// Not as recorded: how.
    Fail(String),
    /// It cannot be replayed: why.
    Unreplayable(String),
}

/// One direction of a flow.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StreamSeen {
    /// Bytes.
    pub bytes: u64,
    /// SHA-256 of them, hex; empty if it was not asked for.
    pub sha256: String,
    /// Datagrams, of UDP.
    pub datagrams: u64,
}

/// Options of [`try_capture`].
#[derive(Clone, Debug, Default)]
pub struct TryOptions {
    /// Who the device is.
    pub device: Device,
    /// The tunnels that are taken off its packets.
    pub decap: Decap,
    /// Whether the engine keeps its default limits instead of ones that fit the capture.
    pub default_settings: bool,
    /// By which way in it is replayed.
    pub via: Via,
    /// Whether flows whose beginning is not in the capture are left out.
    pub no_adopt: bool,
    /// The share of a flow's bytes that may be invented for it to pass, in hundredths. `None`: [`INVENTED_PERCENT`].
    pub max_invented: Option<u8>,
    /// Whether the streams are hashed.
    pub hashes: bool,
    /// The most bytes of what a packed file or a pipe holds. `None`: 512 MiB.
    pub max_unpacked: Option<u64>,
}

/// An attempt, with what was seen of it beside the verdicts.
#[derive(Clone, Debug)]
pub struct Watched {
    /// The attempt.
    pub attempt: Attempt,
    /// When each of its flows was, in their order.
    pub spans: Vec<Span>,
    /// The last events of one more run, if they were asked for.
    pub trace: Option<Trace>,
}

/// When a flow was, by its packets in the capture.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Span {
    /// Its first packet, microseconds after the capture's first.
    pub start_us: u64,
    /// Its last packet, likewise.
    pub end_us: u64,
    /// How many there are.
    pub packets: u64,
}

/// Imports a capture and replays it, twice.
///
/// # Errors
/// The file is missing or is no capture at all. Damage further on is in [`Attempt::damage`].
pub fn try_capture(path: &Path, options: &TryOptions) -> Result<Attempt, Diagnostic> {
    watch_capture(path, options, None).map(|watched| watched.attempt)
}

/// Imports a capture and replays it, twice, and once more with its border watched if the last so many events are to be kept.
///
/// # Errors
/// The file is missing or is no capture at all. Damage further on is in [`Attempt::damage`].
pub fn watch_capture(
    path: &Path,
    options: &TryOptions,
    events: Option<usize>,
) -> Result<Watched, Diagnostic> {
    let (import, capture) = import::for_attempt(path, &import_options(options))?;
    attempt(import, capture, options, events)
}

/// As [`try_capture`], of a capture, not compressed, that is held.
///
/// # Errors
/// It is no capture at all.
pub fn try_held(
    name: &str,
    bytes: Arc<Vec<u8>>,
    options: &TryOptions,
) -> Result<Attempt, Diagnostic> {
    let (import, capture) = import::for_attempt_of(name, Shared(bytes), &import_options(options))?;
    attempt(import, capture, options, None).map(|watched| watched.attempt)
}

fn import_options(options: &TryOptions) -> ImportOptions {
    ImportOptions {
        device: options.device.clone(),
        decap: options.decap,
        default_settings: options.default_settings,
        no_adopt: options.no_adopt,
        max_unpacked: options.max_unpacked,
        recorded: false,
    }
}

fn attempt(
    import: Import,
    mut capture: Conversations,
    options: &TryOptions,
    events: Option<usize>,
) -> Result<Watched, Diagnostic> {
    let way = RunMode {
        via: &options.via,
        ..RunMode::RECORDED
    };
    let play = |_, share| {
        let against = (share != Share::None).then_some(options.hashes);
        let way = RunMode { share, ..way };
        let mut run = play_once(&import, &capture, against, way)?;
        run.settle();
        Ok::<_, Diagnostic>(run)
    };
    let side_by_side = capture.usable > SIDE_BY_SIDE && capture.flows.len() <= FLOWS_SIDE_BY_SIDE;
    let halves = options.via == Via::Core;
    let (mut first, second) = share::twice(side_by_side, halves, play)?;
    let deterministic = first.digest.difference(&second.digest).is_none();
    let mut dialed = std::mem::take(&mut first.dialed);
    dialed.sort_by_key(|dialed| dialed.conversation);
    let mut dialed = dialed.as_slice();
    let mut comparisons = std::mem::take(&mut first.comparisons).into_iter();
    let most = options.max_invented.map_or(INVENTED_PERCENT, u64::from);
    let flows = capture
        .flows
        .iter_mut()
        .enumerate()
        .map(|(index, flow)| {
            let comparison = comparisons.next().unwrap_or_default();
            let many = dialed.partition_point(|dialed| dialed.conversation <= index);
            let (dials, rest) = dialed.split_at(many);
            dialed = rest;
            let mut attempt = judge(index, flow, dials, comparison, &first, most);
            attempt.facts = std::mem::take(&mut flow.facts);
            let after_ns = flow.start_us.saturating_mul(1000);
            attempt.start_ns = capture.start_ns.saturating_add_unsigned(after_ns);
            attempt
        })
        .chain(capture.echoes.iter().zip(&first.echoes).map(judge_echo))
        .collect();
    let trace = events.map(|events| {
        let tracer = Tracer::last(events);
        let watched = RunMode {
            tracer: Some(&tracer),
            ..way
        };
        // It was run before: its problems have been reported.
        let _ = play_once(&import, &capture, None, watched);
        tracer.take(Vec::new(), import.scenario.engine.config())
    });
    let span = |flow: &Conversation| Span {
        start_us: flow.start_us,
        end_us: flow.end_us,
        packets: flow.packets,
    };
    let spans = capture.flows.iter().map(span).collect();
    let mut notes = import.notes;
    if first.retired > 0 {
        let retired = first.retired;
        notes.push(format!(
            "{retired} flow(s) that had nothing more to say were ended to make room for others"
        ));
    }
    let Conversations {
        packets_read,
        first_frame_ns: start_ns,
        skipped,
        damage,
        ..
    } = capture;
    let attempt = Attempt {
        packets_read,
        start_ns,
        skipped,
        flows,
        dns: first.dns.into_iter().map(|(_, record)| record).collect(),
        notes,
        damage: damage.map(Diagnostic::from),
        deterministic,
        figures: first.figures,
    };
    Ok(Watched {
        attempt,
        spans,
        trace,
    })
}

fn play_once(
    import: &Import,
    capture: &Conversations,
    against: Option<bool>,
    way: RunMode<'_>,
) -> Result<RunOutput, Diagnostic> {
    let keep = Retain {
        frames: false,
        streams: Retention::Count,
        against,
    };
    let run = play_capture(&import.scenario, &Files::default(), capture, keep, way);
    run.map_err(|(_, problem)| problem)
}

/// Flows of a capture beyond which its two runs are made one after the other: both at once would be much memory.
const FLOWS_SIDE_BY_SIDE: usize = 50_000;

/// Holds what a flow did against the capture. `dials` are those that replayed it.
fn judge(
    index: usize,
    flow: &Conversation,
    dials: &[Dialed],
    comparison: StreamComparison,
    run: &RunOutput,
    most_invented: u64,
) -> FlowAttempt {
    let mut attempt = FlowAttempt {
        lasted_us: flow.end_us.saturating_sub(flow.start_us),
        adopted: flow.tcp().is_some_and(|tcp| tcp.adopted),
        notes: flow.notes.clone(),
        ..FlowAttempt::of(&flow.spec)
    };
    if let Some(reason) = &flow.unreplayable {
        attempt.verdict = FlowVerdict::Unreplayable(reason.clone());
        return attempt;
    }
    for dialed in dials {
        attempt.upstream.datagrams += dialed.up;
        attempt.downstream.datagrams += dialed.down;
        let close = dialed.close;
        attempt.close = close.map(|close| (close.by.to_string(), close.how.label().to_owned()));
    }
    let StreamComparison { up, down } = &comparison;
    (attempt.upstream.bytes, attempt.downstream.bytes) = (up.len, down.len);
    if let Some((synthetic, left_out)) = run.device.get(index) {
        if *synthetic > 0 {
            attempt.notes.push(format!(
                "{synthetic} frame(s) made up as the device would have sent them"
            ));
        }
        if *left_out > 0 {
            let note = format!("{left_out} recorded retransmission(s) not needed");
            attempt.notes.push(note);
        }
    }
    let FlowSpec {
        protocol,
        client,
        server,
        ..
    } = flow.spec;
    let name = || format!("{protocol} {client} > {server}");
    let name = (!run.failures.is_empty()).then(name);
    let mut broken = run.failures.iter();
    let broken = broken.find(|failure| failure.flow.is_some() && failure.flow == name);
    let problem = if dials.is_empty() {
        Some("the engine never asked for it to be dialed".to_owned())
    } else if let Some(broken) = broken {
        Some(broken.what.clone())
    } else {
        problem(flow, dials, &comparison, attempt.upstream.datagrams)
    };
    attempt.invented_bytes = flow.invented();
    attempt.verdict = match (problem, partial(flow, most_invented)) {
        (Some(problem), _) => FlowVerdict::Fail(problem),
        (None, Some(partial)) => FlowVerdict::Partial(partial),
        (None, None) => FlowVerdict::Pass,
    };
    attempt.upstream.sha256 = comparison.up.sha256().unwrap_or_default();
    attempt.downstream.sha256 = comparison.down.sha256().unwrap_or_default();
    attempt
}

/// What is wrong with the streams of a flow that was dialed, if anything is; `datagrams` came from the device.
fn problem(
    flow: &Conversation,
    dials: &[Dialed],
    StreamComparison { up, down }: &StreamComparison,
    datagrams: u64,
) -> Option<String> {
    let connected = match &flow.talk {
        Talk::Udp(udp) => udp.dial.0 == DialResult::Connected,
        Talk::Tcp(tcp) => tcp.dial == DialResult::Connected,
    };
    // Nothing is owed to a dialer that was never connected.
    if !connected {
        return (up.len > 0).then(|| differs("dialer", up.len, 0, 0));
    }
    match &flow.talk {
        Talk::Udp(udp) => as_recorded("dialer", up, &udp.device_bytes)
            .or_else(|| as_recorded("device", down, &udp.far_bytes))
            .or_else(|| {
                let all = datagrams == udp.device.len() as u64;
                (!all).then(|| "datagrams merged or split".to_owned())
            }),
        Talk::Tcp(tcp) => {
            let up = match tcp.far_took {
                Some(took) if up.len == took && up.is_prefix() => None,
                Some(took) => Some(differs("dialer", up.len, took, up.same)),
                None => as_recorded("dialer", up, &tcp.device_stream),
            };
            up.or_else(|| match tcp.device_took {
                Some(took) if down.len >= took && down.is_prefix() => None,
                _ => as_recorded("device", down, &tcp.far_stream),
            })
            .or_else(|| unmet_stall(flow, dials))
        }
    }
}

/// Holds the answers that the device got against the echo requests that it sent.
fn judge_echo((echo, seen): (&Echo, &EchoSeen)) -> FlowAttempt {
    let stream = |(datagrams, bytes)| StreamSeen {
        bytes,
        datagrams,
        ..StreamSeen::default()
    };
    let (asked, answered) = (seen.asked.0, seen.answered.0);
    let at = |request: Option<&EchoRequest>| request.map_or(0, |request| request.time_ns);
    let (first, last) = (at(echo.requests.first()), at(echo.requests.last()));
    FlowAttempt {
        start_ns: first,
        lasted_us: last.abs_diff(first) / 1000,
        verdict: match &echo.unreplayable {
            Some(reason) => FlowVerdict::Unreplayable(reason.clone()),
            None if answered == asked => FlowVerdict::Pass,
            None => FlowVerdict::Fail(format!(
                "the device got {answered} of {asked} answers to its echo requests"
            )),
        },
        upstream: stream(seen.asked),
        downstream: stream(seen.answered),
        notes: echo.notes(),
        ..FlowAttempt::of(&echo.spec())
    }
}

/// Which recorded stall of a flow did not come, or not at its time.
fn unmet_stall(flow: &Conversation, dials: &[Dialed]) -> Option<String> {
    let seen = dials.last().map_or(&[][..], |dialed| &dialed.stalls);
    let owed = import::endings::stalls(flow, "");
    owed.iter().find_map(|stall| stalls::unmet(stall, seen))
}

/// Why a flow that came out as recorded does not simply pass.
fn partial(flow: &Conversation, most: u64) -> Option<String> {
    let invented = flow.invented();
    let all = flow.device_bytes().len() + flow.far_bytes().len();
    (invented * 100 > all * most)
        .then(|| format!("{invented} of {all} bytes are not in the capture and stand as zeros"))
}

/// What is wrong with a stream that should be as recorded.
fn as_recorded(who: &str, got: &Against, want: &Stream) -> Option<String> {
    let equal = got.is_prefix() && got.len == want.len();
    (!equal).then(|| differs(who, got.len, want.len(), got.same))
}

fn differs(who: &str, got: u64, want: u64, same: u64) -> String {
    format!("the {who} got {got} of {want} bytes; they agree up to byte {same}")
}
