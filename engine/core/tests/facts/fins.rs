//! FINs that say nothing new, beside acknowledgements that do.

use core::time::Duration;

use engine::RemoteEnd;

use crate::support::{Bench, Device, Family, closes, tcp};

/// Both sides have closed: the device has sent its FIN, and ours is out.
fn both_closed(bench: &mut Bench, device: &mut Device, device_first: bool) {
    let flow = bench.connect(device);
    if device_first {
        bench.feed([device.fin()]);
        let seen = bench.end(flow, RemoteEnd::Eof);
        device.receive(&seen);
    } else {
        let seen = bench.end(flow, RemoteEnd::Eof);
        // Theirs crosses ours: it does not acknowledge it.
        let fin = device.fin();
        device.receive(&seen);
        let seen = bench.feed([fin]);
        assert_eq!(closes(&seen), [""; 0]);
    }
    assert!(device.received_fin);
}

#[test]
fn our_fin_is_acknowledged_by_whatever_segment_says_so() {
    for family in Family::BOTH {
        for device_first in [true, false] {
            // Flags, the place relative to RCV.NXT, payload.
            for (flags, ahead, payload) in [
                ("F.", 0, &b""[..]),
                ("FP.", 0, b""),
                ("F.", 0, b"text"),
                ("F.", 3, b""),
                ("F.", 3, b"text"),
                ("P.", 0, b"text"),
                ("P.", 3, b"text"),
                ("P.", -3, b"text"),
                ("F.", -3, b"text"),
                (".", 3, b""),
            ] {
                let mut bench = Bench::with(|_| {});
                let mut device = Device::new(family);
                both_closed(&mut bench, &mut device, device_first);
                let seq = device.next.wrapping_add_signed(ahead);
                let seen = bench.feed([device.raw(flags, seq, b"", payload)]);
                let by = if device_first {
                    "device fin"
                } else {
                    "remote fin"
                };
                assert_eq!(closes(&seen), [by], "{flags} {ahead} {payload:?}");
                assert_eq!(tcp(&bench.wait(Duration::from_secs(600))), []);
            }
        }
    }
}

#[test]
fn payload_is_acknowledged_and_windows_open_beside_a_fin_too_many() {
    let mut bench = Bench::with(|_| {});
    let mut device = Device::new(Family::V4);
    let flow = bench.connect(&mut device);
    bench.feed([device.fin()]);
    let (_, seen) = bench.remote(flow, &[1; 500]);
    device.receive(&seen);
    device.window = 0;
    bench.feed([device.raw("F.", device.next, b"", b"")]);
    let (_, seen) = bench.remote(flow, &[2; 500]);
    assert_eq!(tcp(&seen), [], "the window is closed");
    device.window = 65_535;
    let seen = bench.feed([device.raw("F.", device.next, b"", b"")]);
    device.receive(&seen);
    assert_eq!(device.received.len(), 1000);
    bench.feed([device.ack()]);
    assert_eq!(
        tcp(&bench.wait(Duration::from_secs(100))),
        [],
        "all is acknowledged"
    );
}
