//! A script, word for word: nothing of what it means here.

use crate::base::diagnostic::Position;
use crate::notation::TimeSpec;

/// A script.
#[derive(Clone, Debug, Default)]
pub(crate) struct Script {
    /// Its first comment.
    pub(crate) title: String,
    /// Requirements it covers: `// covers: TCP-CLOSE-HALF, TCP-DATA-PSH`.
    pub(crate) covers: Vec<(String, Position)>,
    /// Settings of the engine: `// engine: { "mtu": 1280 }`.
    pub(crate) engine: Option<(String, Position)>,
    /// Lines such as `--mtu=1280`.
    pub(crate) options: Vec<OptionLine>,
    pub(crate) events: Vec<Event>,
}

/// `--name=value`.
#[derive(Clone, Debug)]
pub(crate) struct OptionLine {
    pub(crate) at: Position,
    pub(crate) name: String,
    pub(crate) value: String,
}

/// Something that happens at a time.
#[derive(Clone, Debug)]
pub(crate) struct Event {
    pub(crate) at: Position,
    /// As it is written, on one line.
    pub(crate) text: String,
    pub(crate) time: TimeSpec,
    /// When a blocking call must have returned, counted from what `time` counts from.
    pub(crate) end: Option<u64>,
    pub(crate) what: What,
}

#[derive(Clone, Debug)]
pub(crate) enum What {
    Packet(Box<PacketLine>),
    Call(Call),
    /// In backquotes.
    Command(String),
    /// In `%{ }%`.
    Code,
}

/// A `<` or `>` line.
#[derive(Clone, Debug)]
pub(crate) struct PacketLine {
    pub(crate) inbound: bool,
    /// Headers around the packet: `gre`, `mpls`, `ipv4 ... :`, `encap psp`, `/udp(1 > 2)`.
    pub(crate) around: Option<String>,
    pub(crate) ip: IpInfo,
    /// `1234 > 8080`.
    pub(crate) ports: Option<(u16, u16)>,
    pub(crate) body: PacketBody,
}

/// The fields of the IP header in a line.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct IpInfo {
    pub(crate) ecn: Option<Ecn>,
    pub(crate) tos: Option<u8>,
    pub(crate) ttl: Option<u8>,
    pub(crate) flow_label: Option<u32>,
}

/// A mark of RFC 3168.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ecn {
    /// `noecn`, `ect1`, `ect0`, `ce`: the two bits.
    Bits(u8),
    /// `ect01`: either.
    Capable,
}

#[derive(Clone, Debug)]
pub(crate) enum PacketBody {
    Tcp(TcpLine),
    /// Bytes of payload.
    Udp(u16),
    Icmp {
        kind: String,
        code: Option<String>,
        mtu: Option<u32>,
        /// Sequence number of the packet it is about.
        echoed: Option<i64>,
        /// It is about a datagram.
        of_datagram: bool,
    },
}

#[derive(Clone, Debug)]
pub(crate) struct TcpLine {
    /// Letters, without those of accurate ECN.
    pub(crate) flags: String,
    /// Whether the flags are those of accurate ECN.
    pub(crate) accurate_ecn: bool,
    /// `None` is `...`: any.
    pub(crate) start: Option<i64>,
    pub(crate) len: u16,
    /// `0:0(0)!`: as it is on the wire.
    pub(crate) absolute: bool,
    pub(crate) ack: Option<i64>,
    pub(crate) window: Option<u16>,
    pub(crate) urgent: Option<u16>,
    /// `None` is `<...>`: not compared.
    pub(crate) options: Option<Vec<TcpOption>>,
}

/// One option of a header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum TcpOption {
    Nop,
    End,
    Mss(u16),
    WindowScale(u8),
    SackPermitted,
    Sack(Vec<(u32, u32)>),
    Timestamps(u32, u32),
    /// `FO`, `FOEXP`, `md5`, `ECN`: none that an engine takes up.
    Foreign(String),
}

/// `name(arguments) = result ERRNO (words)`.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    pub(crate) name: String,
    pub(crate) arguments: Vec<Expression>,
    pub(crate) result: Expression,
    /// The name of the error, if the result has one.
    pub(crate) error: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Expression {
    /// `...`.
    Any,
    Number(i64),
    Word(String),
    Text(String),
    /// `[...]`.
    List(Vec<Self>),
    /// `{name=value, value}`; a name in brackets, `msg_iov(1)`, is kept without them.
    Struct(Vec<(Option<String>, Self)>),
    /// Words joined by `|`.
    Or(Vec<Self>),
}

impl Script {
    /// Whether it expects packets at all.
    pub(crate) fn expects_packets(&self) -> bool {
        let expects = |event: &Event| matches!(&event.what, What::Packet(line) if !line.inbound);
        self.events.iter().any(expects)
    }
}

impl TcpLine {
    pub(crate) fn has(&self, flag: char) -> bool {
        self.flags.contains(flag)
    }

    /// Whether it opens a connection.
    pub(crate) fn is_syn(&self) -> bool {
        self.has('S') && !self.has('.')
    }

    /// Whether it answers one that does.
    pub(crate) fn is_syn_ack(&self) -> bool {
        self.has('S') && self.has('.')
    }

    /// Whether it acknowledges and nothing else.
    pub(crate) fn is_bare_ack(&self) -> bool {
        self.flags == "." && self.len == 0
    }
}

impl PacketLine {
    pub(crate) fn tcp(&self) -> Option<&TcpLine> {
        match &self.body {
            PacketBody::Tcp(tcp) => Some(tcp),
            _ => None,
        }
    }
}

impl Expression {
    pub(crate) fn number(&self) -> Option<i64> {
        match self {
            Self::Number(number) => Some(*number),
            _ => None,
        }
    }

    /// Words of a choice such as `A | B`, or the one.
    pub(crate) fn words(&self) -> Vec<&str> {
        match self {
            Self::Word(word) => vec![word],
            Self::Or(parts) => parts.iter().flat_map(Self::words).collect(),
            _ => Vec::new(),
        }
    }

    /// The one value in `[...]`.
    pub(crate) fn only(&self) -> Option<&Self> {
        match self {
            Self::List(list) => list.first().filter(|_| list.len() == 1),
            _ => None,
        }
    }

    /// The value of a field.
    pub(crate) fn field(&self, name: &str) -> Option<&Self> {
        let Self::Struct(fields) = self else {
            return None;
        };
        let named = |(known, _): &&(Option<String>, Self)| known.as_deref() == Some(name);
        fields.iter().find(named).map(|(_, value)| value)
    }
}
