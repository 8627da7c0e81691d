//! What an engine's flight recorder writes beside the frames: pcapng custom blocks of the dialer's events.
//!
//! The layout is in docs/FLIGHT_RECORDER.md; the engine's recorder is its other implementation, and shares no code with this
//! one. Blocks of others, and kinds that a later version may add, are recognized and passed over.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use crate::capture::CustomBlock;
use crate::scenario::{DialResult, Protocol};

/// The enterprise number of the blocks (RFC 5612: for documentation), and how their data begin.
const ENTERPRISE: u32 = 32_473;
const MAGIC: &[u8] = b"PTFR";
const VERSION: u8 = 1;

/// Bytes before an event's own data.
const FIXED: usize = 64;

/// One event of a recording.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Event<'a> {
    /// When, nanoseconds since the Unix epoch.
    pub time_ns: i64,
    /// The number of the flow's dial request in the recording, from 1; 0 for what belongs to no flow.
    pub dial: u64,
    /// The flow it belongs to; the server is who sent a datagram, or whom it went to.
    pub flow: Option<Tuple>,
    /// What happened.
    pub kind: EventKind<'a>,
}

/// A flow's ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tuple {
    /// Transport.
    pub protocol: Protocol,
    /// The device's end.
    pub client: SocketAddr,
    /// The far end.
    pub server: SocketAddr,
}

/// What happened between an engine and its dialer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum EventKind<'a> {
    /// The engine's settings: `name=value`, one a line.
    Settings(&'a str),
    /// A dial was asked for, by a name if the engine knew one.
    Dial(&'a str),
    /// It was answered.
    DialResult(DialResult),
    /// The far side sent bytes of its stream.
    RemoteData(&'a [u8]),
    /// The far side sent a datagram.
    RemoteDatagram(&'a [u8]),
    /// The far side has ended.
    RemoteClosed(RemoteEnd),
    /// The dialer took so many bytes of the device's stream.
    Took(u64),
    /// The dialer was handed a datagram of so many bytes.
    Datagram(u64),
    /// The dialer was notified that the device's stream has ended.
    HalfClose,
    /// The dialer took no more.
    Blocked,
    /// It took bytes again.
    Writable,
    /// The engine closed the flow: by whom, how.
    Close(&'a str),
    /// The path changed.
    Path(&'a str),
}

impl EventKind<'_> {
    /// Stable name in reports.
    #[must_use]
    pub const fn label(&self) -> &'static str {
        match self {
            Self::Settings(_) => "settings",
            Self::Dial(_) => "dial",
            Self::DialResult(_) => "dial_result",
            Self::RemoteData(_) => "remote_data",
            Self::RemoteDatagram(_) => "remote_datagram",
            Self::RemoteClosed(_) => "remote_closed",
            Self::Took(_) => "took",
            Self::Datagram(_) => "datagram",
            Self::HalfClose => "half_close",
            Self::Blocked => "blocked",
            Self::Writable => "writable",
            Self::Close(_) => "close",
            Self::Path(_) => "path",
        }
    }
}

/// How a far side ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RemoteEnd {
    /// End of file.
    Eof,
    /// A reset.
    Reset,
    /// The dialer failed.
    Error,
}

/// Why a recorder's block cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    /// A version of the layout that is not known here.
    #[error("recorder event of layout version {0}, which this replay does not know")]
    Version(u8),
    /// A kind of event that is not known here.
    #[error("recorder event of kind {0}, which this replay does not know")]
    Kind(u8),
    /// It contradicts its own lengths or words.
    #[error("recorder event that is malformed")]
    Malformed,
}

/// Reads a custom block; `None` if it is not a recorder's.
#[must_use]
pub fn decode<'a>(block: &CustomBlock<'a>) -> Option<Result<Event<'a>, Unreadable>> {
    let ours = block.enterprise == ENTERPRISE && block.data.starts_with(MAGIC);
    ours.then(|| event(block.data))
}

fn event(data: &[u8]) -> Result<Event<'_>, Unreadable> {
    let byte = |at: usize| data.get(at).copied().ok_or(Unreadable::Malformed);
    let version = byte(4)?;
    if version != VERSION {
        return Err(Unreadable::Version(version));
    }
    let length = u32::from_le_bytes(array(data, 60)?) as usize;
    let body = data
        .get(FIXED..)
        .and_then(|rest| rest.get(..length))
        .ok_or(Unreadable::Malformed)?;
    let protocol = match byte(6)? {
        0 => None,
        6 => Some(Protocol::Tcp),
        17 => Some(Protocol::Udp),
        _ => return Err(Unreadable::Malformed),
    };
    let flow = match protocol {
        None => None,
        Some(protocol) => Some(Tuple {
            protocol,
            client: end(data, byte(7)?, 28, 24)?,
            server: end(data, byte(7)?, 44, 26)?,
        }),
    };
    let micros = u64::from_le_bytes(array(data, 8)?);
    Ok(Event {
        time_ns: i64::try_from(u128::from(micros) * 1000).unwrap_or(i64::MAX),
        dial: u64::from_le_bytes(array(data, 16)?),
        flow,
        kind: kind(byte(5)?, body)?,
    })
}

fn kind(number: u8, body: &[u8]) -> Result<EventKind<'_>, Unreadable> {
    let text = || str::from_utf8(body).map_err(|_| Unreadable::Malformed);
    let count = || array(body, 0).map(u64::from_le_bytes);
    Ok(match number {
        1 => EventKind::Settings(text()?),
        2 => EventKind::Dial(text()?),
        3 => EventKind::DialResult(dial_result(text()?)?),
        4 => EventKind::RemoteData(body),
        5 => EventKind::RemoteDatagram(body),
        6 => EventKind::RemoteClosed(match body {
            b"eof" => RemoteEnd::Eof,
            b"reset" => RemoteEnd::Reset,
            b"error" => RemoteEnd::Error,
            _ => return Err(Unreadable::Malformed),
        }),
        7 => EventKind::Took(count()?),
        8 => EventKind::Datagram(count()?),
        9 => EventKind::HalfClose,
        10 => EventKind::Blocked,
        11 => EventKind::Writable,
        12 => EventKind::Close(text()?),
        13 => EventKind::Path(text()?),
        other => return Err(Unreadable::Kind(other)),
    })
}

fn dial_result(word: &str) -> Result<DialResult, Unreadable> {
    use DialResult::{Connected, Denied, HostUnreachable, NetworkUnreachable, Refused, TimedOut};
    [
        Connected,
        Refused,
        HostUnreachable,
        NetworkUnreachable,
        Denied,
        TimedOut,
    ]
    .into_iter()
    .find(|result| result.as_str() == word)
    .ok_or(Unreadable::Malformed)
}

fn end(data: &[u8], family: u8, address: usize, port: usize) -> Result<SocketAddr, Unreadable> {
    let address = match family {
        4 => IpAddr::V4(Ipv4Addr::from(array::<4>(data, address)?)),
        6 => IpAddr::V6(Ipv6Addr::from(array::<16>(data, address)?)),
        _ => return Err(Unreadable::Malformed),
    };
    Ok(SocketAddr::new(
        address,
        u16::from_le_bytes(array(data, port)?),
    ))
}

fn array<const N: usize>(data: &[u8], at: usize) -> Result<[u8; N], Unreadable> {
    data.get(at..)
        .and_then(|rest| rest.first_chunk())
        .copied()
        .ok_or(Unreadable::Malformed)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A `took 78` of the first dial, `10.0.0.2:40000` to `192.0.2.1:80`, at 1.5 ms.
    fn took() -> Vec<u8> {
        let mut data = b"PTFR\x01\x07\x06\x04".to_vec();
        data.extend(1500_u64.to_le_bytes());
        data.extend(1_u64.to_le_bytes());
        data.extend(40_000_u16.to_le_bytes());
        data.extend(80_u16.to_le_bytes());
        data.extend([10, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        data.extend([192, 0, 2, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        data.extend(8_u32.to_le_bytes());
        data.extend(78_u64.to_le_bytes());
        data
    }

    fn decode_data(enterprise: u32, data: &[u8]) -> Option<Result<Event<'_>, Unreadable>> {
        decode(&CustomBlock {
            number: 1,
            enterprise,
            data,
            offset: 0,
        })
    }

    #[test]
    fn an_event_is_read_by_the_documented_layout() {
        let tuple = Tuple {
            protocol: Protocol::Tcp,
            client: "10.0.0.2:40000".parse().unwrap(),
            server: "192.0.2.1:80".parse().unwrap(),
        };
        let want = Event {
            time_ns: 1_500_000,
            dial: 1,
            flow: Some(tuple),
            kind: EventKind::Took(78),
        };
        assert_eq!(decode_data(32_473, &took()), Some(Ok(want)));
    }

    #[test]
    fn blocks_of_others_are_not_ours() {
        assert_eq!(decode_data(1, &took()), None);
        assert_eq!(decode_data(32_473, b"PTFS and so on"), None);
    }

    #[test]
    fn what_a_later_version_adds_is_told_apart() {
        let mut later = took();
        later[4] = 2;
        assert_eq!(
            decode_data(32_473, &later),
            Some(Err(Unreadable::Version(2)))
        );
        let mut kind = took();
        kind[5] = 99;
        assert_eq!(decode_data(32_473, &kind), Some(Err(Unreadable::Kind(99))));
    }

    #[test]
    fn no_cut_of_an_event_is_read_as_one() {
        let whole = took();
        for length in MAGIC.len()..whole.len() {
            let cut = decode_data(32_473, &whole[..length]);
            assert_eq!(cut, Some(Err(Unreadable::Malformed)), "{length}");
        }
    }
}
