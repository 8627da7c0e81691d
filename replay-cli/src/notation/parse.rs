//! Reads a line.

use super::cursor::{Cursor, Fault, NotationError, Span};
use super::icmp::{check_length, parse_sized};
use super::number::{parse_plain, wrap};
use super::payload::parse_hex;
use super::time::duration;
use super::{
    Action, Body, Cut, Direction, Field, FragmentBody, FragmentSource, IcmpMessage, Line, Num,
    OptionsPattern, Override, Payload, Range, Segment, TcpBody, TimeSpec,
};
use crate::packet::Flags;

/// Longest payload in bytes; segmentation offload hands over more than an IP packet can state.
pub(super) const LENGTH_MAX: u32 = 0xf_ffff;

/// Reads a line.
pub(super) fn line(text: &str) -> Result<Line, NotationError> {
    parse_line(text).map_err(|fault| fault.in_line(text))
}

fn parse_line(text: &str) -> Result<Line, Fault> {
    // Leading white space would shift every offset.
    let mut words = Cursor::new(text);
    let first = words.expect("a time")?;
    let line = match first.text {
        "silence" => Line {
            time: TimeSpec::Any,
            action: parse_silence(&mut words)?,
        },
        "<" | ">" | ">*" | "sleep" | "path" | "address" | "stop" => {
            return Err(first
                .fault(format!(
                    "the line starts with '{}', not with a time",
                    first.text
                ))
                .help("a time comes first, such as +0 or ~"));
        }
        _ => {
            let time = TimeSpec::parse(first)?;
            let action = parse_action(first, time, &mut words)?;
            Line { time, action }
        }
    };
    match words.next() {
        Some(extra) => Err(extra.fault(format!(
            "unexpected '{}' at the end of the line",
            extra.text
        ))),
        None => Ok(line),
    }
}

fn parse_action(at: Span<'_>, time: TimeSpec, words: &mut Cursor<'_>) -> Result<Action, Fault> {
    let word =
        words.expect("'<', '>', 'sleep', 'path', 'address', 'output', 'stop' or 'silence'")?;
    let needs_exact = |what: &str| {
        at.fault(format!("{what} needs one time"))
            .help("write +0.1 or 0.1, not a range or ~")
    };
    match word.text {
        ">" => parse_segment(words, Direction::FromEngine).map(Action::Expect),
        ">*" if time != TimeSpec::Any => Err(at
            .fault("what may come has no time")
            .help("write ~ >* get S. 0:0(0) ack 1")),
        ">*" => parse_segment(words, Direction::FromEngine).map(Action::Allow),
        "<" | "sleep" | "path" | "address" | "output" | "stop" if !time.is_exact() => {
            Err(needs_exact(match word.text {
                "<" => "an injected packet",
                other => other,
            }))
        }
        "<" => parse_segment(words, Direction::FromDevice).map(Action::Inject),
        "sleep" => Ok(Action::Sleep),
        "path" => parse_path(words),
        "address" => parse_address(words),
        "output" => parse_output(words),
        "stop" => Ok(Action::Stop),
        "silence" => Err(word
            .fault("silence starts now")
            .help("write 'silence until 5' with no time before it")),
        text if text.starts_with(['<', '>']) => Err(word
            .fault(format!("'{text}' runs into the next word"))
            .help("write a space after it")),
        _ => Err(word.unknown(
            "action",
            &[
                "<", ">", ">*", "sleep", "path", "address", "output", "stop", "silence",
            ],
        )),
    }
}

fn parse_silence(words: &mut Cursor<'_>) -> Result<Action, Fault> {
    words.keyword("until", "write silence until 5")?;
    Ok(Action::Silence {
        until: duration(words.expect("a time")?)?,
    })
}

fn parse_output(words: &mut Cursor<'_>) -> Result<Action, Fault> {
    let word = words.expect("'held' or 'taken'")?;
    match word.text {
        "held" => Ok(Action::Output { held: true }),
        "taken" => Ok(Action::Output { held: false }),
        other => Err(word
            .fault(format!("expected 'held' or 'taken', found '{other}'"))
            .help("write output held, and later output taken")),
    }
}

fn parse_address(words: &mut Cursor<'_>) -> Result<Action, Fault> {
    let flow = words.expect("the name of a flow")?;
    words.keyword("lost", "write address get lost")?;
    Ok(Action::AddressLost {
        flow: flow.text.to_owned(),
    })
}

fn parse_path(words: &mut Cursor<'_>) -> Result<Action, Fault> {
    let span = words.rest();
    let names = span
        .split_once('>')
        .map(|(from, to)| (from.trim(), to.trim()));
    let named = |name: Span<'_>| !name.text.is_empty() && !name.text.contains(char::is_whitespace);
    match names {
        Some((from, to)) if named(from) && named(to) && !to.text.contains('>') => {
            Ok(Action::Path {
                from: from.text.to_owned(),
                to: to.text.to_owned(),
            })
        }
        _ => Err(span
            .fault(format!("'{}' is no change of path", span.text))
            .help("write path wifi>cellular")),
    }
}

fn parse_segment(words: &mut Cursor<'_>, direction: Direction) -> Result<Segment, Fault> {
    let first = words.expect("the name of a flow")?;
    if first.text.starts_with(['<', '>', '!']) {
        return Err(first.fault(format!(
            "expected the name of a flow, found '{}'",
            first.text
        )));
    }
    let (flow, body) = if first.text == "raw" {
        (String::new(), parse_raw(words)?)
    } else {
        (first.text.to_owned(), parse_body(words, direction)?)
    };
    let mut overrides = Vec::new();
    while let Some(word) = words.peek().filter(|word| word.text.starts_with('!')) {
        words.next();
        let parsed = Override::parse(word, direction == Direction::FromEngine)?;
        check_belongs(word, parsed.field, &body)?;
        overrides.push(parsed);
    }
    Ok(Segment {
        flow,
        body,
        overrides,
    })
}

/// A transport's field needs that transport; a raw packet may hold any.
fn check_belongs(word: Span<'_>, field: Field, body: &Body) -> Result<(), Fault> {
    let (own, kind) = match body {
        Body::Raw(_) => return Ok(()),
        Body::Fragment(FragmentBody {
            source: FragmentSource::Of(whole),
            ..
        }) => {
            return check_belongs(word, field, whole);
        }
        Body::Fragment(_) => ("", "fragment"),
        Body::Tcp(_) => ("tcp", "TCP segment"),
        Body::Udp { .. } => ("udp", "UDP datagram"),
        Body::Icmp(_) => ("icmp", "ICMP message"),
    };
    match field.name().split_once('.') {
        Some((layer @ ("tcp" | "udp" | "icmp"), _)) if layer != own => {
            Err(word.fault(format!("a {kind} has no field '{}'", field.name())))
        }
        _ => Ok(()),
    }
}

fn parse_body(words: &mut Cursor<'_>, direction: Direction) -> Result<Body, Fault> {
    let word = words.expect("flags, 'udp', 'icmp', 'frag' or 'raw'")?;
    let body = match word.text {
        "udp" => {
            let (len, payload) = parse_sized(words)?;
            Body::Udp { len, payload }
        }
        "icmp" => Body::Icmp(IcmpMessage::parse(words)?),
        "frag" => Body::Fragment(parse_fragment(word, words, direction)?),
        "raw" => parse_raw(words)?,
        _ => Body::Tcp(parse_tcp(word, words, direction)?),
    };
    let any = numbers(&body)
        .into_iter()
        .any(|number| matches!(number, Num::Any | Num::Not(_)));
    let others =
        matches!(&body, Body::Tcp(TcpBody { options: Some(options), .. }) if options.others);
    if direction == Direction::FromDevice && (any || others) {
        return Err(word
            .fault("'*' and '!$' say nothing to send")
            .help("write every value of an injected packet"));
    }
    Ok(body)
}

fn parse_raw(words: &mut Cursor<'_>) -> Result<Body, Fault> {
    let word = words.expect("hex:...")?;
    match word.strip_prefix("hex:") {
        Some(digits) => parse_hex(digits).map(Body::Raw),
        None => Err(word
            .fault(format!("expected hex:..., found '{}'", word.text))
            .help("raw is a whole IP packet")),
    }
}

fn parse_flags(word: Span<'_>) -> Result<Flags, Fault> {
    if word.text == "-" {
        return Ok(Flags::default());
    }
    let mut flags = Flags::default();
    for letter in word.text.chars() {
        flags = match Flags::from_letter(letter) {
            Some(flag) => flags.with(flag),
            // A small letter is a misspelt word rather than a flag.
            None if letter.is_ascii_lowercase() => {
                return Err(
                    word.unknown("kind of packet", &["udp", "icmp", "frag", "raw", "flags"])
                );
            }
            None => {
                return Err(word
                    .fault(format!("unknown flag '{letter}'"))
                    .help("flags are S F R P E W . U, or - for none"));
            }
        };
    }
    Ok(flags)
}

const TCP_WORDS: [&str; 6] = ["ack", "win", "urg", "hex:", "text:", "pattern"];

fn parse_tcp(
    word: Span<'_>,
    words: &mut Cursor<'_>,
    direction: Direction,
) -> Result<TcpBody, Fault> {
    let mut tcp = TcpBody {
        flags: parse_flags(word)?,
        ..TcpBody::default()
    };
    let mut payload_at = word;
    while let Some(field) = words.peek().filter(|word| !word.text.starts_with('!')) {
        words.next();
        match field.text {
            "ack" => once(field, &mut tcp.ack, Num::next(words, u32::MAX)?)?,
            "win" => once(field, &mut tcp.window, Num::next(words, 0xffff)?)?,
            "urg" => once(field, &mut tcp.urgent, Num::next(words, 0xffff)?)?,
            text if text.starts_with('<') => {
                once(field, &mut tcp.options, OptionsPattern::parse(field)?)?;
            }
            text if text.contains('(')
                || text.starts_with(|c: char| c.is_ascii_digit() || "*$-".contains(c)) =>
            {
                once(field, &mut tcp.range, parse_range(field)?)?;
            }
            _ => match Payload::parse(field) {
                Some(payload) => {
                    payload_at = field;
                    once(field, &mut tcp.payload, payload?)?;
                }
                None => return Err(field.unknown("word", &TCP_WORDS)),
            },
        }
    }
    if let (Some(range), Some(payload)) = (&tcp.range, &tcp.payload) {
        check_length(payload_at, &range.len, payload)?;
        if range.cut != Cut::One && payload.len().is_some() {
            return Err(payload_at
                .fault("a range in several segments has no payload of its own")
                .help("write pattern:N, or leave the payload out"));
        }
    }
    if direction == Direction::FromDevice {
        check_sendable(word, &tcp)?;
    }
    Ok(tcp)
}

/// What a sent segment cannot do without.
fn check_sendable(word: Span<'_>, tcp: &TcpBody) -> Result<(), Fault> {
    let Some(range) = &tcp.range else {
        return Err(word
            .fault("an injected segment needs its sequence range")
            .help("write one after the flags, such as 1:1(0)"));
    };
    if range.cut == Cut::Acked {
        return Err(word
            .fault("'acked' is about what the device gets, not about what it sends")
            .help("write (+) for as many segments as it takes"));
    }
    if tcp.flags.contains(Flags::ACK) && tcp.ack.is_none() {
        return Err(word
            .fault("the flags say '.', the line has no acknowledgement number")
            .help("write ack N after the range"));
    }
    Ok(())
}

fn once<T>(at: Span<'_>, slot: &mut Option<T>, value: T) -> Result<(), Fault> {
    if slot.replace(value).is_some() {
        return Err(at.fault(format!("'{}' comes a second time", at.text)));
    }
    Ok(())
}

fn parse_range(span: Span<'_>) -> Result<Range, Fault> {
    let parts = span
        .strip_suffix(")")
        .and_then(|inner| inner.split_once('('))
        .and_then(|(ends, len)| Some((ends.split_once(':')?, len)));
    let Some(((start, end), len)) = parts else {
        return Err(span
            .fault(format!("'{}' is no sequence range", span.text))
            .help("write start:end(length), such as 1:79(78)"));
    };
    let cut = match len.text {
        "+" => Cut::Any,
        "acked" => Cut::Acked,
        _ => Cut::One,
    };
    let range = Range {
        start: Num::parse(start, u32::MAX)?,
        end: Num::parse(end, u32::MAX)?,
        len: match cut {
            Cut::One => Num::parse(len, LENGTH_MAX)?,
            Cut::Any | Cut::Acked => Num::Any,
        },
        cut,
    };
    let unsaid = matches!(range.start, Num::Any | Num::Not(_)) || matches!(range.end, Num::Not(_));
    if cut != Cut::One && unsaid {
        return Err(span
            .fault("a range in several segments needs its beginning")
            .help("write 1:4001(+), or 1:*(+) for all that comes in the line's time"));
    }
    if let (Num::Value(start), Num::Value(end), Num::Value(len)) =
        (&range.start, &range.end, &range.len)
    {
        let spans = wrap(end - start);
        if i64::from(spans) != *len {
            return Err(span.fault(format!("{start}:{end} spans {spans} bytes, not {len}")));
        }
    }
    Ok(range)
}

fn parse_fragment(
    at: Span<'_>,
    words: &mut Cursor<'_>,
    direction: Direction,
) -> Result<FragmentBody, Fault> {
    words.keyword("id", "write frag id 9 0:1480 more of udp 3000")?;
    let identification = Num::next(words, u32::MAX)?;
    let span = words.expect("a range of bytes")?;
    let (start, end) = span.split_once(':').ok_or_else(|| {
        span.fault(format!("'{}' is no range of bytes", span.text))
            .help("write first:end, such as 0:1480")
    })?;
    let (start, end) = (parse_plain(start, 65_528)?, parse_plain(end, LENGTH_MAX)?);
    if start % 8 != 0 {
        return Err(span
            .fault(format!("a fragment cannot start at {start}"))
            .help("it starts at a multiple of 8"));
    }
    if end < start {
        return Err(span.fault("the range ends before it starts"));
    }
    let more = words.take("more");
    let source = match words.peek() {
        Some(word) if word.text == "of" => {
            words.next();
            if direction == Direction::FromEngine {
                return Err(word
                    .fault("'of' says what to send")
                    .help("an expected fragment has id, range and more"));
            }
            match parse_body(words, direction)? {
                Body::Fragment(_) | Body::Raw(_) => {
                    return Err(at.fault("only a whole packet can be fragmented"));
                }
                body => FragmentSource::Of(Box::new(body)),
            }
        }
        Some(word) => match Payload::parse(word).transpose()? {
            Some(payload) => {
                words.next();
                check_length(word, &Num::of(end - start), &payload)?;
                FragmentSource::Payload(payload)
            }
            None => FragmentSource::Unwritten,
        },
        None => FragmentSource::Unwritten,
    };
    Ok(FragmentBody {
        identification,
        start,
        end,
        more,
        source,
    })
}

/// Every number of a body, itself and not what it nests.
fn numbers(body: &Body) -> Vec<&Num> {
    match body {
        Body::Tcp(tcp) => {
            let TcpBody {
                flags: _,
                range,
                ack,
                window,
                urgent,
                options,
                payload: _,
            } = tcp;
            let range = range.iter().flat_map(|range| {
                let len = Some(&range.len).filter(|_| range.cut == Cut::One);
                [&range.start, &range.end].into_iter().chain(len)
            });
            let options = options.iter().flat_map(OptionsPattern::numbers);
            range
                .chain(ack)
                .chain(window)
                .chain(urgent)
                .chain(options)
                .collect()
        }
        Body::Udp { len, .. } => vec![len],
        Body::Icmp(message) => message.numbers(),
        Body::Fragment(fragment) => vec![&fragment.identification],
        Body::Raw(_) => Vec::new(),
    }
}
