//! A change to what was observed of a run: not to the run itself, which goes on as it went.
//!
//! A check that notices no change of the kind it is about proves nothing; [`crate::verdict::vacuity`] looks for such scenarios.

use std::fmt;
use std::ops::Range;

use super::RunOutput;
use super::flow::FlowState;
use super::world::Emitted;
use crate::packet::{Flags, Packet, TCP};

/// One change.
pub(crate) enum Mutation {
    /// Of the emitted frame with this number, from 0.
    Frame(u64, FrameChange),
    /// Of what a finished run left behind.
    Run(Box<dyn Fn(&mut RunOutput) + Send + Sync>),
}

/// A change to one emitted frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FrameChange {
    /// It never came.
    Drop,
    /// It came twice.
    Duplicate,
    /// It came a second later.
    Delay,
    /// Its reset flag is another.
    FlipReset,
    /// Its push flag is another.
    FlipPush,
    /// Its sequence number is higher by one; of UDP and ICMP, a byte of it is another.
    Shift,
}

impl FrameChange {
    pub(crate) const ALL: [Self; 6] = [
        Self::Drop,
        Self::Duplicate,
        Self::Delay,
        Self::FlipReset,
        Self::FlipPush,
        Self::Shift,
    ];

    /// What is recorded in place of a frame.
    pub(crate) fn apply(self, emitted: Emitted) -> Vec<Emitted> {
        let altered = |alter: fn(&mut [u8], usize)| {
            let mut emitted = emitted.clone();
            let transport = Packet::whole(&emitted.bytes)
                .ok()
                .filter(|packet| packet.protocol == TCP && packet.fragment.is_none())
                .map(|packet| packet.transport_offset);
            match transport {
                Some(start) => alter(&mut emitted.bytes, start),
                None => {
                    if let Some(last) = emitted.bytes.last_mut() {
                        *last ^= 0xff;
                    }
                }
            }
            vec![emitted]
        };
        match self {
            Self::Drop => Vec::new(),
            Self::Duplicate => vec![emitted.clone(), emitted],
            Self::Delay => vec![Emitted {
                at: emitted.at + 1_000_000,
                ..emitted
            }],
            Self::FlipReset => altered(|bytes, start| flip(bytes, start, Flags::RST)),
            Self::FlipPush => altered(|bytes, start| flip(bytes, start, Flags::PSH)),
            Self::Shift => altered(|bytes, start| {
                if let Some(number) = bytes.get_mut(start + 4..start + 8) {
                    let next = number
                        .iter()
                        .fold(0_u32, |sum, byte| sum << 8 | u32::from(*byte))
                        .wrapping_add(1);
                    number.copy_from_slice(&next.to_be_bytes());
                }
            }),
        }
    }
}

fn flip(bytes: &mut [u8], start: usize, flag: Flags) {
    if let Some(flags) = bytes.get_mut(start + 13) {
        *flags ^= flag.0;
    }
}

impl Mutation {
    /// A change of what a finished run left behind.
    pub(crate) fn of_run(act: impl Fn(&mut RunOutput) + Send + Sync + 'static) -> Self {
        Self::Run(Box::new(act))
    }

    /// Each of some changes to each of some flows, which are numbered from 0.
    pub(crate) fn of_flows(flows: Range<usize>, acts: &[fn(&mut FlowState)]) -> Vec<Self> {
        let each = flows.flat_map(|index| acts.iter().map(move |act| (index, *act)));
        let of_flow = |(index, act): (usize, fn(&mut FlowState))| {
            Self::of_run(move |run| {
                if let Some(flow) = run.flows.get_mut(index) {
                    act(flow);
                }
            })
        };
        each.map(of_flow).collect()
    }

    /// The frame that is changed as it is recorded, by its number.
    pub(crate) fn frame(&self) -> Option<(u64, FrameChange)> {
        match self {
            Self::Frame(number, change) => Some((*number, *change)),
            Self::Run(_) => None,
        }
    }

    /// Changes what a finished run left behind.
    pub(crate) fn apply(&self, run: &mut RunOutput) {
        if let Self::Run(act) = self {
            act(run);
        }
    }
}

impl fmt::Debug for Mutation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Mutation").field(&self.frame()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::packet::build::{TcpSpec, tcp, udp};

    fn emitted(bytes: Vec<u8>) -> Emitted {
        Emitted {
            at: 5,
            bytes,
            flow: Some(0),
            keep_alive: false,
        }
    }

    #[test]
    fn a_frame_is_changed_in_what_the_change_says_and_nowhere_else() {
        let ends = ["192.0.2.1:80", "10.0.0.2:40000"].map(|end| end.parse().unwrap());
        let mut spec = TcpSpec::new(ends[0], ends[1]);
        spec.payload = b"text";
        let (segment, datagram) = (tcp(&spec), udp(ends[0], ends[1], b"text"));
        for change in FrameChange::ALL {
            for bytes in [&segment, &datagram] {
                let seen = change.apply(emitted(bytes.clone()));
                let count = match change {
                    FrameChange::Drop => 0,
                    FrameChange::Duplicate => 2,
                    _ => 1,
                };
                assert_eq!(seen.len(), count, "{change:?}");
                let late = u64::from(change == FrameChange::Delay) * 1_000_000;
                assert!(seen.iter().all(|seen| seen.at == 5 + late));
                let altered: Vec<usize> = seen
                    .iter()
                    .flat_map(|seen| seen.bytes.iter().zip(bytes).enumerate())
                    .filter_map(|(at, (a, b))| (a != b).then_some(at))
                    .collect();
                let wanted: &[usize] = match change {
                    FrameChange::FlipReset | FrameChange::FlipPush if bytes == &segment => &[33],
                    FrameChange::Shift if bytes == &segment => &[27],
                    FrameChange::FlipReset | FrameChange::FlipPush | FrameChange::Shift => &[31],
                    _ => &[],
                };
                assert_eq!(altered, wanted, "{change:?}");
            }
        }
    }
}
