//! Counters: plain numbers, read at any time, never reset while the engine lives.

use crate::drop_reason::DropReason;

macro_rules! counters {
    ($($(#[$doc:meta])+ $name:ident,)+) => {
        /// What the engine has counted since it was made. All counters only grow, but gauges (`*_flows`).
        #[derive(Clone, Debug, PartialEq, Eq)]
        #[non_exhaustive]
        pub struct Counters {
            $($(#[$doc])+ pub $name: u64,)+
            drops: Vec<u64>,
        }

        impl Default for Counters {
            fn default() -> Self {
                Self { $($name: 0,)+ drops: vec![0; DropReason::ALL.len()] }
            }
        }

        impl Counters {
            /// Every counter by name, drops as `drop_<reason>`, in a fixed order.
            pub fn iter(&self) -> impl Iterator<Item = (String, u64)> + '_ {
                let plain = [$((stringify!($name), self.$name),)+];
                let drops = DropReason::ALL.iter().map(|reason| (format!("drop_{}", reason.label()), self.dropped(*reason)));
                plain.into_iter().map(|(name, value)| (name.to_owned(), value)).chain(drops)
            }
        }
    };
}

counters! {
    /// Frames handed in by the device.
    frames_in,
    /// Octets of frames handed in.
    bytes_in,
    /// Frames emitted toward the device.
    frames_out,
    /// Octets of frames emitted.
    bytes_out,
    /// Dial requests for TCP flows.
    tcp_dials,
    /// Dial requests for UDP flows.
    udp_dials,
    /// TCP dials that did not connect.
    tcp_dial_fail,
    /// UDP dials that did not connect.
    udp_dial_fail,
    /// SYNs refused because the flow limit was reached.
    tcp_admission_fail,
    /// Datagrams refused because the flow limit was reached.
    udp_admission_fail,
    /// TCP flows closed because nothing moved for too long.
    tcp_idle_timeout,
    /// UDP flows closed because nothing moved for too long.
    udp_idle_timeout,
    /// TCP flows given up by the retransmission limit (RFC 9293 section 3.8.3, R2).
    tcp_abandoned,
    /// TCP flows whose handshake did not complete in time.
    tcp_handshake_timeout,
    /// Resets received from the device that closed a flow.
    tcp_reset_by_device,
    /// Resets that the dialer reported.
    tcp_reset_by_remote,
    /// Octets offered by the remote that a full ring refused; they come again after `Resume`.
    tcp_backpressure_refused,
    /// TCP octets dropped: always zero, or the engine is broken.
    tcp_backpressure_drops,
    /// Datagrams dropped because a queue was full.
    udp_backpressure_drops,
    /// Octets handed to the dialer.
    upstream_bytes,
    /// Octets taken from the dialer.
    downstream_bytes,
    /// Datagrams handed to the dialer.
    upstream_datagrams,
    /// Datagrams taken from the dialer.
    downstream_datagrams,
    /// Data segments emitted more than once.
    tcp_retransmissions,
    /// Acknowledgements sent to challenge a SYN, a reset or an acknowledgement (RFC 5961).
    tcp_challenge_acks,
    /// Times a guard around smoltcp closed a flow or repaired a segment.
    guard_hits,
    /// Resets sent for segments that belong to no flow.
    resets_without_flow,
    /// ICMP echo requests answered.
    icmp_echo_replies,
    /// ICMP errors sent to the device.
    icmp_errors_out,
    /// ICMP messages not sent because of the rate limit.
    icmp_rate_limited,
    /// Fragments received.
    fragments_in,
    /// Datagrams put together from fragments.
    reassembled,
    /// DNS answers read.
    dns_answers,
    /// DNS messages that could not be read.
    dns_malformed,
    /// TCP flows open (gauge).
    tcp_flows,
    /// UDP flows open (gauge).
    udp_flows,
}

impl Counters {
    /// Frames or datagrams dropped for `reason`.
    #[must_use]
    pub fn dropped(&self, reason: DropReason) -> u64 {
        self.drops.get(reason as usize).copied().unwrap_or(0)
    }

    /// One counter by its name; `None` if there is none of that name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<u64> {
        self.iter()
            .find(|(known, _)| known == name)
            .map(|(_, value)| value)
    }

    pub(crate) fn count_drop(&mut self, reason: DropReason) {
        if let Some(count) = self.drops.get_mut(reason as usize) {
            *count += 1;
        }
    }
}
