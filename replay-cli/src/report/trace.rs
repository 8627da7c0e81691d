//! A run as a pcapng that Wireshark opens and `replay import` reads: what crossed the engine's border, in virtual time.
//!
//! Three interfaces: frames from the device, frames to it, and what the dialer did, in words. Each frame has a comment, its line in the
//! notation; the comment of the first divergence says so. The dialer's events stand there a second time as the blocks of the
//! flight recorder, which make the file replay again.

use std::borrow::Cow;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use engine::Micros;
use engine_driver::recorder::{Recorder, Store};
use pcap_file::pcapng::blocks::enhanced_packet::{EnhancedPacketBlock, EnhancedPacketOption};
use pcap_file::pcapng::blocks::interface_description::{
    InterfaceDescriptionBlock, InterfaceDescriptionOption,
};
use pcap_file::pcapng::blocks::opt_common::CommonOption;
use pcap_file::pcapng::{PcapNgWriter, RawBlock};
use pcap_file::{DataLink, Endianness};

use super::events;
use crate::base::diagnostic::Diagnostic;
use crate::base::output;
use crate::scenario::failure::Failure;
use crate::stack::event::{Event, Trace, What};
use crate::verdict::outcome::{ScenarioOutcome, TracePlace};
use std::path::{Path, PathBuf};

/// A trace as a file, and the number in it of the frame at which the first failure shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TraceFile {
    /// The file's bytes.
    pub bytes: Vec<u8>,
    /// The frame's number, from 1 as Wireshark counts; `None` if nothing failed or no frame had come by then.
    pub divergence: Option<u64>,
}

/// Writes the trace of an outcome below a folder, by the scenario's name: for its owner alone, as it holds payload.
///
/// # Errors
/// The file cannot be written.
pub fn write(folder: &Path, outcome: &ScenarioOutcome) -> Result<Option<TracePlace>, Diagnostic> {
    let Some(trace) = &outcome.trace else {
        return Ok(None);
    };
    let name = outcome.name.replace(" (", "-").replace(')', "");
    let path = folder.join(format!("{}.pcapng", name.trim_start_matches('/')));
    let frame = write_to(&path, trace, outcome.failures.first())?;
    Ok(Some(TracePlace { path, frame }))
}

fn write_to(
    path: &Path,
    trace: &Trace,
    first: Option<&Failure>,
) -> Result<Option<u64>, Diagnostic> {
    let failed = |error: io::Error| {
        Diagnostic::new(format!("the trace cannot be written: {error}")).in_file(path)
    };
    let file = pcapng(trace, first).map_err(failed)?;
    output::write_private(path, &file.bytes).map_err(failed)?;
    Ok(file.divergence)
}

/// Writes a trace that is of no scenario below a folder: as [`write()`] does. The file's path.
///
/// # Errors
/// The file cannot be written.
pub fn write_run(folder: &Path, name: &str, trace: &Trace) -> Result<PathBuf, Diagnostic> {
    let path = folder.join(format!("{name}.trace.pcapng"));
    write_to(&path, trace, None)?;
    Ok(path)
}

/// `epb_flags`: the direction (draft-ietf-opsawg-pcapng section 4.3.1).
const INBOUND: u32 = 1;
const OUTBOUND: u32 = 2;

/// The blocks that are taken over from the recorder.
const CUSTOM: u32 = 0x0000_0bad;

/// Makes the file of a trace; `first` is the first failure of its run.
///
/// # Errors
/// A block cannot be made: a frame is longer than the format can say.
pub fn pcapng(trace: &Trace, first: Option<&Failure>) -> io::Result<TraceFile> {
    let lines = events::lines(trace);
    let divergence = first.and_then(|first| frame_of(trace, first));
    let wrong = |error: pcap_file::pcapng::PcapNgWriteError| io::Error::other(error.to_string());
    let mut out = PcapNgWriter::with_endianness(Vec::new(), Endianness::Little).map_err(wrong)?;
    for (name, link) in [
        ("from the device", DataLink::RAW),
        ("to the device", DataLink::RAW),
        ("dialer", DataLink::USER0),
    ] {
        out.write_pcapng_block(InterfaceDescriptionBlock {
            linktype: link,
            snaplen: 0,
            options: vec![InterfaceDescriptionOption::IfName(name.into())],
        })
        .map_err(wrong)?;
    }
    let mut custom = recorded(trace)?.into_iter();
    // The settings come before everything.
    if let Some(block) = custom.next() {
        raw(&mut out, &block).map_err(wrong)?;
    }
    // Wireshark counts custom blocks as frames, and so does the reader here.
    let (mut number, mut diverges) = (1, None);
    for (index, (event, (_, line))) in trace.events.iter().zip(&lines).enumerate() {
        number += 1;
        let mut comment = line.clone();
        if let Some(behind) = behind(event) {
            comment = format!("{comment}\n{behind}");
        }
        if let (true, Some(first)) = (divergence == Some(index), first) {
            diverges = Some(number);
            comment = format!("FIRST DIVERGENCE {}\n{comment}", headline(first));
        }
        let (interface, data, flags) = match &event.what {
            What::FrameIn(frame) => (0, Cow::Borrowed(frame.as_slice()), Some(INBOUND)),
            What::FrameOut(frame) => (1, Cow::Borrowed(frame.as_slice()), Some(OUTBOUND)),
            _ => (2, Cow::Owned(line.clone().into_bytes()), None),
        };
        let comment = EnhancedPacketOption::Common(CommonOption::Comment(comment.into()));
        let flags = flags.map(EnhancedPacketOption::Flags).into_iter();
        out.write_pcapng_block(EnhancedPacketBlock {
            interface_id: interface,
            timestamp: Duration::from_micros(event.at_us),
            original_len: u32::try_from(data.len()).unwrap_or(u32::MAX),
            data,
            options: flags.chain([comment]).collect(),
        })
        .map_err(wrong)?;
        if is_recorded(&event.what)
            && let Some(block) = custom.next()
        {
            raw(&mut out, &block).map_err(wrong)?;
            number += 1;
        }
    }
    Ok(TraceFile {
        bytes: out.into_inner(),
        divergence: diverges,
    })
}

/// Where a frame of the device comes from, or what was expected of a frame for it.
pub(super) fn behind(event: &Event) -> Option<String> {
    let source = event.source.iter().map(ToString::to_string);
    let expected = event.expected.iter().map(ToString::to_string);
    let lines: Vec<String> = source.chain(expected).collect();
    (!lines.is_empty()).then(|| lines.join("\n"))
}

/// The number of each event in the file: Wireshark counts custom blocks as frames.
pub(super) fn numbers(trace: &Trace) -> Vec<u64> {
    let mut number = 1;
    let mut next = |event: &Event| {
        number += 1;
        let own = number;
        number += u64::from(is_recorded(&event.what));
        own
    };
    trace.events.iter().map(&mut next).collect()
}

/// The event at which a failure shows: the last frame out by its time, of its flow if it names one.
pub(super) fn frame_of(trace: &Trace, failure: &Failure) -> Option<usize> {
    let until = failure.at_us.unwrap_or(u64::MAX);
    let lines = events::lines(trace);
    let came = |index: &usize| {
        trace.events.get(*index).is_some_and(|event| {
            event.at_us <= until && matches!(event.what, What::FrameOut(_) | What::FrameIn(_))
        })
    };
    let line_of = |index: &usize| lines.get(*index).map_or("", |(_, line)| line.as_str());
    let flow = failure.flow.as_deref();
    let of_flow = |index: &usize| flow.is_none_or(|flow| line_of(index).contains(flow));
    let actual = failure.actual.as_deref();
    let exact = |index: &usize| actual.is_some_and(|actual| actual.ends_with(line_of(index)));
    let indices = || (0..trace.events.len()).rev().filter(came);
    indices()
        .find(exact)
        .or_else(|| indices().find(of_flow))
        .or_else(|| indices().next())
}

/// A failure in a line or three.
fn headline(failure: &Failure) -> String {
    let mut lines = vec![format!("error[{}]: {}", failure.kind.label(), failure.what)];
    lines.extend(
        failure
            .expected
            .iter()
            .map(|line| format!("expected {line}")),
    );
    lines.extend(failure.actual.iter().map(|line| format!("actual {line}")));
    lines.join("\n")
}

fn raw(
    out: &mut PcapNgWriter<Vec<u8>>,
    body: &[u8],
) -> Result<usize, pcap_file::pcapng::PcapNgWriteError> {
    let length = u32::try_from(body.len() + 12).unwrap_or(u32::MAX);
    out.write_raw_block(&RawBlock {
        type_: CUSTOM,
        initial_len: length,
        body: Cow::Borrowed(body),
        trailer_len: length,
    })
}

/// Whether the recorder has a block for an event, frames apart.
fn is_recorded(what: &What) -> bool {
    !matches!(
        what,
        What::FrameIn(_) | What::FrameOut(_) | What::Resume(_) | What::Dns(_) | What::Host(_)
    )
}

/// The bodies of the recorder's custom blocks: the settings, then one for each event that [`is_recorded`].
fn recorded(trace: &Trace) -> io::Result<Vec<Vec<u8>>> {
    let store = Memory::default();
    let (start, wall) = (Micros(0), Duration::ZERO);
    let mut recorder = Recorder::new(Box::new(store.clone()), None, &trace.config, start, wall)?;
    for Event { at_us, what, .. } in &trace.events {
        let now = Micros(*at_us);
        match what {
            What::Dial { flow, key, name } => recorder.dial(now, *flow, *key, name.as_deref()),
            What::DialResult(flow, result) => recorder.dial_result(now, *flow, *result),
            What::Upstream(flow, payload) => recorder.took(now, *flow, payload.len()),
            What::UpstreamDatagram(flow, to, payload) => {
                recorder.datagram(now, *flow, Some(*to), payload.len());
            }
            What::Downstream(flow, payload, _) => recorder.remote_data(now, *flow, payload),
            What::DownstreamDatagram(flow, payload, _) => {
                recorder.remote_datagram(now, *flow, None, payload);
            }
            What::Take(flow, count) => recorder.took(now, *flow, *count),
            What::Blocked(flow) => recorder.blocked(now, *flow),
            What::Writable(flow) => recorder.writable(now, *flow),
            What::HalfClose(flow) => recorder.half_close(now, *flow),
            What::RemoteEnd(flow, end) => recorder.remote_closed(now, *flow, *end),
            What::Close(flow, close) => recorder.close(now, *flow, *close),
            What::FrameIn(_)
            | What::FrameOut(_)
            | What::Resume(_)
            | What::Dns(_)
            | What::Host(_) => {}
        }
    }
    recorder.commit();
    drop(recorder);
    let bytes = store.0.lock().unwrap_or_else(PoisonError::into_inner);
    Ok(custom_blocks(&bytes))
}

/// The bodies of the custom blocks of a little-endian file that is whole.
fn custom_blocks(mut bytes: &[u8]) -> Vec<Vec<u8>> {
    let mut bodies = Vec::new();
    while let Some((head, _)) = bytes.split_first_chunk::<8>() {
        let [a, b, c, d, e, f, g, h] = *head;
        let length = u32::from_le_bytes([e, f, g, h]) as usize;
        let (Some(body), Some(rest)) =
            (bytes.get(8..length.saturating_sub(4)), bytes.get(length..))
        else {
            break;
        };
        if u32::from_le_bytes([a, b, c, d]) == CUSTOM {
            bodies.push(body.to_vec());
        }
        bytes = rest;
    }
    bodies
}

/// A recording that is kept in memory.
#[derive(Clone, Debug, Default)]
struct Memory(Arc<Mutex<Vec<u8>>>);

impl Store for Memory {
    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.extend_from_slice(bytes);
        Ok(())
    }

    fn rotate(&mut self) -> io::Result<()> {
        Ok(())
    }
}
