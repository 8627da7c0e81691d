//! Payload: its structure with other names in it, a pattern for the rest.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use super::mapping::Mapping;
use super::read::{Known, StreamKey};
use super::{Mark, Payload};
use crate::capture::structure::{self, PartKind, Structure};
use crate::scenario::Pattern;

/// Puts other payload in the place of what was there.
pub(super) struct Content<'a> {
    pub(super) known: &'a Known,
    pub(super) mapping: &'a Mapping,
    payload: Payload,
    /// Beginnings of streams that have structure, as they are written.
    heads: BTreeMap<StreamKey, (Vec<u8>, Vec<Mark>)>,
    /// Runs of payload that were replaced, eight bytes each.
    pub(super) runs: Runs,
    /// Bytes that were replaced.
    pub(super) replaced: u64,
}

/// Runs of eight bytes with at least five values among them.
#[derive(Debug, Default)]
pub(crate) struct Runs(Vec<u64>);

impl Runs {
    /// Takes the runs of bytes that lie in payload alone.
    fn take(&mut self, bytes: &[u8], marks: &[Mark]) {
        for (run, marks) in bytes.windows(8).zip(marks.windows(8)) {
            if let Some(word) = word_of(run, marks) {
                self.0.push(word);
            }
        }
    }

    /// Makes them ready to be asked.
    pub(super) fn sorted(mut self) -> Self {
        self.0.sort_unstable();
        self.0.dedup();
        self
    }

    /// The first place at which one of them stands.
    pub(super) fn first_in(&self, bytes: &[u8], marks: &[Mark]) -> Option<usize> {
        let mut windows = bytes.windows(8).zip(marks.windows(8));
        windows.position(|(run, marks)| {
            word_of(run, marks).is_some_and(|word| self.0.binary_search(&word).is_ok())
        })
    }
}

/// A run that is of payload alone and has values enough to mean something.
fn word_of(run: &[u8], marks: &[Mark]) -> Option<u64> {
    if marks.iter().any(|mark| *mark != Mark::Payload) {
        return None;
    }
    let distinct: BTreeSet<&u8> = run.iter().collect();
    let run: [u8; 8] = run.try_into().ok()?;
    (distinct.len() >= 5).then(|| u64::from_le_bytes(run))
}

impl<'a> Content<'a> {
    pub(super) fn new(known: &'a Known, mapping: &'a Mapping, payload: Payload) -> Self {
        let mut content = Self {
            known,
            mapping,
            payload,
            heads: BTreeMap::new(),
            runs: Runs::default(),
            replaced: 0,
        };
        for (key, (head, found)) in &known.heads {
            let mut bytes = head.get(..found.end).unwrap_or_default().to_vec();
            let marks = content.render(&mut bytes, found, content.seed_of(*key));
            content.heads.insert(*key, (bytes, marks));
        }
        content
    }

    fn seed_of(&self, (flow, up): StreamKey) -> u64 {
        let ends = self
            .known
            .flows
            .get(flow)
            .map(|flow| (flow.client, flow.server));
        ends.map_or(0, |(client, server)| {
            self.seed(client, server, up, flow as u64)
        })
    }

    /// The seed of what one end sends to another.
    pub(super) fn seed(&self, one: SocketAddr, other: SocketAddr, up: bool, nth: u64) -> u64 {
        self.mapping
            .seed(format!("{one} {other} {up} {nth}").as_bytes())
    }

    /// Puts other payload in the place of a segment's, which begins `at` in its stream.
    pub(super) fn stream(&mut self, key: StreamKey, at: i64, payload: &mut [u8]) -> Vec<Mark> {
        let old = payload.to_vec();
        let seed = self.seed_of(key);
        let mut marks = self.fill(seed, at, payload);
        if let Some((head, head_marks)) = self.heads.get(&key) {
            for (nth, (byte, mark)) in payload.iter_mut().zip(&mut marks).enumerate() {
                let place = usize::try_from(at.saturating_add(nth as i64)).ok();
                let known =
                    place.and_then(|place| Some((head.get(place)?, head_marks.get(place)?)));
                if let Some((new, new_mark)) = known {
                    (*byte, *mark) = (*new, *new_mark);
                }
            }
        }
        self.note(&old, payload, &marks);
        marks
    }

    /// Puts another payload in the place of a datagram's.
    pub(super) fn datagram(&mut self, seed: u64, is_dns: bool, payload: &mut [u8]) -> Vec<Mark> {
        let found = is_dns.then(|| structure::message(payload)).flatten();
        let is_quic = matches!(payload, [0xc0..=0xff, version @ ..] if version.len() > 20 && version.get(..4) != Some(&[0; 4]));
        let Some(found) = found else {
            return self.opaque(seed, 0, payload, is_quic);
        };
        let old = payload.to_vec();
        let marks = self.render(payload, &found, seed);
        self.note(&old, payload, &marks);
        marks
    }

    /// Puts a pattern in the place of bytes that mean nothing here; `always` even where payload is to stay.
    pub(super) fn opaque(
        &mut self,
        seed: u64,
        at: i64,
        payload: &mut [u8],
        always: bool,
    ) -> Vec<Mark> {
        let old = payload.to_vec();
        let kept = self.payload;
        if always && kept == Payload::Keep {
            self.payload = Payload::Pattern;
        }
        let marks = self.fill(seed, at, payload);
        self.payload = kept;
        self.note(&old, payload, &marks);
        marks
    }

    fn note(&mut self, old: &[u8], new: &[u8], marks: &[Mark]) {
        self.replaced += old.iter().zip(new).filter(|(old, new)| old != new).count() as u64;
        if self.payload != Payload::Keep {
            self.runs.take(old, marks);
        }
    }

    fn fill(&self, seed: u64, at: i64, payload: &mut [u8]) -> Vec<Mark> {
        match self.payload {
            Payload::Pattern => {
                let pattern = Pattern { bytes: 0, seed };
                pattern.fill(at.cast_unsigned() & (u64::MAX >> 1), payload);
                for byte in payload.iter_mut() {
                    *byte = self.mapping.pattern(*byte);
                }
            }
            Payload::Zero => payload.fill(0),
            Payload::Keep => {}
        }
        vec![Mark::Payload; payload.len()]
    }

    /// Puts other names, addresses and values into a structure.
    fn render(&self, bytes: &mut [u8], found: &Structure, seed: u64) -> Vec<Mark> {
        let mut marks = vec![Mark::Structure; bytes.len()];
        for part in &found.parts {
            let (Some(place), Some(marks)) = (
                bytes.get_mut(part.at.clone()),
                marks.get_mut(part.at.clone()),
            ) else {
                continue;
            };
            match part.kind {
                PartKind::Name => self.mapping.put_name(place),
                PartKind::Label => self.mapping.put_label(place),
                PartKind::Address => self.mapping.put_address(place),
                PartKind::Opaque | PartKind::Text if self.payload == Payload::Keep => {}
                PartKind::Opaque => drop(self.fill(seed, part.at.start as i64, place)),
                PartKind::Text => {
                    let pattern = Pattern { bytes: 0, seed };
                    for (at, byte) in (part.at.start as u64..).zip(place.iter_mut()) {
                        *byte = match self.payload {
                            Payload::Zero => b'0',
                            _ => b'a' + pattern.byte_at(at) % 26,
                        };
                    }
                }
            }
            marks.fill(match part.kind {
                PartKind::Opaque | PartKind::Text => Mark::Payload,
                _ => Mark::Named,
            });
        }
        marks
    }
}
