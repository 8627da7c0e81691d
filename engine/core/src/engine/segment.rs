//! TCP segments from the device: those of no flow are answered here, the rest goes to the flow's connection.

use crate::api::config::{Config, DialFailure, Refusal};
use crate::api::counters::Taken;
use crate::api::drop_reason::DropReason;
use crate::api::output::{By, Close, DialResult, How, Misuse};
use crate::api::time::Micros;
use crate::dns;
use crate::engine::Engine;
use crate::flow::key::{PackedKey, Proto};
use crate::flow::room;
use crate::flow::table::{FlowId, Kind};
use crate::ip::packet::{IpPacket, Segment};
use crate::tcp::connection::{Connection, Context, Disposition};
use crate::tcp::segment::{Ends, Outgoing, mss, permits_sack, stamp, window_scale};
use crate::tcp::seq::Seq;
use crate::tcp::{HeldSyn, Live, Phase, TcpFlow, isn};

/// RFC 9293 section 3.7.1, MUST-15.
const DEFAULT_MSS_V6: u16 = 1220;

/// The close of a flow that the device has reset.
const RESET: Close = Close::new(By::Device, How::Reset);

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
            // RFC 9293 section 3.9.2.3: the same endpoint on both sides is forged.
            return Err(DropReason::MartianSource);
        }
        let packed = PackedKey::new(Proto::Tcp, client, server);
        let Some((flow, tcp)) = self.flows.find_tcp(&packed) else {
            return self.segment_without_flow(now, ip, segment, packed);
        };
        let slot = flow.id.slot;
        let live = match &mut tcp.phase {
            Phase::Live(live) => live,
            Phase::Dialing(held) => {
                return match held.meaning(segment)? {
                    WhileDialing::SynAgain => {
                        held.quote = quote(&self.config, ip.frame);
                        held.end = segment.end();
                        Ok(Taken::Syn)
                    }
                    WhileDialing::Reset => {
                        self.counters.tcp_reset_by_device += 1;
                        self.finish(slot, RESET);
                        Ok(Taken::Control)
                    }
                    WhileDialing::OtherSyn => {
                        self.finish(slot, RESET);
                        self.open_tcp(now, ip, segment, packed)
                    }
                };
            }
        };
        if self.out.len() >= self.config.output_limit && !segment.rst {
            // Each segment may be answered at once: the device sends it again when frames are fetched.
            return Err(DropReason::OutputFull);
        }
        let mut context = Context {
            pool: &mut self.pool,
            out: &mut self.out,
        };
        match live.connection.segment(now, segment, &mut context) {
            Disposition::Taken => {}
            Disposition::WithoutFin => self.counters.guard_segments_repaired += 1,
            Disposition::Answer => {
                live.last_activity = now;
                live.connection.answer(now, &mut self.out);
                return Ok(taken(segment));
            }
            Disposition::Challenge(reason) => {
                live.last_activity = now;
                if live.challenges.draw(now) {
                    self.counters.tcp_challenge_acks += 1;
                    live.connection.answer(now, &mut self.out);
                } else {
                    self.counters.tcp_challenges_withheld += 1;
                }
                return reason.map_or_else(|| Ok(taken(segment)), Err);
            }
            Disposition::Refuse => {
                self.reset_for(&packed, segment);
                return Ok(Taken::Answered);
            }
            Disposition::Reset => {
                live.reset = true;
                self.counters.tcp_reset_by_device += 1;
                flow.mark_dirty(&mut self.dirty);
                return Ok(Taken::Control);
            }
            Disposition::Drop(reason) => return Err(reason),
        }
        if live.note_segment(now) {
            self.room.forget(slot);
        }
        flow.mark_dirty(&mut self.dirty);
        Ok(taken(segment))
    }

    fn segment_without_flow(
        &mut self,
        now: Micros,
        ip: &IpPacket<'_>,
        segment: &Segment<'_>,
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
        if segment.syn && segment.ack.is_none() && !segment.fin {
            // RFC 9293 section 3.6.1: a SYN beyond the old sequence reopens the tuple.
            if let Some(stone) = stone {
                if stone.is_older(segment) {
                    stone.answer(now, &packed, &mut self.out);
                    self.counters.tcp_challenge_acks += 1;
                    return Ok(Taken::Answered);
                }
                self.tombstones.remove(&packed);
            }
            return self.open_tcp(now, ip, segment, packed);
        }
        if self.out.len() >= self.config.output_limit {
            return Err(DropReason::OutputFull);
        }
        if let Some(stone) = stone.filter(|stone| stone.knows(segment)) {
            let (len, acceptable) = (segment.sequence_len(), segment.seq == stone.next_in);
            #[cfg(feature = "seeded-fault")]
            if len == 0 && crate::seeded_fault::is(crate::seeded_fault::Fault::LateAck) {
                self.reset_for(&packed, segment);
            }
            if len > 0 || (stone.time_wait && !acceptable) {
                stone.answer(now, &packed, &mut self.out);
            }
            if segment.fin && !segment.syn && stone.time_wait {
                // RFC 9293 section 3.10.7.4, eighth: the time runs anew.
                let until = now.plus(self.config.time_wait);
                self.tombstones.prolong(&packed, until);
            }
            return Ok(Taken::Answered);
        }
        if self.reset_for(&packed, segment) {
            self.counters.resets_without_flow += 1;
        }
        Ok(Taken::Answered)
    }

    /// The reset that a segment for no connection gets (RFC 9293 section 3.10.7.1); returns whether there is one.
    fn reset_for(&mut self, key: &PackedKey, segment: &Segment<'_>) -> bool {
        if segment.rst {
            return false;
        }
        let reset = match segment.ack {
            Some(ack) => Outgoing::reset(ack, None),
            None => Outgoing::reset(Seq(0), Some(segment.end())),
        };
        self.send(key, &reset);
        true
    }

    fn open_tcp(
        &mut self,
        now: Micros,
        ip: &IpPacket<'_>,
        segment: &Segment<'_>,
        packed: PackedKey,
    ) -> Result<Taken, DropReason> {
        if !self.room_for_tcp(now) {
            self.counters.tcp_admission_fail += 1;
            self.answer_refused(now, &packed.unpack(), Some(segment.end()), ip.frame);
            return Err(DropReason::Admission);
        }
        let default_mss = if ip.is_v6() { DEFAULT_MSS_V6 } else { 536 };
        let held = HeldSyn {
            quote: quote(&self.config, ip.frame),
            isn: segment.seq,
            end: segment.end(),
            // RFC 9293 section 3.7.1: without the option the default stands.
            mss: mss(segment.options)
                .filter(|mss| *mss > 0)
                .unwrap_or(default_mss),
            window_scale: window_scale(segment.options),
            sack: permits_sack(segment.options),
            stamp: stamp(segment.options),
            since: now,
        };
        let flow = TcpFlow {
            phase: Phase::Dialing(held),
            blocked: false,
        };
        self.admit(now, packed, Kind::Tcp(Box::new(flow)));
        Ok(Taken::Syn)
    }

    /// The reset a closed port answers a SYN with that ends at `end` (RFC 9293 section 3.10.7.1).
    pub(super) fn refuse(&mut self, key: &PackedKey, end: Seq) {
        self.send(key, &Outgoing::reset(Seq(0), Some(end)));
    }

    /// Sends a segment of the engine's own from the server's end.
    #[cold]
    pub(super) fn send(&mut self, key: &PackedKey, segment: &Outgoing<'_>) {
        Ends::new(key).write(&mut self.out, segment);
    }

    pub(super) fn tcp_dialed(
        &mut self,
        now: Micros,
        id: FlowId,
        result: DialResult,
    ) -> Result<(), Misuse> {
        let (flow, tcp) = self.flows.tcp(id)?;
        let Phase::Dialing(held) = &tcp.phase else {
            return Err(Misuse::DialAnswered);
        };
        if result != DialResult::Connected {
            let close = Close::new(By::Remote, How::Dial(result));
            self.end_dial(now, id.slot, result, close);
            return Ok(());
        }
        let rings = self.config.rx_ring() + self.config.tx_ring();
        let more = (rings + room::SOCKET).saturating_sub(flow.cost);
        if !self.room.fits(more) {
            let (key, end) = (flow.key, held.end);
            self.counters.tcp_admission_fail += 1;
            self.refuse(&key, end);
            self.finish(id.slot, Close::new(By::Engine, How::Admission));
            return Ok(());
        }
        flow.cost += more;
        self.room.charge(more);
        self.room.connected(id.slot);
        self.counters.ring_bytes += rings as u64;
        let isn = isn::isn_for(self.config.seed.unwrap_or_default(), &flow.key, now);
        let connection = Connection::new(now, &flow.key, held, isn, &self.config);
        let mut live = Live::new(now, connection);
        if flow.key.unpack().server.port() == dns::PORT {
            live.dns = Some(Box::default());
        }
        tcp.phase = Phase::Live(live);
        self.counters.tcp_connected += 1;
        flow.mark_dirty(&mut self.dirty);
        Ok(())
    }
}

/// What a segment means to a flow whose dial is pending.
enum WhileDialing {
    /// The held SYN, again.
    SynAgain,
    /// The device began anew: the pending dial is obsolete.
    OtherSyn,
    /// The device gave up.
    Reset,
}

impl HeldSyn {
    fn meaning(&self, segment: &Segment<'_>) -> Result<WhileDialing, DropReason> {
        if segment.rst {
            // Its place is right after the SYN (RFC 9293 section 3.10.7.3).
            return if segment.seq == self.isn.plus(1) || segment.seq == self.isn {
                Ok(WhileDialing::Reset)
            } else {
                Err(DropReason::ResetOutOfPlace)
            };
        }
        if segment.syn && segment.fin {
            return Err(DropReason::ContradictoryFlags);
        }
        match (segment.syn, segment.ack) {
            (true, None) if segment.seq == self.isn => Ok(WhileDialing::SynAgain),
            (true, None) => Ok(WhileDialing::OtherSyn),
            _ => Err(DropReason::Unsynchronised),
        }
    }
}

/// What a segment that was taken counts as.
fn taken(segment: &Segment<'_>) -> Taken {
    if segment.payload.is_empty() {
        Taken::Control
    } else {
        Taken::Payload
    }
}

/// What an ICMP error about a SYN quotes, if it may come to that.
fn quote(config: &Config, frame: &[u8]) -> Box<[u8]> {
    let quoted =
        config.dial_failure == DialFailure::Icmp || config.admission_refusal == Refusal::Icmp;
    if quoted { frame.into() } else { Box::default() }
}
