//! Facts about flows in words, and for programs.

use serde_json::{Map, Value, json};

use crate::base::wording::counted;
use crate::capture::facts::{Detail, During, Ending, Fact, FactKind, Facts, Range};
use crate::report::inspect::time;

/// How points in time are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum TimeForm {
    /// Seconds after the capture's first packet.
    #[default]
    Relative,
    /// The time of day, UTC, as in the logs of whoever was captured.
    Wall,
}

/// Writes points in time.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    /// In which form.
    pub form: TimeForm,
    /// The capture's first packet, nanoseconds since the epoch.
    pub start_ns: i64,
}

impl Clock {
    /// A point in time, to the millisecond, as a cell of a table.
    #[must_use]
    pub fn cell(self, at_ns: i64) -> String {
        match self.form {
            TimeForm::Relative => {
                let after = at_ns.saturating_sub(self.start_ns);
                let sign = if after < 0 { "-" } else { "" };
                let millis = after.unsigned_abs() / 1_000_000;
                format!("{sign}{}.{:03}", millis / 1000, millis % 1000)
            }
            TimeForm::Wall => {
                let utc = time::utc(at_ns);
                utc.get(11..23).unwrap_or(&utc).to_owned()
            }
        }
    }

    /// A point in time within a sentence.
    fn words(self, at_ns: i64) -> String {
        let unit = match self.form {
            TimeForm::Relative => " s",
            TimeForm::Wall => "",
        };
        format!("{}{unit}", self.cell(at_ns))
    }
}

/// How long something took: three digits or so.
pub(super) fn lasted(ns: u64) -> String {
    match ns {
        ..1_000_000 => format!("{}.{:02} ms", ns / 1_000_000, ns / 10_000 % 100),
        1_000_000..10_000_000 => format!("{}.{} ms", ns / 1_000_000, ns / 100_000 % 10),
        10_000_000..1_000_000_000 => format!("{} ms", ns / 1_000_000),
        1_000_000_000..100_000_000_000 => {
            format!("{}.{:02} s", ns / 1_000_000_000, ns / 10_000_000 % 100)
        }
        _ => format!("{} s", ns / 1_000_000_000),
    }
}

/// A fact in words.
pub(super) fn words(fact: &Fact, clock: Clock) -> String {
    let Fact {
        kind,
        by,
        at_ns,
        lasted_ns,
        ending,
        count,
        detail,
        ..
    } = fact;
    let by = by.map_or("", |side| side.label());
    let at = clock.words(*at_ns);
    let long = lasted_ns.map(lasted).unwrap_or_default();
    let then = match ending {
        Some(Ending::Reset) => ", until the reset",
        Some(Ending::Open) => ", open at the end",
        Some(Ending::Resumed) | None => "",
    };
    let spell = |what: &str| match count {
        1 => format!("{what} {long} by {by} from {at}{then}"),
        _ => format!("{what} up to {long} by {by}, {count} times, from {at}{then}"),
    };
    let several = |text: String| if *count > 1 { text } else { String::new() };
    // One packet takes no time.
    let within = several(format!(" in {long}"));
    let names = names(detail, *count);
    let bytes = match detail {
        Detail::Bytes(bytes) => *bytes,
        _ => 0,
    };
    let all = |noun: &str| counted(*count, noun);
    match kind {
        FactKind::Stalled => spell("stalled"),
        FactKind::Unacknowledged => spell("unacknowledged"),
        FactKind::SynUnanswered => format!("{} without answer{within}", all("SYN")),
        FactKind::Refused => format!("refused by {by} at {at}"),
        FactKind::DnsUnanswered => format!("{} without answer{names}", all("DNS question")),
        FactKind::DnsServfail => format!("{count} SERVFAIL{names}"),
        FactKind::DnsNxdomain => format!("{count} NXDOMAIN{names}"),
        FactKind::QuicUnanswered => {
            format!("QUIC without answer, {}{within}", all("datagram"))
        }
        FactKind::Unanswered => format!("{} without answer", all("datagram")),
        FactKind::PmtuSuspect => {
            format!("{bytes}-byte segments by {by} lost {count} times: a path MTU below them?")
        }
        FactKind::Reset => {
            let times = several(format!(" ({count} resets)"));
            format!("reset by {by} at {at}{}{times}", during(detail))
        }
        FactKind::HalfClosed => {
            format!("half-closed for {long} from {at}: {by} did not close{then}")
        }
        FactKind::MssLow => format!("MSS of {bytes} bytes offered by {by}"),
        FactKind::IcmpError => match detail {
            Detail::Icmp(kind, code) => {
                format!("{}, type {kind} code {code}", all("ICMP error"))
            }
            _ => all("ICMP error"),
        },
        FactKind::PacketTooBig => format!("{} for a router on the way", count_words(*kind, *count)),
        FactKind::OpenAtEnd => "open at the end".to_owned(),
        FactKind::DnsAnswer => match detail {
            Detail::Times(_, Some(range)) if range.count > 1 => {
                format!("{count} DNS answers in {}", spread(*range))
            }
            _ => format!("DNS answer in {long}"),
        },
        FactKind::Rtt => round_trips(detail, by),
        counted_kind => format!("{} by {by}", count_words(*counted_kind, *count)),
    }
}

/// The names that a fact is about, some of so many.
fn names(detail: &Detail, count: u64) -> String {
    let Detail::Names(names) = detail else {
        return String::new();
    };
    let more = if count > names.len() as u64 && names.len() > 1 {
        ", ..."
    } else {
        ""
    };
    let colon = if names.is_empty() { "" } else { ": " };
    format!("{colon}{}{more}", names.join(", "))
}

fn round_trips(detail: &Detail, by: &str) -> String {
    let Detail::Times(handshake, range) = detail else {
        return String::new();
    };
    let range = range.map(|range| format!("RTT to {by} {}", spread(range)));
    let handshake = handshake.map(|ns| format!("handshake {}", lasted(ns)));
    let both: Vec<String> = [range, handshake].into_iter().flatten().collect();
    both.join(", ")
}

fn during(detail: &Detail) -> String {
    let Detail::During(during) = detail else {
        return String::new();
    };
    match during {
        During::Handshake => " during the handshake".to_owned(),
        During::Stall(side) => format!(" while {} read nothing", side.label()),
        During::Sending(side) => format!(" while {} was sending", side.label()),
        During::HalfClose(side) => format!(" after {} had closed", side.label()),
        During::Quiet => String::new(),
    }
}

fn spread(range: Range) -> String {
    let Range {
        min, median, max, ..
    } = range;
    if min == max {
        return lasted(median);
    }
    format!("{} ({} to {})", lasted(median), lasted(min), lasted(max))
}

/// So many of a kind, over several flows.
pub(super) fn count_words(kind: FactKind, count: u64) -> String {
    let noun = match kind {
        FactKind::Stalled => "stall",
        FactKind::SynUnanswered => "unanswered SYN",
        FactKind::Refused => "refusal",
        FactKind::DnsUnanswered => "unanswered DNS question",
        FactKind::DnsServfail => return format!("{count} SERVFAIL"),
        FactKind::DnsNxdomain => return format!("{count} NXDOMAIN"),
        FactKind::QuicUnanswered => "unanswered QUIC datagram",
        FactKind::PmtuSuspect => "size that is lost",
        FactKind::Reset => "reset",
        FactKind::Unacknowledged => "spell without acknowledgement",
        FactKind::PacketTooBig => "oversize packet",
        FactKind::IcmpError => "ICMP error",
        FactKind::Unanswered => "unanswered datagram",
        FactKind::HalfClosed => "half-closed wait",
        FactKind::MssLow => "low MSS",
        FactKind::ZeroWindow => "zero window",
        FactKind::ZeroWindowProbe => "zero-window probe",
        FactKind::WindowFull => "full window",
        FactKind::SynRetransmission => "SYN retransmission",
        FactKind::Retransmission => "retransmission",
        FactKind::FastRetransmission => "fast retransmission",
        FactKind::SpuriousRetransmission => "spurious retransmission",
        FactKind::OutOfOrder => "out-of-order segment",
        FactKind::DuplicateAck => "duplicate ACK",
        FactKind::KeepAlive => "keep-alive",
        FactKind::OpenAtEnd => return format!("{count} open at the end"),
        FactKind::DnsAnswer => "DNS answer",
        FactKind::Rtt => "round trip",
    };
    counted(count, noun)
}

/// All facts of a flow in one line, what hurts most first.
pub(super) fn line(facts: &Facts, clock: Clock) -> String {
    let words: Vec<String> = facts.list.iter().map(|fact| words(fact, clock)).collect();
    words.join("; ")
}

/// Facts for programs: times in seconds, points in time after the capture's first packet.
pub(super) fn json(facts: &Facts, start_ns: i64) -> Value {
    let list = facts.list.iter().map(|fact| value(fact, start_ns));
    Value::Array(list.collect())
}

fn value(fact: &Fact, start_ns: i64) -> Value {
    let Fact {
        kind,
        by,
        at_ns,
        lasted_ns,
        ending,
        frame,
        count,
        detail,
    } = fact;
    let mut value = Map::new();
    let mut put = |key: &str, field: Value| value.insert(key.to_owned(), field);
    put("kind", json!(kind.label()));
    if let Some(by) = by {
        put("by", json!(by.label()));
    }
    // Microseconds are exact in a double for any capture.
    let at_us = at_ns.saturating_sub(start_ns) / 1000;
    put("at", json!(at_us as f64 / 1e6));
    if let Some(lasted_ns) = lasted_ns {
        put("seconds", json!(seconds(*lasted_ns)));
    }
    if let Some(ending) = ending {
        put("ending", json!(ending.label()));
    }
    put("count", json!(count));
    put(
        "frames",
        match lasted_ns {
            None => json!({ "first": frame, "count": count }),
            Some(_) => json!({ "first": frame }),
        },
    );
    match detail {
        Detail::None => {}
        Detail::Times(handshake, range) => {
            if let Some(handshake) = handshake {
                put("handshake", json!(seconds(*handshake)));
            }
            if let Some(Range {
                min, median, max, ..
            }) = range
            {
                put("min", json!(seconds(*min)));
                put("median", json!(seconds(*median)));
                put("max", json!(seconds(*max)));
            }
        }
        Detail::During(during) => {
            let by = during.side().map(|side| side.label());
            put("during", json!({ "what": during.label(), "by": by }));
        }
        Detail::Names(names) => {
            put("names", json!(names));
        }
        Detail::Bytes(bytes) => {
            put("bytes", json!(bytes));
        }
        Detail::Icmp(kind, code) => {
            put("icmp", json!({ "type": kind, "code": code }));
        }
    }
    Value::Object(value)
}

fn seconds(ns: u64) -> f64 {
    (ns / 1000) as f64 / 1e6
}
