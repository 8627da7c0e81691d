//! Counters: plain numbers, read at any time, never reset while the engine lives.

use crate::api::drop_reason::DropReason;

macro_rules! counters {
    ($([$group:literal] $($(#[doc = $doc:literal])+ $name:ident $(: $mark:ident)?,)+)+) => {
        /// What the engine has counted since it was made. All counters only grow; gauges show the present.
        ///
        /// docs/generated/COUNTERS.md lists them with their groups and marks; [`Counters::describe`] does so in code.
        ///
        /// ```
        /// let counters = engine::Counters::default();
        /// assert_eq!(counters.get("tcp_connected"), Some(counters.tcp_connected));
        /// assert!(counters.iter().all(|(_, value)| value == 0));
        /// ```
        #[derive(Clone, Debug, PartialEq, Eq)]
        #[non_exhaustive]
        pub struct Counters {
            $($($(#[doc = $doc])+ pub $name: u64,)+)+
            drops: [u64; DropReason::ALL.len()],
        }

        impl Default for Counters {
            fn default() -> Self {
                Self { $($($name: 0,)+)+ drops: [0; DropReason::ALL.len()] }
            }
        }

        /// All but the drops.
        const PLAIN: &[CounterInfo] = &[$($(CounterInfo {
            name: stringify!($name),
            group: $group,
            help: concat!($($doc),+),
            mark: counters!(@mark $($mark)?),
        },)+)+];

        impl Counters {
            fn plain(&self) -> impl Iterator<Item = u64> + '_ {
                [$($(self.$name,)+)+].into_iter()
            }

            fn plain_mut(&mut self, name: &str) -> Option<&mut u64> {
                match name {
                    $($(stringify!($name) => Some(&mut self.$name),)+)+
                    _ => None,
                }
            }
        }
    };
    (@mark) => { Mark::Semantic };
    (@mark timing) => { Mark::Timing };
    (@mark gauge) => { Mark::Gauge };
}

/// What may be concluded from a counter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Mark {
    /// A matter of what was done: equal whichever way the engine is driven (directly, by the loop, through the C ABI).
    Semantic,
    /// A matter of batches and instants as well: compared only between runs driven the same way.
    Timing,
    /// A gauge: it goes up and down.
    Gauge,
}

/// What a counter is, for documents and exporters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CounterInfo {
    /// The name, as in [`Counters::get`].
    pub name: &'static str,
    /// The heading that lists it.
    pub group: &'static str,
    /// What may be concluded from it.
    pub mark: Mark,
    help: &'static str,
}

impl CounterInfo {
    /// What it counts, in a sentence.
    #[must_use]
    pub fn help(&self) -> &'static str {
        self.help.trim()
    }
}

counters! {
    ["Frames"]
    /// Frames handed in by the device.
    frames_in: timing,
    /// Bytes of frames handed in.
    bytes_in: timing,
    /// Frames emitted toward the device.
    frames_out: timing,
    /// Bytes of frames emitted.
    bytes_out: timing,

    ["What became of the frames taken in"]
    /// Segments with payload that a flow took.
    taken_text: timing,
    /// Segments without payload that a flow took: acknowledgements, FINs, resets, repeated SYNs.
    taken_control: timing,
    /// SYNs held until their dial is answered, repetitions included.
    taken_syn: timing,
    /// Datagrams that a flow took, to hand on at once or when it may.
    taken_datagram,
    /// Fragments taken whose datagram is not whole yet; the last one counts as what the datagram becomes.
    taken_fragment,
    /// ICMP messages that were meant for the engine or one of its flows.
    taken_icmp,
    /// Frames answered without a flow: echo requests, segments for a closed tuple.
    taken_answered: timing,
    /// Of the segments with payload, those that were taken together with the one before them.
    taken_merged: timing,

    ["Dials and admission"]
    /// Dial requests for TCP flows.
    tcp_dials,
    /// Dial requests for UDP flows.
    udp_dials,
    /// UDP dials that did not connect.
    udp_dial_fail,
    /// TCP dials that did not connect.
    tcp_dial_fail,
    /// Of those, refused by the far host.
    tcp_dial_refused,
    /// Of those, for an unreachable host.
    tcp_dial_host_unreachable,
    /// Of those, for an unreachable network.
    tcp_dial_network_unreachable,
    /// Of those, denied by a policy.
    tcp_dial_denied,
    /// Of those, timed out, by the dialer's clock or the engine's.
    tcp_dial_timed_out,
    /// UDP dials that were refused.
    udp_dial_refused,
    /// UDP dials to an unreachable host.
    udp_dial_host_unreachable,
    /// UDP dials to an unreachable network.
    udp_dial_network_unreachable,
    /// UDP dials denied by a policy.
    udp_dial_denied,
    /// UDP dials that timed out.
    udp_dial_timed_out,
    /// SYNs refused, and connected dials closed again, because a limit of flows, dials or bytes was reached.
    tcp_admission_fail,
    /// Datagrams refused because a limit of flows or bytes was reached.
    udp_admission_fail,
    /// TCP flows that were not established in their time and had to make room for another.
    tcp_evicted,

    ["Ends of flows"]
    /// TCP flows that ended, whatever way.
    tcp_closes,
    /// UDP flows that ended, whatever way.
    udp_closes,
    /// TCP flows closed because nothing moved for too long.
    tcp_idle_timeout,
    /// Of those, half-closed ones, FIN-WAIT-2 excepted.
    tcp_half_closed_timeout,
    /// Of those, in FIN-WAIT-2.
    tcp_fin_wait_timeout,
    /// UDP flows closed because nothing moved for too long.
    udp_idle_timeout,
    /// Of those, flows to port 53 only.
    dns_idle_timeout,
    /// TCP flows cut because they could not deliver in time what came before the remote's reset.
    tcp_linger_timeout,
    /// TCP flows given up by the retransmission limit (RFC 9293 section 3.8.3, R2).
    tcp_abandoned,
    /// Of those, flows whose device answered no keep-alive probe.
    tcp_keep_alive_timeout,
    /// TCP flows whose handshake did not complete in time.
    tcp_handshake_timeout,
    /// Resets received from the device that closed a flow.
    tcp_reset_by_device,
    /// Resets that the dialer reported.
    tcp_reset_by_remote,

    ["Streams and datagrams"]
    /// Bytes offered by the remote that a full ring refused; they come again after `Resume`.
    tcp_backpressure_refused: timing,
    /// TCP bytes dropped: always zero, or the engine is broken.
    tcp_backpressure_drops,
    /// Datagrams dropped because a queue was full.
    udp_backpressure_drops,
    /// Datagrams of strangers that the filter kept from a UDP flow.
    udp_filtered,
    /// Bytes handed to the dialer.
    upstream_bytes,
    /// Bytes taken from the dialer.
    downstream_bytes,
    /// Datagrams handed to the dialer.
    upstream_datagrams,
    /// Datagrams given up with their flow before the dialer could take them.
    udp_given_up,
    /// Datagrams taken from the dialer.
    downstream_datagrams,

    ["Repairs"]
    /// Data segments emitted more than once.
    tcp_retransmissions: timing,
    /// Acknowledgements sent to challenge a SYN, a reset or an acknowledgement (RFC 5961).
    tcp_challenge_acks: timing,
    /// Challenges not sent because the flow had drawn too many in a second (RFC 5961 section 7).
    tcp_challenges_withheld: timing,
    /// Keep-alive probes sent to the device (RFC 9293 section 3.8.4).
    tcp_keep_alives: timing,
    /// Times a guard closed a flow or repaired a segment.
    guard_hits: timing,
    /// Of those: segments whose FIN was not believed, because their payload overran the window.
    guard_segments_repaired: timing,
    /// Of those: SYNs that no connection could be made of. Always 0.
    guard_syns_refused: timing,
    /// Of those: bytes that waited without a timer, set going again.
    guard_stalls_nudged: timing,
    /// Of those: flows closed because they emitted without an end. Always 0.
    guard_endless_output: timing,
    /// Resets sent for segments that belong to no flow.
    resets_without_flow: timing,

    ["ICMP and fragments"]
    /// ICMP echo requests answered.
    icmp_echo_replies,
    /// ICMP errors sent to the device.
    icmp_errors_out,
    /// ICMP messages not sent because of the rate limit.
    icmp_rate_limited,
    /// ICMP errors of the device that reached the flow they quote.
    icmp_errors_in,
    /// TCP flows whose handshake an ICMP error of the device ended (RFC 9293 section 3.9.2.2).
    tcp_aborted_by_icmp,
    /// Fragments received.
    fragments_in,
    /// Datagrams put together from fragments.
    reassembled,

    ["DNS"]
    /// Answers that gave addresses for a name the device asked for.
    dns_answers,
    /// Answers without addresses: errors, and other types.
    dns_empty,
    /// Answers marked as cut, which the device will ask for again over TCP.
    dns_truncated,
    /// Messages that answer nothing the device asked on that flow.
    dns_unasked,
    /// Messages that could not be read, of either side.
    dns_malformed,
    /// Names with bytes that no host name has.
    dns_odd_names,
    /// Names forgotten before their time to make room for others.
    dns_names_evicted,
    /// Intercepted queries for addresses.
    dns_queries,
    /// Intercepted queries that the host found an answer to.
    dns_resolved,
    /// Intercepted queries that the host could not answer.
    dns_resolve_fail,
    /// Intercepted queries that the host took too long for.
    dns_resolve_timeout,
    /// Intercepted queries refused because too many waited.
    dns_queries_refused,
    /// Replies of the engine's own to intercepted queries.
    dns_replies,
    /// Such replies that there was no room for.
    dns_replies_dropped,
    /// TCP connections to port 53 that the engine accepted itself.
    dns_streams,

    ["Diagnostics"]
    /// Times the host asked for the next output.
    polls: timing,
    /// Times the host reported a deadline.
    timeouts: timing,
    /// Log lines dropped because too many waited.
    log_lines_dropped,

    ["How things stand"]
    /// TCP flows open.
    tcp_flows: gauge,
    /// UDP flows open.
    udp_flows: gauge,
    /// TCP flows with a connection to the device, and so with rings.
    tcp_connected: gauge,
    /// Bytes of the rings of all TCP flows.
    ring_bytes: gauge,
    /// TCP dials pending.
    tcp_dialing: gauge,
    /// Bytes that flows are charged for.
    flow_bytes: gauge,
    /// Datagrams that wait for the dialer.
    udp_waiting: gauge,
    /// Frames that wait for the device.
    frames_waiting: gauge,
    /// Addresses whose name is known.
    dns_names: gauge,
    /// Intercepted queries that wait for the host.
    dns_pending: gauge,
    /// Bytes of datagrams whose fragments are not all there, bookkeeping included.
    fragment_bytes: gauge,
}

impl Counters {
    /// What each counter is, drops included, in the order of [`Counters::iter`].
    pub fn describe() -> impl Iterator<Item = CounterInfo> {
        let drops = DropReason::ALL.iter().map(|reason| CounterInfo {
            name: reason.counter(),
            group: "Frames dropped, by reason",
            help: reason.help(),
            mark: Mark::Semantic,
        });
        PLAIN.iter().copied().chain(drops)
    }

    /// Every counter by name, drops as `drop_<reason>`, in a fixed order.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, u64)> + '_ {
        let drops = DropReason::ALL.iter().map(|reason| self.dropped(*reason));
        let names = Self::describe().map(|info| info.name);
        names.zip(self.plain().chain(drops))
    }

    /// Counters from what [`Counters::iter`] gave, wherever it has been since; other names are passed over.
    pub fn from_named<'a>(values: impl IntoIterator<Item = (&'a str, u64)>) -> Self {
        let mut counters = Self::default();
        for (name, value) in values {
            if let Some(counter) = counters.plain_mut(name) {
                *counter = value;
                continue;
            }
            let drop = DropReason::ALL
                .iter()
                .position(|reason| reason.counter() == name);
            if let Some(counter) = drop.and_then(|at| counters.drops.get_mut(at)) {
                *counter = value;
            }
        }
        counters
    }

    /// All frames that were dropped, whatever for.
    #[must_use]
    pub fn frames_dropped(&self) -> u64 {
        self.drops.iter().sum()
    }

    /// The laws of conservation, which hold between any two calls: every frame in was taken as something or dropped for a
    /// reason, every datagram taken was handed on, waits or was given up, every dial has a close or an open flow, and
    /// no stream byte is dropped. `None` if they hold, a sentence about the first that does not.
    #[must_use]
    pub fn broken_law(&self) -> Option<String> {
        let taken = self.taken_text
            + self.taken_control
            + self.taken_syn
            + self.taken_datagram
            + self.taken_fragment
            + self.taken_icmp
            + self.taken_answered;
        let datagrams = self.upstream_datagrams + self.udp_waiting + self.udp_given_up;
        let tcp_dials = self.tcp_dials + self.dns_streams;
        let frames = taken + self.frames_dropped();
        let (tcp, udp) = (
            self.tcp_closes + self.tcp_flows,
            self.udp_closes + self.udp_flows,
        );
        let laws = [
            (self.frames_in, "frames in", frames, "taken and dropped"),
            (
                self.taken_datagram,
                "datagrams taken",
                datagrams,
                "handed on, waiting and given up",
            ),
            (
                tcp_dials,
                "TCP dials and intercepted connections",
                tcp,
                "closed and open",
            ),
            (self.udp_dials, "UDP dials", udp, "closed and open"),
            (
                self.tcp_backpressure_drops,
                "stream bytes dropped",
                0,
                "allowed",
            ),
        ];
        laws.into_iter()
            .find(|(whole, _, parts, _)| whole != parts)
            .map(|(whole, what, parts, of)| format!("{whole} {what}, but {parts} {of}"))
    }

    /// Frames or datagrams dropped for `reason`.
    #[must_use]
    pub fn dropped(&self, reason: DropReason) -> u64 {
        self.drops.get(reason as usize).copied().unwrap_or(0)
    }

    /// One counter by its name; `None` if there is none of that name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<u64> {
        self.iter()
            .find(|(known, _)| *known == name)
            .map(|(_, value)| value)
    }

    pub(crate) fn count_drop(&mut self, reason: DropReason) {
        if let Some(count) = self.drops.get_mut(reason as usize) {
            *count += 1;
        }
    }

    pub(crate) fn count_taken(&mut self, taken: Taken, frames: u64) {
        *match taken {
            Taken::Payload => &mut self.taken_text,
            Taken::Control => &mut self.taken_control,
            Taken::Syn => &mut self.taken_syn,
            Taken::Datagram => &mut self.taken_datagram,
            Taken::Fragment => &mut self.taken_fragment,
            Taken::Icmp => &mut self.taken_icmp,
            Taken::Answered => &mut self.taken_answered,
        } += frames;
    }
}

/// What a frame was taken as: every frame that is not dropped has one, and a counter for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Taken {
    /// A segment with payload for a flow.
    Payload,
    /// A segment without payload for a flow.
    Control,
    /// A SYN that waits for its dial.
    Syn,
    /// A datagram for a flow.
    Datagram,
    /// A fragment that waits for others.
    Fragment,
    /// An ICMP message for the engine or a flow.
    Icmp,
    /// Answered without a flow.
    Answered,
}
