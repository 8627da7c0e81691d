//! Replays a corpus of captures made elsewhere and compares each flow's streams with what an independent reader found.
//!
//! The corpus is a folder with the captures, a `MANIFEST.json` and a `TRUTH.json`; the environment variable
//! `REPLAY_CORPUS` names it. Without it nothing is tested, and a line says so.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::sync::mpsc;
use std::time::Duration;
use std::{env, fs, thread};

use serde_json::Value;

/// An answer that takes longer than this counts as none, also in a debug build on a busy machine.
const PATIENCE: Duration = Duration::from_secs(300);

/// Bytes and datagrams, up and down.
type Counts = [u64; 4];

#[test]
fn every_flow_of_the_corpus_replays_with_the_bytes_an_independent_reader_found() {
    let Some(folder) = env::var_os("REPLAY_CORPUS") else {
        println!(
            "skipped: REPLAY_CORPUS does not name a folder with captures, MANIFEST.json and TRUTH.json"
        );
        return;
    };
    let folder = Path::new(&folder);
    let manifest = by_file(&folder.join("MANIFEST.json"));
    let truth = by_file(&folder.join("TRUTH.json"));
    assert!(!manifest.is_empty(), "the manifest lists no file");
    let nothing = Value::Null;
    let mut faults = Vec::new();
    for (file, listed) in &manifest {
        let case = Case {
            file,
            listed,
            truth: truth.get(file).unwrap_or(&nothing),
        };
        faults.extend(case.faults(folder));
    }
    assert!(
        faults.is_empty(),
        "{} fault(s):\n{}",
        faults.len(),
        faults.join("\n")
    );
    println!("{} files replayed", manifest.len());
}

fn by_file(path: &Path) -> BTreeMap<String, Value> {
    let text =
        fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let entries: Vec<Value> = serde_json::from_str(&text).expect("a JSON list");
    entries
        .into_iter()
        .map(|entry| {
            (
                entry["file"]
                    .as_str()
                    .expect("an entry names its file")
                    .to_owned(),
                entry,
            )
        })
        .collect()
}

/// One capture with what is known of it.
struct Case<'a> {
    file: &'a str,
    listed: &'a Value,
    /// `null` for a file with too many flows to list.
    truth: &'a Value,
}

impl Case<'_> {
    fn faults(&self, folder: &Path) -> Vec<String> {
        let say = |what: String| format!("{}: {what}", self.file);
        let Some(output) = replay_try(&folder.join(self.file)) else {
            return vec![say("no answer in time".to_owned())];
        };
        let told = String::from_utf8_lossy(&output.stderr);
        let told = told.trim();
        let code = match output.status.code() {
            Some(code @ (0 | 1 | 3 | 4)) if !told.contains("panicked at") => code,
            code => return vec![say(format!("exit code {code:?}: {told}"))],
        };
        let mut faults = self.damage_faults(code, told);
        let tcp = self.whole_tcp_flows();
        let udp = self.udp_counts();
        if code == 3 && output.stdout.is_empty() && tcp.is_empty() && udp.is_empty() {
            // Nothing could be read at all; the message has said so.
            return faults.into_iter().map(say).collect();
        }
        match serde_json::from_slice::<Value>(&output.stdout) {
            Ok(report) if report["schema"] == 1 && report["flows"].is_array() => {
                let mut flows: Vec<Flow> = Vec::new();
                let told = report["flows"].as_array().into_iter().flatten();
                // A ping is a flow of the report, and none of the truth.
                for flow in told.filter(|flow| flow["proto"] != "icmp") {
                    match Flow::read(flow) {
                        Some(flow) => flows.push(flow),
                        None => faults.push(format!("not a flow: {flow}")),
                    }
                }
                let failed = flows.iter().any(|flow| flow.verdict == "fail");
                if !matches!(code, 3 | 4) && (code == 1) != failed {
                    faults.push(format!("exit code {code}, but a flow failed: {failed}"));
                }
                if self.truth.is_null() && !flows.iter().any(|flow| flow.verdict == "pass") {
                    faults.push("no flow passed".to_owned());
                }
                faults.extend(tcp_faults(&tcp, &mut flows));
                faults.extend(udp_faults(&udp, &flows));
            }
            other => faults.push(format!(
                "exit code {code}, and no report on standard output: {other:?}"
            )),
        }
        faults.into_iter().map(say).collect()
    }

    /// The exit code 3 is for damaged files, says why, and is for no others.
    fn damage_faults(&self, code: i32, told: &str) -> Vec<String> {
        let damaged = self
            .listed
            .get("file_damage")
            .is_some_and(|damage| !damage.is_null());
        let refused_elsewhere = self.listed["tshark_exit"]
            .as_i64()
            .is_some_and(|code| code != 0);
        let mut faults = Vec::new();
        if code == 3 && told.is_empty() {
            faults.push("exit code 3 without a word".to_owned());
        }
        if damaged && code != 3 {
            faults.push(format!("damaged, but exit code {code}"));
        }
        if code == 3 && !damaged && !refused_elsewhere {
            faults.push(format!("a sound file was called damaged: {told}"));
        }
        faults
    }

    /// The TCP flows that the capture holds from the handshake on, without a hole.
    fn whole_tcp_flows(&self) -> Vec<&Value> {
        let flows = self.truth["tcp_flows"].as_array();
        flows
            .into_iter()
            .flatten()
            .filter(|flow| flow["syn"] == true && flow["syn_ack"] == true)
            .filter(|flow| {
                flow["client_to_server"]["complete"] == true
                    && flow["server_to_client"]["complete"] == true
            })
            .collect()
    }

    /// What each pair of unicast UDP endpoints said, datagrams that the file holds only in part left out.
    fn udp_counts(&self) -> BTreeMap<(SocketAddr, SocketAddr), Counts> {
        let mut counts = BTreeMap::new();
        for flow in self.truth["udp_flows"].as_array().into_iter().flatten() {
            let (client, server) = (endpoint(&flow["client"]), endpoint(&flow["server"]));
            let (Some(client), Some(server)) = (client, server) else {
                continue;
            };
            if !is_a_hosts(client) || !is_a_hosts(server) {
                continue;
            }
            let counted = flow.get("whole_in_file").unwrap_or(flow);
            let names = ["bytes_c2s", "datagrams_c2s", "bytes_s2c", "datagrams_s2c"];
            let sum: &mut Counts = counts.entry((client, server)).or_default();
            for (total, name) in sum.iter_mut().zip(names) {
                *total += counted[name].as_u64().unwrap_or(0);
            }
        }
        counts.retain(|_, counts| counts.iter().any(|count| *count > 0));
        counts
    }
}

/// Runs `replay try`; `None` if no answer came in time.
fn replay_try(capture: &Path) -> Option<Output> {
    let child = Command::new(env!("CARGO_BIN_EXE_replay"))
        .arg("try")
        .arg(capture)
        .args(["--device", "any", "--format", "json"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the command starts");
    let id = child.id();
    let (done, answer) = mpsc::channel();
    thread::spawn(move || done.send(child.wait_with_output()));
    match answer.recv_timeout(PATIENCE) {
        Ok(output) => Some(output.expect("the command can be waited for")),
        Err(_) => {
            // Nothing waits for it any more: end it, so that it does not outlive the test.
            let _ = Command::new("kill").arg(id.to_string()).status();
            None
        }
    }
}

/// One flow of a report.
#[derive(Debug)]
struct Flow {
    tcp: bool,
    client: SocketAddr,
    server: SocketAddr,
    verdict: String,
    up: Value,
    down: Value,
    /// An earlier flow of the truth is this one.
    claimed: bool,
}

impl Flow {
    /// `None` unless the flow has all that a report promises.
    fn read(flow: &Value) -> Option<Self> {
        let verdict = flow["verdict"].as_str()?;
        let judged = match verdict {
            "pass" => true,
            "partial" if flow["invented_bytes"] == 0 => false,
            "partial" | "fail" | "unreplayable" => flow["reason"]
                .as_str()
                .is_some_and(|reason| !reason.is_empty()),
            _ => false,
        };
        let proto = flow["proto"].as_str()?;
        let (up, down) = (flow["upstream"].clone(), flow["downstream"].clone());
        let counted =
            |side: &Value| side["bytes"].is_u64() && (proto == "tcp" || side["datagrams"].is_u64());
        (judged && matches!(proto, "tcp" | "udp") && counted(&up) && counted(&down)).then_some(
            Self {
                tcp: proto == "tcp",
                client: endpoint(&flow["client"])?,
                server: endpoint(&flow["server"])?,
                verdict: verdict.to_owned(),
                up,
                down,
                claimed: false,
            },
        )
    }

    fn counts(&self) -> Counts {
        let number = |side: &Value, name| side[name].as_u64().unwrap_or(0);
        [
            number(&self.up, "bytes"),
            number(&self.up, "datagrams"),
            number(&self.down, "bytes"),
            number(&self.down, "datagrams"),
        ]
    }
}

/// Each whole flow must be there with both streams equal, one reported flow for each.
fn tcp_faults(wanted: &[&Value], flows: &mut [Flow]) -> Vec<String> {
    let mut faults = Vec::new();
    for truth in wanted {
        let (up, down) = (&truth["client_to_server"], &truth["server_to_client"]);
        let (client, server) = (endpoint(&truth["client"]), endpoint(&truth["server"]));
        let is_it = |flow: &&mut Flow| {
            flow.tcp && !flow.claimed && Some(flow.client) == client && Some(flow.server) == server
        };
        let found = flows.iter_mut().filter(is_it).find(|flow| {
            flow.verdict == "pass" && same(&flow.up, up) && delivered(&flow.down, truth)
        });
        if let Some(flow) = found {
            flow.claimed = true;
            continue;
        }
        let got: Vec<_> = flows
            .iter_mut()
            .filter(is_it)
            .map(|flow| {
                format!(
                    "{} with {} up, {} down",
                    flow.verdict, flow.up["bytes"], flow.down["bytes"]
                )
            })
            .collect();
        faults.push(format!(
            "tcp {} > {}: wanted {} up, {} down; got {got:?}",
            truth["client"], truth["server"], up["bytes"], down["bytes"]
        ));
    }
    faults
}

fn same(side: &Value, truth: &Value) -> bool {
    side["bytes"] == truth["bytes"] && (truth["bytes"] == 0 || side["sha256"] == truth["sha256"])
}

/// All that the far side sent; of a flow that the device cut short, at least what it had acknowledged.
fn delivered(side: &Value, truth: &Value) -> bool {
    let (down, took) = (&truth["server_to_client"], &truth["device_took"]);
    let number = |value: &Value| value["bytes"].as_u64();
    same(side, down)
        || (number(took).is_some()
            && number(took) <= number(side)
            && number(side) < number(down)
            && (number(side) > number(took) || same(side, took)))
}

/// Each pair's datagrams must all have been relayed, summed where they were told apart as several flows.
fn udp_faults(wanted: &BTreeMap<(SocketAddr, SocketAddr), Counts>, flows: &[Flow]) -> Vec<String> {
    let mut faults = Vec::new();
    for ((client, server), want) in wanted {
        let between = |a, b| {
            flows
                .iter()
                .filter(move |flow| !flow.tcp && (flow.client, flow.server) == (a, b))
        };
        let mut have = [0; 4];
        let mut passed = between(*client, *server).next().is_some();
        for flow in between(*client, *server) {
            passed &= flow.verdict == "pass";
            have.iter_mut()
                .zip(flow.counts())
                .for_each(|(sum, count)| *sum += count);
        }
        // After a long silence the far side may have been the first to speak.
        if !wanted.contains_key(&(*server, *client)) {
            for flow in between(*server, *client) {
                passed &= flow.verdict == "pass";
                let [up, up_datagrams, down, down_datagrams] = flow.counts();
                let turned = [down, down_datagrams, up, up_datagrams];
                have.iter_mut()
                    .zip(turned)
                    .for_each(|(sum, count)| *sum += count);
            }
        }
        if !passed || have != *want {
            faults.push(format!(
                "udp {client} > {server}: wanted {want:?}; got {have:?}, all passed: {passed}"
            ));
        }
    }
    faults
}

fn endpoint(value: &Value) -> Option<SocketAddr> {
    value.as_str()?.parse().ok()
}

/// Whether a device may speak from or to this endpoint.
fn is_a_hosts(endpoint: SocketAddr) -> bool {
    let address = endpoint.ip();
    let odd = match address {
        IpAddr::V4(address) => {
            let [first, .., last] = address.octets();
            first == 0 || first >= 240 || last == 255
        }
        IpAddr::V6(_) => false,
    };
    !(odd || address.is_multicast() || address.is_unspecified() || address.is_loopback())
        && endpoint.port() != 0
}
