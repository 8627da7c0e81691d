//! What is wrong with the packets of a capture.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;

use super::count_reason;
use crate::base::wording::{counted, seconds};
use crate::packet::{Checksum, Malformed, Packet};

/// What is wrong with the packets of a capture, counted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Problems {
    /// IPv4 headers with a wrong checksum.
    pub bad_ip_checksums: u64,
    /// TCP, UDP and ICMP checksums that are wrong.
    pub bad_transport_checksums: u64,
    /// TCP segments that bring nothing new.
    pub retransmissions: u64,
    /// Packets above 1500 bytes.
    pub oversized: u64,
    /// The largest packet, bytes.
    pub largest: usize,
    /// Packets of which the capture holds only the beginning.
    pub cut: u64,
    /// Fragments of packets.
    pub fragments: u64,
    /// Packets older than the one before them.
    pub clock_back: u64,
    /// By how much at the most, nanoseconds.
    pub clock_back_most_ns: u64,
    /// Transport headers that are wrong, by what is wrong.
    pub malformed: BTreeMap<String, u64>,
    /// Transport checksums by sender: wrong ones, and all that could be checked.
    senders: HashMap<IpAddr, (u64, u64)>,
}

/// One kind of problem, in words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Stable name.
    pub kind: &'static str,
    /// How many packets have it.
    pub count: u64,
    /// One line.
    pub text: String,
}

/// The largest packet that fits an Ethernet frame, bytes (RFC 894).
const ETHERNET_MTU: usize = 1500;

/// The most senders whose checksums are told apart.
const MAX_SENDERS: usize = 4096;

impl Problems {
    pub(crate) fn clock(&mut self, last_ns: i64, now_ns: i64) {
        if now_ns < last_ns {
            self.clock_back = self.clock_back.saturating_add(1);
            self.clock_back_most_ns = self.clock_back_most_ns.max(last_ns.abs_diff(now_ns));
        }
    }

    pub(crate) fn size(&mut self, original_len: usize, cut: bool) {
        self.cut = self.cut.saturating_add(u64::from(cut));
        self.largest = self.largest.max(original_len);
        self.oversized = self
            .oversized
            .saturating_add(u64::from(original_len > ETHERNET_MTU));
    }

    pub(crate) fn fragment(&mut self) {
        self.fragments = self.fragments.saturating_add(1);
    }

    pub(crate) fn malformed(&mut self, malformed: &Malformed) {
        count_reason(&mut self.malformed, malformed);
    }

    pub(crate) fn checksums(&mut self, packet: &Packet<'_>) {
        let found = packet.checksums();
        if found.ip == Checksum::Invalid {
            self.bad_ip_checksums = self.bad_ip_checksums.saturating_add(1);
        }
        let bad = match found.transport {
            Checksum::Valid => false,
            Checksum::Invalid => true,
            Checksum::Uncheckable | Checksum::Absent => return,
        };
        self.bad_transport_checksums = self.bad_transport_checksums.saturating_add(u64::from(bad));
        if self.senders.len() >= MAX_SENDERS && !self.senders.contains_key(&packet.source) {
            return;
        }
        let (wrong, checked) = self.senders.entry(packet.source).or_default();
        *wrong = wrong.saturating_add(u64::from(bad));
        *checked = checked.saturating_add(1);
    }

    /// The one sender, or the one of each IP version, whose checksums are wrong as a rule and the only wrong ones: the
    /// machine that captured, whose network card fills them in later.
    #[must_use]
    pub fn offloading(&self) -> Option<Vec<IpAddr>> {
        let mut senders: Vec<IpAddr> = Vec::new();
        let mut told_apart = 0_u64;
        for (sender, (wrong, checked)) in self.senders.iter().filter(|(_, (wrong, _))| *wrong > 0) {
            // Up to a tenth may be right: keep-alives and resets often are.
            let as_a_rule = wrong.saturating_mul(10) >= checked.saturating_mul(9);
            let another = senders
                .iter()
                .any(|other| other.is_ipv4() == sender.is_ipv4());
            if !as_a_rule || another {
                return None;
            }
            told_apart = told_apart.saturating_add(*wrong);
            senders.push(*sender);
        }
        senders.sort_unstable();
        let all = told_apart == self.bad_transport_checksums;
        (all && !senders.is_empty()).then_some(senders)
    }

    /// The problems there are, each as one line.
    #[must_use]
    pub fn list(&self) -> Vec<Problem> {
        let Self {
            bad_ip_checksums,
            bad_transport_checksums,
            retransmissions,
            oversized,
            largest,
            cut,
            fragments,
            clock_back,
            clock_back_most_ns,
            malformed,
            senders: _,
        } = self;
        let line = |kind, count: u64, noun: &str, rest: &str| Problem {
            kind,
            count,
            text: format!("{}{rest}", counted(count, noun)),
        };
        let back = format!(
            " than the one before, by {} s at the most",
            seconds(clock_back_most_ns / 1000)
        );
        let large = format!(
            " above {ETHERNET_MTU} bytes, the largest of {largest}: segmentation offload, or a large MTU"
        );
        let mut problems = vec![
            line(
                "ip-checksum",
                *bad_ip_checksums,
                "wrong IP header checksum",
                "",
            ),
            line(
                "checksum",
                *bad_transport_checksums,
                "wrong transport checksum",
                &self.whose(),
            ),
            line(
                "retransmission",
                *retransmissions,
                "TCP segment",
                " sent again, or out of order",
            ),
            line("oversized", *oversized, "packet", &large),
            line(
                "cut",
                *cut,
                "packet",
                " cut short by the capture: what is missing cannot be replayed",
            ),
            line("fragment", *fragments, "fragment", ", in no flow here"),
            line("clock", *clock_back, "packet", &format!(" older{back}")),
        ];
        problems.extend(malformed.iter().map(|(what, count)| {
            line(
                "malformed",
                *count,
                "packet",
                &format!(" malformed: {what}"),
            )
        }));
        problems.retain(|problem| problem.count > 0);
        problems
    }

    /// Where the wrong transport checksums come from.
    fn whose(&self) -> String {
        if let Some(senders) = self.offloading() {
            let senders: Vec<String> = senders.iter().map(ToString::to_string).collect();
            let senders = senders.join(" and ");
            return format!(", all from {senders}: checksum offload of the machine that captured");
        }
        let bad = self
            .senders
            .values()
            .filter(|(wrong, _)| *wrong > 0)
            .count();
        let noun = if bad == 1 { "address" } else { "addresses" };
        format!(", from {bad} {noun}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::packet::build;

    /// Notes `count` datagrams of a sender, of which `bad` have a wrong checksum.
    fn send(problems: &mut Problems, sender: &str, count: usize, bad: usize) {
        for index in 0..count {
            let to = if sender.contains('.') {
                "192.0.2.1"
            } else {
                "2001:db8::1"
            };
            let (from, to): (IpAddr, IpAddr) = (sender.parse().unwrap(), to.parse().unwrap());
            let mut bytes = build::udp((from, 1000).into(), (to, 2000).into(), b"payload");
            if index < bad {
                *bytes.last_mut().unwrap() ^= 1;
            }
            problems.checksums(&Packet::whole(&bytes).unwrap());
        }
    }

    fn lines(problems: &Problems) -> Vec<String> {
        problems
            .list()
            .into_iter()
            .map(|problem| problem.text)
            .collect()
    }

    #[test]
    fn wrong_checksums_of_one_sender_throughout_are_offload() {
        let mut problems = Problems::default();
        send(&mut problems, "10.0.0.2", 10, 10);
        send(&mut problems, "fd00::2", 10, 9);
        send(&mut problems, "198.51.100.7", 20, 0);
        assert_eq!(
            lines(&problems),
            [
                "19 wrong transport checksums, all from 10.0.0.2 and fd00::2: checksum offload of the machine that captured"
            ]
        );
    }

    #[test]
    fn one_wrong_checksum_among_right_ones_is_no_offload() {
        let mut problems = Problems::default();
        send(&mut problems, "10.0.0.2", 20, 1);
        assert_eq!(
            lines(&problems),
            ["1 wrong transport checksum, from 1 address"]
        );
    }

    #[test]
    fn wrong_checksums_from_both_sides_are_no_offload() {
        let mut problems = Problems::default();
        send(&mut problems, "10.0.0.2", 5, 5);
        send(&mut problems, "198.51.100.7", 5, 5);
        assert_eq!(
            lines(&problems),
            ["10 wrong transport checksums, from 2 addresses"]
        );
    }

    #[test]
    fn a_clock_that_runs_back_is_counted_with_its_largest_step() {
        let mut problems = Problems::default();
        for (last, now) in [
            (0, 5_000_000),
            (5_000_000, 3_000_000),
            (3_000_000, 0),
            (0, 0),
        ] {
            problems.clock(last, now);
        }
        assert_eq!(
            lines(&problems),
            ["2 packets older than the one before, by 0.003 s at the most"]
        );
    }

    #[test]
    fn large_and_cut_packets_are_counted() {
        let mut problems = Problems::default();
        for (len, cut) in [(1500, false), (1501, false), (9000, true)] {
            problems.size(len, cut);
        }
        assert_eq!(
            lines(&problems),
            [
                "2 packets above 1500 bytes, the largest of 9000: segmentation offload, or a large MTU",
                "1 packet cut short by the capture: what is missing cannot be replayed",
            ]
        );
    }

    #[test]
    fn a_sound_capture_has_no_problems() {
        let mut problems = Problems::default();
        send(&mut problems, "10.0.0.2", 5, 0);
        problems.size(1500, false);
        problems.clock(0, 1);
        assert_eq!(lines(&problems), [""; 0]);
    }
}
