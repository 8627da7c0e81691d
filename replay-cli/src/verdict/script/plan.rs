//! What each event of a script is here: a packet that goes in, one that must come out, a call, or nothing.
//!
//! A connection that the application opens is turned round: the device opens it with what the script has as the answer, and the engine's
//! SYN-ACK is held against the script's SYN and its last acknowledgement.

use crate::base::diagnostic::Position;
use crate::notation::packetdrill::Script;
use crate::notation::packetdrill::syntax::{
    Call, Ecn, Event, Expression, PacketBody, PacketLine, TcpLine, TcpOption, What,
};
use crate::notation::{Line, Segment};
use crate::packet::Flags;
use crate::verdict::script::settings::socket_option;

/// The flow of a script's first connection; of the others, a number follows.
pub(super) const FLOW: &str = "c";

/// An event and what it is here.
#[derive(Debug)]
pub(super) struct Step<'a> {
    pub(super) event: &'a Event,
    /// What a packet is of.
    pub(super) of: Of,
    pub(super) does: Does,
}

/// Which flow a packet is of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Of {
    /// The device's port and the application's, where the line has them.
    pub(super) ports: Option<(u16, u16)>,
    pub(super) datagram: bool,
}

/// What packets without ports are of: the connections of a script, one after the other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Tuple {
    /// From 0.
    pub(super) nth: usize,
    pub(super) of: Of,
}

impl Tuple {
    /// The name of its flow.
    pub(super) fn name(self) -> String {
        let kind = if self.of.datagram { "d" } else { FLOW };
        match (self.of.ports, self.nth) {
            (Some((device, application)), _) => format!("{kind}-{device}-{application}"),
            (None, 0) => kind.to_owned(),
            (None, nth) => format!("{kind}{}", nth + 1),
        }
    }
}

impl Of {
    fn event(event: &Event) -> Self {
        let What::Packet(line) = &event.what else {
            return Self::default();
        };
        Self {
            ports: line.ports.map(|(from, to)| match line.inbound {
                true => (from, to),
                false => (to, from),
            }),
            datagram: match &line.body {
                PacketBody::Udp(_) => true,
                PacketBody::Icmp { of_datagram, .. } => *of_datagram,
                PacketBody::Tcp(_) => false,
            },
        }
    }
}

#[derive(Debug)]
pub(super) enum Does {
    /// It goes in. The notes that the checks of calls need go with it.
    Inject(Box<Segment>, Injected),
    /// It must come out.
    Expect(Box<Segment>),
    /// The application opens a connection: the device does, and the SYN-ACK must come out.
    Opened(Box<(Segment, Injected, Segment)>),
    /// A line of a handshake that was compared with its SYN-ACK, or cannot be, and why.
    Turned(Result<(), &'static str>),
    Call,
    /// Nothing that a peer could notice.
    PassedOver(String),
}

/// What an injected packet is, for what follows from it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Injected {
    pub(super) syn: bool,
    pub(super) fin: bool,
    pub(super) rst: bool,
    /// Its sequence number.
    pub(super) start: i64,
    /// What it acknowledges, the SYN being 0.
    pub(super) ack: Option<i64>,
    /// The segment size it names.
    pub(super) mss: Option<u16>,
    /// It opens a connection that the script's application opened.
    pub(super) turned: bool,
}

/// The steps; an error is everything in the script that has no place between a device and a dialer.
pub(super) fn steps(script: &Script) -> Result<Vec<Step<'_>>, Vec<(Position, String)>> {
    let mut planner = Planner::default();
    let mut steps = Vec::with_capacity(script.events.len());
    for (index, event) in script.events.iter().enumerate() {
        let rest = script.events.get(index + 1..).unwrap_or_default();
        match planner.step(event, rest) {
            Ok(does) => steps.push(Step {
                event,
                of: Of::event(event),
                does,
            }),
            Err(what) => planner.foreign.push((event.at, what)),
        }
    }
    if planner.foreign.is_empty() {
        Ok(steps)
    } else {
        planner.foreign.dedup_by(|one, other| one.1 == other.1);
        Err(planner.foreign)
    }
}

/// A packet that goes in, or must come out.
fn either(line: &PacketLine, segment: Segment, packet: Injected) -> Does {
    match line.inbound {
        true => Does::Inject(Box::new(segment), packet),
        false => Does::Expect(Box::new(segment)),
    }
}

#[derive(Debug, Default)]
struct Planner {
    foreign: Vec<(Position, String)>,
    /// Where the handshake of a connection that is turned round stands.
    opening: Opening,
    /// The stack's initial sequence number as the script has it, and whether the connection's first segment had it.
    isn: i64,
    numbered: bool,
    /// The application has a socket for datagrams.
    datagrams: bool,
}

#[derive(Clone, Debug, Default)]
enum Opening {
    #[default]
    None,
    /// `connect` was called.
    Called,
    /// It is turned round, and the answer comes next: it acknowledges the SYN-ACK.
    Answer(Box<TcpLine>),
    /// The last acknowledgement goes out next.
    Last,
}

impl Planner {
    fn step(&mut self, event: &Event, rest: &[Event]) -> Result<Does, String> {
        match &event.what {
            What::Command(command) => {
                let first = command.split_whitespace().take(4).collect::<Vec<_>>();
                Ok(Does::PassedOver(format!("command `{}`", first.join(" "))))
            }
            What::Code => Ok(Does::PassedOver(
                "code: there is no TCP_INFO to ask".to_owned(),
            )),
            What::Call(call) => {
                foreign_call(call)?;
                self.numbered &= call.name != "socket";
                let words = |argument: &Expression| argument.words().contains(&"SOCK_DGRAM");
                self.datagrams |= call.arguments.iter().any(words);
                if call.name == "connect" {
                    self.opening = Opening::Called;
                }
                Ok(Does::Call)
            }
            What::Packet(line) => self.packet(line, rest),
        }
    }

    fn packet(&mut self, line: &PacketLine, rest: &[Event]) -> Result<Does, String> {
        if let Some(around) = &line.around {
            return Err(format!("a packet within another (`{around}`)"));
        }
        match &line.body {
            PacketBody::Udp(_) if !self.datagrams => {
                Err("a datagram: the script's socket is a stream's".to_owned())
            }
            PacketBody::Udp(len) => {
                let words = [vec![format!("udp {len}")], of_header(line)].concat();
                let segment = segment(line.inbound, &words.join(" "))?;
                Ok(either(line, segment, Injected::default()))
            }
            PacketBody::Icmp {
                kind,
                code,
                mtu,
                echoed,
                of_datagram: _,
            } => {
                if matches!(self.opening, Opening::Called | Opening::Answer(_)) {
                    return Err("SYN-SENT: a device opens every connection".to_owned());
                }
                let quote = echoed.map(|seq| seq - self.isn);
                let text = icmp(kind, code.as_deref(), *mtu, quote)
                    .ok_or_else(|| format!("ICMP `{kind} {}`", code.as_deref().unwrap_or("")))?;
                let segment = segment(line.inbound, &text)?;
                Ok(either(line, segment, Injected::default()))
            }
            PacketBody::Tcp(tcp) => self.tcp(line, tcp, rest),
        }
    }

    fn tcp(&mut self, line: &PacketLine, tcp: &TcpLine, rest: &[Event]) -> Result<Does, String> {
        foreign_options(tcp)?;
        if tcp.accurate_ecn {
            return Err("accurate ECN".to_owned());
        }
        match (std::mem::take(&mut self.opening), line.inbound) {
            (Opening::None, _) => self.plain(line, tcp),
            // Something else that comes in while nothing has gone out yet.
            (Opening::Called, true) => {
                self.opening = Opening::Called;
                self.plain(line, tcp)
            }
            (Opening::Called, false) if tcp.is_syn() && tcp.len == 0 => {
                self.isn = tcp.start.unwrap_or(0);
                let mut packets = rest.iter().filter_map(|event| match &event.what {
                    What::Packet(line) => Some(line),
                    _ => None,
                });
                let answer = packets
                    .next()
                    .filter(|line| line.inbound && line.around.is_none());
                let last = packets
                    .next()
                    .filter(|line| !line.inbound)
                    .and_then(|line| line.tcp());
                match (answer.and_then(|line| line.tcp()), last) {
                    (Some(answer), last) if is_answer(answer, self.isn) => {
                        let next = Some((self.isn + 1) & i64::from(u32::MAX));
                        let last = last.filter(|last| last.is_bare_ack() && last.start == next);
                        let last =
                            last.ok_or("a handshake that ends with more than an acknowledgement")?;
                        foreign_options(answer)?;
                        let (opener, acknowledgement) = turned(answer, self.isn);
                        let syn_ack = TcpLine {
                            ack: last.ack,
                            ..syn_ack(tcp, &opener)
                        };
                        let packet = Injected {
                            turned: true,
                            ..self.injected(&opener)
                        };
                        let sent = self.lower(line, &opener, true)?;
                        let expected = self.lower(line, &syn_ack, false)?;
                        self.opening = Opening::Answer(Box::new(acknowledgement));
                        Ok(Does::Opened(Box::new((sent, packet, expected))))
                    }
                    // Both open: what goes out next answers a SYN, and is the same either way.
                    (Some(answer), _) if answer.flags == "S" && answer.len == 0 => {
                        Ok(Does::Turned(Err("the device opens: no SYN goes out")))
                    }
                    _ => Err("SYN-SENT: a device opens every connection".to_owned()),
                }
            }
            (Opening::Called, false) => Err("SYN-SENT: a device opens every connection".to_owned()),
            (Opening::Answer(acknowledgement), _) => {
                self.opening = Opening::Last;
                let packet = self.injected(&acknowledgement);
                let sent = self.lower(line, &acknowledgement, true)?;
                Ok(Does::Inject(Box::new(sent), packet))
            }
            (Opening::Last, _) => Ok(Does::Turned(Ok(()))),
        }
    }

    fn plain(&mut self, line: &PacketLine, tcp: &TcpLine) -> Result<Does, String> {
        if !line.inbound && tcp.is_syn() {
            return Err("a SYN goes out: a device opens every connection".to_owned());
        }
        // The first one of a connection has what numbers are relative to; those that repeat it are compared.
        if !line.inbound && tcp.is_syn_ack() && !std::mem::replace(&mut self.numbered, true) {
            self.isn = tcp.start.unwrap_or(self.isn);
        }
        self.numbered &= !(line.inbound && tcp.has('R'));
        let segment = self.lower(line, tcp, line.inbound)?;
        Ok(either(line, segment, self.injected(tcp)))
    }

    fn injected(&self, tcp: &TcpLine) -> Injected {
        let mut options = tcp.options.iter().flatten();
        let mss = options.find_map(|option| match option {
            TcpOption::Mss(size) => Some(*size),
            _ => None,
        });
        Injected {
            syn: tcp.has('S'),
            fin: tcp.has('F'),
            rst: tcp.has('R'),
            start: tcp.start.unwrap_or(0),
            ack: tcp.has('.').then(|| tcp.ack.unwrap_or(0) - self.isn),
            mss,
            turned: false,
        }
    }

    /// A segment in this project's notation.
    fn lower(&self, line: &PacketLine, tcp: &TcpLine, inbound: bool) -> Result<Segment, String> {
        let flags = tcp.flags.chars().filter_map(Flags::from_letter);
        let flags = flags.fold(Flags::default(), Flags::with);
        let own = if inbound { 0 } else { self.isn };
        let range = match tcp.start.filter(|_| !tcp.absolute) {
            Some(start) => {
                let start = start - own;
                format!("{start}:{}({})", start + i64::from(tcp.len), tcp.len)
            }
            None => format!("*:*({})", tcp.len),
        };
        let mut words = vec![flags.to_string(), range];
        // A segment that acknowledges nothing has no number to compare.
        match tcp.ack.filter(|_| tcp.has('.')) {
            Some(ack) if inbound => words.push(format!("ack {}", ack - self.isn)),
            Some(ack) => words.push(format!("ack {ack}")),
            None if inbound && tcp.has('.') => words.push(format!("ack {}", -self.isn)),
            None => {}
        }
        words.extend(tcp.window.map(|window| format!("win {window}")));
        words.extend(tcp.urgent.map(|urgent| format!("urg {urgent}")));
        if let Some(options) = &tcp.options {
            let options = options
                .iter()
                .filter_map(|option| self.option(option, inbound));
            let options: Vec<String> = options.collect();
            if !inbound || !options.is_empty() {
                words.push(format!("<{}>", options.join(",")));
            }
        }
        if tcp.absolute {
            words.push(format!("!tcp.seq={}", tcp.start.unwrap_or(0)));
        }
        words.extend(of_header(line));
        segment(inbound, &words.join(" "))
    }

    fn option(&self, option: &TcpOption, inbound: bool) -> Option<String> {
        Some(match option {
            // Where a stack puts its padding is nothing that a peer notices.
            TcpOption::Nop if !inbound => return None,
            TcpOption::End if !inbound => return None,
            TcpOption::Nop => "nop".to_owned(),
            TcpOption::End => "eol".to_owned(),
            TcpOption::Mss(size) => format!("mss {size}"),
            TcpOption::WindowScale(shift) => format!("wscale {shift}"),
            TcpOption::SackPermitted => "sackOK".to_owned(),
            TcpOption::Sack(blocks) => {
                let isn = if inbound { self.isn } else { 0 };
                let blocks: Vec<String> = blocks
                    .iter()
                    .map(|(left, right)| {
                        format!("{}:{}", i64::from(*left) - isn, i64::from(*right) - isn)
                    })
                    .collect();
                format!("sack {}", blocks.join(" "))
            }
            TcpOption::Timestamps(value, echo) => format!("TS val {value} ecr {echo}"),
            TcpOption::Foreign(_) => return None,
        })
    }
}

/// What a line has of the IP header.
fn of_header(line: &PacketLine) -> Vec<String> {
    let ecn = line.ip.ecn.map(|ecn| match ecn {
        Ecn::Bits(bits) => bits,
        Ecn::Capable => 2,
    });
    let ecn = ecn.map(|ecn| format!("!ip.ecn={ecn}"));
    let tos = line.ip.tos.map(|tos| format!("!ip.tos={tos}"));
    let ttl = line.ip.ttl.map(|ttl| format!("!ip.ttl={ttl}"));
    [ecn, tos, ttl].into_iter().flatten().collect()
}

fn segment(inbound: bool, text: &str) -> Result<Segment, String> {
    let direction = if inbound { '<' } else { '>' };
    let line = Line::parse(&format!("+0 {direction} {FLOW} {text}"))
        .map_err(|problem| format!("{}: `{text}`", problem.what))?;
    match line.segment() {
        Some((_, segment)) => Ok(segment.clone()),
        None => Err(format!("`{text}` is no packet")),
    }
}

/// Whether a segment answers the SYN of a `connect`, and is nothing else.
fn is_answer(tcp: &TcpLine, isn: i64) -> bool {
    let flags = matches!(tcp.flags.as_str(), "S." | "SE.");
    flags && tcp.len == 0 && tcp.ack == Some((isn + 1) & i64::from(u32::MAX))
}

/// A SYN-ACK as the SYN of who opens, and what that then sends to end the handshake.
fn turned(answer: &TcpLine, isn: i64) -> (TcpLine, TcpLine) {
    let shift = answer
        .options
        .iter()
        .flatten()
        .find_map(|option| match option {
            TcpOption::WindowScale(shift) => Some(u32::from(*shift)),
            _ => None,
        });
    let opener = TcpLine {
        flags: "S".to_owned(),
        ack: None,
        ..answer.clone()
    };
    let next = answer.start.map(|start| (start + 1) & i64::from(u32::MAX));
    let acknowledgement = TcpLine {
        flags: ".".to_owned(),
        start: next,
        ack: Some(isn + 1),
        window: answer
            .window
            .map(|window| window >> shift.unwrap_or(0).min(14)),
        options: Some(Vec::new()),
        ..answer.clone()
    };
    (opener, acknowledgement)
}

/// The SYN-ACK that a SYN is held against: its number and window, and those of its options that the device offers too.
fn syn_ack(syn: &TcpLine, opener: &TcpLine) -> TcpLine {
    let offered = |option: &&TcpOption| match option {
        TcpOption::Mss(_) => true,
        option => opener
            .options
            .iter()
            .flatten()
            .any(|one| std::mem::discriminant(one) == std::mem::discriminant(*option)),
    };
    let options = syn.options.as_ref();
    TcpLine {
        flags: "S.".to_owned(),
        options: options.map(|options| options.iter().filter(offered).cloned().collect()),
        ..syn.clone()
    }
}

/// Calls that only a kernel has an answer to.
fn foreign_call(call: &Call) -> Result<(), String> {
    let words = || call.arguments.iter().flat_map(Expression::words);
    let says = |part: &str| words().any(|word| word.contains(part));
    let option = socket_option(call).unwrap_or_default();
    let name = call.name.as_str();
    if says("FASTOPEN") {
        return Err("Fast Open: its cookie is the kernel's".to_owned());
    }
    if option == "TCP_MD5SIG" {
        return Err("TCP-MD5".to_owned());
    }
    if option == "TCP_REMOTE_UDP_ENCAPS_PORT" {
        return Err("TCP within UDP".to_owned());
    }
    if name.starts_with("psp_") {
        return Err("PSP".to_owned());
    }
    if says("IPPROTO_MPTCP") {
        return Err("MPTCP".to_owned());
    }
    let known = says("SOCK_STREAM") || says("SOCK_DGRAM") && !says("UDPLITE");
    if name == "socket" && !known {
        return Err("a socket that is neither a stream's nor UDP's".to_owned());
    }
    Ok(())
}

fn foreign_options(tcp: &TcpLine) -> Result<(), String> {
    let foreign = tcp
        .options
        .iter()
        .flatten()
        .find_map(|option| match option {
            TcpOption::Foreign(name) => Some(name.as_str()),
            _ => None,
        });
    match foreign {
        None => Ok(()),
        Some("FO" | "FOEXP") => Err("Fast Open: its cookie is the kernel's".to_owned()),
        Some("md5") => Err("TCP-MD5".to_owned()),
        Some(name) => Err(format!("option `{name}`")),
    }
}

/// An ICMP message in this project's notation, by its numbers where that has no word.
fn icmp(kind: &str, code: Option<&str>, mtu: Option<u32>, quote: Option<i64>) -> Option<String> {
    let quoting = quote.map_or_else(String::new, |seq| format!(" quoting seq {seq}"));
    let by_number = |kind: u8, code: u8| Some(format!("icmp type {kind} code {code}{quoting}"));
    match (kind, code.unwrap_or_default()) {
        ("unreachable", "frag_needed") | ("packet_too_big", _) => {
            Some(format!("icmp too-big mtu {}{quoting}", mtu.unwrap_or(0)))
        }
        ("unreachable", "net_unreachable" | "no_route") => {
            Some(format!("icmp unreachable net{quoting}"))
        }
        ("unreachable", "host_unreachable" | "address_unreachable") => {
            Some(format!("icmp unreachable host{quoting}"))
        }
        ("unreachable", "protocol_unreachable") => {
            Some(format!("icmp unreachable protocol{quoting}"))
        }
        ("unreachable", "port_unreachable") => Some(format!("icmp unreachable port{quoting}")),
        ("unreachable", "packet_filtered" | "admin_prohibited") => {
            Some(format!("icmp unreachable admin{quoting}"))
        }
        ("unreachable", "source_route_failed") => by_number(3, 5),
        ("unreachable", "net_unknown") => by_number(3, 6),
        ("unreachable", "host_unknown") => by_number(3, 7),
        ("unreachable", "source_host_isolated") => by_number(3, 8),
        ("unreachable", "net_prohibited") => by_number(3, 9),
        ("unreachable", "host_prohibited") => by_number(3, 10),
        ("unreachable", "net_unreachable_for_tos") => by_number(3, 11),
        ("unreachable", "host_unreachable_for_tos") => by_number(3, 12),
        ("unreachable", "precedence_violation") => by_number(3, 14),
        ("unreachable", "precedence_cutoff") => by_number(3, 15),
        ("source_quench", _) => by_number(4, 0),
        ("time_exceeded", _) => Some(format!("icmp time-exceeded hops{quoting}")),
        _ => None,
    }
}
