//! A session recorded as it is in the field, imported, and held against the engine that was recorded and a sound one.

#[path = "../../engine/core/tests/support/mod.rs"]
mod support;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use engine::{Config, DialResult, Engine, FlowId, Micros, Output, RemoteEnd, seeded_fault};
use engine_driver::recorder::Recorder;
use engine_driver::{Host, Limits, ManualClock, Turn};
use replay::capture::import::{ImportOptions, import};
use replay::verdict::attempt::{Attempt, FlowVerdict, TryOptions, try_capture};
use support::{Device, Family, Packet, Udp};

/// When the session began, by the wall clock.
const WALL: Duration = Duration::from_secs(1_780_000_000);

/// A host of one engine that records everything, with a device that takes what comes.
struct Session {
    engine: Engine,
    recorder: Recorder,
    now: Micros,
    device: Device,
    /// How many bytes of each piece the dialer takes.
    takes: usize,
    dialed: Vec<FlowId>,
}

impl Session {
    fn new(path: &Path, max_bytes: Option<u64>, mut config: Config) -> Self {
        config.seed.get_or_insert(1);
        let now = Micros::from_secs(5);
        Self {
            recorder: Recorder::create(path, max_bytes, &config, now, WALL).expect("a file"),
            engine: Engine::new(config).expect("a sound configuration"),
            now,
            device: Device::new(Family::V4),
            takes: usize::MAX,
            dialed: Vec::new(),
        }
    }

    fn wait(&mut self, millis: u64) {
        self.now = self.now.plus(Duration::from_millis(millis));
        self.engine.handle_timeout(self.now);
        self.drain();
    }

    fn feed(&mut self, frame: &[u8]) {
        self.recorder.frame_in(self.now, frame);
        self.engine.handle_frames(self.now, [frame]);
        self.drain();
    }

    fn drain(&mut self) {
        let (now, recorder) = (self.now, &mut self.recorder);
        for _ in 0..10_000 {
            let Some(output) = self.engine.poll_output(now) else {
                recorder.commit();
                return;
            };
            match output {
                Output::Frames(frames) => {
                    for frame in &mut frames.iter() {
                        recorder.frame_out(now, frame);
                        if let Packet::Tcp(tcp) = Packet::read(frame) {
                            self.device.take(&tcp);
                        }
                    }
                }
                Output::Dial { flow, key, .. } => {
                    recorder.dial(now, flow, key, None);
                    self.dialed.push(flow);
                }
                Output::Data { flow, bytes } => {
                    let taken = bytes.len().min(self.takes);
                    recorder.took(now, flow, taken);
                    if taken < bytes.len() {
                        recorder.blocked(now, flow);
                    }
                    bytes.took(taken);
                }
                Output::Datagram { flow, payload, .. } => {
                    recorder.datagram(now, flow, None, payload.len());
                }
                Output::HalfClose { flow } => recorder.half_close(now, flow),
                Output::Close { flow, close, .. } => recorder.close(now, flow, close),
                _ => {}
            }
        }
        panic!("the drain did not end");
    }

    fn dial(&mut self, result: DialResult) -> FlowId {
        let flow = *self.dialed.last().expect("a dial request");
        self.recorder.dial_result(self.now, flow, result);
        let told = self.engine.dial_result(self.now, flow, result);
        told.expect("a pending dial");
        self.drain();
        flow
    }

    fn connect(&mut self) -> FlowId {
        let syn = self.device.syn();
        self.feed(&syn);
        self.wait(20);
        let flow = self.dial(DialResult::Connected);
        self.acknowledge();
        flow
    }

    fn acknowledge(&mut self) {
        let ack = self.device.ack();
        self.feed(&ack);
    }

    fn request(&mut self, bytes: &[u8]) {
        let frame = self.device.data(bytes);
        self.feed(&frame);
    }

    fn far(&mut self, flow: FlowId, bytes: &[u8]) {
        let taken = self.engine.remote_data(self.now, flow, bytes);
        let taken = taken.expect("an open flow");
        self.recorder.remote_data(self.now, flow, &bytes[..taken]);
        self.drain();
        self.acknowledge();
    }

    fn end(&mut self, flow: FlowId, end: RemoteEnd) {
        self.recorder.remote_closed(self.now, flow, end);
        let told = self.engine.remote_closed(self.now, flow, end);
        told.expect("an open flow");
        self.drain();
    }
}

/// One download of 1,848 bytes, the last 448 apart, and both sides' FIN.
fn download(path: &Path) {
    let mut session = Session::new(path, None, Config::default());
    let flow = session.connect();
    session.request(&[b'q'; 78]);
    session.wait(10);
    session.far(flow, &[b'a'; 1400]);
    session.wait(5);
    session.far(flow, &[b'z'; 448]);
    session.end(flow, RemoteEnd::Eof);
    session.acknowledge();
    session.wait(3);
    let fin = session.device.fin();
    session.feed(&fin);
    assert!(session.device.received_fin, "the device saw the end");
}

fn folder(name: &str) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join(name);
    (folder, path)
}

fn attempt(path: &Path) -> Attempt {
    try_capture(path, &TryOptions::default()).expect("a capture")
}

fn verdicts(attempt: &Attempt) -> Vec<&FlowVerdict> {
    attempt.flows.iter().map(|flow| &flow.verdict).collect()
}

#[test]
fn a_recording_fails_on_the_engine_with_the_fault_and_passes_on_the_sound_one() {
    let (_folder, path) = folder("flight.pcapng");
    seeded_fault::arm(true);
    download(&path);
    let faulty = attempt(&path);
    seeded_fault::arm(false);
    let sound = attempt(&path);
    assert_eq!(verdicts(&sound), [&FlowVerdict::Pass]);
    assert_eq!(sound.flows[0].downstream.bytes, 1848);
    let lost = "the device got 1400 of 1848 bytes; they agree up to byte 1400";
    assert_eq!(verdicts(&faulty), [&FlowVerdict::Fail(lost.to_owned())]);
    let said = "the recorded engine gave the device 1400 of the 1848 bytes that its dialer gave it";
    assert!(
        sound.flows[0].notes.iter().any(|note| note == said),
        "{:?}",
        sound.flows[0].notes
    );
}

/// What makes the recorder worth its while: without its events the fault would be learned as truth.
#[test]
fn without_the_events_the_fault_would_be_the_truth() {
    let (folder, path) = folder("flight.pcapng");
    seeded_fault::arm(true);
    download(&path);
    seeded_fault::arm(false);
    let frames_only = folder.path().join("frames.pcapng");
    let recording = std::fs::read(&path).expect("the recording");
    std::fs::write(&frames_only, without_custom_blocks(&recording)).expect("a file");
    let attempt = attempt(&frames_only);
    assert_eq!(attempt.flows[0].downstream.bytes, 1400);
    assert_eq!(verdicts(&attempt), [&FlowVerdict::Pass]);
}

/// The whole blocks of a file, each with its type.
fn blocks(mut file: &[u8]) -> Vec<(u32, &[u8])> {
    let mut blocks = Vec::new();
    let word = |bytes: &[u8]| u32::from_le_bytes(bytes.try_into().expect("four"));
    while let Some((head, _)) = file.split_first_chunk::<8>()
        && let Some((block, rest)) = file.split_at_checked(word(&head[4..]) as usize)
    {
        blocks.push((word(&head[..4]), block));
        file = rest;
    }
    blocks
}

fn without_custom_blocks(file: &[u8]) -> Vec<u8> {
    let frames = blocks(file).into_iter().filter(|(kind, _)| *kind != 0xbad);
    frames.flat_map(|(_, block)| block.to_vec()).collect()
}

fn frames(file: &[u8]) -> u64 {
    let kinds = blocks(file).into_iter();
    kinds.filter(|(kind, _)| *kind == 6).count() as u64
}

#[test]
fn the_script_is_what_the_dialer_did() {
    let (_folder, path) = folder("flight.pcapng");
    let config = Config {
        mtu: 1280,
        tcp_limit: 7,
        ..Config::default()
    };
    let mut session = Session::new(&path, None, config);
    let flow = session.connect();
    session.takes = 50;
    session.request(&[b'q'; 78]);
    session.wait(30);
    session.takes = usize::MAX;
    session.recorder.writable(session.now, flow);
    let told = session.engine.remote_writable(session.now, flow);
    told.expect("an open flow");
    session.drain();
    session.wait(10);
    session.far(flow, b"answer");
    session.end(flow, RemoteEnd::Error);
    let udp = Udp::new(Family::V4, 5000, 9999);
    session.feed(&udp.send(b"ping"));
    session.wait(7);
    let flow = session.dial(DialResult::Connected);
    session.wait(8);
    session
        .recorder
        .remote_datagram(session.now, flow, None, b"pong");
    let taken = session.engine.remote_datagram(session.now, flow, b"pong");
    taken.expect("an open flow");
    session.drain();
    session.device = Device::on_port(Family::V4, 40_001, 81);
    let syn = session.device.syn();
    session.feed(&syn);
    session.wait(4);
    session.dial(DialResult::HostUnreachable);
    drop(session);

    let (imported, _) = import(&path, "flight.pcapng", &ImportOptions::default()).expect("sound");
    let scenario = &imported.scenario;
    assert_eq!(scenario.engine.get("mtu"), Some("1280"));
    assert_eq!(scenario.engine.get("tcp_limit"), Some("7"));
    let rules = serde_json::to_string(&scenario.dialer.rules).expect("JSON");
    assert_eq!(
        rules,
        concat!(
            r#"[{"when":{"flow":"tcp1"},"dial":{"result":"connected","after":"20ms"},"then":["#,
            r#"{"read":50},{"block":true},{"wait":"30ms"},{"unblock":true},{"read":28},{"wait":"10ms"},"#,
            r#"{"send":{"capture":"tcp1","from":0,"to":6}},{"fail":"recorded"}]},"#,
            r#"{"when":{"flow":"udp2"},"dial":{"result":"connected","after":"7ms"},"then":["#,
            r#"{"read":1},{"wait":"8ms"},{"send":{"capture":"udp2","from":0,"to":4}}]},"#,
            r#"{"when":{"flow":"tcp3"},"dial":{"result":"host_unreachable","after":"4ms"}}]"#
        )
    );
    let attempt = attempt(&path);
    assert!(
        attempt
            .flows
            .iter()
            .all(|flow| flow.verdict == FlowVerdict::Pass),
        "{:?}",
        attempt.flows
    );
}

#[test]
fn two_recordings_of_one_session_are_equal() {
    let (_one, first) = folder("flight.pcapng");
    let (_two, second) = folder("flight.pcapng");
    download(&first);
    download(&second);
    let read = |path: &Path| std::fs::read(path).expect("the recording");
    assert!(read(&first) == read(&second), "byte for byte");
}

#[test]
fn a_cut_recording_gives_everything_before_the_cut() {
    let (folder, path) = folder("flight.pcapng");
    download(&path);
    let whole = std::fs::read(&path).expect("the recording");
    let cut = folder.path().join("cut.pcapng");
    for length in (300..whole.len()).step_by(37) {
        std::fs::write(&cut, &whole[..length]).expect("a file");
        let attempt = attempt(&cut);
        assert!(attempt.deterministic, "cut at {length}");
        assert_eq!(
            attempt.packets_read,
            frames(&whole[..length]),
            "cut at {length}"
        );
    }
}

#[test]
fn the_ring_keeps_the_newest_within_its_bound() {
    let (folder, path) = folder("flight.pcapng");
    let older = folder.path().join("flight.1.pcapng");
    let bound = engine_driver::recorder::MIN_BYTES;
    let mut session = Session::new(&path, Some(bound), Config::default());
    let udp = Udp::new(Family::V4, 5000, 9999);
    let mut last = 0;
    for number in 0..3000_u32 {
        session.feed(&udp.send(&[&number.to_be_bytes()[..], &[0; 996]].concat()));
        last = number;
        let size = |path: &Path| path.metadata().map_or(0, |file| file.len());
        assert!(size(&path) + size(&older) <= bound, "after {number}");
    }
    assert!(session.recorder.status().rotations >= 4);
    assert_eq!(session.recorder.status().frames, 3000);
    drop(session);
    // Older first, the two are one recording.
    let both = folder.path().join("both.pcapng");
    let parts = [&older, &path].map(|path| std::fs::read(path).expect("a file"));
    std::fs::write(&both, parts.concat()).expect("a file");
    let seen = replay::capture::inspect::inspect(&both, Default::default()).expect("a capture");
    assert!(seen.damage.is_none(), "{:?}", seen.damage);
    assert!(seen.packets * 1100 >= bound / 2, "{} packets", seen.packets);
    let mut reader = replay::capture::CaptureReader::open(&path).expect("a capture");
    let mut newest = None;
    while let Some(packet) = reader.next_packet().expect("sound") {
        newest = packet.content.ok().map(|ip| ip.bytes[28..32].to_vec());
    }
    assert_eq!(newest, Some(last.to_be_bytes().to_vec()));
}

/// A host with a device that hears and says nothing.
struct Deaf(Vec<FlowId>);

impl Host for Deaf {
    fn frames(&mut self, frames: engine::Frames<'_>) -> usize {
        frames.len()
    }
    fn dial(&mut self, flow: FlowId, _: engine::FlowKey, _: Option<&str>) {
        self.0.push(flow);
    }
    fn data(&mut self, _: FlowId, bytes: &[u8]) -> usize {
        bytes.len()
    }
    fn datagram(&mut self, _: FlowId, _: std::net::SocketAddr, _: &[u8]) -> bool {
        true
    }
    fn half_close(&mut self, _: FlowId) {}
    fn resume(&mut self, _: FlowId, _: usize) {}
    fn close(&mut self, _: FlowId, _: engine::FlowKey, _: engine::Close) {}
    fn dns(&mut self, _: Option<FlowId>, _: &engine::DnsRecord) {}
    fn log(&mut self, _: &engine::LogRecord) {}
    fn notice(&mut self, _: &engine_driver::Notice) {}
}

/// "It stops after a while": what the recorded engine did not take, it cannot hide.
#[test]
fn what_an_engine_never_took_from_its_dialer_is_recorded_all_the_same() {
    let (_folder, path) = folder("flight.pcapng");
    let now = Micros::from_secs(5);
    let clock = Arc::new(ManualClock::new(now));
    let config = Config::default();
    let recorder = Recorder::create(&path, None, &config, now, WALL).expect("a file");
    let mut turn = Turn::new(config, Limits::default(), clock, || {}).expect("sound");
    turn.set_tap(Some(Box::new(recorder)));
    let mailbox = Arc::clone(turn.mailbox());
    let (mut device, mut host) = (Device::new(Family::V4), Deaf(Vec::new()));
    mailbox.frame(&device.syn());
    turn.run(now, &mut host);
    mailbox
        .dialed(host.0[0], DialResult::Connected)
        .expect("a dial");
    turn.run(now, &mut host);
    assert_eq!(mailbox.data(host.0[0], &[7; 60_000]), Ok(60_000));
    turn.run(now, &mut host);
    assert!(turn.counters().downstream_bytes < 20_000, "a ring full");
    drop(turn);
    let sound = attempt(&path);
    assert_eq!(verdicts(&sound), [&FlowVerdict::Pass]);
    assert_eq!(sound.flows[0].downstream.bytes, 60_000);
}

/// Wireshark is the judge of the format; without it nothing is shown.
#[test]
fn wireshark_opens_a_recording() {
    let (_folder, path) = folder("flight.pcapng");
    download(&path);
    let mut tshark = std::process::Command::new("tshark");
    let fields = ["-e", "frame.packet_flags_direction", "-e", "tcp.len"];
    tshark
        .arg("-r")
        .arg(&path)
        .args(["-Y", "tcp", "-T", "fields"]);
    let Ok(output) = tshark.args(fields).output() else {
        eprintln!(
            "SKIPPED: tshark is not installed, so nobody but this project has read the recording"
        );
        return;
    };
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8_lossy(&output.stdout);
    let lines: Vec<_> = text.lines().collect();
    let way = |line: &str| line.starts_with("0x00000001") || line.starts_with('1');
    let recording = std::fs::read(&path).expect("the recording");
    assert_eq!(lines.len() as u64, frames(&recording), "{text}");
    assert!(way(lines[0]) && !way(lines[1]), "{text}");
    assert!(lines.iter().any(|line| line.ends_with("\t448")), "{text}");
}
