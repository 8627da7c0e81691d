//! Blocks of a recording, byte by byte (draft-ietf-opsawg-pcapng; section numbers are its own), little endian.

use std::io::Write as _;
use std::net::IpAddr;

use engine::{Close, DialResult, FlowKey, Proto, RemoteEnd};

/// The private enterprise number in the custom blocks: the one that RFC 5612 sets aside for examples and
/// documentation, until the project has its own. [`MAGIC`] tells its blocks from those of others who do the same.
pub const ENTERPRISE: u32 = 32_473;

/// How the data of the project's custom blocks begin.
pub const MAGIC: [u8; 4] = *b"PTFR";

/// The version of their layout.
pub const VERSION: u8 = 1;

/// Who sent a frame; the value is that of `epb_flags` (section 4.3.1).
#[derive(Clone, Copy, Debug)]
pub(super) enum Direction {
    /// The device.
    Inbound = 1,
    /// The engine.
    Outbound = 2,
}

/// What happened between the engine and its dialer.
#[derive(Clone, Copy, Debug)]
pub(super) enum Event<'a> {
    Settings(&'a str),
    Dial { name: Option<&'a str> },
    DialResult(DialResult),
    RemoteData(Payload<'a>),
    RemoteDatagram(Payload<'a>),
    RemoteClosed(RemoteEnd),
    Took(u64),
    Datagram(u64),
    HalfClose,
    Blocked,
    Writable,
    Close(Close),
    Path(&'a str),
}

/// Bytes of a far side, or only how many they were.
#[derive(Clone, Copy, Debug)]
pub(super) enum Payload<'a> {
    Whole(&'a [u8]),
    /// Written as so many zeros, so that a replay has streams and datagrams of the right lengths.
    Length(usize),
}

/// Blocks back to back, in memory that is kept.
#[derive(Debug, Default)]
pub(super) struct Blocks {
    pub(super) bytes: Vec<u8>,
}

impl Blocks {
    /// Section header (4.1) and the one interface (4.2), with its snap length; 0 is none.
    pub(super) fn section(&mut self, snap: u32) {
        self.block(SECTION_HEADER, |out| {
            out.extend_from_slice(&0x1a2b_3c4d_u32.to_le_bytes());
            out.extend_from_slice(&1_u16.to_le_bytes());
            out.extend_from_slice(&0_u16.to_le_bytes());
            out.extend_from_slice(&u64::MAX.to_le_bytes());
            let application = concat!("engine ", env!("CARGO_PKG_VERSION"), " flight recorder");
            option(out, SHB_USERAPPL, application.as_bytes());
            option(out, END, &[]);
        });
        self.block(INTERFACE_DESCRIPTION, |out| {
            out.extend_from_slice(&LINKTYPE_RAW.to_le_bytes());
            out.extend_from_slice(&[0; 2]);
            out.extend_from_slice(&snap.to_le_bytes());
            option(out, IF_NAME, b"tunnel");
            option(out, IF_TSRESOL, &[6]);
            option(out, END, &[]);
        });
    }

    /// An enhanced packet (4.3), at most `snap` bytes of it unless that is 0; `at` in microseconds since the epoch.
    pub(super) fn packet(&mut self, at: u64, frame: &[u8], snap: u32, direction: Direction) {
        self.block(ENHANCED_PACKET, |out| {
            let [a, b, c, d, e, f, g, h] = at.to_le_bytes();
            let length =
                |bytes: &[u8]| u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_le_bytes();
            let kept = match snap as usize {
                0 => frame,
                snap => frame.get(..snap).unwrap_or(frame),
            };
            out.extend_from_slice(&[0; 4]);
            out.extend_from_slice(&[e, f, g, h, a, b, c, d]);
            out.extend_from_slice(&length(kept));
            out.extend_from_slice(&length(frame));
            out.extend_from_slice(kept);
            pad(out, kept.len());
            option(out, EPB_FLAGS, &(direction as u32).to_le_bytes());
            option(out, END, &[]);
        });
    }

    /// A custom block (4.9).
    pub(super) fn event(&mut self, at: u64, key: Option<&FlowKey>, dial: u64, event: &Event<'_>) {
        self.block(CUSTOM, |out| {
            out.extend_from_slice(&ENTERPRISE.to_le_bytes());
            out.extend_from_slice(&MAGIC);
            let (proto, family) = key.map_or((0, 0), |key| {
                let proto = match key.proto {
                    Proto::Tcp => 6,
                    Proto::Udp => 17,
                };
                (proto, if key.client.is_ipv6() { 6 } else { 4 })
            });
            out.extend_from_slice(&[VERSION, event.kind(), proto, family]);
            out.extend_from_slice(&at.to_le_bytes());
            out.extend_from_slice(&dial.to_le_bytes());
            let ends = key.map(|key| [key.client, key.server]);
            let ports = ends.map_or([0; 2], |ends| ends.map(|end| end.port()));
            out.extend(ports.iter().flat_map(|port| port.to_le_bytes()));
            let addresses = ends.map_or([[0; 16]; 2], |ends| ends.map(|end| bytes(end.ip())));
            out.extend(addresses.iter().flatten());
            let place = out.len();
            out.extend_from_slice(&[0; 4]);
            event.body(out);
            let length = out.len() - place - 4;
            let field = u32::try_from(length).unwrap_or(u32::MAX).to_le_bytes();
            if let Some(space) = out.get_mut(place..place + 4) {
                space.copy_from_slice(&field);
            }
            pad(out, length);
        });
    }

    /// The frame around every block (3.1): its length before and after.
    fn block(&mut self, kind: u32, body: impl FnOnce(&mut Vec<u8>)) {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(&kind.to_le_bytes());
        self.bytes.extend_from_slice(&[0; 4]);
        body(&mut self.bytes);
        let length = u32::try_from(self.bytes.len() + 4 - start).unwrap_or(u32::MAX);
        let length = length.to_le_bytes();
        self.bytes.extend_from_slice(&length);
        if let Some(field) = self.bytes.get_mut(start + 4..start + 8) {
            field.copy_from_slice(&length);
        }
    }
}

impl Event<'_> {
    fn kind(&self) -> u8 {
        match self {
            Self::Settings(_) => 1,
            Self::Dial { .. } => 2,
            Self::DialResult(_) => 3,
            Self::RemoteData(_) => 4,
            Self::RemoteDatagram(_) => 5,
            Self::RemoteClosed(_) => 6,
            Self::Took(_) => 7,
            Self::Datagram(_) => 8,
            Self::HalfClose => 9,
            Self::Blocked => 10,
            Self::Writable => 11,
            Self::Close(_) => 12,
            Self::Path(_) => 13,
        }
    }

    fn body(&self, out: &mut Vec<u8>) {
        match self {
            Self::Settings(text) | Self::Path(text) => out.extend_from_slice(text.as_bytes()),
            Self::Dial { name } => out.extend_from_slice(name.unwrap_or_default().as_bytes()),
            Self::DialResult(result) => out.extend_from_slice(result.label().as_bytes()),
            Self::RemoteData(payload) | Self::RemoteDatagram(payload) => match *payload {
                Payload::Whole(bytes) => out.extend_from_slice(bytes),
                Payload::Length(length) => out.resize(out.len() + length, 0),
            },
            Self::RemoteClosed(end) => out.extend_from_slice(match end {
                RemoteEnd::Eof => b"eof",
                RemoteEnd::Reset => b"reset",
                RemoteEnd::Error => b"error",
            }),
            Self::Took(count) | Self::Datagram(count) => {
                out.extend_from_slice(&count.to_le_bytes());
            }
            Self::HalfClose | Self::Blocked | Self::Writable => {}
            Self::Close(close) => {
                // Writing to a vector cannot fail.
                let _ = write!(out, "{} {}", close.by, close.how.label());
            }
        }
    }
}

fn bytes(address: IpAddr) -> [u8; 16] {
    match address {
        IpAddr::V6(address) => address.octets(),
        IpAddr::V4(address) => {
            let [a, b, c, d] = address.octets();
            [a, b, c, d, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]
        }
    }
}

/// An option (3.5): code, length, value, padding.
fn option(out: &mut Vec<u8>, code: u16, value: &[u8]) {
    let length = u16::try_from(value.len()).unwrap_or(u16::MAX);
    out.extend_from_slice(&code.to_le_bytes());
    out.extend_from_slice(&length.to_le_bytes());
    out.extend_from_slice(value);
    pad(out, value.len());
}

/// Fills up to a multiple of four bytes.
fn pad(out: &mut Vec<u8>, length: usize) {
    out.extend_from_slice([0; 3].get(..length.wrapping_neg() % 4).unwrap_or_default());
}

/// Block types and option codes.
const SECTION_HEADER: u32 = 0x0a0d_0d0a;
const INTERFACE_DESCRIPTION: u32 = 1;
const ENHANCED_PACKET: u32 = 6;
const CUSTOM: u32 = 0x0bad;
const END: u16 = 0;
const EPB_FLAGS: u16 = 2;
const SHB_USERAPPL: u16 = 4;
const IF_NAME: u16 = 2;
const IF_TSRESOL: u16 = 9;
const LINKTYPE_RAW: u16 = 101;
