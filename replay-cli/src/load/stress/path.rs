//! A path in a stress scenario: its words, their bounds, and what it carries.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Stress, plan};
use crate::base::duration::{Micros, Size};
use crate::load::{self, Lane, LaneTotals};

/// The path between the device and the engine, in virtual time. With it the device's side is a TCP of its own: NewReno,
/// losses told from SACK and time, a timeout of at least 200 ms beyond the round trip.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PathPlan {
    /// The round trip, half of it each way; at most 10 s.
    #[serde(default)]
    pub rtt: Micros,
    /// What it does to frames from the device.
    #[serde(default, skip_serializing_if = "WayPlan::is_plain")]
    pub up: WayPlan,
    /// What it does to frames toward the device.
    #[serde(default, skip_serializing_if = "WayPlan::is_plain")]
    pub down: WayPlan,
    /// How long the device delays the acknowledgement of a single segment, at most 500 ms; absent: it acknowledges each.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ack_delay: Option<Micros>,
    /// What decides which frames are lost, late or held back.
    #[serde(default)]
    pub seed: u64,
}

/// What a path does one way.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WayPlan {
    /// By how much more than half the round trip a frame is on its way at the most, 10 s at the most; none overtakes
    /// another for that.
    #[serde(default, skip_serializing_if = "super::is_zero")]
    pub jitter: Micros,
    /// Bytes of packets a second, at least 1 KiB; absent: any number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bandwidth: Option<Size>,
    /// Bytes of packets that may wait for the bandwidth; absent: what it carries in a round trip, and at least 64 KiB.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub queue: Option<Size>,
    /// Share of the frames that are lost, each by itself, 0 to 0.5.
    #[serde(default, skip_serializing_if = "is_nothing")]
    #[schemars(range(min = 0, max = 0.5))]
    pub loss: f64,
    /// Losses in bursts, beside those one by one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bursts: Option<Bursts>,
    /// Share of the frames that are held back, so that others overtake them, 0 to 0.5.
    #[serde(default, skip_serializing_if = "is_nothing")]
    #[schemars(range(min = 0, max = 0.5))]
    pub reorder: f64,
    /// For how long; absent: an eighth of the round trip.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reorder_by: Option<Micros>,
}

/// Losses in bursts, by Gilbert's model: within a burst every frame is lost.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Bursts {
    /// With which probability a frame begins a burst, above 0 to 0.5.
    #[schemars(range(min = 0, max = 0.5))]
    pub begin: f64,
    /// With which probability the frame after a lost one ends it, above 0 to 1: a burst has 1 / `end` frames in the mean.
    #[schemars(range(min = 0, max = 1))]
    pub end: f64,
}

/// A row of a table of paths: the scenario is played with these values, once for each direction that has a limit.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Case {
    /// The round trip, in place of the path's.
    pub rtt: Micros,
    /// Share of the frames lost in the direction of the bytes, in place of the path's.
    pub loss: f64,
    /// Bytes of each flow in that direction; nothing goes the other way.
    pub bytes: Size,
    /// From the device: the least goodput, as `limits.goodput` has it. Absent: not played.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub up: Option<f64>,
    /// The same toward the device.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub down: Option<f64>,
}

/// A limit on goodput.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GoodputLimit {
    /// The least share of what the path carries that each direction with bytes must reach, 0 to 1.
    #[schemars(range(min = 0, max = 1))]
    pub at_least: f64,
}

/// What a path did, each way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, JsonSchema)]
pub struct OnPath {
    /// From the device.
    pub up: OnWay,
    /// Toward the device.
    pub down: OnWay,
}

/// What became of the frames of one way of a path, and how fast its bytes went.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, JsonSchema)]
pub struct OnWay {
    /// Frames that set out.
    pub frames: u64,
    /// Frames that were lost.
    pub lost: u64,
    /// Frames that found the queue full.
    pub overflowed: u64,
    /// Frames that were held back.
    pub reordered: u64,
    /// How fast the bytes of streams went; absent if there were none.
    pub goodput: Option<Goodput>,
}

/// Bytes of streams over the time from the first SYN to the last byte, against what the path carries.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, JsonSchema)]
pub struct Goodput {
    /// Bytes a second.
    pub bytes_per_second: f64,
    /// Bytes a second that the path carries.
    pub path_carries: f64,
    /// What bounds that.
    pub bound: Bound,
    /// The one divided by the other.
    pub ratio: f64,
}

/// What bounds the bytes a second of a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Bound {
    /// The bandwidth, less headers.
    Bandwidth,
    /// The smaller of the receiver's window and the engine's ring, a round trip each.
    Window,
    /// Losses: M. Mathis et al. (1997), C * MSS / (RTT * sqrt(p)); C is 1.22 with an acknowledgement for each segment,
    /// 0.87 with delayed ones, and a burst counts as one loss.
    Loss,
}

impl Bound {
    /// Its name in print.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Bandwidth => "bandwidth",
            Self::Window => "window",
            Self::Loss => "losses",
        }
    }
}

fn is_nothing(share: &f64) -> bool {
    *share == 0.0
}

/// The longest round trip, jitter and delay by reordering.
const LONGEST: u64 = 10_000_000;
/// The longest delay of an acknowledgement (RFC 1122 section 4.2.3.2).
const LONGEST_ACK_DELAY: u64 = 500_000;
/// The least queue unless one is given.
const LEAST_QUEUE: u64 = 64 << 10;

impl WayPlan {
    fn is_plain(&self) -> bool {
        *self == Self::default()
    }

    fn check(&self) -> Result<(), String> {
        for (name, share) in [("loss", self.loss), ("reorder", self.reorder)] {
            if !(0.0..=0.5).contains(&share) {
                return Err(format!("`{name}` is {share}; 0 to 0.5 can be had"));
            }
        }
        if let Some(bursts) = self.bursts {
            for (name, share, most) in [("begin", bursts.begin, 0.5), ("end", bursts.end, 1.0)] {
                if !(share > 0.0 && share <= most) {
                    return Err(format!(
                        "`bursts.{name}` is {share}; above 0 to {most} can be had"
                    ));
                }
            }
        }
        if self.bandwidth.is_some_and(|rate| rate.as_bytes() < 1024) {
            return Err("`bandwidth` is below 1 KiB a second".to_owned());
        }
        if self.queue.is_some() && self.bandwidth.is_none() {
            return Err("`queue` is what waits for a `bandwidth`: give one".to_owned());
        }
        if self.reorder_by.is_some() && self.reorder == 0.0 {
            return Err(
                "`reorder_by` is how long `reorder` holds a frame back: give it".to_owned(),
            );
        }
        let by = self.reorder_by.unwrap_or_default();
        for (name, span) in [("jitter", self.jitter), ("reorder_by", by)] {
            if span.as_micros() > LONGEST {
                return Err(format!("`{name}` is {span}; 10 s at the most can be had"));
            }
        }
        Ok(())
    }

    fn lane(&self, rtt: u64) -> Lane {
        let bandwidth = self.bandwidth.map_or(0, Size::as_bytes);
        let in_a_round_trip = u128::from(bandwidth) * u128::from(rtt) / 1_000_000;
        let queue = u64::try_from(in_a_round_trip).unwrap_or(u64::MAX);
        Lane {
            delay: rtt / 2,
            jitter: self.jitter.as_micros(),
            bandwidth,
            queue: self
                .queue
                .map_or_else(|| queue.max(LEAST_QUEUE), Size::as_bytes),
            loss: self.loss,
            bursts: self.bursts.map_or((0.0, 0.0), |of| (of.begin, of.end)),
            reorder: self.reorder,
            reorder_by: self.reorder_by.map_or(rtt / 8, Micros::as_micros),
        }
    }

    /// Share of the frames that are lost, a burst counted as one.
    fn losses(&self) -> f64 {
        let bursts = self
            .bursts
            .map_or(0.0, |of| of.begin * of.end / (of.begin + of.end));
        self.loss + bursts
    }
}

impl PathPlan {
    /// A path that does nothing to frames.
    pub(crate) fn nothing() -> Self {
        Self {
            rtt: Micros::ZERO,
            up: WayPlan::default(),
            down: WayPlan::default(),
            ack_delay: None,
            seed: 1,
        }
    }

    pub(crate) fn check(&self) -> Result<(), String> {
        if self.rtt.as_micros() > LONGEST {
            return Err(format!(
                "path: `rtt` is {}; 10 s at the most can be had",
                self.rtt
            ));
        }
        let delay = self.ack_delay.unwrap_or_default();
        if delay.as_micros() > LONGEST_ACK_DELAY {
            return Err(format!(
                "path: `ack_delay` is {delay}; 500 ms at the most can be had"
            ));
        }
        self.up.check().map_err(|what| format!("path.up: {what}"))?;
        self.down
            .check()
            .map_err(|what| format!("path.down: {what}"))
    }

    pub(crate) fn ack_delay(&self) -> u64 {
        self.ack_delay.map_or(0, Micros::as_micros)
    }

    pub(crate) fn path(&self) -> load::Path {
        let rtt = self.rtt.as_micros();
        load::Path::new(self.up.lane(rtt), self.down.lane(rtt), self.seed)
    }
}

impl Stress {
    /// The scenarios that a table of cases stands for, with what distinguishes each; the scenario itself if it has
    /// none.
    #[must_use]
    pub fn each(&self) -> Vec<(String, Self)> {
        if self.cases.is_empty() {
            return vec![(String::new(), self.clone())];
        }
        let rows = self.cases.iter().flat_map(|case| {
            let ways = [("up", case.up), ("down", case.down)];
            ways.map(|(way, least)| Some((case, way, least?)))
        });
        rows.flatten()
            .map(|(case, way, least)| {
                let name = format!("{}, {} % lost, {way}", case.rtt, case.loss * 100.0);
                (name, self.of_case(case, way == "up", least))
            })
            .collect()
    }

    fn of_case(&self, case: &Case, up: bool, at_least: f64) -> Self {
        let mut scenario = Self {
            cases: Vec::new(),
            ..self.clone()
        };
        let path = scenario.path.get_or_insert_with(PathPlan::nothing);
        path.rtt = case.rtt;
        let way = if up { &mut path.up } else { &mut path.down };
        way.loss = case.loss;
        for group in &mut scenario.tcp {
            let none = Size::default();
            (group.up, group.down) = if up {
                (case.bytes, none)
            } else {
                (none, case.bytes)
            };
        }
        scenario.limits.goodput = Some(GoodputLimit { at_least });
        scenario
    }
}

/// What a path did in a run: its totals, bytes each way, and after how many microseconds the last of each arrived.
pub(crate) fn outcome(
    stress: &Stress,
    totals: [LaneTotals; 2],
    bytes: [u64; 2],
    took: [u64; 2],
) -> OnPath {
    let [up, down] = [0, 1].map(|at| OnWay {
        frames: totals[at].frames,
        lost: totals[at].lost,
        overflowed: totals[at].overflowed,
        reordered: totals[at].reordered,
        goodput: (bytes[at] > 0 && took[at] > 0).then(|| {
            let (path_carries, bound) = carries(stress, at == 0);
            let bytes_per_second = bytes[at] as f64 * 1e6 / took[at] as f64;
            Goodput {
                bytes_per_second,
                path_carries,
                bound,
                ratio: bytes_per_second / path_carries,
            }
        }),
    });
    OnPath { up, down }
}

/// The bytes of streams a second that the path carries at the most, and for what.
fn carries(stress: &Stress, up: bool) -> (f64, Bound) {
    let none = PathPlan::nothing();
    let path = stress.path.as_ref().unwrap_or(&none);
    let way = if up { &path.up } else { &path.down };
    let config = plan::config(stress);
    let most = config.mtu.saturating_sub(40) as f64;
    let flows = || stress.tcp.iter().map(|group| f64::from(group.flows));
    let segment = |group: &super::TcpGroup| group.segment.map_or(most, |of| most.min(of.into()));
    let rtt = (path.rtt.as_micros().max(1)) as f64 / 1e6;
    let window = if up {
        config.rx_most() as u64
    } else {
        (config.tx_most() as u64).min(load::DEVICE_WINDOW)
    };
    let window = window as f64 / rtt * flows().sum::<f64>();
    let mut least = (window, Bound::Window);
    let losses = way.losses() + f64::from(stress.link.loss) / 1000.0;
    if losses > 0.0 {
        let delayed = if up {
            config.ack_delay.is_some()
        } else {
            path.ack_delay() > 0
        };
        let constant = if delayed { 0.87 } else { 1.22 };
        let segments: f64 = stress
            .tcp
            .iter()
            .map(|group| segment(group) * f64::from(group.flows))
            .sum();
        let mathis = constant * segments / (rtt * losses.sqrt());
        if mathis < least.0 {
            least = (mathis, Bound::Loss);
        }
    }
    if let Some(rate) = way.bandwidth {
        let smallest = stress.tcp.iter().map(segment).fold(most, f64::min);
        let carried = rate.as_bytes() as f64 * smallest / (smallest + 40.0);
        if carried < least.0 {
            least = (carried, Bound::Bandwidth);
        }
    }
    least
}

#[cfg(test)]
mod tests;
