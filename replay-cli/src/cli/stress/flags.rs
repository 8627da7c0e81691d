//! A load made of flags, without a file.

use std::path::Path;

use clap::{Args, ValueEnum};

use super::super::Stop;
use crate::base::duration::{Micros, Size};
use crate::load::stress::{
    self, Kind, Limits, Link, PathPlan, Side, Stress, TcpGroup, UdpGroup, WayPlan,
};
use crate::scenario::{EngineSettings, Preset};

/// What flows a load has; each flag is the field of that name in a scenario.
#[derive(Debug, Args)]
pub(super) struct LoadFlags {
    /// TCP flows of a load made here, 1 to 20,000.
    #[arg(long, value_name = "N")]
    flows: Option<u32>,
    /// Bytes of each flow from the device.
    #[arg(long, value_name = "SIZE", default_value = "1MiB")]
    up: Size,
    /// Bytes of each flow toward the device.
    #[arg(long, value_name = "SIZE", default_value = "1MiB")]
    down: Size,
    /// Connections in all, each flow followed by another.
    #[arg(long, value_name = "N", requires = "flows")]
    connections: Option<u32>,
    /// How long after the ones before the next flows begin.
    #[arg(
        long,
        value_name = "DURATION",
        requires = "flows",
        hide_short_help = true
    )]
    every: Option<Micros>,
    /// How many begin together.
    #[arg(long, value_name = "N", requires = "every", hide_short_help = true)]
    together: Option<u32>,
    /// By how much at most each begins later.
    #[arg(
        long,
        value_name = "DURATION",
        requires = "flows",
        hide_short_help = true
    )]
    jitter: Option<Micros>,
    /// No byte moves before every flow is connected.
    #[arg(long, requires = "flows", hide_short_help = true)]
    waits_for_all: bool,
    /// Flows are left open once all bytes have arrived.
    #[arg(long, requires = "flows", hide_short_help = true)]
    stays_open: bool,
    /// Which side closes first.
    #[arg(long, value_name = "SIDE", value_parser = ["device", "remote"], default_value = "device", hide_short_help = true)]
    closes_first: String,
    /// The most bytes of a segment, both ways.
    #[arg(long, value_name = "N", requires = "flows")]
    segment: Option<u32>,
    /// In how many turns of question and answer both streams go.
    #[arg(long, value_name = "N", requires = "flows")]
    turns: Option<u32>,
    /// How long the device thinks between two turns.
    #[arg(long, value_name = "DURATION", requires = "turns")]
    think: Option<Micros>,
    /// Bytes a second that each app on the device reads.
    #[arg(long, value_name = "SIZE", requires = "flows", hide_short_help = true)]
    device_reads: Option<Size>,
    /// Bytes a second that each far side reads.
    #[arg(long, value_name = "SIZE", requires = "flows", hide_short_help = true)]
    remote_reads: Option<Size>,
    /// Until when the apps on the device read nothing.
    #[arg(
        long,
        value_name = "DURATION",
        requires = "flows",
        hide_short_help = true
    )]
    device_stalls_until: Option<Micros>,
    /// Until when the far sides read nothing.
    #[arg(
        long,
        value_name = "DURATION",
        requires = "flows",
        hide_short_help = true
    )]
    remote_stalls_until: Option<Micros>,
    /// Datagrams of a load made here.
    #[arg(long, value_name = "N")]
    datagrams: Option<u64>,
    /// UDP flows they are shared out over.
    #[arg(long, value_name = "N", default_value_t = 64)]
    udp_flows: u32,
    /// Bytes of each datagram.
    #[arg(long, value_name = "N", default_value_t = 512)]
    size: u32,
    /// How often the far side sends each back.
    #[arg(long, value_name = "N", requires = "datagrams")]
    replies: Option<u8>,
    /// How many datagrams a second go out, whatever comes back.
    #[arg(long, value_name = "N", requires = "datagrams")]
    per_second: Option<u64>,
    /// How many may be out without having come back.
    #[arg(long, value_name = "N", requires = "datagrams", hide_short_help = true)]
    in_flight: Option<u32>,
    /// Frames lost out of a thousand.
    #[arg(long, value_name = "N", default_value_t = 0)]
    loss: u32,
    /// Frames held back behind the next batch, out of a thousand.
    #[arg(long, value_name = "N", default_value_t = 0)]
    reorder: u32,
    /// The round trip between the device and the engine, in virtual time.
    #[arg(long, value_name = "DURATION")]
    rtt: Option<Micros>,
    /// Bytes a second between the device and the engine, each way, in virtual time.
    #[arg(long, value_name = "SIZE", requires = "rtt")]
    bandwidth: Option<Size>,
    /// What decides which frames are lost or held back.
    #[arg(long, value_name = "N", default_value_t = 1, hide_short_help = true)]
    seed: u64,
    /// The MTU of the device.
    #[arg(long, value_name = "N")]
    mtu: Option<u32>,
}

impl LoadFlags {
    /// Whether there is a load to be made.
    pub(super) fn any(&self) -> bool {
        self.flows.is_some() || self.datagrams.is_some()
    }

    /// The scenario that the flags describe.
    pub(super) fn scenario(&self, preset: Option<Preset>) -> Result<Stress, Stop> {
        let mut engine = EngineSettings::default();
        engine.preset = preset;
        if let Some(mtu) = self.mtu {
            engine.set("mtu", mtu);
        }
        let scenario = Stress {
            schema: 1,
            kind: Kind::Stress,
            title: "a load from the command line".to_owned(),
            engine,
            tcp: self.flows.iter().map(|flows| self.group(*flows)).collect(),
            udp: self.datagrams.map(|datagrams| UdpGroup {
                flows: self.udp_flows,
                datagrams,
                size: self.size,
                replies: self.replies,
                per_second: self.per_second,
                in_flight: self.in_flight,
            }),
            link: Link {
                loss: self.loss,
                reorder: self.reorder,
                seed: self.seed,
            },
            path: self.rtt.map(|rtt| self.path(rtt)),
            cases: Vec::new(),
            limits: Limits::default(),
        };
        let text = serde_json::to_string(&scenario).unwrap_or_default();
        stress::parse(Path::new("command line"), &text).map_err(Stop::usage)
    }

    fn path(&self, rtt: Micros) -> PathPlan {
        let way = WayPlan {
            bandwidth: self.bandwidth,
            ..WayPlan::default()
        };
        PathPlan {
            rtt,
            up: way.clone(),
            down: way,
            ack_delay: None,
            seed: self.seed,
        }
    }

    fn group(&self, flows: u32) -> TcpGroup {
        TcpGroup {
            flows,
            up: self.up,
            down: self.down,
            connections: self.connections,
            every: self.every.unwrap_or_default(),
            together: self.together,
            jitter: self.jitter.unwrap_or_default(),
            waits_for_all: self.waits_for_all,
            segment: self.segment,
            turns: self.turns,
            think: self.think.unwrap_or_default(),
            closes_first: match self.closes_first.as_str() {
                "remote" => Side::Remote,
                _ => Side::Device,
            },
            stays_open: self.stays_open,
            device_stalls_until: self.device_stalls_until.unwrap_or_default(),
            remote_stalls_until: self.remote_stalls_until.unwrap_or_default(),
            device_reads: self.device_reads,
            remote_reads: self.remote_reads,
        }
    }
}

/// A preset by the name that scenarios have for it, with hyphens as well.
pub(super) fn preset(text: &str) -> Result<Preset, String> {
    Preset::from_str(&text.replace('-', "_"), true)
        .map_err(|_| "the presets are many_flows and phone".to_owned())
}
