//! The log: what happened, at which weight, and never an address or a name.

use core::time::Duration;

use engine::{Breadcrumb, DialResult, LogLevel, LogMask, RemoteEnd, Resolution};

use crate::support::{Bench, Device, Family, Seen, Udp, dials};

/// A query for `secret.example` with the id.
fn query(id: u8) -> Vec<u8> {
    let mut message = vec![0, id, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    message.extend(b"\x06secret\x07example\x00\x00\x01\x00\x01");
    message
}

/// An answer to it: the server that [`Device::new`] asks for.
fn answer(id: u8) -> Vec<u8> {
    let mut message = query(id);
    message[2] = 0x81;
    message[3] = 0x80;
    message[7] = 1;
    message.extend(b"\xc0\x0c\x00\x01\x00\x01\x00\x00\x00\x3c\x00\x04");
    message.extend([198, 51, 100, 7]);
    message
}

/// A session with a bit of everything: names learnt, flows that work, fail, half-close and expire, drops, a path
/// change, a stop.
fn session(bench: &mut Bench) {
    let dns = Udp::new(Family::V4, 5000, 53);
    let flow = dials(&bench.feed([dns.send(&query(1))]))[0].0;
    bench.dialed(flow, DialResult::Connected);
    bench.datagram(flow, &answer(1));
    for family in Family::BOTH {
        let mut device = Device::new(family);
        let flow = bench.connect(&mut device);
        bench.feed([device.data(b"hello"), device.fin()]);
        let seen = bench.end(flow, RemoteEnd::Eof);
        device.receive(&seen);
        bench.feed([device.ack()]);
        let mut refused = Device::on_port(family, 40_001, 80);
        let flow = bench.knock(&mut refused);
        bench.dialed(flow, DialResult::Refused);
        bench.feed([refused.rst()]);
        bench.feed([0; 3].map(|_| Udp::new(family, 5002, 123).send(&[0; 60_000])));
        let flow = dials(&bench.feed([Udp::new(family, 5001, 123).send(b"?")]))[0].0;
        bench.dialed(flow, DialResult::HostUnreachable);
        bench.feed([b"rubbish".to_vec()]);
    }
    bench.wait(Duration::from_secs(60));
    let now = bench.now;
    bench.engine.path_changed(now, engine::PathChange::Network);
    bench.drain();
    bench.engine.stop(now);
    bench.drain();
}

/// A session of intercepted queries.
fn intercepted(bench: &mut Bench) {
    let dns = Udp::new(Family::V6, 5000, 53);
    for (id, resolution) in [
        (1, Resolution::Failed),
        (
            2,
            Resolution::Addresses {
                addresses: vec![Family::V4.server()],
                ttl: 60,
            },
        ),
    ] {
        let seen = bench.feed([dns.send(&query(id))]);
        let Some(Seen::Resolve(query, ..)) = seen.first() else {
            panic!("{seen:?}");
        };
        bench.resolved(*query, resolution);
    }
    bench.feed([dns.send(&query(3))]);
    bench.wait(Duration::from_secs(5));
}

fn loud(level: LogLevel) -> Bench {
    Bench::with(|config| {
        config.log_level = Some(level);
        config.metrics_interval = Some(Duration::from_secs(1));
    })
}

/// Everything that must not be read in a log.
fn secrets() -> Vec<String> {
    let mut secrets = vec!["secret".to_owned(), "example".to_owned()];
    for family in Family::BOTH {
        secrets.push(family.client().to_string());
        secrets.push(family.server().to_string());
    }
    secrets
}

#[test]
fn no_line_shows_an_address_or_a_name() {
    let mut bench = loud(LogLevel::Trace);
    session(&mut bench);
    let mut other = loud(LogLevel::Trace);
    other.engine = {
        let mut config = other.engine.config().clone();
        config.dns_interception = true;
        engine::Engine::new(config).expect("sound")
    };
    intercepted(&mut other);
    let lines: Vec<String> = bench
        .lines
        .iter()
        .chain(&other.lines)
        .map(ToString::to_string)
        .collect();
    assert!(lines.len() > 30, "the session logs something: {lines:#?}");
    for kind in Breadcrumb::ALL {
        // No guard is hit in these sessions.
        let quiet = *kind == Breadcrumb::Guard;
        let logged = bench.lines.iter().any(|line| line.kind == *kind);
        assert!(quiet || logged, "nothing about {kind:?}");
    }
    for line in &lines {
        for secret in secrets() {
            assert!(!line.contains(&secret), "`{secret}` leaks: {line}");
        }
        assert!(!line.contains('\n'), "{line}");
    }
}

#[test]
fn a_host_that_asks_for_it_sees_addresses_and_names() {
    let mut bench = Bench::with(|config| {
        config.log_level = Some(LogLevel::Debug);
        config.log_addresses = true;
    });
    session(&mut bench);
    let all = bench
        .lines
        .iter()
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join("\n");
    for secret in secrets() {
        assert!(all.contains(&secret), "{secret} is not shown:\n{all}");
    }
}

#[test]
fn one_value_has_one_shape_in_all_lines() {
    let mut bench = loud(LogLevel::Debug);
    session(&mut bench);
    let shape_of = |start: &str| {
        let line = bench.lines.iter().find(|line| line.message.contains(start));
        let line = line.expect("such a line").message.clone();
        line.split(' ')
            .find(|word| word.starts_with('~'))
            .map(str::to_owned)
    };
    assert!(shape_of("learnt").is_some());
    let name = shape_of("learnt").expect("a name");
    assert!(
        bench
            .lines
            .iter()
            .any(|line| line.message.contains("dials") && line.message.contains(&name))
    );
}

#[test]
fn lines_below_the_level_or_outside_the_mask_are_not_made() {
    let mut bench = loud(LogLevel::Info);
    session(&mut bench);
    assert!(bench.lines.iter().all(|line| line.level <= LogLevel::Info));
    let mut bench = Bench::with(|config| {
        config.log_level = Some(LogLevel::Trace);
        config.log_mask = LogMask::NONE.with(Breadcrumb::Dns);
    });
    session(&mut bench);
    assert!(!bench.lines.is_empty());
    assert!(bench.lines.iter().all(|line| line.kind == Breadcrumb::Dns));
    let mut quiet = Bench::with(|_| {});
    session(&mut quiet);
    assert_eq!(quiet.lines, []);
}

#[test]
fn at_info_a_packet_makes_no_line() {
    let mut bench = Bench::with(|config| config.log_level = Some(LogLevel::Info));
    let mut device = Device::new(Family::V4);
    bench.connect(&mut device);
    for _ in 0..100 {
        bench.feed([device.data(b"x"), b"rubbish".to_vec()]);
    }
    assert_eq!(bench.lines, []);
}

#[test]
fn logging_changes_nothing_else() {
    let mut loud = loud(LogLevel::Trace);
    let mut quiet = Bench::with(|_| {});
    session(&mut loud);
    session(&mut quiet);
    assert_eq!(loud.wire, quiet.wire);
    assert_eq!(loud.batches, quiet.batches);
}

#[test]
fn the_counters_ride_on_the_first_drain_after_the_interval() {
    let mut bench = Bench::with(|config| {
        config.log_level = Some(LogLevel::Info);
        config.metrics_interval = Some(Duration::from_secs(10));
    });
    let metrics = |bench: &Bench| {
        let lines = bench.lines.iter();
        lines
            .filter(|line| line.kind == Breadcrumb::Metrics)
            .count()
    };
    bench.feed([b"rubbish"]);
    assert_eq!(metrics(&bench), 0);
    // Nothing is owed to anybody: an idle engine asks for no time.
    assert_eq!(bench.engine.poll_timeout(), None);
    bench.wait(Duration::from_secs(1000));
    assert_eq!(metrics(&bench), 0);
    bench.feed([b"rubbish"]);
    assert_eq!(metrics(&bench), 1);
    let line = &bench.lines.last().expect("a line").message;
    assert!(
        line.contains("frames_in=2") && line.contains("drop_malformed_ip=2"),
        "{line}"
    );
}

#[test]
fn lines_that_nobody_fetches_are_bounded_and_the_rest_counted() {
    let mut bench = loud(LogLevel::Trace);
    bench.feed(vec![b"rubbish"; 1500]);
    assert_eq!(bench.lines.len(), 1024);
    assert_eq!(bench.counter("log_lines_dropped"), 1500 - 1024);
}
