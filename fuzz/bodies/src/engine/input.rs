//! What an input says, as libFuzzer's bytes are read.

use arbitrary::Arbitrary;
use replay::packet::Flags;

/// One case.
#[derive(Arbitrary, Debug)]
pub(crate) struct Plan {
    pub(crate) settings: Settings,
    /// Whether the engine is left alone in the end, instead of being stopped.
    pub(crate) ends_in_silence: bool,
    pub(crate) steps: Vec<Step>,
}

/// Settings that change what the engine does, near their bounds as often as not.
#[derive(Arbitrary, Debug)]
pub(crate) struct Settings {
    pub(crate) mtu: Mtu,
    pub(crate) rings: Option<u16>,
    pub(crate) tcp_limit: u8,
    pub(crate) udp_limit: u8,
    pub(crate) pending_dials: Option<u8>,
    pub(crate) byte_budget: Option<u16>,
    pub(crate) udp_path_mtu: Option<u16>,
    pub(crate) keep_alive: Option<u16>,
    pub(crate) udp_queue: u16,
    pub(crate) resolve_limit: u8,
    pub(crate) dns_names: u8,
    pub(crate) words: u8,
    pub(crate) flags: u8,
    /// Durations, milliseconds: the first of them replace defaults.
    pub(crate) durations: Vec<u16>,
}

#[derive(Arbitrary, Clone, Copy, Debug)]
pub(crate) enum Mtu {
    Usual,
    Least,
    Phone,
    Largest,
    Any(u16),
}

#[derive(Arbitrary, Debug)]
pub(crate) enum Step {
    /// One batch.
    Frames(Vec<Frame>),
    /// Something that the dialer does about a flow; the number counts back from the latest.
    Dialer(u8, Act),
    Time(Time),
    Path,
    AddressLost(bool),
    Stop,
    /// A connection as it should come about, from the SYN to the last acknowledgement.
    Open(u8),
    /// The device sends so many bytes on a tuple, the far side as many of its own, and the device acknowledges.
    Talk(u8, u16, u16),
    /// Both ends close in order; the device first, or second.
    Shut(u8, bool),
}

#[derive(Arbitrary, Clone, Copy, Debug)]
pub(crate) enum Time {
    Micros(u16),
    Millis(u16),
    Seconds(u16),
    Hours(u8),
    /// To the engine's next deadline.
    Due,
    Back(u16),
    Start,
    Far,
}

#[derive(Arbitrary, Debug)]
pub(crate) struct Frame {
    pub(crate) what: What,
    pub(crate) wrap: Wrap,
}

#[derive(Arbitrary, Debug)]
pub(crate) enum What {
    /// A segment near what is expected next.
    Tcp(Tcp),
    /// A datagram of so many bytes.
    Udp {
        tuple: u8,
        length: u16,
    },
    /// A datagram with these bytes: to port 53, a query.
    Message {
        tuple: u8,
        bytes: Vec<u8>,
    },
    /// A sound query to port 53.
    Query {
        tuple: u8,
        id: u8,
        name: u8,
        aaaa: bool,
        edns: bool,
    },
    /// An ICMP message about the latest frame of the engine, or about one of the device's.
    Icmp {
        tuple: u8,
        kind: u8,
        code: u8,
        rest: u32,
        about: About,
    },
    /// One of the frames sent before.
    Again(u8),
    Raw(Vec<u8>),
}

#[derive(Arbitrary, Debug)]
pub(crate) enum About {
    Engines,
    Devices,
    Bytes(Vec<u8>),
}

/// A segment, its numbers counted from what an honest device would send.
#[derive(Arbitrary, Debug)]
pub(crate) struct Tcp {
    pub(crate) tuple: u8,
    pub(crate) flags: u8,
    pub(crate) sequence: Off,
    pub(crate) acknowledgement: Off,
    pub(crate) window: u16,
    pub(crate) options: Vec<Opt>,
    pub(crate) length: u16,
}

#[derive(Arbitrary, Clone, Copy, Debug)]
pub(crate) enum Off {
    Exact,
    Near(i8),
    Far(i32),
}

#[derive(Arbitrary, Debug)]
pub(crate) enum Opt {
    Mss(u16),
    WindowScale(u8),
    SackPermitted,
    /// Edges counted from what the engine has sent.
    Sack(u16, u16),
    Timestamps(u32, u32),
    Nop,
    End,
    Any(u8, u8),
}

/// What happens to a frame on its way.
#[derive(Arbitrary, Debug)]
pub(crate) enum Wrap {
    None,
    /// Cut into fragments of so many bytes; those of the mask are lost, and the order may be turned round.
    Fragments {
        size: u16,
        lost: u8,
        turned: bool,
    },
    /// A fragment of its own making.
    Fragment {
        offset: u16,
        more: bool,
        length: u8,
    },
    /// IPv6 extension headers.
    Extensions(Vec<(u8, [u8; 6])>),
    /// A byte is another one; the checksums are put right again, or not.
    Corrupt {
        at: u16,
        xor: u8,
        repaired: bool,
    },
    Cut(u16),
    Padded(u8),
}

/// What the dialer does.
#[derive(Arbitrary, Debug)]
pub(crate) enum Act {
    Result(u8),
    Data(u16),
    Datagram(u16),
    DatagramFrom(u8, u16),
    /// An answer to the latest query of the device on this flow, so many bytes of it changed.
    Answer {
        ttl: u8,
        addresses: u8,
        change: Option<(u8, u8)>,
    },
    /// The latest intercepted query is answered.
    Resolved {
        result: u8,
        ttl: u32,
        addresses: u8,
    },
    Blocked,
    Writable,
    /// Of the next data so many are taken.
    Takes(u16),
    End(u8),
    /// Calls on a flow that has ended, or on none.
    Stale(u64),
}

impl Frame {
    /// A sound segment, next in order.
    pub(crate) fn segment(tuple: u8, flags: Flags, length: u16) -> Self {
        let syn = flags.contains(Flags::SYN);
        let options = vec![
            Opt::Mss(1460),
            Opt::SackPermitted,
            Opt::Nop,
            Opt::WindowScale(3),
        ];
        let segment = Tcp {
            tuple,
            flags: flags.0,
            sequence: Off::Exact,
            acknowledgement: Off::Exact,
            window: 65_535,
            options: if syn { options } else { Vec::new() },
            length,
        };
        Self {
            what: What::Tcp(segment),
            wrap: Wrap::None,
        }
    }
}
