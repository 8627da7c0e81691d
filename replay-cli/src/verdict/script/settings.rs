//! What a script asks of the stack before anything happens, as settings of the engine.

use serde_json::{Map, Value, json};

use crate::base::diagnostic::{Diagnostic, Position};
use crate::notation::packetdrill::Script;
use crate::notation::packetdrill::syntax::{Call, Event, What};
use crate::scenario::EngineSettings;

/// Settings, and what the script's set-up leaves us without.
#[derive(Clone, Debug)]
pub(super) struct Settings {
    /// 4 or 6.
    pub(super) family: u8,
    pub(super) engine: EngineSettings,
    /// By how much times may be off, microseconds.
    pub(super) tolerance_us: u64,
    /// The same, in hundredths of the delay since the event before.
    pub(super) tolerance_percent: f64,
    /// Segments are not added up, and pushes are compared.
    pub(super) strict: bool,
    /// Settings of the stack that no engine has.
    pub(super) lacks: Lacks,
    /// The receive window that the script's stack has, bytes.
    pub(super) window: i64,
    /// A small segment waits while another small one is unacknowledged, as Linux has it (Minshall): the engine knows Nagle's rule only.
    pub(super) minshall: bool,
    /// Options of sockets that settings of the engine stand for.
    pub(super) mapped: Vec<&'static str>,
    /// Settings that are passed over: where, and what.
    pub(super) passed_over: Vec<(Position, String)>,
}

/// Behaviour of a kernel that an engine has no setting for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Lacks {
    /// Any reset within the window ends a connection (before RFC 5961).
    pub(super) loose_resets: bool,
    /// So does any SYN.
    pub(super) loose_syns: bool,
    /// A SYN with a FIN is dropped.
    pub(super) drops_syn_fin: bool,
}

impl Settings {
    /// The largest segment that the MTU allows.
    pub(super) fn segment(&self) -> u16 {
        let mtu = u32::try_from(self.engine.config().mtu).unwrap_or(u32::MAX);
        u16::try_from(segment(self.family, mtu)).unwrap_or(u16::MAX)
    }
}

fn segment(family: u8, mtu: u32) -> u32 {
    mtu.saturating_sub(if family == 6 { 60 } else { 40 }).max(1)
}

/// The settings of a script; an error has the line of it that cannot be.
pub(super) fn of(script: &Script) -> Result<Settings, (Position, Diagnostic)> {
    let mut settings = Settings {
        family: 4,
        engine: EngineSettings::default(),
        tolerance_us: 4_000,
        tolerance_percent: 12.5,
        strict: false,
        lacks: Lacks::default(),
        window: 65_535,
        minshall: true,
        mapped: Vec::new(),
        passed_over: Vec::new(),
    };
    let mut engine = Map::new();
    let mut mtu = 1500_u32;
    for line in &script.options {
        let number = line.value.parse::<u64>();
        let refused = |what: &str| {
            let what = format!("expected {what} in --{}, found `{}`", line.name, line.value);
            (line.at, Diagnostic::new(what))
        };
        match line.name.as_str() {
            "ip_version" => {
                settings.family = match line.value.as_str() {
                    "ipv4" => 4,
                    "ipv6" => 6,
                    _ => return Err(refused("`ipv4` or `ipv6`")),
                }
            }
            "mtu" => {
                mtu = line.value.parse().map_err(|_| refused("bytes"))?;
                engine.insert("mtu".to_owned(), json!(mtu));
            }
            "tolerance_usecs" => {
                settings.tolerance_us = number.map_err(|_| refused("microseconds"))?;
            }
            "tolerance_percent" => {
                let percent = line.value.parse::<f64>().ok();
                let percent = percent.filter(|percent| (0.0..=100.0).contains(percent));
                settings.tolerance_percent = percent.ok_or_else(|| refused("0 to 100"))?;
            }
            "strict_segments" => settings.strict = true,
            // Addresses and the tool's own ways say nothing about a stack.
            "define" | "local_ip" | "remote_ip" | "gateway_ip" | "netmask_ip" | "bind_port"
            | "connect_port" | "verbose" | "dry_run" | "udp_encapsulation" => {}
            other => {
                let what = format!("option --{other}");
                settings.passed_over.push((line.at, what));
            }
        }
    }
    kernel(script, &mut settings, &mut engine, mtu);
    if let Some((text, at)) = &script.engine {
        let own: Map<String, Value> = serde_json::from_str(text).map_err(|problem| {
            let what = format!("expected settings of an engine as JSON, found {problem}");
            (*at, Diagnostic::new(what))
        })?;
        engine.extend(own);
    }
    settings.engine = serde_json::from_value(Value::Object(engine)).map_err(|problem| {
        let at = script.engine.as_ref().map(|(_, at)| *at);
        let at = at.or_else(|| script.options.first().map(|line| line.at));
        let at = at.unwrap_or(Position { line: 1, column: 1 });
        (
            at,
            Diagnostic::new(format!("expected settings of an engine: {problem}")),
        )
    })?;
    Ok(settings)
}

/// What a kernel does that the script was written for, as far as it shows which: buffers, delays, Nagle.
fn kernel(script: &Script, settings: &mut Settings, engine: &mut Map<String, Value>, mut mtu: u32) {
    let commands: Vec<(&Event, &str)> = script
        .events
        .iter()
        .filter_map(|event| match &event.what {
            What::Command(command) => Some((event, command.as_str())),
            _ => None,
        })
        .collect();
    let says = |word: &str| commands.iter().any(|(_, command)| command.contains(word));
    let mut set = |name: &str, value: Value| drop(engine.insert(name.to_owned(), value));
    if let Some(size) = segment_size(script) {
        let least = size.saturating_add(mtu.saturating_sub(segment(settings.family, mtu)));
        if (576..=mtu).contains(&least) {
            mtu = least;
            set("mtu", json!(mtu));
            settings.mapped.push("TCP_MAXSEG");
        }
    }
    for (option, value) in timers(script) {
        let (name, value) = match option {
            "TCP_USER_TIMEOUT" => ("retransmission_limit", json!(format!("{value}ms"))),
            "TCP_KEEPIDLE" => ("keep_alive", json!(format!("{value}s"))),
            "TCP_KEEPINTVL" => ("keep_alive_interval", json!(format!("{value}s"))),
            _ => ("keep_alive_probes", json!(value)),
        };
        set(name, value);
        settings.mapped.push(option);
    }
    // A script writes before anything is acknowledged.
    set("tx_buffer", json!("1MiB"));
    let segment = segment(settings.family, mtu);
    if let Some(space) = given(&commands, "net.inet.tcp.recvspace=") {
        // FreeBSD rounds its buffer up to whole segments, and keeps acknowledgements for 40 ms.
        let buffer = space
            .next_multiple_of(u64::from(segment))
            .clamp(1, 16 << 20);
        set("rx_buffer", json!(format!("{buffer}B")));
        set("ack_delay", json!("40ms"));
        set("nagle", json!(!sets_no_delay(script)));
        settings.minshall = false;
        settings.window = i64::try_from(buffer).unwrap_or(i64::MAX);
    } else if let Some(buffer) = receive_buffer(script) {
        set(
            "rx_buffer",
            json!(format!("{}B", buffer.clamp(1, 16 << 20))),
        );
    } else if says("defaults.sh") || says("tcp_rmem") {
        // Linux chooses its window scale by the largest buffer that there may be.
        set("rx_limit", json!("15MiB"));
    } else {
        set("rx_buffer", json!("65535B"));
    }
    settings.lacks = Lacks {
        loose_resets: given(&commands, "insecure_rst=") == Some(1),
        loose_syns: given(&commands, "insecure_syn=") == Some(1),
        drops_syn_fin: given(&commands, "drop_synfin=") == Some(1),
    };
    let limit = calls(script).find_map(|call| match socket_option(call) {
        Some("IP_TTL" | "IPV6_UNICAST_HOPS") => option_value(call),
        _ => None,
    });
    if let Some(limit) = limit.filter(|limit| (1..=255).contains(limit)) {
        set("hop_limit", json!(limit));
    }
}

/// The number that commands give a setting.
fn given(commands: &[(&Event, &str)], setting: &str) -> Option<u64> {
    let before = commands
        .iter()
        .filter(|(event, _)| event.at.line < u32::MAX);
    let numbers = before.filter_map(|(_, command)| {
        let (_, value) = command.split_once(setting)?;
        let digits = value
            .find(|c: char| !c.is_ascii_digit())
            .unwrap_or(value.len());
        value.get(..digits)?.parse().ok()
    });
    // What is set at the end puts the default back, which is the least.
    numbers.max()
}

fn calls(script: &Script) -> impl Iterator<Item = &Call> {
    script.events.iter().filter_map(|event| match &event.what {
        What::Call(call) => Some(call),
        _ => None,
    })
}

/// The name of the option that a call of `setsockopt` or `getsockopt` is about.
pub(super) fn socket_option(call: &Call) -> Option<&str> {
    let is = matches!(call.name.as_str(), "setsockopt" | "getsockopt");
    call.arguments
        .get(2)
        .filter(|_| is)?
        .words()
        .first()
        .copied()
}

/// The number that it sets.
pub(super) fn option_value(call: &Call) -> Option<i64> {
    call.arguments.get(3)?.only()?.number()
}

/// Whether Nagle's algorithm is switched off before anything is written.
fn sets_no_delay(script: &Script) -> bool {
    let before = calls(script).take_while(|call| {
        !matches!(
            call.name.as_str(),
            "write" | "send" | "sendto" | "sendmsg" | "writev"
        )
    });
    let mut set = before.filter(|call| call.name == "setsockopt");
    set.any(|call| socket_option(call) == Some("TCP_NODELAY") && option_value(call) != Some(0))
}

/// The receive buffer that the script sets before it listens.
fn receive_buffer(script: &Script) -> Option<u64> {
    let before = calls(script).take_while(|call| call.name != "listen");
    let set =
        before.filter(|call| call.name == "setsockopt" && socket_option(call) == Some("SO_RCVBUF"));
    set.last()
        .and_then(option_value)
        .and_then(|size| u64::try_from(size).ok())
}

/// The segment size that the script sets before anything comes in or is opened (`TCP_MAXSEG`).
fn segment_size(script: &Script) -> Option<u32> {
    let before = script.events.iter().take_while(|event| match &event.what {
        What::Packet(_) => false,
        What::Call(call) => call.name != "connect",
        _ => true,
    });
    let set = before.filter_map(|event| match &event.what {
        What::Call(call) if call.name == "setsockopt" => Some(call),
        _ => None,
    });
    let set = set.filter(|call| socket_option(call) == Some("TCP_MAXSEG"));
    let value = set.last().and_then(option_value)?;
    u32::try_from(value).ok()
}

/// Options of a connection's timers that are set once, on the only connection there is: the engine has them for all flows.
fn timers(script: &Script) -> Vec<(&'static str, i64)> {
    let opens = |call: &&Call| matches!(call.name.as_str(), "accept" | "accept4" | "connect");
    if calls(script).filter(opens).count() > 1 {
        return Vec::new();
    }
    let value = |option: &str| {
        let mut values = calls(script)
            .filter(|call| call.name == "setsockopt" && socket_option(call) == Some(option))
            .map(option_value);
        let first = values.next()??;
        values.all(|value| value == Some(first)).then_some(first)
    };
    let mut timers = Vec::new();
    if let Some(limit) = value("TCP_USER_TIMEOUT").filter(|limit| (1..1 << 31).contains(limit)) {
        timers.push(("TCP_USER_TIMEOUT", limit));
    }
    if value("SO_KEEPALIVE") != Some(1) {
        return timers;
    }
    // Two hours where nothing else is set (RFC 9293 section 3.8.4, MUST-28).
    timers.push(("TCP_KEEPIDLE", value("TCP_KEEPIDLE").unwrap_or(7_200)));
    for option in ["TCP_KEEPINTVL", "TCP_KEEPCNT"] {
        timers.extend(value(option).map(|value| (option, value)));
    }
    timers.retain(|(_, value)| (1..1 << 31).contains(value));
    timers
}
