//! The events of a run as lines: packets in the notation, what the dialer did in words.

use std::collections::HashMap;

use engine::{FlowId, FlowKey};

use crate::base::wording::{counted, seconds};
use crate::notation::{Direction, Numbering, TimeSpec, print_packet};
use crate::packet::{Flags, Packet, Tcp, Transport};
use crate::scenario::flow::flow_spec;
use crate::simulation::world::flow_key;
use crate::stack::event::{Trace, What};

/// An event in words.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Described {
    /// Virtual time, microseconds.
    pub at_us: u64,
    /// Which way a packet went; `None` of what is no packet.
    pub direction: Option<Direction>,
    /// What its flow is called, if it has one.
    pub flow: Option<String>,
    /// The event: of a packet what the notation has after the flow's name.
    pub what: String,
    /// The numbers of a TCP segment.
    pub tcp: Option<Numbers>,
}

/// The numbers of a TCP segment, relative to the initial ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Numbers {
    /// The sequence number.
    pub sequence: u32,
    /// How many numbers it takes: bytes of payload, and one each for SYN and FIN.
    pub len: u32,
    /// The acknowledgement number, if it counts.
    pub acknowledgement: Option<u32>,
    /// The window in bytes, scaled as its sender's SYN says.
    pub window: u64,
    /// The control bits.
    pub flags: Flags,
}

impl Described {
    /// The event as one line, with its time in seconds; a packet's can be read back by the notation.
    #[must_use]
    pub fn line(&self) -> String {
        let time = seconds(self.at_us);
        let what = &self.what;
        match self.direction {
            Some(direction) => format!("{time} {} {} {what}", mark(direction), self.name()),
            None => format!("{time} {what}"),
        }
    }

    fn name(&self) -> &str {
        self.flow.as_deref().unwrap_or("ip")
    }
}

/// The mark of a direction in the notation.
#[must_use]
pub const fn mark(direction: Direction) -> char {
    match direction {
        Direction::FromDevice => '<',
        Direction::FromEngine => '>',
    }
}

/// A line for each event of a trace, with its virtual time in microseconds.
#[must_use]
pub fn lines(trace: &Trace) -> Vec<(u64, String)> {
    let line = |event: Described| (event.at_us, event.line());
    describe(trace).into_iter().map(line).collect()
}

/// Each event of a trace in words.
#[must_use]
pub fn describe(trace: &Trace) -> Vec<Described> {
    let mut names = Names::new(trace);
    let each = trace.events.iter();
    each.map(|event| names.describe(event.at_us, &event.what))
        .collect()
}

/// What flows are called, and the initial sequence numbers of each.
struct Names<'a> {
    trace: &'a Trace,
    keys: HashMap<FlowId, FlowKey>,
    seen: HashMap<FlowKey, Seen>,
}

impl<'a> Names<'a> {
    fn new(trace: &'a Trace) -> Self {
        Self {
            trace,
            keys: HashMap::default(),
            seen: HashMap::default(),
        }
    }

    /// The scenario's name of a tuple, or the tuple.
    fn of_key(&self, key: &FlowKey) -> String {
        let spec = flow_spec(key, 1);
        let same = |(_, named): &&(String, crate::scenario::FlowSpec)| {
            (named.protocol, named.client, named.server)
                == (spec.protocol, spec.client, spec.server)
        };
        match self.trace.names.iter().find(same) {
            Some((name, _)) => name.clone(),
            None => spec.to_string(),
        }
    }

    fn of(&self, flow: FlowId) -> String {
        self.keys
            .get(&flow)
            .map_or_else(|| "?".to_owned(), |key| self.of_key(key))
    }

    fn packet(&mut self, at_us: u64, bytes: &[u8], direction: Direction) -> Described {
        let event = Described {
            at_us,
            direction: Some(direction),
            ..Described::default()
        };
        let Ok(packet) = Packet::whole(bytes) else {
            let size = counted(bytes.len() as u64, "byte");
            return Described {
                what: format!("{size} that are no IP packet"),
                ..event
            };
        };
        let key = flow_key(&packet, direction == Direction::FromDevice);
        let mut seen = Seen::default();
        if let Some(key) = key {
            let known = self.seen.entry(key).or_default();
            if let Transport::Tcp(tcp) = &packet.transport {
                known.learn(direction, tcp);
            }
            seen = *known;
        }
        let flow = key.map(|key| self.of_key(&key));
        let time = TimeSpec::Absolute(at_us);
        let name = flow.as_deref().unwrap_or("ip");
        let line = print_packet(&packet, &seen.numbering, time, name, direction);
        let (_, line) = line.split_once(mark(direction)).unwrap_or(("", &line));
        let line = line.trim_start();
        let line = line.strip_prefix(name).unwrap_or(line).trim_start();
        // Options that were taken out of a recorded segment left padding, which means nothing.
        let what = match line.split_once(" <") {
            Some((before, options))
                if options.trim_end_matches('>').split(',').all(|o| o == "nop") =>
            {
                before.to_owned()
            }
            _ => line.to_owned(),
        };
        let tcp = match &packet.transport {
            Transport::Tcp(tcp) => Some(seen.numbers(direction, tcp)),
            _ => None,
        };
        Described {
            flow,
            what,
            tcp,
            ..event
        }
    }

    fn describe(&mut self, at_us: u64, what: &What) -> Described {
        if let What::Dial { flow, key, .. } = what {
            self.keys.insert(*flow, *key);
        }
        let flow = what.flow().map(|flow| self.of(flow));
        let of = flow.clone().unwrap_or_default();
        let bytes = |bytes: &[u8]| counted(bytes.len() as u64, "byte");
        let what = match what {
            What::FrameIn(frame) => return self.packet(at_us, frame, Direction::FromDevice),
            What::FrameOut(frame) => return self.packet(at_us, frame, Direction::FromEngine),
            What::Dial { name, .. } => match name {
                Some(name) => format!("dial {of} ({name})"),
                None => format!("dial {of}"),
            },
            What::DialResult(_, result) => format!("dial of {of}: {result:?}"),
            What::Upstream(_, payload) => format!("{of}: {} to the far side", bytes(payload)),
            What::UpstreamDatagram(_, to, payload) => {
                format!("{of}: datagram of {} to {to}", bytes(payload))
            }
            What::Downstream(_, payload, offered) if payload.len() < *offered => {
                format!("{of}: {} of the far side's {offered} taken", bytes(payload))
            }
            What::Downstream(_, payload, _) => format!("{of}: {} of the far side", bytes(payload)),
            What::DownstreamDatagram(_, payload, taken) => {
                let refused = if *taken { "" } else { ", not taken" };
                let size = bytes(payload);
                format!("{of}: datagram of {size} of the far side{refused}")
            }
            What::Take(_, count) => {
                let size = counted(*count as u64, "byte");
                format!("{of}: the far side takes {size}")
            }
            What::Blocked(_) => format!("{of}: the far side is blocked"),
            What::Writable(_) => format!("{of}: the far side is writable"),
            What::Resume(_) => format!("{of}: the far side may send again"),
            What::HalfClose(_) => format!("{of}: half-closed by the device"),
            What::RemoteEnd(_, end) => format!("{of}: the far side ended: {end:?}"),
            What::Close(_, close) => format!("close {of}: by {:?}, {:?}", close.by, close.how),
            What::Dns(record) => format!("dns {}", record.name),
            What::Host(word) => (*word).to_owned(),
        };
        Described {
            at_us,
            flow,
            what,
            ..Described::default()
        }
    }
}

/// What is known of a flow from its packets so far.
#[derive(Clone, Copy, Debug, Default)]
struct Seen {
    numbering: Numbering,
    /// The window scales of the device's SYN and of the engine's.
    scales: [Option<u8>; 2],
}

impl Seen {
    fn learn(&mut self, direction: Direction, tcp: &Tcp<'_>) {
        self.numbering.learn(direction, tcp);
        if tcp.flags.contains(Flags::SYN) {
            let [device, engine] = &mut self.scales;
            *match direction {
                Direction::FromDevice => device,
                Direction::FromEngine => engine,
            } = tcp.options.window_scale;
        }
    }

    fn numbers(&self, direction: Direction, tcp: &Tcp<'_>) -> Numbers {
        let shift = match (direction, self.scales) {
            _ if tcp.flags.contains(Flags::SYN) => 0,
            (Direction::FromDevice, [Some(own), Some(_)])
            | (Direction::FromEngine, [Some(_), Some(own)]) => own.min(14),
            _ => 0,
        };
        let acknowledged = tcp.flags.contains(Flags::ACK);
        Numbers {
            sequence: self.numbering.relative_sequence(direction, tcp),
            len: tcp.sequence_len(),
            acknowledgement: acknowledged.then(|| {
                self.numbering
                    .relative_acknowledgement(direction, tcp.acknowledgement)
            }),
            window: u64::from(tcp.window) << shift,
            flags: tcp.flags,
        }
    }
}
