//! What leaves a connection: the SYN-ACK, segments of the dialer's bytes, acknowledgements.

use super::{Connection, Context, Emission, fixed_options};
use crate::api::batch::FrameBatch;
use crate::api::time::Micros;
use crate::tcp::segment::{Flags, Options, Outgoing};
use crate::tcp::sender::Piece;
use crate::tcp::seq::Seq;
use crate::tcp::timers::{FIRST_TIMEOUT, LONGEST_TIMEOUT};

impl Connection {
    /// Sends what may leave now, until the batch has `most` frames.
    pub(crate) fn emit(&mut self, now: Micros, context: &mut Context<'_>, most: usize) -> Emission {
        let mut emission = Emission::default();
        if self.syn_ack.is_some() {
            emission.again = u64::from(self.emit_syn_ack(now, context.out));
            return emission;
        }
        self.sender.tick(now);
        let fixed = usize::from(fixed_options(self.timestamps.as_ref()));
        let mut options = self.options(now);
        loop {
            if context.out.len() >= most {
                emission.full = true;
                return emission;
            }
            // The segment size leaves room for those that every segment has.
            let room = u32::try_from(options.as_slice().len() - fixed).unwrap_or(0);
            let size = self.sender.mss().saturating_sub(room).max(1);
            // What came twice is reported once.
            let segments = if room > 0 {
                1
            } else {
                most - context.out.len()
            };
            let Some(piece) = self.sender.choose(now, size, segments) else {
                break;
            };
            self.write_piece(context.out, &piece, size, &options);
            if !self.awaits_progress() {
                self.progress = now;
            }
            self.sender.left(now, &piece, size);
            if room > 0 {
                options = self.options(now);
            }
            emission.again += u64::from(piece.is_again());
        }
        if self.acknowledges_now(now) {
            self.write_ack(now, context.out);
        }
        emission
    }

    fn emit_syn_ack(&mut self, now: Micros, out: &mut FrameBatch) -> bool {
        let due = self.syn_ack_due();
        let Some(syn_ack) = &mut self.syn_ack else {
            return false;
        };
        if due > now {
            return false;
        }
        let again = syn_ack.sent > 0;
        syn_ack.sent = syn_ack.sent.saturating_add(1);
        syn_ack.at = now;
        self.write_syn_ack(now, out);
        again
    }

    /// When the SYN-ACK leaves, for the first time or again.
    pub(super) fn syn_ack_due(&self) -> Micros {
        let Some(syn_ack) = &self.syn_ack else {
            return Micros(u64::MAX);
        };
        match syn_ack.sent {
            0 => syn_ack.at,
            sent => syn_ack.at.plus(
                FIRST_TIMEOUT
                    .saturating_mul(1 << (sent - 1).min(16))
                    .min(LONGEST_TIMEOUT),
            ),
        }
    }

    pub(super) fn write_syn_ack(&mut self, now: Micros, out: &mut FrameBatch) {
        let Some(syn_ack) = &self.syn_ack else {
            return;
        };
        let stamp = self.timestamps.map(|timestamps| timestamps.stamp(now));
        let options = Options::of_syn_ack(syn_ack.mss, syn_ack.scale, self.sack, stamp);
        // Never shifted (RFC 7323 section 2.2).
        let window = self.receiver.edge().minus(self.receiver.expected());
        self.ends.write(
            out,
            &Outgoing {
                seq: self.isn,
                ack: self.receiver.expected(),
                flags: Flags::SYN_ACK,
                window: u16::try_from(window).unwrap_or(u16::MAX),
                options: options.as_slice(),
                payload: [&[], &[]],
            },
        );
        self.receiver.note_ack_sent();
    }

    /// A timestamp, if they were agreed on, and SACK blocks, if there are any to report.
    #[inline]
    fn options(&self, now: Micros) -> Options {
        let mut options = match &self.timestamps {
            Some(timestamps) => Options::of_stamp(timestamps.stamp(now)),
            None => Options::NONE,
        };
        if self.sack {
            self.receiver.push_blocks(&mut options);
        }
        options
    }

    /// Writes a piece in segments of `size` bytes, of which the last may be shorter.
    fn write_piece(&mut self, out: &mut FrameBatch, piece: &Piece, size: u32, options: &Options) {
        let last = match (piece.fin, piece.push) {
            (true, _) => Flags::FIN_ACK,
            (false, true) => Flags::PUSH_ACK,
            (false, false) => Flags::ACK,
        };
        let (ack, window) = (self.receiver.expected(), self.receiver.window_field());
        let mut segment = Outgoing {
            seq: piece.seq,
            ack,
            flags: Flags::ACK,
            window,
            options: options.as_slice(),
            payload: [&[], &[]],
        };
        let mut left = piece.len;
        while left > size {
            segment.payload = self.sender.payload(segment.seq, size);
            self.ends.write(out, &segment);
            segment.seq = segment.seq.plus(size);
            left -= size;
        }
        segment.flags = last;
        segment.payload = self.sender.payload(segment.seq, left);
        self.ends.write(out, &segment);
        self.receiver.note_ack_sent();
        self.ack_waits = None;
    }

    /// A bare acknowledgement.
    pub(super) fn write_ack(&mut self, now: Micros, out: &mut FrameBatch) {
        self.write_bare(now, self.sender.next_out(), out);
        self.receiver.note_ack_sent();
        self.ack_waits = None;
    }

    fn write_bare(&mut self, now: Micros, seq: Seq, out: &mut FrameBatch) {
        let options = self.options(now);
        let (ack, window) = (self.receiver.expected(), self.receiver.window_field());
        self.ends
            .write(out, &Outgoing::bare_ack(seq, ack, window, &options));
    }

    /// Answers a segment of which nothing counts.
    pub(crate) fn answer(&mut self, now: Micros, out: &mut FrameBatch) {
        self.write_ack(now, out);
    }

    /// Asks whether the device is alive: one byte back and without payload, so that one that lives answers what it has
    /// acknowledged before.
    pub(crate) fn keep_alive(&mut self, now: Micros, out: &mut FrameBatch) {
        self.write_bare(now, self.sender.next_out().plus(u32::MAX), out);
    }

    /// Whether an acknowledgement leaves by itself now (RFC 9293 section 3.8.6.3: at the latest for every second full
    /// segment).
    fn acknowledges_now(&mut self, now: Micros) -> bool {
        if !self.receiver.owes() {
            return self.receiver.has_window_update();
        }
        let Some(delay) = self.ack_delay else {
            return true;
        };
        if self.receiver.is_prompt()
            || self.receiver.is_closed()
            || self.receiver.unacknowledged() >= 2 * self.sender.mss()
        {
            return true;
        }
        now >= self.ack_waits.get_or_insert(now).plus(delay)
    }
}
