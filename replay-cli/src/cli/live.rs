//! `replay live`: the engine on a TUN device, with real sockets for the far side.

#[cfg(target_os = "linux")]
mod tunnel;

use std::net::IpAddr;
use std::path::PathBuf;

use clap::Args;

use super::Stop;
use crate::base::duration::{Micros, Size};
use crate::base::term::Terminal;

#[derive(Debug, Args)]
#[command(after_long_help = AFTER_HELP)]
pub(crate) struct LiveArgs {
    /// The TUN device: created, or opened if it is there and persistent.
    #[arg(long, value_name = "NAME", default_value = "replay0")]
    pub(crate) tun: String,

    /// Its MTU, bytes [default: as the device has it, 1500 if new].
    #[arg(long, value_name = "BYTES", value_parser = clap::value_parser!(u16).range(576..))]
    pub(crate) mtu: Option<u16>,

    /// Take and give one segment at a time, as devices do that cannot coalesce them.
    #[arg(long)]
    pub(crate) no_offload: bool,

    /// Record frames and dialer events into FILE, for `replay import`.
    #[arg(long, value_name = "FILE.pcapng")]
    pub(crate) record: Option<PathBuf>,

    /// The most the recording takes; the oldest part gives way.
    #[arg(long, value_name = "SIZE", default_value = "256MiB")]
    pub(crate) record_limit: Size,

    /// Record no more than this of each packet, and no payload of the far side [default: all].
    #[arg(long, value_name = "BYTES", requires = "record", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) snaplen: Option<u32>,

    /// Answer the device's DNS queries for addresses (UDP and TCP, port 53) through this host's own resolver, which
    /// must be reached outside of the tunnel.
    #[arg(long)]
    pub(crate) dns: bool,

    /// Bind the far side's sockets to this interface, so that they stay out of the tunnel.
    #[arg(long, value_name = "NAME")]
    pub(crate) bind_device: Option<String>,

    /// Mark the far side's packets, for a routing rule that keeps them out of the tunnel.
    #[arg(long, value_name = "NUMBER")]
    pub(crate) mark: Option<u32>,

    /// Source address of the far side's sockets; once for each IP version.
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) source: Vec<IpAddr>,

    /// How long a connect may take.
    #[arg(long, value_name = "DURATION", default_value = "30s")]
    pub(crate) connect_timeout: Micros,

    /// Most TCP flows at a time.
    #[arg(long, value_name = "N", default_value_t = 1024)]
    pub(crate) tcp_limit: usize,

    /// Most UDP flows at a time.
    #[arg(long, value_name = "N", default_value_t = 1024)]
    pub(crate) udp_limit: usize,

    /// One UDP socket for all destinations of a device's port, open to everybody (RFC 4787): what games and calls
    /// that go through NATs expect. Without it each destination has its own.
    #[arg(long)]
    pub(crate) endpoint_independent: bool,

    /// How often flows and rates are shown.
    #[arg(long, value_name = "DURATION", default_value = "1s")]
    pub(crate) interval: Micros,

    /// Stop by itself after this time.
    #[arg(long = "for", value_name = "DURATION")]
    pub(crate) duration: Option<Micros>,
}

const AFTER_HELP: &str = "\
Linux only; needs root (CAP_NET_ADMIN) and /dev/net/tun. On a terminal it shows a table of the flows, elsewhere a \
line for each dial and close. SIGINT or SIGTERM ends it: every flow is closed, the counters are printed, and the \
exit code is 0. It is 2 if the device cannot be opened or the recording cannot be written.

Examples:
  replay live --record captures/field.pcapng &
  ip address add 10.9.0.1/24 dev replay0 && ip link set replay0 up
  ip route add 192.0.2.0/24 dev replay0        what goes through the engine
  replay import captures/field.pcapng -o expectations/field/bug.json

  replay live --bind-device eth0      with the default route through replay0";

#[cfg(target_os = "linux")]
pub(crate) fn run(args: &LiveArgs, terminal: &mut Terminal<'_>) -> Result<u8, Stop> {
    tunnel::run(args, terminal)
}

#[cfg(not(target_os = "linux"))]
pub(crate) fn run(_args: &LiveArgs, _terminal: &mut Terminal<'_>) -> Result<u8, Stop> {
    Err(Stop::usage(
        crate::base::diagnostic::Diagnostic::new("`replay live` needs a TUN device of Linux")
            .help("run it on Linux; a phone's tunnel records with `BridgeEngineRecord` instead"),
    ))
}
