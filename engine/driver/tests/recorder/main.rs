//! What a recording has in it, and what a snap length keeps out.

use core::num::NonZero;
use core::time::Duration;
use std::io;
use std::sync::{Arc, Mutex};

use engine::{Config, FlowId, FlowKey, Micros, Proto};
use engine_driver::recorder::{Bounds, Recorder, Store};

#[derive(Clone, Debug, Default)]
struct Memory(Arc<Mutex<Vec<u8>>>);

impl Store for Memory {
    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.0.lock().expect("no panic").extend(bytes);
        Ok(())
    }

    fn rotate(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A session of one frame each way, with a payload behind 40 bytes of headers, and as much of the dialer's.
fn record(snap_length: Option<NonZero<u32>>) -> Vec<u8> {
    let (memory, flow, now) = (
        Memory::default(),
        FlowId::from_bits(7),
        Micros::from_secs(1),
    );
    let bounds = Bounds {
        max_bytes: None,
        snap_length,
    };
    let store = Box::new(memory.clone());
    let config = Config::default();
    let mut recorder =
        Recorder::new(store, bounds, &config, now, Duration::ZERO).expect("memory takes all");
    for proto in [Proto::Tcp, Proto::Udp] {
        let key = FlowKey {
            proto,
            client: "10.0.0.2:40000".parse().expect("an address"),
            server: "192.0.2.1:443".parse().expect("an address"),
        };
        recorder.dial(now, flow, key, None);
        recorder.remote_data(now, flow, b"a secret");
        recorder.remote_datagram(now, flow, None, b"a secret");
    }
    let frame = [&[0x45; 40][..], b"a secret"].concat();
    recorder.frame_in(now, &frame);
    recorder.frame_out(now, &frame);
    recorder.commit();
    let kept = memory.0.lock().expect("no panic");
    kept.clone()
}

fn secrets(bytes: &[u8]) -> usize {
    bytes.windows(8).filter(|part| *part == b"a secret").count()
}

/// The blocks of a file: type and body.
fn blocks(mut bytes: &[u8]) -> Vec<(u32, &[u8])> {
    let mut blocks = Vec::new();
    while let [a, b, c, d, e, f, g, h, ..] = *bytes {
        let length = u32::from_le_bytes([e, f, g, h]) as usize;
        blocks.push((u32::from_le_bytes([a, b, c, d]), &bytes[8..length - 4]));
        bytes = &bytes[length..];
    }
    blocks
}

#[test]
fn without_a_snap_length_all_is_kept() {
    assert_eq!(secrets(&record(None)), 6);
}

#[test]
fn a_snap_length_keeps_payload_out_and_every_length_in() {
    let bytes = record(NonZero::new(40));
    assert_eq!(secrets(&bytes), 0);
    let field =
        |body: &[u8], at: usize| u32::from_le_bytes(*body[at..].first_chunk().expect("four"));
    let all = blocks(&bytes);
    let interface = all.iter().find(|(kind, _)| *kind == 1).expect("one");
    assert_eq!(field(interface.1, 4), 40);
    let packets = all.iter().filter(|(kind, _)| *kind == 6);
    let lengths: Vec<_> = packets
        .map(|(_, body)| (field(body, 12), field(body, 16)))
        .collect();
    assert_eq!(lengths, [(40, 48); 2]);
    // Kinds 4 and 5: eight bytes of each.
    let bodies = all
        .iter()
        .filter(|(kind, body)| *kind == 0x0bad && matches!(body[9], 4 | 5));
    let bodies: Vec<_> = bodies
        .map(|(_, body)| (field(body, 64), &body[68..]))
        .collect();
    assert_eq!(bodies, [(8, &[0; 8][..]); 4]);
}
