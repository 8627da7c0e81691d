//! Captures made in the tests themselves.

use std::net::SocketAddr;

use replay::capture::import::{ImportOptions, import};
use replay::packet::build::{self, TcpSpec};
use replay::packet::{Flags, Seq};
use replay::verdict::attempt::{Attempt, FlowAttempt, FlowVerdict, TryOptions, try_capture};
use replay::verdict::run::{RunOptions, run_file};

pub(crate) const SYN: Flags = Flags::SYN;
pub(crate) const ACK: Flags = Flags::ACK;
pub(crate) const SYN_ACK: Flags = Flags(0x12);
pub(crate) const FIN_ACK: Flags = Flags(0x11);
pub(crate) const RST_ACK: Flags = Flags(0x14);

/// A capture under construction: raw IP packets (link type 101), a step apart, and one TCP connection.
pub(crate) struct Trace {
    pub(crate) records: Vec<u8>,
    pub(crate) at_us: u64,
    pub(crate) step_us: u64,
    pub(crate) isns: (u32, u32),
    pub(crate) window: u16,
}

impl Default for Trace {
    fn default() -> Self {
        Self {
            records: Vec::new(),
            at_us: 0,
            step_us: 1000,
            isns: (1000, 5000),
            window: 60_000,
        }
    }
}

impl Trace {
    /// With the connection open.
    pub(crate) fn open() -> Self {
        let mut trace = Self::default();
        trace.device(SYN, 0, 0, b"");
        trace.server(SYN_ACK, 0, 1, b"");
        trace.device(ACK, 1, 1, b"");
        trace
    }

    /// A segment of the device; numbers count from the ISNs.
    pub(crate) fn device(
        &mut self,
        flags: Flags,
        sequence: u32,
        acknowledgement: u32,
        payload: &[u8],
    ) {
        let (isn, far_isn) = self.isns;
        let mut spec = TcpSpec::new(address("10.0.0.2:40000"), address("93.184.216.34:443"));
        spec.sequence = Seq(isn.wrapping_add(sequence));
        spec.acknowledgement = Seq(far_isn.wrapping_add(acknowledgement));
        self.segment(spec, flags, payload);
    }

    /// A segment of the server.
    pub(crate) fn server(
        &mut self,
        flags: Flags,
        sequence: u32,
        acknowledgement: u32,
        payload: &[u8],
    ) {
        let (far_isn, isn) = self.isns;
        let mut spec = TcpSpec::new(address("93.184.216.34:443"), address("10.0.0.2:40000"));
        spec.sequence = Seq(isn.wrapping_add(sequence));
        spec.acknowledgement = Seq(far_isn.wrapping_add(acknowledgement));
        self.segment(spec, flags, payload);
    }

    pub(crate) fn segment(&mut self, spec: TcpSpec<'_>, flags: Flags, payload: &[u8]) {
        self.packet(&build::tcp(&TcpSpec {
            flags,
            window: self.window,
            payload,
            ..spec
        }));
    }

    pub(crate) fn packet(&mut self, bytes: &[u8]) {
        self.cut(bytes, bytes.len());
    }

    /// A packet of which the capture holds so many bytes.
    pub(crate) fn cut(&mut self, bytes: &[u8], captured: usize) {
        self.at_us += self.step_us;
        let seconds = u32::try_from(self.at_us / 1_000_000).expect("a time that fits");
        let micros = u32::try_from(self.at_us % 1_000_000).expect("below a million");
        let length = u32::try_from(bytes.len()).expect("a packet");
        let bytes = &bytes[..captured];
        let held = u32::try_from(captured).expect("a packet");
        for field in [seconds, micros, held, length] {
            self.records.extend(field.to_le_bytes());
        }
        self.records.extend(bytes);
    }

    /// The file, of raw IP packets.
    pub(crate) fn file(&self) -> Vec<u8> {
        let header: [u32; 6] = [0xa1b2_c3d4, 0x0004_0002, 0, 0, 262_144, 101];
        let mut file: Vec<u8> = header
            .iter()
            .flat_map(|field| field.to_le_bytes())
            .collect();
        file.extend(&self.records);
        file
    }

    /// Replays it with every opener as a device. What is imported from it and run must come to the same.
    pub(crate) fn replayed(&self) -> Attempt {
        let folder = tempfile::tempdir().expect("a folder");
        let capture = folder.path().join("a.pcap");
        std::fs::write(&capture, self.file()).expect("written");
        let attempt = try_capture(&capture, &TryOptions::default()).expect("a capture");
        let failed = |flow: &FlowAttempt| matches!(flow.verdict, FlowVerdict::Fail(_));
        let (imported, _) =
            import(&capture, "./a.pcap", &ImportOptions::default()).expect("a capture");
        let scenario = folder.path().join("a.json");
        std::fs::write(&scenario, imported.scenario.to_canonical_string()).expect("written");
        for outcome in run_file(&scenario, &RunOptions::default()) {
            assert_eq!(
                outcome.passed(),
                !attempt.flows.iter().any(failed),
                "`try` says {:#?}, `run` says {:#?}",
                attempt.flows,
                outcome.failures
            );
        }
        attempt
    }
}

/// The flow at `index`, which passed.
pub(crate) fn passed(attempt: &Attempt, index: usize) -> &FlowAttempt {
    let flow = attempt.flows.get(index).expect("as many flows");
    assert_eq!(flow.verdict, FlowVerdict::Pass, "{flow:?}");
    flow
}

/// Bytes up and down.
pub(crate) fn moved(flow: &FlowAttempt) -> (u64, u64) {
    (flow.upstream.bytes, flow.downstream.bytes)
}

pub(crate) fn address(text: &str) -> SocketAddr {
    text.parse().expect("an address")
}
