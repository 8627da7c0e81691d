//! One line for one packet: what is read is printed, and read again as the same; what is built can be printed.

use replay::notation::{Bindings, Direction, Ends, Line, Numbering, TimeSpec, print_packet};
use replay::packet::{Packet, Seq};

/// Body of the target `notation`: each line of the text is one of the notation's.
pub fn notation(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    for text in text.lines().take(64) {
        match Line::parse(text) {
            Err(error) => assert!(!error.to_string().is_empty(), "refused without a word"),
            Ok(line) => {
                let printed = line.to_string();
                let again = Line::parse(&printed);
                assert_eq!(again.as_ref(), Ok(&line), "{text:?} printed as {printed:?}");
                assert_eq!(line.to_string(), printed);
                build(&line);
            }
        }
    }
}

/// Makes the line's packet, for each family, and prints it.
fn build(line: &Line) {
    let Some((direction, segment)) = line.segment() else {
        return;
    };
    let numbering = Numbering {
        device_isn: Some(Seq(u32::MAX - 10)),
        engine_isn: Some(Seq(7)),
    };
    for (protocol, device, far) in [
        (6, "10.0.0.2:40000", "203.0.113.7:443"),
        (6, "[2001:db8::2]:40000", "[2001:db8:1::7]:443"),
        (17, "10.0.0.2:40000", "203.0.113.7:53"),
    ] {
        let ends = Ends {
            protocol,
            device: device.parse().expect("an address"),
            far: far.parse().expect("an address"),
        };
        let bindings = Bindings::default();
        let Ok(bytes) = segment.build(direction, &ends, &numbering, &bindings) else {
            continue;
        };
        if let Ok(packet) = Packet::whole(&bytes) {
            let time = TimeSpec::Any;
            let printed = print_packet(&packet, &numbering, time, "f", Direction::FromEngine);
            let read = Line::parse(&printed);
            assert!(read.is_ok(), "printed and not read: {printed:?}: {read:?}");
        }
    }
}
