//! The line protocol by which `replay` drives another stack as a child process: docs/STACK_PROTOCOL.md.
//!
//! [`Request`] is a line of replay's, [`Reply`] one of the stack's; both print and parse. Bytes are hexadecimal, times
//! microseconds from the start of the run. Nothing here knows an engine: a program for any stack can use it.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

mod hello;
mod words;

pub use hello::{Ability, Hello, Settings, Time};

use words::{Hex, Words, or_dash};

/// The protocol's version.
pub const VERSION: u32 = 1;

/// A line that is none of the protocol's: what it is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Garbage(pub String);

impl fmt::Display for Garbage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Garbage {}

/// Which transport a flow has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Proto {
    /// A stream of bytes.
    Tcp,
    /// Datagrams.
    Udp,
}

/// What replay sends to the stack.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// The run begins: the settings of the scenario as one JSON object, on one line.
    Start(String),
    /// It is this time now, until the next of these; never earlier than the last.
    At(u64),
    /// A frame of the device.
    Frame(Vec<u8>),
    /// The dial of a flow is answered: `connected`, `refused`, `host_unreachable`, `network_unreachable`, `denied` or
    /// `timed_out`.
    Dialed(u64, String),
    /// Bytes of the far side; answered with [`Reply::Took`].
    Data(u64, Vec<u8>),
    /// A datagram of the far side, from the server that was dialed unless another source is given; answered with
    /// [`Reply::Took`], 1 or 0.
    Datagram(u64, Option<SocketAddr>, Vec<u8>),
    /// The far side takes no bytes of the device for the time being.
    Block(u64),
    /// The far side takes bytes of the device again.
    Unblock(u64),
    /// The far side takes so many bytes, and then no more.
    Take(u64, usize),
    /// The far side's stream has ended: `eof`, `reset` or `error`.
    End(u64, String),
    /// A query is answered: addresses and the seconds they hold; or the word `not_found` or `failed`.
    Resolved(u64, Result<(Vec<IpAddr>, u32), String>),
    /// The path to the far side is another one.
    Path,
    /// The device's end of the tunnel has lost this address.
    AddressLost(IpAddr),
    /// The host has no more use for the stack.
    Stop,
    /// Do what there is to do at this time, and send all that comes out; ends with [`Reply::Next`].
    Poll,
}

/// What the stack sends to replay.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// Who it is: the first line, once.
    Hello(Hello),
    /// How many bytes of [`Request::Data`] were taken, or whether the datagram was.
    Took(usize),
    /// A frame for the device.
    Frame(Vec<u8>),
    /// Connect to the server. The number is the stack's to choose, and never that of another flow of the run.
    Dial {
        /// The flow's number.
        flow: u64,
        /// Its transport.
        proto: Proto,
        /// The device's end.
        client: SocketAddr,
        /// What the device wants to reach.
        server: SocketAddr,
        /// The name under which the device learnt the server's address.
        name: Option<String>,
    },
    /// Bytes of the device.
    Data(u64, Vec<u8>),
    /// A datagram of the device, and where to.
    Datagram(u64, SocketAddr, Vec<u8>),
    /// The device has sent its FIN, and all bytes before it were handed over.
    HalfClose(u64),
    /// Room for bytes of the far side, after they were not all taken.
    Resume(u64, usize),
    /// A flow has ended: by whom (`device`, `remote`, `engine`, or `*` if it does not know) and how (a word of
    /// docs/STACK_PROTOCOL.md, or `*`).
    Close(u64, String, String),
    /// A DNS answer passed: the flow it came on, seconds, addresses, the name.
    Dns(Option<u64>, u32, Vec<IpAddr>, String),
    /// Find out the addresses of a name: `a` or `aaaa`.
    Resolve(u64, String, String),
    /// Nothing more comes out. When it wants to be polled next, whatever else happens, and whether nothing but the end of an
    /// idle flow is waited for.
    Next {
        /// The time; `None` is never.
        at: Option<u64>,
        /// Whether nothing is owed to anybody.
        rest: bool,
    },
}

impl fmt::Display for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Start(settings) => write!(f, "start {VERSION} {settings}"),
            Self::At(time) => write!(f, "at {time}"),
            Self::Frame(bytes) => write!(f, "frame {}", Hex(bytes)),
            Self::Dialed(flow, result) => write!(f, "dialed {flow} {result}"),
            Self::Data(flow, bytes) => write!(f, "data {flow} {}", Hex(bytes)),
            Self::Datagram(flow, from, bytes) => {
                write!(
                    f,
                    "datagram {flow} {} {}",
                    or_dash(from.as_ref()),
                    Hex(bytes)
                )
            }
            Self::Block(flow) => write!(f, "block {flow}"),
            Self::Unblock(flow) => write!(f, "unblock {flow}"),
            Self::Take(flow, count) => write!(f, "take {flow} {count}"),
            Self::End(flow, how) => write!(f, "end {flow} {how}"),
            Self::Resolved(query, Ok((addresses, ttl))) => {
                write!(f, "resolved {query} {ttl} {}", words::addresses(addresses))
            }
            Self::Resolved(query, Err(word)) => write!(f, "resolved {query} {word}"),
            Self::Path => f.write_str("path"),
            Self::AddressLost(address) => write!(f, "address {address}"),
            Self::Stop => f.write_str("stop"),
            Self::Poll => f.write_str("poll"),
        }
    }
}

impl FromStr for Request {
    type Err = Garbage;

    fn from_str(line: &str) -> Result<Self, Garbage> {
        let mut words = Words::of(line);
        let request = match words.word()? {
            "start" => {
                words.version()?;
                return Ok(Self::Start(words.rest().to_owned()));
            }
            "at" => Self::At(words.parse()?),
            "frame" => Self::Frame(words.bytes()?),
            "dialed" => Self::Dialed(words.parse()?, words.parse()?),
            "data" => Self::Data(words.parse()?, words.bytes()?),
            "datagram" => Self::Datagram(words.parse()?, words.dash_or()?, words.bytes()?),
            "block" => Self::Block(words.parse()?),
            "unblock" => Self::Unblock(words.parse()?),
            "take" => Self::Take(words.parse()?, words.parse()?),
            "end" => Self::End(words.parse()?, words.parse()?),
            "resolved" => {
                let query = words.parse()?;
                let word = words.word()?;
                let answer = match word.parse() {
                    Ok(ttl) => Ok((words.addresses()?, ttl)),
                    Err(_) => Err(word.to_owned()),
                };
                Self::Resolved(query, answer)
            }
            "path" => Self::Path,
            "address" => Self::AddressLost(words.parse()?),
            "stop" => Self::Stop,
            "poll" => Self::Poll,
            other => return Err(Garbage(format!("`{other}` is no request"))),
        };
        words.end()?;
        Ok(request)
    }
}

impl fmt::Display for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Hello(hello) => hello.fmt(f),
            Self::Took(count) => write!(f, "took {count}"),
            Self::Frame(bytes) => write!(f, "frame {}", Hex(bytes)),
            Self::Dial {
                flow,
                proto,
                client,
                server,
                name,
            } => {
                let proto = match proto {
                    Proto::Tcp => "tcp",
                    Proto::Udp => "udp",
                };
                write!(f, "dial {flow} {proto} {client} {server}")?;
                name.as_ref().map_or(Ok(()), |name| write!(f, " {name}"))
            }
            Self::Data(flow, bytes) => write!(f, "data {flow} {}", Hex(bytes)),
            Self::Datagram(flow, to, bytes) => write!(f, "datagram {flow} {to} {}", Hex(bytes)),
            Self::HalfClose(flow) => write!(f, "half_close {flow}"),
            Self::Resume(flow, space) => write!(f, "resume {flow} {space}"),
            Self::Close(flow, by, how) => write!(f, "close {flow} {by} {how}"),
            Self::Dns(flow, ttl, addresses, name) => {
                let addresses = words::addresses(addresses);
                write!(f, "dns {} {ttl} {addresses} {name}", or_dash(flow.as_ref()))
            }
            Self::Resolve(query, kind, name) => write!(f, "resolve {query} {kind} {name}"),
            Self::Next { at, rest } => {
                match at {
                    Some(at) => write!(f, "next {at}")?,
                    None => f.write_str("next never")?,
                }
                f.write_str(if *rest { " rest" } else { "" })
            }
        }
    }
}

impl FromStr for Reply {
    type Err = Garbage;

    fn from_str(line: &str) -> Result<Self, Garbage> {
        let mut words = Words::of(line);
        let reply = match words.word()? {
            "hello" => return Hello::parse(words).map(Self::Hello),
            "took" => Self::Took(words.parse()?),
            "frame" => Self::Frame(words.bytes()?),
            "dial" => {
                let flow = words.parse()?;
                let proto = match words.word()? {
                    "tcp" => Proto::Tcp,
                    "udp" => Proto::Udp,
                    other => return Err(Garbage(format!("`{other}` is neither tcp nor udp"))),
                };
                let (client, server) = (words.parse()?, words.parse()?);
                let name = Some(words.rest().to_owned()).filter(|name| !name.is_empty());
                return Ok(Self::Dial {
                    flow,
                    proto,
                    client,
                    server,
                    name,
                });
            }
            "data" => Self::Data(words.parse()?, words.bytes()?),
            "datagram" => Self::Datagram(words.parse()?, words.parse()?, words.bytes()?),
            "half_close" => Self::HalfClose(words.parse()?),
            "resume" => Self::Resume(words.parse()?, words.parse()?),
            "close" => Self::Close(words.parse()?, words.parse()?, words.parse()?),
            "dns" => {
                let (flow, ttl) = (words.dash_or()?, words.parse()?);
                let addresses = words.addresses()?;
                return Ok(Self::Dns(flow, ttl, addresses, words.rest().to_owned()));
            }
            "resolve" => Self::Resolve(words.parse()?, words.parse()?, words.parse()?),
            "next" => {
                let at = match words.word()? {
                    "never" => None,
                    time => Some(words::number(time)?),
                };
                let rest = match words.next_word() {
                    None => false,
                    Some("rest") => true,
                    Some(other) => return Err(Garbage(format!("`{other}` behind `next`"))),
                };
                Self::Next { at, rest }
            }
            other => return Err(Garbage(format!("`{other}` is no reply"))),
        };
        words.end()?;
        Ok(reply)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn there_and_back<T: fmt::Display + FromStr<Err = Garbage> + PartialEq + fmt::Debug>(one: &T) {
        assert_eq!(one.to_string().parse::<T>().as_ref(), Ok(one));
    }

    #[test]
    fn requests_are_read_as_they_are_written() {
        let far: SocketAddr = "[2001:db8::1]:53".parse().unwrap();
        for request in [
            Request::Start("{\"mtu\": 1400}".to_owned()),
            Request::At(1_500_000),
            Request::Frame(vec![0x45, 0, 0xff]),
            Request::Dialed(7, "refused".to_owned()),
            Request::Data(7, Vec::new()),
            Request::Datagram(8, Some(far), vec![1]),
            Request::Datagram(8, None, Vec::new()),
            Request::Take(7, 100),
            Request::End(7, "eof".to_owned()),
            Request::Resolved(3, Ok((vec![far.ip()], 60))),
            Request::Resolved(3, Ok((Vec::new(), 60))),
            Request::Resolved(3, Err("not_found".to_owned())),
            Request::AddressLost(far.ip()),
            Request::Poll,
        ] {
            there_and_back(&request);
        }
    }

    #[test]
    fn replies_are_read_as_they_are_written() {
        let near: SocketAddr = "10.0.0.2:40000".parse().unwrap();
        for reply in [
            Reply::Took(0),
            Reply::Dial {
                flow: u64::MAX,
                proto: Proto::Udp,
                client: near,
                server: near,
                name: Some("a.example".to_owned()),
            },
            Reply::Close(1, "*".to_owned(), "reset".to_owned()),
            Reply::Dns(None, 5, vec![near.ip()], "a.example".to_owned()),
            Reply::Next {
                at: Some(9),
                rest: true,
            },
            Reply::Next {
                at: None,
                rest: false,
            },
        ] {
            there_and_back(&reply);
        }
    }

    #[test]
    fn garbage_says_what_it_is_about() {
        let problem = |line: &str| line.parse::<Reply>().unwrap_err().0;
        assert_eq!(problem("warning: x"), "`warning:` is no reply");
        assert_eq!(problem("frame 4g"), "`4g` is not hexadecimal");
        assert_eq!(problem("frame 456"), "an odd number of hexadecimal digits");
        assert_eq!(problem("took"), "the line ends too early");
        assert_eq!(problem("took 1 2"), "`2` is too much");
        assert_eq!(problem("took many"), "`many` cannot be read here");
        assert_eq!(problem(""), "an empty line");
    }
}
