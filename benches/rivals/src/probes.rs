//! Probes: what a stack does where stacks are known to go wrong. Each in a process of its own.

use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use replay::load::{FlowPlan, Side};
use serde::{Deserialize, Serialize};

use crate::clock::{Meter, resident};
use crate::contender::{Contender, Preset};
use crate::load::{Load, Manner, lock};
use crate::run;
use crate::stacks::{Buffers, Kind, Settings};
use crate::table::output;

/// A probe that takes longer has failed.
const LIMIT: Duration = Duration::from_secs(25);
/// How long a dialer that never reads is pushed at.
const PUSHED: Duration = Duration::from_secs(2);
/// How late a late answer is.
pub const LATE: Duration = Duration::from_millis(50);

/// Who is probed: the engine in its driver's loop, the others with the settings that suit them.
const PROBED: [Contender; 4] = [
    Contender::Ours(Preset::Default),
    Contender::Rival(Kind::NetstackSmoltcp, Buffers::Default),
    Contender::Rival(Kind::Ipstack, Buffers::Bytes(65_535)),
    Contender::Rival(Kind::Lwip, Buffers::Default),
];

/// A probe by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Probe {
    /// Every SYN arrives twice.
    DuplicateSyn,
    /// The dialer takes nothing, the device pushes.
    NeverReads,
    /// The FIN stands on the last segment with text.
    FinWithText,
    /// The device ends its stream after the question, the dialer answers later.
    HalfClose,
    /// The dialer speaks first, at once.
    SpeaksFirst,
    /// Every 64th frame changes places with the next.
    Reordering,
    /// The device closes first.
    DeviceClosesFirst,
    /// The dialer closes first.
    DialerClosesFirst,
    /// Frames of 9,000 bytes.
    Jumbo,
    /// A thousand downloads at once.
    ManyDownloads,
}

/// What came of a probe.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Finding {
    /// Whether the stack did what it should.
    pub good: bool,
    /// What it did.
    pub said: String,
}

/// All findings of a probe, in the order of the contenders.
#[derive(Debug)]
pub struct Row {
    probe: Probe,
    findings: Vec<Option<Finding>>,
}

impl Probe {
    /// All of them.
    pub const ALL: [Self; 10] = [
        Self::DuplicateSyn,
        Self::NeverReads,
        Self::FinWithText,
        Self::HalfClose,
        Self::SpeaksFirst,
        Self::Reordering,
        Self::DeviceClosesFirst,
        Self::DialerClosesFirst,
        Self::Jumbo,
        Self::ManyDownloads,
    ];

    /// Its name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::DuplicateSyn => "duplicate-syn",
            Self::NeverReads => "never-reads",
            Self::FinWithText => "fin-with-text",
            Self::HalfClose => "half-close",
            Self::SpeaksFirst => "speaks-first",
            Self::Reordering => "reordering",
            Self::DeviceClosesFirst => "device-closes-first",
            Self::DialerClosesFirst => "dialer-closes-first",
            Self::Jumbo => "jumbo",
            Self::ManyDownloads => "many-downloads",
        }
    }

    /// The probe of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|probe| probe.name() == name)
    }

    /// What is done, and what should come of it.
    const fn what(self) -> &'static str {
        match self {
            Self::DuplicateSyn => "every SYN twice, 50 flows: 50 dials",
            Self::NeverReads => {
                "the dialer never reads, the device pushes 256 MiB for 2 s: at most 1 MiB is taken"
            }
            Self::FinWithText => {
                "FIN on the last segment with text, 100 flows: all close, nothing is sent again"
            }
            Self::HalfClose => {
                "the device ends its stream after 200 bytes, 100 flows; the dialer answers 50 ms later: every answer arrives"
            }
            Self::SpeaksFirst => {
                "the dialer sends 5,000 bytes as soon as it is there, 50 flows: intact"
            }
            Self::Reordering => "every 64th frame changes places with the next, 32 MiB: intact",
            Self::DeviceClosesFirst => {
                "2,000 short connections, the device closes first: all close, and the dialers' ends too"
            }
            Self::DialerClosesFirst => {
                "2,000 short connections, the dialer closes first: all close, and the dialers' ends too"
            }
            Self::Jumbo => "MTU 9000, 64 MiB up: arrives",
            Self::ManyDownloads => "1,000 downloads of 256 KiB at once: all arrive",
        }
    }

    const fn mtu(self) -> usize {
        match self {
            Self::Jumbo => 9000,
            _ => 1500,
        }
    }

    /// Plans of its flows, how many connections there are in all, how the far ends behave, what goes wrong on the link.
    fn setting(self) -> (Vec<FlowPlan>, u64, Manner) {
        let manner = Manner::default();
        let short = FlowPlan::new(200, 1000);
        match self {
            Self::DuplicateSyn => (
                vec![FlowPlan::new(5000, 5000); 50],
                50,
                Manner {
                    double_syn: true,
                    ..manner
                },
            ),
            Self::NeverReads => (
                vec![stays(256 << 20, 0)],
                1,
                Manner {
                    never_reads: true,
                    ..manner
                },
            ),
            Self::FinWithText => {
                let plan = FlowPlan {
                    fin_with_data: true,
                    ..FlowPlan::new(1000, 0)
                };
                (vec![plan; 100], 100, manner)
            }
            Self::HalfClose => {
                let plan = FlowPlan {
                    ends_early: true,
                    ..FlowPlan::new(200, 5000)
                };
                (
                    vec![plan; 100],
                    100,
                    Manner {
                        late: Some(LATE),
                        ..manner
                    },
                )
            }
            Self::SpeaksFirst => (
                vec![FlowPlan::new(200, 5000); 50],
                50,
                Manner {
                    at_once: true,
                    ..manner
                },
            ),
            Self::Reordering => (
                vec![stays(32 << 20, 0)],
                1,
                Manner {
                    swaps: 64,
                    ..manner
                },
            ),
            Self::DeviceClosesFirst => (vec![short; 64], 2000, manner),
            Self::DialerClosesFirst => {
                let plan = FlowPlan {
                    closes_first: Side::Remote,
                    ..short
                };
                (vec![plan; 64], 2000, manner)
            }
            Self::Jumbo => (vec![stays(64 << 20, 0)], 1, manner),
            Self::ManyDownloads => (vec![stays(100, 256 << 10); 1000], 1000, manner),
        }
    }
}

/// A flow that is not closed: who cannot close is for other probes to tell.
fn stays(up: u64, down: u64) -> FlowPlan {
    let mut plan = FlowPlan::new(up, down);
    plan.stays_open = true;
    plan
}

/// Runs a probe in this process.
///
/// # Errors
/// The contender cannot be probed this way.
pub fn run(probe: Probe, contender: Contender) -> Result<Finding, String> {
    let (plans, lives, manner) = probe.setting();
    let flows = plans.len();
    let meter = Arc::new(Meter::new());
    let mut load = Load::of_plans(plans, lives, probe.mtu(), meter);
    load.set_manner(manner);
    if probe == Probe::NeverReads {
        load.set_end(PUSHED);
    }
    let shared = Arc::new(Mutex::new(load));
    let task = Arc::clone(&shared);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_time()
        .build()
        .map_err(|problem| problem.to_string())?;
    let before = resident();
    let done = runtime.spawn(async move {
        let mtu = probe.mtu();
        match contender {
            Contender::Ours(preset) => {
                let handle = run::driver::run(preset, flows, mtu, Arc::clone(&task)).await?;
                tokio::time::sleep(LATE).await;
                let left = handle.mailbox().flows();
                handle.stop();
                Ok(left)
            }
            Contender::Rival(kind, buffers) => {
                let settings = Settings { mtu, buffers };
                let stack = run::rival::run(kind, settings, Arc::clone(&task)).await?;
                // Whether the dialers' ends close is seen a second later: some wait for timers.
                tokio::time::sleep(Duration::from_secs(1)).await;
                let left = lock(&task).open_ends();
                drop(stack);
                Ok(left)
            }
            _ => Err("not probed".to_owned()),
        }
    });
    let result = runtime
        .block_on(done)
        .map_err(|problem| problem.to_string())?;
    let grown = resident().saturating_sub(before) >> 20;
    let load = lock(&shared);
    let finding = judge(probe, &load, result, grown);
    drop(load);
    runtime.shutdown_background();
    Ok(finding)
}

fn judge(probe: Probe, load: &Load, result: Result<usize, String>, grown: u64) -> Finding {
    let finding = |good, said: String| Finding { good, said };
    let totals = load.device().totals();
    let left = match result {
        Ok(left) => left,
        Err(problem) if probe == Probe::DuplicateSyn => {
            return finding(false, format!("{} dials; {problem}", load.dials()));
        }
        Err(problem) => return finding(false, problem),
    };
    match probe {
        Probe::DuplicateSyn => {
            let dials = load.dials();
            finding(dials == 50, format!("{dials} dials"))
        }
        Probe::NeverReads => {
            let taken = load.taken();
            finding(
                taken <= 1 << 20,
                format!("takes {} KiB, {grown} MiB more resident", taken >> 10),
            )
        }
        Probe::FinWithText => finding(
            totals.retransmissions == 0 && left == 0,
            match (totals.retransmissions, left) {
                (0, 0) => "all close".to_owned(),
                (0, left) => format!("{left} dialers' ends stay open"),
                (again, _) => format!("{again} segments sent again"),
            },
        ),
        Probe::HalfClose
        | Probe::DeviceClosesFirst
        | Probe::DialerClosesFirst
        | Probe::SpeaksFirst
            if left > 0 =>
        {
            finding(false, format!("{left} dialers' ends stay open"))
        }
        _ => finding(true, "ok".to_owned()),
    }
}

/// Runs all probes on all contenders, each in a process of its own.
///
/// # Errors
/// This program is not found.
pub fn all(quick: bool) -> Result<Vec<Row>, String> {
    let program = std::env::current_exe().map_err(|problem| problem.to_string())?;
    let mut rows = Vec::new();
    for probe in Probe::ALL {
        let mut findings = Vec::new();
        for contender in PROBED {
            if quick && !matches!(contender, Contender::Ours(_)) {
                findings.push(None);
                continue;
            }
            if probe == Probe::Jumbo && matches!(contender, Contender::Rival(Kind::Lwip, _)) {
                findings.push(None);
                continue;
            }
            let mut command = Command::new(&program);
            command.args(["probe", &contender.name(), probe.name()]);
            let finding = output(command, LIMIT)
                .and_then(|text| {
                    serde_json::from_str::<Finding>(&text).map_err(|problem| problem.to_string())
                })
                .unwrap_or_else(|problem| Finding {
                    good: false,
                    said: problem,
                });
            eprintln!("{} {}: {}", contender.name(), probe.name(), finding.said);
            findings.push(Some(finding));
        }
        rows.push(Row { probe, findings });
    }
    Ok(rows)
}

/// The findings as a table in Markdown.
#[must_use]
pub fn render(rows: &[Row]) -> String {
    let names = PROBED.map(Contender::name);
    let head = format!(
        "| probe | {} |\n|---|{}\n",
        names.join(" | "),
        "---|".repeat(PROBED.len())
    );
    let lines = rows.iter().map(|row| {
        let cells: Vec<String> = row.findings.iter().map(cell).collect();
        format!("| {} | {} |\n", row.probe.what(), cells.join(" | "))
    });
    std::iter::once(head).chain(lines).collect()
}

fn cell(finding: &Option<Finding>) -> String {
    match finding {
        None => "-".to_owned(),
        Some(Finding { good: true, said }) => said.clone(),
        Some(Finding { good: false, said }) => format!("**fails**: {said}"),
    }
}

/// Whether ours passes all of them.
#[must_use]
pub fn ours_passes(rows: &[Row]) -> bool {
    rows.iter()
        .all(|row| matches!(row.findings.first(), Some(Some(Finding { good: true, .. }))))
}
