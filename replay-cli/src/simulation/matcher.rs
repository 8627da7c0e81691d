//! Expected lines against emitted frames: in order within a flow, closed for each flow that is named, pure
//! acknowledgements excepted unless written.

use std::collections::BTreeMap;

use super::flow::FlowState;
use super::world::{Emitted, flow_key};
use crate::base::wording::seconds_of as seconds;
use crate::notation::{
    Bindings, Body, Difference, Direction, Numbering, Segment, TimeSpec, print_packet, wrap,
};
use crate::packet::{Flags, Packet, TCP, Transport, UDP};
use crate::scenario::flow::flow_spec;
use crate::scenario::{FlowSpec, Protocol, Scenario};
use crate::simulation::dialer::key_of;
use crate::simulation::isns::Isns;
use crate::stack::Traits;

/// What the runner knows when lines are compared.
#[derive(Clone, Copy)]
pub(crate) struct View<'a> {
    pub(crate) scenario: &'a Scenario,
    pub(crate) flows: &'a [FlowState],
    pub(crate) emitted: &'a [Emitted],
    pub(crate) isns: &'a Isns,
}

/// The state of a list of expected lines.
#[derive(Clone, Debug, Default)]
pub(crate) struct Matcher {
    pub(crate) bindings: Bindings,
    /// Per flow name: the next emitted frame to look at.
    cursors: BTreeMap<String, usize>,
    /// Whether acknowledgements without a line are differences too.
    pub(crate) strict: bool,
    /// Whether pushes are looked at: another stack may push where it likes (RFC 9293 section 3.9.1.2).
    pub(crate) pushes_free: bool,
    /// Whether keep-alives without a line are passed over, as acknowledgements are.
    pub(crate) keep_alives_free: bool,
    /// What may come unasked.
    allowed: Vec<Segment>,
}

/// How far the search for one line has come.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Search {
    /// How many frames were looked at in vain.
    looked_at: usize,
    /// Of a range in several segments: how many bytes have come, and which frames were the first and the last of them.
    pub(crate) bytes: u32,
    pub(crate) came: Option<(usize, usize)>,
}

/// What a line found.
#[derive(Clone, Debug)]
pub(crate) enum Found {
    /// The frame at this index.
    Match(usize),
    /// Another frame at its place.
    Other(usize, Vec<Difference>),
    /// Nothing so far.
    Nothing,
}

/// What differs, in one sentence, and the payload bytes that show it.
pub(crate) fn describe(differences: &[Difference]) -> (String, Option<String>) {
    let what: Vec<String> = differences.iter().map(ToString::to_string).collect();
    let payload = differences.iter().find_map(|one| one.payload.clone());
    (what.join("; "), payload)
}

impl Matcher {
    /// For the lines of a scenario, held against a stack.
    pub(crate) fn of(scenario: &Scenario, traits: Traits) -> Self {
        Self {
            pushes_free: traits.foreign,
            keep_alives_free: traits.foreign
                && !scenario.covers.iter().any(|id| id.ends_with("KEEPALIVE")),
            ..Self::default()
        }
    }

    /// Looks for the frame that `segment` expects next on its flow, or the last of those that it takes. `search` is its own,
    /// fresh at first: a line that waits looks at each frame once, however long it waits.
    pub(crate) fn find(&mut self, view: View<'_>, segment: &Segment, search: &mut Search) -> Found {
        let Some(spec) = view.spec(&segment.flow) else {
            return self.find_any(view, segment);
        };
        view.name_places(&spec, &mut self.bindings);
        let wanted_ack = is_pure_ack(segment);
        let mut at = *self.cursors.entry(segment.flow.clone()).or_default();
        // Which flow a frame of another stack is of may only be known by a later dial.
        if !self.pushes_free {
            at = at.max(search.looked_at);
        }
        while let Some(emitted) = view.emitted.get(at) {
            let Ok(packet) = Packet::whole(&emitted.bytes) else {
                at += 1;
                continue;
            };
            if !view.belongs(&packet, emitted, &spec) {
                at += 1;
                continue;
            }
            let packet = self.compared(segment, packet);
            let tcp = packet.tcp();
            let part = tcp.and_then(|tcp| segment.part(search.bytes, tcp, &self.bindings));
            let part = part.as_ref();
            let (wanted, last) = part.map_or((segment, true), |(part, last)| (part, *last));
            let (numbering, bindings) = (view.numbering(&spec), &mut self.bindings);
            let differences = wanted.compare(&packet, Direction::FromEngine, &numbering, bindings);
            if differences.is_empty() {
                self.cursors.insert(segment.flow.clone(), at + 1);
                let first = search.came.map_or(at, |(first, _)| first);
                search.came = Some((first, at));
                if last {
                    return Found::Match(at);
                }
                let bytes = packet.tcp().map_or(0, |tcp| tcp.payload_len);
                search.bytes += u32::try_from(bytes).unwrap_or_default();
                at += 1;
                continue;
            }
            // An acknowledgement without a line is passed over; one that was written is looked for
            // among the acknowledgements only.
            if !self.strict && (is_bare_ack(&packet) || self.passes_over(view, emitted, &packet)) {
                at += 1;
                continue;
            }
            if !wanted_ack || self.strict {
                self.cursors.insert(segment.flow.clone(), at + 1);
            }
            return Found::Other(at, differences);
        }
        search.looked_at = at;
        Found::Nothing
    }

    /// From now on packets like this one may come unasked.
    pub(crate) fn allow(&mut self, segment: &Segment) {
        self.allowed.push(segment.clone());
    }

    /// Whether a frame may come unasked: a keep-alive, or a word to its link, that another stack has sent by itself, or what a
    /// line allows.
    pub(crate) fn passes_over(
        &self,
        view: View<'_>,
        emitted: &Emitted,
        packet: &Packet<'_>,
    ) -> bool {
        let is_allowed = |segment: &Segment| {
            view.spec(&segment.flow).is_some_and(|spec| {
                let packet = self.compared(segment, *packet);
                let (numbering, mut bindings) = (view.numbering(&spec), self.bindings.clone());
                let mut differences =
                    || segment.compare(&packet, Direction::FromEngine, &numbering, &mut bindings);
                view.belongs(&packet, emitted, &spec) && differences().is_empty()
            })
        };
        (self.keep_alives_free && emitted.keep_alive)
            || (self.pushes_free && is_for_the_link(packet))
            || self.allowed.iter().any(is_allowed)
    }

    /// A packet as it is compared: with the push that is expected, where a stack may push as it likes.
    fn compared<'p>(&self, segment: &Segment, packet: Packet<'p>) -> Packet<'p> {
        match self.pushes_free {
            true => pushed_as(segment, packet),
            false => packet,
        }
    }

    fn find_any(&mut self, view: View<'_>, segment: &Segment) -> Found {
        let cursor = self.cursors.entry(String::new()).or_default();
        while let Some(emitted) = view.emitted.get(*cursor) {
            let at = *cursor;
            *cursor += 1;
            let Ok(packet) = Packet::whole(&emitted.bytes) else {
                continue;
            };
            let (numbering, bindings) = (Numbering::default(), &mut self.bindings);
            let differences = segment.compare(&packet, Direction::FromEngine, &numbering, bindings);
            if differences.is_empty() {
                return Found::Match(at);
            }
        }
        Found::Nothing
    }

    /// The frames that came after all that was expected of the flows named, pure acknowledgements excepted.
    pub(crate) fn leftovers(&self, view: View<'_>) -> Vec<(String, usize)> {
        let mut left = Vec::new();
        for (name, cursor) in &self.cursors {
            let Some(spec) = view.spec(name) else {
                continue;
            };
            for (index, emitted) in view.emitted.iter().enumerate().skip(*cursor) {
                let Ok(packet) = Packet::whole(&emitted.bytes) else {
                    continue;
                };
                if view.belongs(&packet, emitted, &spec)
                    && !is_bare_ack(&packet)
                    && !self.passes_over(view, emitted, &packet)
                {
                    left.push((name.clone(), index));
                }
            }
        }
        left.sort_by_key(|(_, index)| *index);
        left
    }
}

impl<'a> View<'a> {
    pub(crate) fn spec(&self, name: &str) -> Option<FlowSpec> {
        (!name.is_empty()).then(|| self.scenario.flow(name))?
    }

    /// The dial that a flow's name means, once it was made.
    pub(crate) fn state(&self, spec: &FlowSpec) -> Option<&'a FlowState> {
        self.flows
            .iter()
            .find(|flow| flow_spec(&flow.key, flow.occurrence) == *spec)
    }

    /// Whether a frame belongs to a flow: its segments and datagrams, or ICMP and fragments between its ends.
    pub(crate) fn belongs(&self, packet: &Packet<'_>, emitted: &Emitted, spec: &FlowSpec) -> bool {
        let key = key_of(spec.protocol, spec.client, spec.server);
        match packet.transport {
            Transport::Tcp(_) | Transport::Udp(_) => {
                let flow = emitted.flow.and_then(|index| self.flows.get(index));
                flow_key(packet, false) == key
                    && key.is_some()
                    && flow.is_none_or(|flow| flow.occurrence == spec.occurrence)
            }
            Transport::Icmp(_) | Transport::Fragment => {
                packet.source == spec.server.ip()
                    && packet.destination == spec.client.ip()
                    && self.carries(packet, spec)
            }
            _ => false,
        }
    }

    /// Of ICMP errors only those that quote the flow belong to it; an ICMP flow has the others.
    fn carries(&self, packet: &Packet<'_>, spec: &FlowSpec) -> bool {
        let Transport::Icmp(icmp) = packet.transport else {
            // A fragment shows no more than what it is a fragment of.
            let protocol = match packet.protocol {
                TCP => Protocol::Tcp,
                UDP => Protocol::Udp,
                _ => Protocol::Icmp,
            };
            return spec.protocol == protocol;
        };
        let Some(quoted) = icmp.quoted(packet.is_v4()) else {
            return spec.protocol == Protocol::Icmp;
        };
        let Ok(quoted) = Packet::parse(quoted, quoted.len()) else {
            return true;
        };
        match quoted.ports() {
            Some((from, to)) => (from, to) == (spec.client.port(), spec.server.port()),
            None => true,
        }
    }

    pub(crate) fn numbering(&self, spec: &FlowSpec) -> Numbering {
        let down = self.state(spec).map(|flow| &flow.down);
        let written = self.isns.of(spec);
        Numbering {
            device_isn: written.or_else(|| down.and_then(|down| down.device_isn)),
            engine_isn: down.and_then(|down| down.engine_isn),
        }
    }

    /// Gives `$next` and `$edge` their values: one past the last number the device has sent within the window, and the
    /// window's right edge.
    pub(crate) fn name_places(&self, spec: &FlowSpec, bindings: &mut Bindings) {
        let down = self.state(spec).map(|flow| &flow.down);
        let place = |unit: u64| i64::from(wrap(i64::try_from(unit).unwrap_or_default()));
        bindings.set("next", down.map(|down| place(down.device_within)));
        bindings.set("edge", down.map(|down| place(down.room_to)));
    }

    /// A frame as reports show it: without payload, even where only its bytes describe it.
    pub(crate) fn shown(&self, index: usize) -> String {
        let line = self.print(index);
        match line.split_once(" raw ") {
            Some((before, bytes)) if !bytes.starts_with('(') => {
                format!("{before} raw ({} bytes)", bytes.len() / 2)
            }
            _ => line,
        }
    }

    /// A frame as the line that describes it.
    pub(crate) fn print(&self, index: usize) -> String {
        let Some(emitted) = self.emitted.get(index) else {
            return String::new();
        };
        let Ok(packet) = Packet::whole(&emitted.bytes) else {
            return format!(
                "{} > raw ({} bytes that are no IP packet)",
                seconds(emitted.at),
                emitted.bytes.len()
            );
        };
        let (name, spec) = self.name_of(&packet, emitted);
        let numbering = spec.map(|spec| self.numbering(&spec)).unwrap_or_default();
        print_packet(
            &packet,
            &numbering,
            TimeSpec::Absolute(emitted.at),
            &name,
            Direction::FromEngine,
        )
    }

    fn name_of(&self, packet: &Packet<'_>, emitted: &Emitted) -> (String, Option<FlowSpec>) {
        let known = self
            .scenario
            .flows
            .iter()
            .find(|(_, spec)| self.belongs(packet, emitted, spec));
        if let Some((name, spec)) = known {
            return (name.to_owned(), Some(*spec));
        }
        let flow = emitted.flow.and_then(|index| self.flows.get(index));
        let spec = flow.map(|flow| flow_spec(&flow.key, flow.occurrence));
        let named = spec.and_then(|spec| {
            let first = FlowSpec {
                occurrence: 1,
                ..spec
            };
            self.scenario
                .flow_name(&first)
                .map(|name| format!("{name}#{}", spec.occurrence))
        });
        (named.unwrap_or_else(|| "unnamed".to_owned()), spec)
    }
}

/// Whether a packet is of ICMPv6 to a group: a stack looks for routers and reports what groups it is in (RFC 4861, RFC 3810).
fn is_for_the_link(packet: &Packet<'_>) -> bool {
    matches!(packet.transport, Transport::Icmp(_))
        && !packet.is_v4()
        && packet.destination.is_multicast()
}

/// The packet, its push as the line has it.
fn pushed_as<'a>(segment: &Segment, mut packet: Packet<'a>) -> Packet<'a> {
    // A bare acknowledgement pushes nothing, and must stay one to be passed over.
    if let (Body::Tcp(line), Transport::Tcp(tcp)) = (&segment.body, &mut packet.transport)
        && tcp.payload_len > 0
    {
        let push = Flags(line.flags.0 & Flags::PSH.0);
        tcp.flags = tcp.flags.without(Flags::PSH).with(push);
    }
    packet
}

/// Whether a line asks for an acknowledgement and nothing else.
pub(crate) fn is_pure_ack(segment: &Segment) -> bool {
    match &segment.body {
        Body::Tcp(tcp) => {
            tcp.flags == Flags::ACK
                && tcp
                    .range
                    .as_ref()
                    .is_none_or(|range| range.start == range.end)
        }
        _ => false,
    }
}

/// Whether a frame is an acknowledgement and nothing else.
pub(crate) fn is_bare_ack(packet: &Packet<'_>) -> bool {
    packet
        .tcp()
        .is_some_and(|tcp| tcp.flags == Flags::ACK && tcp.payload_len == 0)
}
