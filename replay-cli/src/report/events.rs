//! The events of a run as lines: packets in the notation, what the dialer did in words.

use std::collections::HashMap;

use engine::{FlowId, FlowKey};

use crate::base::wording::{counted, seconds};
use crate::notation::{Direction, Numbering, TimeSpec, print_packet};
use crate::packet::{Packet, Transport};
use crate::scenario::flow::flow_spec;
use crate::simulation::world::flow_key;
use crate::stack::event::{Trace, What};

/// A line for each event of a trace, with its virtual time in microseconds.
#[must_use]
pub fn lines(trace: &Trace) -> Vec<(u64, String)> {
    let mut names = Names::new(trace);
    let line =
        |event: &crate::stack::event::Event| (event.at_us, names.line(event.at_us, &event.what));
    trace.events.iter().map(line).collect()
}

/// What flows are called, and the initial sequence numbers of each.
struct Names<'a> {
    trace: &'a Trace,
    keys: HashMap<FlowId, FlowKey>,
    numbering: HashMap<FlowKey, Numbering>,
}

impl<'a> Names<'a> {
    fn new(trace: &'a Trace) -> Self {
        Self {
            trace,
            keys: HashMap::new(),
            numbering: HashMap::new(),
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

    fn packet(&mut self, at: u64, bytes: &[u8], direction: Direction) -> String {
        let mark = match direction {
            Direction::FromDevice => '<',
            Direction::FromEngine => '>',
        };
        let Ok(packet) = Packet::whole(bytes) else {
            let size = counted(bytes.len() as u64, "byte");
            return format!("{} {mark} {size} that are no IP packet", seconds(at));
        };
        let key = flow_key(&packet, direction == Direction::FromDevice);
        let numbering = match key {
            Some(key) => {
                let numbering = self.numbering.entry(key).or_default();
                if let Transport::Tcp(tcp) = &packet.transport {
                    numbering.learn(direction, tcp);
                }
                *numbering
            }
            None => Numbering::default(),
        };
        let name = key.map_or_else(|| "ip".to_owned(), |key| self.of_key(&key));
        let time = TimeSpec::Absolute(at);
        let line = print_packet(&packet, &numbering, time, &name, direction);
        // Options that were taken out of a recorded segment left padding, which tells nothing.
        match line.split_once(" <") {
            Some((before, options))
                if options.trim_end_matches('>').split(',').all(|o| o == "nop") =>
            {
                before.to_owned()
            }
            _ => line,
        }
    }

    fn line(&mut self, at: u64, what: &What) -> String {
        if let What::Dial { flow, key, .. } = what {
            self.keys.insert(*flow, *key);
        }
        let of = what.flow().map(|flow| self.of(flow)).unwrap_or_default();
        let bytes = |bytes: &[u8]| counted(bytes.len() as u64, "byte");
        let said = match what {
            What::FrameIn(frame) => return self.packet(at, frame, Direction::FromDevice),
            What::FrameOut(frame) => return self.packet(at, frame, Direction::FromEngine),
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
                format!(
                    "{of}: datagram of {} of the far side{refused}",
                    bytes(payload)
                )
            }
            What::Take(_, count) => format!(
                "{of}: the far side takes {}",
                counted(*count as u64, "byte")
            ),
            What::Blocked(_) => format!("{of}: the far side is blocked"),
            What::Writable(_) => format!("{of}: the far side is writable"),
            What::Resume(_) => format!("{of}: the far side may send again"),
            What::HalfClose(_) => format!("{of}: half-closed by the device"),
            What::RemoteEnd(_, end) => format!("{of}: the far side ended: {end:?}"),
            What::Close(_, close) => format!("close {of}: by {:?}, {:?}", close.by, close.how),
            What::Dns(record) => format!("dns {}", record.name),
            What::Host(word) => (*word).to_owned(),
        };
        format!("{} {said}", seconds(at))
    }
}
