//! A capture of any size: downloads side by side, as classic pcap of raw IP packets.

use std::io::{self, Write};

use replay::packet::TCP;

use crate::frames::frame;

/// Bytes of text in a full segment.
const SEGMENT: usize = 1460;
/// Bytes of each request.
const REQUEST: usize = 100;

/// Writes `flows` downloads of so many full segments, one after the other begun; says how many packets that is.
///
/// # Errors
/// Writing failed.
pub fn write(to: &mut dyn Write, flows: usize, segments: usize) -> io::Result<u64> {
    // Microseconds, little endian, link type RAW.
    for word in [0xa1b2_c3d4_u32, 0x0004_0002, 0, 0, 65_535, 101] {
        to.write_all(&word.to_le_bytes())?;
    }
    let mut packets = 0;
    for flow in 0..flows {
        for line in lines(segments) {
            let frame = frame(&line, TCP, flow).map_err(io::Error::other)?;
            // A packet each 100 microseconds.
            let (seconds, micros) = (packets / 10_000, packets % 10_000 * 100);
            let length = u32::try_from(frame.len()).unwrap_or(u32::MAX);
            for word in [seconds, micros, length, length] {
                to.write_all(&word.to_le_bytes())?;
            }
            to.write_all(&frame)?;
            packets += 1;
        }
    }
    Ok(u64::from(packets))
}

/// The packets of one download, closed by the far side.
fn lines(segments: usize) -> Vec<String> {
    let asked = 1 + REQUEST;
    let mut lines = vec![
        "0 < get S 0:0(0) win 65535 <mss 1460,sackOK,wscale 7>".to_owned(),
        "0 > get S. 0:0(0) ack 1 win 65535 <mss 1460,sackOK,wscale 7>".to_owned(),
        "0 < get . 1:1(0) ack 1 win 512".to_owned(),
        format!("0 < get P. 1:{asked}({REQUEST}) ack 1 win 512"),
        format!("0 > get . 1:1(0) ack {asked} win 512"),
    ];
    for segment in 0..segments {
        let (from, to) = (1 + segment * SEGMENT, 1 + (segment + 1) * SEGMENT);
        lines.push(format!(
            "0 > get . {from}:{to}({SEGMENT}) ack {asked} win 512"
        ));
        if segment % 2 == 1 || segment + 1 == segments {
            lines.push(format!("0 < get . {asked}:{asked}(0) ack {to} win 512"));
        }
    }
    let end = 1 + segments * SEGMENT;
    lines.push(format!("0 > get F. {end}:{end}(0) ack {asked} win 512"));
    lines.push(format!(
        "0 < get F. {asked}:{asked}(0) ack {} win 512",
        end + 1
    ));
    lines.push(format!(
        "0 > get . {0}:{0}(0) ack {1} win 512",
        end + 1,
        asked + 1
    ));
    lines
}
