//! One line for one packet, as packetdrill's users write it.
//!
//! The same line goes in (`<`, from the device into the engine), is expected out (`>`), and is what reports
//! print, so that what failed can be pasted back into a scenario.
//!
//! ```text
//! +.1   <   get   P.      1:79(78)   ack 1   win 512   <nop,nop,sack 1:5>   !ip.ttl=1
//! time  dir flow  flags   range      fields            options              overrides
//!
//! text ──parse──▶ Line ──Display──▶ text
//! Segment ──build──▶ bytes of an IP packet          Packet ──of──▶ Segment
//! Segment + Packet ──compare──▶ differences, field by field
//! ```
//!
//! Numbers are relative: a sequence number to the sender's initial one (the SYN is 0, the first byte 1), an
//! acknowledgement and the edges of a selective one to the other side's. `docs/NOTATION.md` shows every form.

mod apply;
mod build;
mod compare;
mod cursor;
mod cut;
mod icmp;
mod number;
mod options;
mod overrides;
pub(crate) mod packetdrill;
mod parse;
mod payload;
mod print;
mod time;

use crate::packet::Flags;

pub use build::{BuildError, Ends};
pub use compare::Difference;
pub use cursor::NotationError;
pub use icmp::{IcmpMessage, Quote, Unreachable};
pub(crate) use number::wrap;
pub use number::{Bindings, Num, Numbering};
pub use options::{OptionPattern, OptionsPattern};
pub use overrides::{Extension, Field, Override, Value};
pub use payload::{Payload, pattern_byte, pattern_bytes};
pub use print::print_packet;
pub use time::TimeSpec;

/// One line: when, and what.
///
/// ```
/// use replay::notation::Line;
///
/// let line = Line::parse("0.03 > get R. 0:0(0) ack 1 <>")?;
/// assert!(line.segment().is_some());
/// let wrong = Line::parse("0.03 > get Q 0:0(0)").expect_err("no such flag");
/// assert_eq!(wrong.column, 12);
/// # Ok::<(), replay::notation::NotationError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// When it happens, or may happen.
    pub time: TimeSpec,
    /// What happens.
    pub action: Action,
}

/// What a line does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// `<`: a packet from the device goes into the engine.
    Inject(Segment),
    /// `>`: a packet is expected out of the engine.
    Expect(Segment),
    /// `>*`: from here on packets out of the engine that are like this one are passed over, wherever no line asks for them.
    Allow(Segment),
    /// `silence until 5`: nothing may come out of the engine before that time.
    Silence {
        /// Microseconds from the first input.
        until: u64,
    },
    /// `+2h sleep`: nothing goes in until the line's time.
    Sleep,
    /// `path wifi>cellular`: the network path changes.
    Path {
        /// The path left.
        from: String,
        /// The path taken.
        to: String,
    },
    /// `address get lost`: the device's end of the tunnel loses the address it has on a flow.
    AddressLost {
        /// Name of the flow.
        flow: String,
    },
    /// `output held`: the host takes nothing that comes out, until `output taken`.
    Output {
        /// Whether it is held from now on.
        held: bool,
    },
    /// `stop`: the host stops the engine.
    Stop,
}

/// Which way a packet goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Direction {
    /// `<`: sent by the device, into the engine.
    FromDevice,
    /// `>`: emitted by the engine, toward the device.
    FromEngine,
}

/// One packet of a flow, as far as the line describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Segment {
    /// Name of the flow, `#n` included; empty only for a raw packet, which may do without.
    pub flow: String,
    /// What the packet carries.
    pub body: Body,
    /// Fields forced to a value, right or wrong; in an expectation, fields that must have it.
    pub overrides: Vec<Override>,
}

/// What a packet carries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Body {
    /// `P. 1:79(78) ack 1 win 512 <...>`.
    Tcp(TcpBody),
    /// `udp 33`.
    Udp {
        /// Bytes of payload.
        len: Num,
        /// The payload; absent: a pattern when sent, not compared when expected.
        payload: Option<Payload>,
    },
    /// `icmp ...`, ICMP or ICMPv6 by the flow's family.
    Icmp(IcmpMessage),
    /// `frag id 9 0:1480 more of udp 3000`.
    Fragment(FragmentBody),
    /// `raw hex:...`: a whole IP packet.
    Raw(Vec<u8>),
}

/// A TCP segment; what is absent was not written.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TcpBody {
    /// Control bits, compared exactly.
    pub flags: Flags,
    /// Sequence range.
    pub range: Option<Range>,
    /// Acknowledgement number.
    pub ack: Option<Num>,
    /// Window field, not scaled; 65,535 when sent without.
    pub window: Option<Num>,
    /// Urgent pointer; 0 when sent without.
    pub urgent: Option<Num>,
    /// Options; none when sent without.
    pub options: Option<OptionsPattern>,
    /// Payload; absent: a pattern by stream offset when sent, not compared when expected.
    pub payload: Option<Payload>,
}

/// `start:end(len)`, where `end` is `start` plus the payload, SYN and FIN not counted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Range {
    /// Sequence number of the segment.
    pub start: Num,
    /// Sequence number after its payload.
    pub end: Num,
    /// Bytes of payload; [`Num::Any`] where the range takes several segments.
    pub len: Num,
    /// How many segments the range takes.
    pub cut: Cut,
}

/// How many segments a range takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Cut {
    /// `1:1001(1000)`: one.
    #[default]
    One,
    /// `1:4001(+)`: one or more; sent, as many as the other side's MSS makes of it.
    Any,
    /// `1:4001(acked)`: one or more, and the device acknowledges what has come whenever nothing more does.
    Acked,
}

/// One fragment of a datagram.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FragmentBody {
    /// Identification.
    pub identification: Num,
    /// First byte of the datagram's IP payload it holds; a multiple of 8.
    pub start: u32,
    /// The byte after its last.
    pub end: u32,
    /// Whether more fragments follow.
    pub more: bool,
    /// Where its bytes come from.
    pub source: FragmentSource,
}

/// Where the bytes of a fragment come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FragmentSource {
    /// Not written: a pattern when sent, not compared when expected.
    Unwritten,
    /// These bytes.
    Payload(Payload),
    /// The range of this packet's IP payload.
    Of(Box<Body>),
}

impl Line {
    /// Reads a line.
    ///
    /// # Errors
    /// [`NotationError`] with the column and, where one is known, what to write instead.
    pub fn parse(text: &str) -> Result<Self, NotationError> {
        parse::line(text)
    }

    /// The packet the line describes, if it is about one, and which way it goes.
    #[must_use]
    pub fn segment(&self) -> Option<(Direction, &Segment)> {
        match &self.action {
            Action::Inject(segment) => Some((Direction::FromDevice, segment)),
            Action::Expect(segment) | Action::Allow(segment) => {
                Some((Direction::FromEngine, segment))
            }
            Action::Silence { .. }
            | Action::Sleep
            | Action::Path { .. }
            | Action::AddressLost { .. }
            | Action::Output { .. }
            | Action::Stop => None,
        }
    }
}

impl Segment {
    /// How often the packet is sent: once, unless `!frame.repeat` says otherwise.
    #[must_use]
    pub fn repetitions(&self) -> u32 {
        let counts = self.overrides.iter().map(|one| (one.field, &one.value));
        counts
            .filter_map(|(field, value)| match (field, value) {
                (Field::FrameRepeat, Value::Number(count)) => Some(*count),
                _ => None,
            })
            .next_back()
            .unwrap_or(1)
    }

    /// The packet as it is sent after `before` others of its line: the identification of a fragment and the sequence
    /// number of an echo count up.
    #[must_use]
    pub fn repetition(&self, before: u32) -> Self {
        let mut segment = self.clone();
        let counter = match &mut segment.body {
            Body::Fragment(fragment) => Some(&mut fragment.identification),
            Body::Icmp(IcmpMessage::Echo { sequence, .. }) => Some(sequence),
            _ => None,
        };
        if let Some(Num::Value(number)) = counter {
            *number += i64::from(before);
        }
        segment
    }
}

impl std::str::FromStr for Line {
    type Err = NotationError;

    fn from_str(text: &str) -> Result<Self, NotationError> {
        Self::parse(text)
    }
}

#[cfg(test)]
mod tests;
