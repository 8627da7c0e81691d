//! A change to what was observed of a run: not to the run itself, which goes on as it went.
//!
//! A check that notices no change of the kind it speaks of says nothing; [`crate::verdict::vacuity`] looks for such scenarios.

use std::net::SocketAddr;

use engine::{By, Close, FlowId, FlowKey, How, Proto};

use super::RunOutput;
use super::flow::FlowState;
use super::world::Emitted;
use crate::packet::{Flags, Packet, TCP};
use crate::stack::DnsSeen;

/// One change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Mutation {
    /// Of the emitted frame with this number, from 0.
    Frame(usize, FrameChange),
    /// The last octet the dialer was given on a flow is missing, or of none there is one.
    TruncateUpstream(usize),
    /// The last octet the device was given on a flow is missing, or of none there is one.
    TruncateDownstream(usize),
    /// A flow was never dialed.
    RemoveDial(usize),
    /// A dial was made that never was.
    InventDial,
    /// A flow has not ended.
    RemoveClose(usize),
    /// A flow that is open has ended.
    InventClose(usize),
    /// A flow ended in another way.
    OtherClose(usize),
    /// The device, or the far side, did not end its stream before the other.
    RemoveHalfClose(usize),
    /// A half-close that was none.
    InventHalfClose(usize),
    /// A DNS record was not reported.
    RemoveDns(usize),
    /// A DNS record was reported that never was.
    InventDns,
    /// A counter is higher or lower by so much.
    Counter(String, i64),
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
    /// Changes what a finished run left behind; changes to frames are made as they are recorded.
    pub(crate) fn apply(&self, run: &mut RunOutput) {
        let flow = |run: &mut RunOutput, index: usize, act: fn(&mut FlowState)| {
            if let Some(flow) = run.flows.get_mut(index) {
                act(flow);
            }
        };
        match self {
            Self::Frame(..) => {}
            Self::TruncateUpstream(index) => flow(run, *index, |flow| flow.upstream.shorten()),
            Self::TruncateDownstream(index) => flow(run, *index, |flow| flow.down.bytes.shorten()),
            Self::RemoveDial(index) => {
                if *index < run.flows.len() {
                    run.flows.remove(*index);
                }
            }
            Self::InventDial => {
                let end = |last| SocketAddr::from(([203, 0, 113, last], 9));
                let key = FlowKey {
                    proto: Proto::Tcp,
                    client: end(1),
                    server: end(2),
                };
                let made = FlowState::new(FlowId::from_bits(u64::MAX), key, 1, 0);
                run.flows.push(made);
            }
            Self::RemoveClose(index) => flow(run, *index, |flow| flow.closed = None),
            Self::InventClose(index) => flow(run, *index, |flow| {
                flow.closed = Some((
                    flow.dialed_at,
                    Close {
                        by: By::Engine,
                        how: How::Guard,
                    },
                ));
            }),
            Self::OtherClose(index) => flow(run, *index, |flow| {
                if let Some((_, close)) = &mut flow.closed {
                    close.how = match close.how {
                        How::Guard => How::Stopped,
                        _ => How::Guard,
                    };
                }
            }),
            Self::RemoveHalfClose(index) => flow(run, *index, |flow| {
                flow.half_closed_by_device = None;
                flow.half_closed_by_remote = None;
            }),
            Self::InventHalfClose(index) => flow(run, *index, |flow| {
                flow.half_closed_by_device = Some(flow.dialed_at);
            }),
            Self::RemoveDns(index) => {
                if *index < run.dns.len() {
                    run.dns.remove(*index);
                }
            }
            Self::InventDns => run.dns.push((
                0,
                DnsSeen {
                    name: "invented.example".to_owned(),
                    addresses: Vec::new(),
                    ttl: 1,
                },
            )),
            Self::Counter(name, by) => run.raised = Some((name.clone(), *by)),
        }
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
