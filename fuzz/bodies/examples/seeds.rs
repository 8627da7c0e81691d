//! Writes first inputs for the fuzz targets that read formats, made of this repository's captures, scenarios and scripts:
//!
//!     cargo run -p fuzz-bodies --example seeds -- FOLDER
//!
//! `FOLDER/TARGET` is what libFuzzer begins with; docs/FUZZING.md says how it is minimised before it is committed.

use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use engine::{Config, DialResult, Engine, Micros, Output, RemoteEnd};
use engine_driver::recorder::Recorder;
use replay::capture::CaptureReader;
use replay::notation::Line;
use replay::packet::{Flags, Packet, Seq, build};
use serde_json::Value;

/// Longer files make slow inputs.
const LONGEST: u64 = 6_000;

type Done = Result<(), Box<dyn Error>>;

fn main() -> Done {
    let into = std::env::args().nth(1).ok_or("usage: seeds FOLDER")?;
    let into = PathBuf::from(into);
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mut files = Vec::new();
    for folder in ["captures", "expectations"] {
        list(&root.join(folder), &mut files)?;
    }
    files.sort();
    for path in &files {
        let name = path
            .strip_prefix(&root)?
            .display()
            .to_string()
            .replace('/', "-");
        let keep = |target: &str, bytes: &[u8]| put(&into, target, &name, bytes);
        let bytes = fs::read(path)?;
        match path.extension().and_then(|extension| extension.to_str()) {
            Some("pcap" | "pcapng") => {
                if bytes.len() as u64 <= LONGEST {
                    keep("capture", &bytes)?;
                    keep("try", &bytes)?;
                }
                messages(path, &into, &name)?;
            }
            Some("json") if bytes.len() as u64 <= LONGEST => {
                keep("scenario", &bytes)?;
                let mut lines = Vec::new();
                strings(&serde_json::from_slice(&bytes)?, &mut lines);
                if !lines.is_empty() {
                    keep("notation", lines.join("\n").as_bytes())?;
                }
            }
            Some("pkt") => keep("packetdrill", &bytes)?,
            _ => {}
        }
    }
    put(&into, "stack_protocol", "session", SESSION.as_bytes())?;
    recording(&into)
}

fn list(folder: &Path, into: &mut Vec<PathBuf>) -> Done {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            list(&path, into)?;
        } else {
            into.push(path);
        }
    }
    Ok(())
}

fn put(into: &Path, target: &str, name: &str, bytes: &[u8]) -> Done {
    let folder = into.join(target);
    fs::create_dir_all(&folder)?;
    Ok(fs::write(folder.join(name), bytes)?)
}

/// Every text of a scenario that is a line of the notation.
fn strings(value: &Value, into: &mut Vec<String>) {
    match value {
        Value::String(text) if Line::parse(text).is_ok() => into.push(text.clone()),
        Value::Array(values) => values.iter().for_each(|value| strings(value, into)),
        Value::Object(members) => members.values().for_each(|value| strings(value, into)),
        _ => {}
    }
}

/// Queries of a capture with their answers, each way of carrying them.
fn messages(path: &Path, into: &Path, name: &str) -> Done {
    let mut reader = CaptureReader::open(path)?;
    let (mut query, mut at) = (Vec::new(), 0);
    while let Ok(Some(packet)) = reader.next_packet() {
        let Ok(ip) = packet.content else { continue };
        let Ok(packet) = Packet::parse(ip.bytes, ip.original_len) else {
            continue;
        };
        match (packet.udp(), packet.ports()) {
            (Some(udp), Some((_, 53))) => query = udp.payload.to_vec(),
            (Some(udp), Some((53, _))) => {
                for flags in 0..4_u8 {
                    let length = u16::try_from(query.len())?.to_be_bytes();
                    let input = [&[flags], length.as_slice(), &query, udp.payload].concat();
                    at += 1;
                    put(into, "dns", &format!("{name}-{at}"), &input)?;
                }
            }
            _ => {}
        }
    }
    Ok(())
}

/// What a recorder writes of a short session.
fn recording(into: &Path) -> Done {
    let folder = into.join("recording");
    fs::create_dir_all(&folder)?;
    let now = Micros::from_secs(1);
    let config = Config {
        seed: Some(1),
        ..Config::default()
    };
    let wall = Duration::from_secs(1_700_000_000);
    let mut recorder = Recorder::create(&folder.join("session.pcapng"), None, &config, now, wall)?;
    let mut engine = Engine::new(config)?;
    let (client, server) = ("10.0.0.2:40000".parse()?, "203.0.113.7:443".parse()?);
    let mut first = Seq(0);
    for step in 0..5_u32 {
        let spec = build::TcpSpec {
            sequence: Seq(if step == 0 { 100 } else { 101 + (step - 1) * 5 }),
            acknowledgement: Seq(first.0.wrapping_add(1)),
            flags: match step {
                0 => Flags::SYN,
                4 => Flags::ACK.with(Flags::FIN),
                _ => Flags::ACK,
            },
            payload: if step == 0 || step == 4 {
                b""
            } else {
                b"hello"
            },
            ..build::TcpSpec::new(client, server)
        };
        let frames = [build::tcp(&spec), build::udp(client, server, b"datagram")];
        for frame in &frames {
            recorder.frame_in(now, frame);
        }
        engine.handle_frames(now, frames.iter().map(Vec::as_slice));
        let mut dialed = Vec::new();
        let mut to_end = Vec::new();
        loop {
            while let Some(output) = engine.poll_output(now) {
                match output {
                    Output::Frames(frames) => {
                        for frame in frames {
                            recorder.frame_out(now, frame);
                            if let Ok(packet) = Packet::whole(frame)
                                && let Some(tcp) = packet.tcp()
                                && tcp.flags.contains(Flags::SYN)
                            {
                                first = tcp.sequence;
                            }
                        }
                    }
                    Output::Dial { flow, key, name } => {
                        recorder.dial(now, flow, key, name);
                        dialed.push(flow);
                    }
                    Output::Data { flow, bytes } => {
                        recorder.took(now, flow, bytes.took_all().len());
                        to_end.push(flow);
                    }
                    Output::Datagram { flow, payload, .. } => {
                        recorder.datagram(now, flow, None, payload.len());
                    }
                    Output::HalfClose { flow } => recorder.half_close(now, flow),
                    Output::Close { flow, close, .. } => recorder.close(now, flow, close),
                    _ => {}
                }
            }
            if let Some(flow) = dialed.pop() {
                recorder.dial_result(now, flow, DialResult::Connected);
                engine.dial_result(now, flow, DialResult::Connected)?;
            } else if let Some(flow) = to_end.pop() {
                recorder.remote_data(now, flow, b"answer");
                engine.remote_data(now, flow, b"answer").ok();
                if step == 3 {
                    recorder.remote_closed(now, flow, RemoteEnd::Eof);
                    engine.remote_closed(now, flow, RemoteEnd::Eof).ok();
                }
            } else {
                break;
            }
        }
    }
    recorder.path_changed(now, "wifi to cellular");
    recorder.commit();
    Ok(())
}

/// Lines of both sides.
const SESSION: &str = "\
start 1 {\"mtu\": 1400, \"tcp_limit\": 4, \"dns_interception\": true}
at 1000
frame 4500002800000000400666c60a000002cb0071079c4001bb0000006400000000500200000000000000
poll
dialed 1 connected
data 1 68656c6c6f
datagram 2 203.0.113.7:53 00
datagram 2 - 00
block 1
unblock 1
take 1 10
end 1 eof
resolved 3 60 198.51.100.7,2001:db8::7
resolved 3 not_found
path
address 10.0.0.2
stop
poll
hello 1 engine 0.1.0 deterministic
took 5
dial 1 tcp 10.0.0.2:40000 203.0.113.7:443 a.example
half_close 1
resume 1 100
close 1 device fin
dns 1 60 198.51.100.7 a.example
resolve 3 aaaa a.example
next 2000 rest
next never
";
