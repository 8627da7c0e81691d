//! Flows as they were collected become conversations: each is read by itself, then what they know of each other is put together.

use std::sync::{Mutex, PoisonError};

use super::Demux;
use crate::base::index::Index;
use crate::base::threads::{SIDE_BY_SIDE, side_by_side};
use crate::capture::conversation::raw::RawFlow;
use crate::capture::conversation::store::{ByteReader, CaptureBytes};
use crate::capture::conversation::{
    Conversation, Conversations, ReadOptions, Talk, cut, facts, links, tcp, udp,
};
use crate::capture::facts::{Answer, Facts, Names};
use crate::capture::{CaptureError, Kept};
use crate::scenario::{Device, FlowSpec, Protocol};

/// The engine's MTU unless a capture has larger frames.
const MTU: usize = 1500;

/// Why a flow of a recording is not replayed that the recorder did not see dialed.
const UNDIALED: &str = "no dial request of it is in the recording: refused, or begun before it";

impl Demux {
    /// What the capture holds; `kept` is where its bytes can be read again.
    pub(crate) fn finish(mut self, kept: Kept) -> Result<Conversations, CaptureError> {
        if let Some(failure) = self.failure.take() {
            return Err(failure);
        }
        let orphans = self.fragments.orphans();
        if orphans > 0 {
            self.skip_many("fragments without the rest of their datagram", orphans);
        }
        drop(self.current);
        let (options, recording) = (self.options, self.recording);
        let start_ns = self.first_ns.unwrap_or(0);
        let bytes = CaptureBytes::new(kept, self.rebuilt);
        let read = read_all(self.flows, &bytes, &options, start_ns, self.usable)?;
        let mut reader = ByteReader::new(&bytes);
        let mut names = Names::default();
        let settled = read.into_iter().map(|(mut flow, was_dialed, answers)| {
            names.learn(answers);
            let undialed = recording.is_some() && !was_dialed;
            flow.unreplayable = not_of_the_device(&flow.spec, &options.device)
                .or(flow.unreplayable)
                .or_else(|| undialed.then(|| UNDIALED.to_owned()));
            flow
        });
        let mut flows: Vec<Conversation> = settled.collect();
        names.settle();
        for flow in &mut flows {
            let start_ns = start_ns.saturating_add_unsigned(flow.start_us.saturating_mul(1000));
            names.give(&mut flow.facts, flow.spec.server.ip(), start_ns);
        }
        links::number(&mut flows);
        links::to_dns(&mut flows, &mut reader);
        let backpressure = if options.ignore_stalls {
            tcp::Backpressure::default()
        } else {
            tcp::replay_stalls(&mut flows, self.largest.max(MTU) as u64)
        };
        reader.finish()?;
        let mut by_spec = Index::default();
        for (index, flow) in flows.iter().enumerate() {
            if flow.unreplayable.is_none() {
                by_spec.insert(&flow.spec, index, |index| {
                    flows.get(index).map(|flow| flow.spec)
                });
            }
        }
        let lasted_ns = self
            .span_ns
            .map_or(0, |(first, last)| last.saturating_sub(first));
        Ok(Conversations {
            by_spec,
            bytes,
            usable: self.usable,
            largest: self.largest,
            oversize: self.oversize,
            flows,
            echoes: self.echoes.finish(&options.device),
            path_mtu: self.path_mtu,
            backpressure,
            packets_read: self.packets_read,
            skipped: self.skipped,
            notes: Vec::new(),
            damage: None,
            start_ns,
            first_frame_ns: self
                .first_frame_ns
                .map_or(start_ns, |first| first.min(start_ns)),
            duration_us: u64::try_from(lasted_ns / 1000).unwrap_or(0),
            format: String::new(),
            at_tunnel: false,
            recording,
        })
    }
}

/// Why a flow is not replayed whose client is not the device.
fn not_of_the_device(spec: &FlowSpec, device: &Device) -> Option<String> {
    let Device::Addresses(addresses) = device else {
        return None;
    };
    let client = spec.client.ip();
    if addresses.contains(&client) {
        None
    } else if addresses.contains(&spec.server.ip()) {
        Some(format!(
            "opened by the far side, {client}: an engine opens nothing toward its device"
        ))
    } else {
        Some(format!("opened by {client}, which is not the device"))
    }
}

/// A flow that was read, whether a flight recorder saw it dialed, and the DNS answers in it.
type Read = (Conversation, bool, Vec<Answer>);

/// Reads flows, on two threads if they are worth that.
fn read_all(
    flows: Vec<RawFlow>,
    bytes: &CaptureBytes,
    options: &ReadOptions,
    start_ns: i64,
    packets: u64,
) -> Result<Vec<Read>, CaptureError> {
    let count = flows.len();
    // Each flow is given up as soon as it is read: two forms of all of them would be much memory.
    let waiting = flows.into_iter().filter_map(RawFlow::with_a_device);
    let waiting = Mutex::new(waiting.enumerate());
    let next = || {
        waiting
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .next()
    };
    let read = |_| {
        let mut reader = ByteReader::new(bytes);
        let mut read = Vec::new();
        while let Some((index, mut raw)) = next() {
            let (facts, answers) = facts::read(&raw, &mut reader);
            options.adopt.consider(&mut raw, &options.device);
            let mut flow = conversation(&raw, &mut reader, options, start_ns);
            flow.facts = facts;
            read.push((index, (flow, raw.was_dialed(), answers)));
        }
        reader.finish().map(|()| read)
    };
    let (one, other) = side_by_side(count > 1 && packets > SIDE_BY_SIDE, read);
    let mut all = one?;
    all.append(&mut other?);
    all.sort_unstable_by_key(|(index, _)| *index);
    Ok(all.into_iter().map(|(_, read)| read).collect())
}

fn conversation(
    raw: &RawFlow,
    bytes: &mut ByteReader<'_>,
    options: &ReadOptions,
    start_ns: i64,
) -> Conversation {
    let offset = |ns: i64| {
        u64::try_from((i128::from(ns) - i128::from(start_ns)).max(0) / 1000).unwrap_or(u64::MAX)
    };
    let first = raw.packets.first();
    let start_us = first.map_or(0, |packet| offset(packet.time_ns));
    let spec = FlowSpec {
        protocol: raw.protocol,
        client: raw.client,
        server: raw.server,
        occurrence: 1,
    };
    let latest = raw.packets.iter().map(|packet| packet.time_ns).max();
    let mut flow = Conversation {
        spec,
        first_packet: first.map_or(0, |packet| packet.number.into()),
        packets: raw.captured(),
        start_us,
        end_us: latest.map_or(start_us, offset),
        unreplayable: None,
        notes: Vec::new(),
        after_dns: None,
        facts: Facts::default(),
        talk: Talk::Udp(Box::default()),
    };
    if raw.protocol == Protocol::Udp {
        let talk = udp::read(raw, options, &mut flow.notes);
        flow.talk = Talk::Udp(Box::new(talk));
    } else {
        let talk = tcp::read(raw, bytes, options, &mut flow.notes);
        if raw.cut_options > 0 {
            flow.notes.push(format!(
                "{} segment(s) with options cut by the snap length: the rest of them is left out, of a SYN a window shift of {} is assumed",
                raw.cut_options,
                cut::USUAL_SHIFT
            ));
        }
        if raw.client_isn.is_none() && !raw.adopted {
            flow.unreplayable = Some("its beginning is not in the capture: no SYN".to_owned());
        }
        flow.talk = Talk::Tcp(Box::new(talk));
    }
    flow
}
