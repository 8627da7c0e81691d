//! What is held of each output by itself.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash};

use engine::Output;
use replay::packet::{Packet, Transport};

use super::device::{Device, end_of};
use super::far::down;

/// Takes an output into the hash of all.
pub(super) fn hash(hash: &mut DefaultHasher, output: &Output<'_>) {
    match output {
        Output::Frames(frames) => {
            for frame in *frames {
                frame.hash(hash);
            }
        }
        Output::Data { flow, bytes } => (flow, &**bytes).hash(hash),
        Output::Datagram { flow, to, payload } => (flow, to, payload).hash(hash),
        other => format!("{other:?}").hash(hash),
    }
}

/// A frame of the engine: sound, within the MTU, and with bytes that the far side gave.
pub(super) fn judge(frame: &[u8], mtu: usize, device: &mut Device, given: &BTreeMap<u16, u32>) {
    assert!(
        frame.len() <= mtu,
        "a frame of {} at MTU {mtu}: {frame:02x?}",
        frame.len()
    );
    let packet = Packet::whole(frame).unwrap_or_else(|problem| panic!("{problem:?}: {frame:02x?}"));
    let checksums = packet.checksums();
    assert!(checksums.are_sound(), "{checksums:?}: {frame:02x?}");
    assert_eq!(
        packet.total_len,
        frame.len(),
        "its own length: {frame:02x?}"
    );
    assert!(
        !matches!(packet.transport, Transport::Malformed(_) | Transport::Cut),
        "malformed: {frame:02x?}"
    );
    device.hear(frame, &packet);
    let (Some(tcp), Some((server, port))) = (packet.tcp(), packet.ports()) else {
        return;
    };
    if tcp.payload.is_empty() || server == 53 || device.wild {
        return;
    }
    let first = end_of(&mut device.ends, port).and_then(|end| end.engines);
    let first = first.unwrap_or_else(|| panic!("text before a SYN: {frame:02x?}"));
    let offset = tcp.sequence.0.wrapping_sub(first.wrapping_add(1));
    let given = given.get(&port).copied().unwrap_or(0);
    let end = u64::from(offset) + tcp.payload.len() as u64;
    assert!(
        end <= u64::from(given),
        "text up to {end}, {given} were given"
    );
    let text = tcp.payload.iter().zip(offset..);
    for (byte, at) in text {
        assert_eq!(*byte, down(at), "byte {at} of the far side's stream");
    }
}
