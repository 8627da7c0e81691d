//! TCP segments from the device: what smoltcp must not see is answered here, the rest goes to the flow's socket.

use std::net::SocketAddr;

use crate::api::config::{Config, DialFailure, Refusal};
use crate::api::counters::Taken;
use crate::api::drop_reason::DropReason;
use crate::api::output::{By, Close, DialResult, How, Misuse};
use crate::api::time::Micros;
use crate::dns;
use crate::engine::{Engine, augment};
use crate::flow::key::{FlowKey, PackedKey, Proto};
use crate::flow::table::{FlowId, Kind};
use crate::ip::build::{self, TcpControl};
use crate::ip::packet::{IpPacket, Segment};
use crate::tcp::plain::{self, Plain};
use crate::tcp::sender::Told;
use crate::tcp::seq::Seq;
use crate::tcp::stack::State;
use crate::tcp::{HeldSyn, LAG, Live, Phase, Placement, TcpFlow, isn, sack};

/// RFC 9293 section 3.7.1, MUST-15.
const DEFAULT_MSS_V6: u16 = 1220;

impl Engine {
    pub(super) fn segment(
        &mut self,
        now: Micros,
        ip: &IpPacket<'_>,
        segment: &Segment<'_>,
    ) -> Result<Taken, DropReason> {
        let client = (ip.source, segment.source_port);
        let server = (ip.destination, segment.destination_port);
        if segment.source_port == segment.destination_port && client == server {
            // RFC 9293 section 3.9.2.3: nobody connects to itself from without.
            return Err(DropReason::MartianSource);
        }
        let packed = PackedKey::new(Proto::Tcp, client, server);
        let Some(slot) = self.flows.find(&packed) else {
            return self.segment_without_flow(now, ip, segment, key_of(ip, segment), packed);
        };
        let Some(flow) = self.flows.at(slot) else {
            return Ok(Taken::Control);
        };
        let Kind::Tcp(tcp) = &mut flow.kind else {
            return Ok(Taken::Control);
        };
        match &mut tcp.phase {
            Phase::Dialing(held) => {
                if segment.rst {
                    // The device gave up: its reset stands right after the SYN (RFC 9293 section 3.10.7.3).
                    if segment.seq == held.isn.plus(1) || segment.seq == held.isn {
                        self.counters.tcp_reset_by_device += 1;
                        self.finish(
                            slot,
                            Close {
                                by: By::Device,
                                how: How::Reset,
                            },
                        );
                        return Ok(Taken::Control);
                    }
                    return Err(DropReason::ResetOutOfPlace);
                }
                if !segment.syn || segment.ack.is_some() {
                    return Err(DropReason::Unsynchronised);
                }
                if segment.seq != held.isn {
                    // The device began anew while the dial ran: that dial is for nobody.
                    self.finish(
                        slot,
                        Close {
                            by: By::Device,
                            how: How::Reset,
                        },
                    );
                    return self.open_tcp(now, ip, segment, key_of(ip, segment), packed);
                }
                held.frame = plain_syn(ip, segment, held.shown_scale(&self.config));
                held.quote = quote(&self.config, ip.frame);
                Ok(Taken::Syn)
            }
            Phase::Live(_) => self.live_segment(now, slot, ip, segment),
        }
    }

    fn live_segment(
        &mut self,
        now: Micros,
        slot: u32,
        ip: &IpPacket<'_>,
        segment: &Segment<'_>,
    ) -> Result<Taken, DropReason> {
        let Some(flow) = self.flows.at(slot) else {
            return Ok(Taken::Control);
        };
        let Kind::Tcp(tcp) = &mut flow.kind else {
            return Ok(Taken::Control);
        };
        let Phase::Live(live) = &mut tcp.phase else {
            return Ok(Taken::Control);
        };
        if segment.rst {
            match live.reset_placement(segment) {
                Placement::Exact => {
                    // smoltcp does not see it: it would pass over one that carries text into a closed window.
                    live.reset = true;
                    self.counters.tcp_reset_by_device += 1;
                    self.mark_dirty(slot);
                    return Ok(Taken::Control);
                }
                Placement::InWindow => {
                    self.challenge(now, slot, &key_of(ip, segment));
                    return Err(DropReason::ResetOutOfPlace);
                }
                Placement::Outside => return Err(DropReason::ResetOutOfPlace),
            }
        } else if segment.syn {
            let repeated = segment.ack.is_none() && segment.seq == live.device_isn;
            if repeated && !live.handshake_done() {
                self.repeat_syn_ack(now, slot, ip, segment, &key_of(ip, segment));
                return Ok(Taken::Control);
            }
            // RFC 5961 section 4: never believed, always challenged.
            self.challenge(now, slot, &key_of(ip, segment));
            return Ok(Taken::Control);
        } else if let Some(ack) = segment.ack {
            if live.handshake_done() && ack.is_after(live.emitted) {
                // RFC 9293 section 3.10.7.4; smoltcp would take unsent bytes for delivered.
                self.challenge(now, slot, &key_of(ip, segment));
                return Err(DropReason::AckOfUnsent);
            }
            if live.handshake_done() && live.is_ancient(ack) {
                self.challenge(now, slot, &key_of(ip, segment));
                return Err(DropReason::AckTooOld);
            }
            if segment.fin && live.is_fin_again(segment) {
                // Its acknowledgement was lost. smoltcp answers one copy a second, which sends the device into
                // its backoff; a FIN is paced by the device's own timer.
                live.last_activity = now;
                self.acknowledge(slot, &key_of(ip, segment));
                return Ok(Taken::Control);
            }
            if live.is_bare_probe(segment) {
                live.last_activity = now;
                if live.challenges.draw(now) {
                    self.acknowledge(slot, &key_of(ip, segment));
                } else {
                    self.counters.tcp_challenges_withheld += 1;
                }
                return Ok(Taken::Control);
            }
        } else {
            return Err(DropReason::Unsynchronised);
        }
        let taken = if segment.payload.is_empty() {
            Taken::Control
        } else {
            Taken::Text
        };
        if self.out.len() >= self.config.output_limit {
            // smoltcp may answer each segment at once: the device sends it again when frames are fetched.
            return Err(DropReason::OutputFull);
        }
        let ack = segment.ack.unwrap_or(live.acked);
        live.last_activity = now;
        live.heard = now;
        live.probes = 0;
        live.budget_used = 0;
        let expected = live.expected();
        let acceptable = live.is_acceptable(expected, segment);
        let mut closes_over_text = false;
        let mut progressed = false;
        let mut at = now;
        if acceptable {
            let told = live.note_ack(now, segment.seq, ack, segment.window);
            if matches!(told, Told::Progress(_)) {
                if live.can_tell_later(segment) {
                    live.unheard = true;
                    self.mark_dirty(slot);
                    return Ok(taken);
                }
                progressed = true;
                closes_over_text = live.device_window == 0 && live.unacknowledged();
                if live.lagging {
                    live.lagging = false;
                    at = now.plus(LAG);
                }
            } else if live.handshake_done() && live.is_bare(segment) {
                // smoltcp would count it, and its window, as it should not: the flow's turn tells it what to know.
                if told == Told::Nothing {
                    live.note_duplicate();
                }
                self.mark_dirty(slot);
                return Ok(taken);
            }
        }
        let text_again = segment.fin && live.keep_fin(segment);
        let sound = !ip.extended && plain::options_are_sound(segment.options);
        let plain = sound && !live.may_need_repair(segment);
        // With nothing to send smoltcp's belief does not matter: that saves the copy of an upload's text.
        let any_belief =
            live.socket.send_queue() == 0 && !segment.payload.is_empty() && segment.window > 0;
        let (shown, frame) = if plain && any_belief {
            (segment.window, ip.frame)
        } else {
            let mut field = live.field_for(ack);
            if closes_over_text {
                // smoltcp would trade its retransmission timer for one that probes with what comes after, if anything
                // does. The flow's turn tells it that the window is closed.
                field = field.max(1);
            }
            let repair = live.repair(segment, field);
            if !sound || repair.is_some() {
                // smoltcp cannot skip extension headers, and drops a segment for one bad option.
                self.counters.guard_segments_repaired += u64::from(repair.is_some());
                let plain = repair.unwrap_or_else(|| Plain {
                    ack: Some((ack, field)),
                    ..Plain::whole(segment)
                });
                plain::write(&mut self.scratch, ip, plain);
                (field, self.scratch.as_slice())
            } else if field == segment.window || any_belief {
                (segment.window, ip.frame)
            } else {
                plain::write_with_window(&mut self.scratch, ip, field);
                (field, self.scratch.as_slice())
            }
        };
        if acceptable {
            live.note_shown(shown);
        }
        let floor = live.next_out();
        if !text_again {
            let (stack, out) = (&mut self.stack, &mut self.out);
            let sent = stack.ingress(at, &mut live.socket, frame, floor, out);
            let ahead = live.note_text(expected, segment);
            if let Some(sent) = sent {
                augment::note(live, now, sent, out);
            } else if ahead && live.handshake_done() {
                // smoltcp says nothing about text that it has no place for.
                let key = key_of(ip, segment);
                augment::prompt(stack, now, live, &key, &mut self.scratch, out);
            }
        }
        if let Some(fin) = live.kept_fin() {
            self.counters.guard_segments_repaired += 1;
            let key = key_of(ip, segment);
            fin.write(&mut self.scratch, key.client, key.server);
            let frame = &self.scratch;
            self.stack
                .ingress(now, &mut live.socket, frame, floor, &mut self.out);
        }
        // smoltcp passes over acknowledgements that count: of segments out of place, under a closed window, with a FIN
        // that it does not expect.
        live.unheard |= progressed && !live.is_heard();
        if live.socket.state() == State::Listen {
            live.reset = true;
        }
        if live.device_closed() {
            live.first_end.get_or_insert(By::Device);
        }
        if !live.established && live.handshake_done() {
            live.established = true;
            self.room.forget(slot);
        }
        if !flow.dirty {
            flow.dirty = true;
            self.dirty.push_back(slot);
        }
        Ok(taken)
    }

    /// An acknowledgement that asks the device to prove that it means it (RFC 5961), if the flow has not drawn too
    /// many.
    fn challenge(&mut self, now: Micros, slot: u32, key: &FlowKey) {
        let Some(flow) = self.flows.at(slot) else {
            return;
        };
        let Kind::Tcp(tcp) = &mut flow.kind else {
            return;
        };
        let Phase::Live(live) = &mut tcp.phase else {
            return;
        };
        if live.challenges.draw(now) {
            self.counters.tcp_challenge_acks += 1;
            self.acknowledge(slot, key);
        } else {
            self.counters.tcp_challenges_withheld += 1;
        }
    }

    /// A bare acknowledgement of the engine's own that says how things stand.
    fn acknowledge(&mut self, slot: u32, key: &FlowKey) {
        let Some(flow) = self.flows.at(slot) else {
            return;
        };
        let Kind::Tcp(tcp) = &flow.kind else { return };
        let Phase::Live(live) = &tcp.phase else {
            return;
        };
        let control = live.bare_ack(live.next_out());
        self.control(key, control);
    }

    fn segment_without_flow(
        &mut self,
        now: Micros,
        ip: &IpPacket<'_>,
        segment: &Segment<'_>,
        key: FlowKey,
        packed: PackedKey,
    ) -> Result<Taken, DropReason> {
        let stone = self.tombstones.find(now, &packed);
        if segment.rst {
            if stone.is_some_and(|stone| stone.next_in == segment.seq) {
                // The answer of a device in SYN-SENT to the challenge below: its next SYN is welcome.
                self.tombstones.remove(&packed);
            }
            return Err(DropReason::ResetWithoutFlow);
        }
        if segment.syn && segment.ack.is_none() {
            // RFC 9293 section 3.6.1: a SYN beyond the old sequence reopens the tuple.
            if let Some(stone) = stone {
                let old = !segment.seq.is_after(stone.next_in) && segment.seq != stone.next_in;
                if stone.time_wait && old {
                    self.control(&key, stone.answer());
                    self.counters.tcp_challenge_acks += 1;
                    return Ok(Taken::Answered);
                }
                self.tombstones.remove(&packed);
            }
            return self.open_tcp(now, ip, segment, key, packed);
        }
        if self.out.len() >= self.config.output_limit {
            return Err(DropReason::OutputFull);
        }
        if let Some(stone) = stone {
            if segment.sequence_len() > 0 {
                self.control(&key, stone.answer());
            }
            if segment.fin && stone.time_wait {
                // RFC 9293 section 3.10.7.4, eighth: the time runs anew.
                let until = now.plus(self.config.time_wait);
                self.tombstones.prolong(&packed, until);
            }
            return Ok(Taken::Answered);
        }
        let asked = build::Segment {
            source: key.client,
            destination: key.server,
            sequence: segment.seq.0,
            acknowledgement: segment.ack.map(|ack| ack.0),
            len: segment.sequence_len(),
            reset: segment.rst,
        };
        if build::reset_for(&mut self.out, &asked) {
            self.counters.resets_without_flow += 1;
        }
        Ok(Taken::Answered)
    }

    fn open_tcp(
        &mut self,
        now: Micros,
        ip: &IpPacket<'_>,
        segment: &Segment<'_>,
        key: FlowKey,
        packed: PackedKey,
    ) -> Result<Taken, DropReason> {
        if !self.room_for_tcp(now) {
            self.counters.tcp_admission_fail += 1;
            self.answer_refused(now, &key, Some(segment.seq), ip.frame);
            return Err(DropReason::Admission);
        }
        let default_mss = if ip.is_v6() { DEFAULT_MSS_V6 } else { 536 };
        let mut held = HeldSyn {
            frame: Vec::new(),
            quote: quote(&self.config, ip.frame),
            isn: segment.seq,
            // RFC 9293 section 3.7.1: without the option the default stands.
            mss: segment.mss.filter(|mss| *mss > 0).unwrap_or(default_mss),
            window_scale: segment.window_scale.unwrap_or(0),
            sack: sack::is_permitted(segment.options),
            since: now,
        };
        held.frame = plain_syn(ip, segment, held.shown_scale(&self.config));
        self.admit(
            now,
            packed,
            Kind::Tcp(Box::new(TcpFlow {
                phase: Phase::Dialing(held),
                blocked: false,
            })),
        );
        Ok(Taken::Syn)
    }

    /// The reset a closed port answers a SYN with (RFC 9293 section 3.10.7.1).
    pub(super) fn refuse(&mut self, key: &FlowKey, isn: Seq) {
        self.control(
            key,
            TcpControl::ResetAck {
                sequence: 0,
                acknowledgement: isn.plus(1).0,
            },
        );
    }

    /// Sends a segment of the engine's own from the server's end.
    pub(super) fn control(&mut self, key: &FlowKey, control: TcpControl) {
        // The only failure is a tuple of two families, which no packet has.
        let sent = build::tcp_control(&mut self.out, key.server, key.client, control);
        debug_assert!(sent.is_ok(), "a flow key of two address families");
    }

    pub(super) fn tcp_dialed(
        &mut self,
        now: Micros,
        id: FlowId,
        result: DialResult,
    ) -> Result<(), Misuse> {
        let seed = self.config.seed;
        let flow = self.flows.get(id).ok_or(Misuse::StaleFlow)?;
        let (packed, key) = (flow.key, flow.key.unpack());
        let Kind::Tcp(tcp) = &mut flow.kind else {
            return Err(Misuse::WrongProtocol);
        };
        let Phase::Dialing(held) = &tcp.phase else {
            return Err(Misuse::DialAnswered);
        };
        if result != DialResult::Connected {
            let close = Close {
                by: By::Remote,
                how: How::Dial(result),
            };
            self.end_dial(now, id.slot, result, close);
            return Ok(());
        }
        let device_isn = held.isn;
        if !self.charge_socket(id) {
            self.counters.tcp_admission_fail += 1;
            self.refuse(&key, device_isn);
            self.finish(
                id.slot,
                Close {
                    by: By::Engine,
                    how: How::Admission,
                },
            );
            return Ok(());
        }
        let isn = isn::isn_for(seed, &packed, now);
        let Some(flow) = self.flows.get(id) else {
            return Err(Misuse::StaleFlow);
        };
        let Kind::Tcp(tcp) = &mut flow.kind else {
            return Err(Misuse::WrongProtocol);
        };
        let Phase::Dialing(held) = &tcp.phase else {
            return Err(Misuse::DialAnswered);
        };
        match self.stack.open(now, &held.frame, key.server, isn) {
            Some(socket) => {
                let mut live =
                    Live::new(now, socket, held, isn, &self.config, key.server.is_ipv6());
                if key.server.port() == dns::PORT {
                    live.dns = Some(Box::default());
                }
                tcp.phase = Phase::Live(live);
                self.counters.tcp_connected += 1;
                self.mark_dirty(id.slot);
            }
            None => {
                // smoltcp refuses the SYN (an option it cannot parse): nothing can be built on it.
                self.counters.guard_syns_refused += 1;
                self.refuse(&key, device_isn);
                self.finish(
                    id.slot,
                    Close {
                        by: By::Engine,
                        how: How::Guard,
                    },
                );
            }
        }
        Ok(())
    }
}

/// The tuple of a segment from the device.
#[cold]
fn key_of(ip: &IpPacket<'_>, segment: &Segment<'_>) -> FlowKey {
    FlowKey {
        proto: Proto::Tcp,
        client: SocketAddr::new(ip.source, segment.source_port),
        server: SocketAddr::new(ip.destination, segment.destination_port),
    }
}

/// What an ICMP error about a SYN quotes, if it may come to that: smoltcp's form of the SYN is not the device's.
fn quote(config: &Config, frame: &[u8]) -> Box<[u8]> {
    let told =
        config.dial_failure == DialFailure::Icmp || config.admission_refusal == Refusal::Icmp;
    if told { frame.into() } else { Box::default() }
}

/// The SYN as smoltcp shall see it later: no payload, no extension headers, the shift of the windows it is shown, and
/// the default segment size of IPv6 spelled out, where smoltcp has IPv4's.
pub(super) fn plain_syn(ip: &IpPacket<'_>, segment: &Segment<'_>, scale: u8) -> Vec<u8> {
    // A base header, and the longest of TCP.
    let mut frame = Vec::with_capacity(40 + 60);
    plain::write(
        &mut frame,
        ip,
        Plain {
            payload: false,
            mss: (ip.is_v6() && segment.mss.is_none()).then_some(DEFAULT_MSS_V6),
            ..Plain::whole(segment)
        },
    );
    plain::set_window_scale(&mut frame, scale);
    frame
}
