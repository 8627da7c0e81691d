//! Packet lines.

use super::Misread;
use super::lexer::Token;
use super::parser::Parser;
use super::syntax::{Ecn, IpInfo, PacketBody, PacketLine, TcpLine, TcpOption};

const FLAGS: &str = ".FSRPEWAU";

/// A line from its `<` or `>` on.
pub(crate) fn line(parser: &mut Parser<'_>) -> Result<PacketLine, Misread> {
    let inbound = parser.takes('<');
    if !inbound {
        parser.sign('>')?;
    }
    let mut around = headers(parser)?;
    let ip = ip_info(parser)?;
    if parser.takes_word("encap") {
        let kind = parser.word("`psp`")?;
        parser.takes_word("spi");
        parser.number::<i64>("the number of a security association")?;
        around = Some(kind);
    }
    let ports = match (parser.peek(), parser.ahead(1)) {
        (Some(Token::Integer(_)), Some(Token::Sign('>'))) => {
            let from = parser.number("a port")?;
            parser.sign('>')?;
            Some((from, parser.number("a port")?))
        }
        _ => None,
    };
    let mut line = PacketLine {
        inbound,
        around,
        ip,
        ports,
        body: PacketBody::Udp(0),
    };
    if parser.takes_word("icmp") {
        line.body = icmp(parser)?;
    } else if parser.takes_word("udp") {
        if let (Some(Token::Integer(from)), Some(Token::Sign('>'))) =
            (parser.peek(), parser.ahead(1))
        {
            let from = u16::try_from(*from).unwrap_or(0);
            parser.pass();
            parser.pass();
            line.ports = Some((from, parser.number("a port")?));
        }
        parser.sign('(')?;
        let len = parser.number("how many bytes it carries, up to 65535")?;
        parser.sign(')')?;
        line.body = PacketBody::Udp(len);
    } else {
        line.body = PacketBody::Tcp(tcp(parser, inbound)?);
    }
    if let Some(tunnel) = tunnel(parser)? {
        line.around = Some(tunnel);
    }
    if inbound && line.ip.ecn == Some(Ecn::Capable) {
        return Err(parser.refused("one mark: `ect01` is for packets that are expected"));
    }
    Ok(line)
}

/// Headers before the packet's own.
fn headers(parser: &mut Parser<'_>) -> Result<Option<String>, Misread> {
    let mut around = None;
    while let Some(Token::Word(word)) = parser.peek() {
        if !matches!(word.as_str(), "ipv4" | "ipv6" | "gre" | "GREv0" | "mpls") {
            break;
        }
        around = Some(word.clone());
        // Up to the colon that ends it.
        while !parser.takes(':') {
            if parser.is_at_end() {
                return Err(parser.expected("`:` behind the header"));
            }
            parser.pass();
        }
    }
    Ok(around)
}

/// `/udp(9811 > 1)` behind a packet: it goes within a datagram.
fn tunnel(parser: &mut Parser<'_>) -> Result<Option<String>, Misread> {
    if parser.peek() != Some(&Token::Sign('/')) {
        return Ok(None);
    }
    parser.pass();
    let kind = parser.word("`udp`")?;
    parser.sign('(')?;
    parser.number::<u16>("a port")?;
    parser.sign('>')?;
    parser.number::<u16>("a port")?;
    parser.sign(')')?;
    Ok(Some(kind))
}

/// `[ect0]`, `(tos 0x04)`, `(ttl 4)`, `(flowlabel 0x1, ...)`.
fn ip_info(parser: &mut Parser<'_>) -> Result<IpInfo, Misread> {
    let mut info = IpInfo::default();
    let close = if parser.takes('[') {
        ']'
    } else if parser.takes('(') {
        ')'
    } else {
        return Ok(info);
    };
    let expected = "`noecn`, `ect0`, `ect1`, `ect01`, `ce`, `tos`, `ttl`, `hlim` or `flowlabel`";
    loop {
        let word = parser.word(expected)?;
        match word.as_str() {
            "noecn" => info.ecn = Some(Ecn::Bits(0)),
            "ect1" => info.ecn = Some(Ecn::Bits(1)),
            "ect0" => info.ecn = Some(Ecn::Bits(2)),
            "ce" => info.ecn = Some(Ecn::Bits(3)),
            "ect01" => info.ecn = Some(Ecn::Capable),
            "tos" | "tc" | "class" => info.tos = Some(parser.number("a byte")?),
            "ttl" | "hlim" => info.ttl = Some(parser.number("a byte")?),
            "flowlabel" => info.flow_label = Some(parser.number("a number of 20 bits")?),
            _ => return Err(parser.refused(expected)),
        }
        if parser.takes(close) {
            return Ok(info);
        }
        parser.sign(',')?;
    }
}

fn icmp(parser: &mut Parser<'_>) -> Result<PacketBody, Misread> {
    let kind = parser.word("the type of an ICMP message, such as `unreachable`")?;
    let code = match parser.peek() {
        Some(Token::Word(word)) if !matches!(word.as_str(), "mtu" | "id") => {
            parser.pass();
            Some(word.clone())
        }
        _ => None,
    };
    let mut mtu = None;
    if parser.takes_word("mtu") {
        mtu = Some(parser.number("an MTU in bytes")?);
    }
    if parser.takes_word("id") {
        parser.number::<u16>("an identifier")?;
    }
    let (mut echoed, mut of_datagram) = (None, false);
    if parser.takes('[') {
        if let Some(Token::Word(word)) = parser.peek() {
            of_datagram = word == "udp";
            parser.pass();
            parser.sign('(')?;
            parser.number::<u16>("how many bytes it carries")?;
            parser.sign(')')?;
        } else {
            echoed = range(parser)?.0;
        }
        tunnel(parser)?;
        parser.sign(']')?;
    }
    Ok(PacketBody::Icmp {
        kind,
        code,
        mtu,
        echoed,
        of_datagram,
    })
}

fn tcp(parser: &mut Parser<'_>, inbound: bool) -> Result<TcpLine, Misread> {
    let expected =
        "TCP flags (letters of `SFRPEWAU`, `.` for ACK, or `-` for none), `icmp` or `udp`";
    let mut flags = String::new();
    let mut accurate_ecn = false;
    if let Some(Token::Word(word)) = parser.peek() {
        if word.chars().any(|letter| !FLAGS.contains(letter)) {
            return Err(parser.expected(expected));
        }
        flags.clone_from(word);
        parser.pass();
    }
    match parser.peek() {
        Some(Token::Sign('.')) => {
            flags.push('.');
            parser.pass();
        }
        // `.5`: the three bits of accurate ECN.
        Some(Token::Float(text)) if text.starts_with('.') => {
            flags.push('.');
            accurate_ecn = true;
            parser.pass();
        }
        Some(Token::Sign('-')) if flags.is_empty() => parser.pass(),
        _ if flags.is_empty() => return Err(parser.expected(expected)),
        _ => {}
    }
    accurate_ecn |= flags.contains('A');
    let (start, len) = range(parser)?;
    let absolute = parser.takes('!');
    let mut line = TcpLine {
        flags,
        accurate_ecn,
        start,
        len,
        absolute,
        ack: None,
        window: None,
        urgent: None,
        options: Some(Vec::new()),
    };
    if parser.takes_word("ack") {
        line.ack = Some(i64::from(
            parser.number::<u32>("an acknowledgement number")?,
        ));
        parser.takes('!');
    }
    if parser.takes_word("win") && !parser.takes('*') {
        line.window = Some(parser.number("a window field, up to 65535")?);
    }
    if parser.takes_word("urg") {
        line.urgent = Some(parser.number("an urgent pointer, up to 65535")?);
    }
    // Another line may begin here: its time comes first, so that `<` can only be options.
    if parser.takes('<') {
        line.options = options(parser)?;
        if line.options.is_none() && inbound {
            return Err(parser.refused("options: `<...>` is for packets that are expected"));
        }
    }
    Ok(line)
}

/// `1:1001(1000)`, or `...(0)`: where it starts, and how many bytes it carries.
fn range(parser: &mut Parser<'_>) -> Result<(Option<i64>, u16), Misread> {
    let expected = "a sequence range, such as `1:1001(1000)`";
    if parser.peek() == Some(&Token::Ellipsis) {
        parser.pass();
        parser.sign('(')?;
        let len = parser.number("how many bytes it carries")?;
        parser.sign(')')?;
        return Ok((None, len));
    }
    let start: u32 = parser.number(expected)?;
    parser.sign(':')?;
    let end: u32 = parser.number(expected)?;
    parser.sign('(')?;
    let len: u16 = parser.number("how many bytes it carries, up to 65535")?;
    if start.wrapping_add(u32::from(len)) != end {
        return Err(parser.refused(format!(
            "the {} bytes from {start} to {end}",
            end.wrapping_sub(start)
        )));
    }
    parser.sign(')')?;
    Ok((Some(i64::from(start)), len))
}

fn options(parser: &mut Parser<'_>) -> Result<Option<Vec<TcpOption>>, Misread> {
    if parser.peek() == Some(&Token::Ellipsis) {
        parser.pass();
        parser.sign('>')?;
        return Ok(None);
    }
    let mut options = Vec::new();
    loop {
        options.push(option(parser)?);
        if parser.takes('>') {
            return Ok(Some(options));
        }
        if !parser.takes(',') {
            return Err(parser.expected("`,` or `>`"));
        }
    }
}

fn option(parser: &mut Parser<'_>) -> Result<TcpOption, Misread> {
    let expected = "an option: `mss`, `wscale`, `sackOK`, `sack`, `TS`, `nop`, `eol`, `FO`, `FOEXP`, `md5` or `ECN`";
    let word = parser.word(expected)?;
    Ok(match word.as_str() {
        "nop" => TcpOption::Nop,
        "eol" => TcpOption::End,
        // A name that the tool's command line defines.
        "mss" if matches!(parser.peek(), Some(Token::Word(_))) => {
            parser.pass();
            TcpOption::Foreign(word)
        }
        "mss" => TcpOption::Mss(parser.number("a segment size, up to 65535")?),
        "wscale" => TcpOption::WindowScale(parser.number("a shift, up to 255")?),
        "sackOK" => TcpOption::SackPermitted,
        "sack" => {
            let mut blocks = Vec::new();
            loop {
                let left = parser.number("a block, such as `1:1001`")?;
                parser.sign(':')?;
                blocks.push((left, parser.number("the end of a block")?));
                if !matches!(parser.peek(), Some(Token::Integer(_))) {
                    break TcpOption::Sack(blocks);
                }
            }
        }
        "TS" => {
            if !parser.takes_word("val") {
                return Err(parser.expected("`val`"));
            }
            let value = parser.number("a timestamp")?;
            if !parser.takes_word("ecr") {
                return Err(parser.expected("`ecr`"));
            }
            TcpOption::Timestamps(value, parser.number("a timestamp")?)
        }
        "FO" | "FOEXP" | "md5" | "ECN" | "exp-tarr" | "mp" => {
            while let Some(Token::Word(_) | Token::Integer(_) | Token::Hex(_)) = parser.peek() {
                parser.pass();
            }
            TcpOption::Foreign(word)
        }
        _ => return Err(parser.refused(expected)),
    })
}
