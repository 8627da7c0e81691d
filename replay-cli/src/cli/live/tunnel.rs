//! The engine on a real TUN with real sockets: what `replay live` runs.

mod station;
mod watch;

use std::io::{self, IsTerminal as _};
use std::net::IpAddr;
use std::num::NonZero;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use engine::{Config, DialFailure, UdpFiltering, UdpMapping};
use engine_driver::dialer::{Options, raise_file_limit};
use engine_driver::recorder::{Bounds, FileStore, Recorder};
use engine_driver::{BootClock, Clock as _, Handle, Limits, Loop, Snapshot, TokioDialer, Tun};
use tokio::signal::unix::{SignalKind, signal};
use tokio::time;

use crate::base::diagnostic::Diagnostic;
use crate::base::exit_code;
use crate::base::term::Terminal;
use crate::cli::Stop;
use crate::cli::live::LiveArgs;

use station::Station;
use watch::{Board, Watch};

/// The least retransmission timeout toward a device on this host.
const LEAST_TIMEOUT: Duration = Duration::from_millis(5);

/// How far windows open, bytes.
const WINDOW: usize = 256 << 10;

/// Runs until a signal comes.
pub(crate) fn run(args: &LiveArgs, terminal: &mut Terminal<'_>) -> Result<u8, Stop> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(session(args, terminal))
}

async fn session(args: &LiveArgs, terminal: &mut Terminal<'_>) -> Result<u8, Stop> {
    let mut tun = Tun::open(&args.tun, args.mtu, !args.no_offload)
        .map_err(|error| Stop::usage(no_tun(&args.tun, &error)))?;
    // Without more files there are fewer flows; the dials that fail report it.
    let _ = raise_file_limit();
    let mut config = config(args, tun.mtu());
    if tun.offloads() && args.record.is_none() {
        // A recording is to hold whole packets.
        tun.leave_checksums();
        config.partial_checksums = true;
    }
    let clock = BootClock::new();
    let recorder = recorder(args, &config, clock)?;
    let board = Arc::new(Board::new(clock.now()));
    let options = options(args);
    let engine = Loop::new(config, limits(), Arc::new(clock), |mailbox| {
        let dialer = TokioDialer::new(Arc::clone(mailbox), options);
        Station::new(dialer, tun.clone(), Arc::clone(&board))
    });
    let mut engine = engine.map_err(|problem| Stop::usage(Diagnostic::new(problem.to_string())))?;
    engine.set_tap(Some(Box::new(Watch::new(Arc::clone(&board), recorder))));
    let handle = engine.handle();
    let (name, mtu) = (tun.name(), tun.mtu());
    let offload = if tun.offloads() { "with" } else { "without" };
    terminal.say(&format!(
        "{name} is open (MTU {mtu}, {offload} offload); give it an address and routes, and end with SIGINT or SIGTERM"
    ))?;

    let reading = read(tun.clone(), handle.clone());
    let reading = tokio::spawn(reading);
    let running = tokio::spawn(engine.run());
    let shown = show(args, terminal, &board, &handle).await;
    handle.stop();
    reading.abort();
    // Only the task that ended by itself has an error; the other one was cancelled.
    let read_error = reading.await.ok();
    let Ok((station, snapshot)) = running.await else {
        let panicked = io::Error::other("the loop ended with a panic");
        return Err(Stop::Output(panicked));
    };
    let datagrams_lost = station.stop().await;
    shown?;
    finish(terminal, &board, &tun, datagrams_lost, &snapshot)?;
    let recorded = args.record.iter();
    let recorded = recorded.flat_map(|path| [FileStore::older(path), path.clone()]);
    for file in recorded.filter(|file| file.exists()) {
        terminal.say(&format!("recorded {}", file.display()))?;
    }
    terminal.flush()?;
    if let Some(error) = read_error {
        let what = format!("{} cannot be read any more: {error}", tun.name());
        let help = "the device was deleted or set down while the engine ran";
        return Err(Stop::usage(Diagnostic::new(what).help(help)));
    }
    Ok(exit_code::SUCCESS)
}

/// Reads the device until that fails, and ends the session then.
async fn read(tun: Tun, handle: Handle) -> io::Error {
    let error = match tun.read_into(handle.mailbox()).await {
        Err(error) => error,
        Ok(()) => io::ErrorKind::UnexpectedEof.into(),
    };
    handle.stop();
    error
}

/// Shows what happens until a signal, the end of the time, or of the device.
async fn show(
    args: &LiveArgs,
    terminal: &mut Terminal<'_>,
    board: &Board,
    handle: &Handle,
) -> io::Result<()> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let interval = Duration::from_micros(args.interval.0.max(10_000));
    let mut ticks = time::interval(interval);
    ticks.set_missed_tick_behavior(time::MissedTickBehavior::Skip);
    let longest = args.duration.map_or(u64::MAX / 4, |duration| duration.0);
    let end = time::sleep(Duration::from_micros(longest));
    tokio::pin!(end);
    let table = io::stdout().is_terminal();
    loop {
        tokio::select! {
            biased;
            _ = interrupt.recv() => return Ok(()),
            _ = terminate.recv() => return Ok(()),
            () = &mut end => return Ok(()),
            _ = ticks.tick() => {
                if handle.is_stopping() {
                    return Ok(());
                }
                if table {
                    board.draw(terminal.out(), &handle.snapshot())?;
                } else {
                    board.lines(terminal.out())?;
                }
                terminal.flush()?;
            }
        }
    }
}

fn finish(
    terminal: &mut Terminal<'_>,
    board: &Board,
    tun: &Tun,
    datagrams_lost: u64,
    snapshot: &Snapshot,
) -> io::Result<()> {
    board.lines(terminal.out())?;
    let stats = &snapshot.stats;
    let out = terminal.out();
    writeln!(out, "{}", snapshot.counters.to_line())?;
    writeln!(
        out,
        "border ring_frames={} ring_overflow_frames={} ring_high_water={} inbox_dropped_datagrams={} \
         host_dropped_datagrams={} host_delayed_datagrams={} dialer_lost_datagrams={datagrams_lost} device_refused_frames={}",
        stats.ring_frames,
        stats.ring_overflow_frames,
        stats.ring_high_water,
        stats.inbox_dropped_datagrams,
        stats.host_dropped_datagrams,
        stats.host_delayed_datagrams,
        tun.frames_refused(),
    )?;
    for (name, histogram) in [
        ("lag", &stats.lag),
        ("inbox", &stats.inbox_wait),
        ("turn", &stats.turn_duration),
    ] {
        writeln!(
            out,
            "{name} count={} p50_us={} p99_us={} max_us={}",
            histogram.count(),
            histogram.quantile(0.5).as_micros(),
            histogram.quantile(0.99).as_micros(),
            histogram.max().as_micros(),
        )?;
    }
    if let Some(problem) = board.recording_problem() {
        terminal.say(&format!("the recording is cut short: {problem}"))?;
    }
    terminal.flush()
}

fn config(args: &LiveArgs, mtu: u16) -> Config {
    let mut config = Config {
        mtu: usize::from(mtu),
        tcp_limit: args.tcp_limit,
        udp_limit: args.udp_limit,
        ..Config::default()
    };
    // The device is this host: its answers take microseconds, and memory is no matter.
    config.min_rto = LEAST_TIMEOUT;
    (config.rx_limit, config.tx_limit) = (WINDOW, WINDOW);
    // The host leaves names to the loop, which asks the system.
    config.dns_interception = args.dns;
    // As a router on the way would: the application hears why.
    config.dial_failure = DialFailure::Icmp;
    if args.endpoint_independent {
        config.udp_mapping = UdpMapping::EndpointIndependent;
        config.udp_filtering = UdpFiltering::EndpointIndependent;
    }
    config
}

fn limits() -> Limits {
    Limits {
        ring_bytes: 2 << 20,
        inbox_bytes: WINDOW,
        inboxes_bytes: 16 << 20,
        ..Limits::default()
    }
}

fn options(args: &LiveArgs) -> Options {
    let mut options = Options::default();
    options.connect_timeout = Duration::from_micros(args.connect_timeout.0);
    options.device.clone_from(&args.bind_device);
    options.mark = args.mark;
    if args.endpoint_independent {
        options.udp_mapping = UdpMapping::EndpointIndependent;
    }
    for source in &args.source {
        match source {
            IpAddr::V4(address) => options.source_v4 = Some(*address),
            IpAddr::V6(address) => options.source_v6 = Some(*address),
        }
    }
    options
}

fn recorder(args: &LiveArgs, config: &Config, clock: BootClock) -> Result<Option<Recorder>, Stop> {
    let Some(path) = &args.record else {
        return Ok(None);
    };
    let wall = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let wall = wall.unwrap_or(Duration::ZERO);
    let bounds = Bounds {
        max_bytes: Some(args.record_limit.0),
        snap_length: args.snaplen.and_then(NonZero::new),
    };
    let recorder = Recorder::create(path, bounds, config, clock.now(), wall);
    recorder.map(Some).map_err(|error| {
        let what = format!("the recording cannot be written: {error}");
        Stop::usage(Diagnostic::new(what).in_file(path))
    })
}

/// Why there is no device, and what to do about it.
fn no_tun(name: &str, error: &io::Error) -> Diagnostic {
    let help = match error.kind() {
        io::ErrorKind::NotFound => {
            "there is no /dev/net/tun: load the module (`modprobe tun`), or give the container the device"
        }
        io::ErrorKind::PermissionDenied => {
            "run it as root, or with CAP_NET_ADMIN (`setcap cap_net_admin+ep`)"
        }
        io::ErrorKind::ResourceBusy => "another process has the device open: choose another --tun",
        _ => "is the name shorter than 16 characters, and not that of another kind of interface?",
    };
    Diagnostic::new(format!("the TUN device {name} cannot be opened: {error}")).help(help)
}
