//! Which segment leaves next, and what is noted of it once it has left.

use super::{Cause, OVERRIDE, Piece, PieceKind, Recovery, Sender, TailProbe};
use crate::api::time::Micros;
use crate::tcp::seq::Seq;

impl Sender {
    /// What leaves next, if anything may: a segment with at most `size` bytes of payload, or up to `segments` of new payload
    /// in a row that are all as long.
    pub(crate) fn choose(&mut self, now: Micros, size: u32, segments: usize) -> Option<Piece> {
        if self.window == 0 {
            if self.persist_due {
                self.persist_due = false;
                let probe = self.piece(self.una_byte(), 1, PieceKind::WindowProbe);
                return Some(Piece {
                    fin: probe.push && self.fin_sent,
                    ..probe
                });
            }
            // A FIN takes no room.
            return match self.board.first_lost() {
                Some((start, end)) if start == self.end => self.lost_piece(start, end, size),
                _ => self.fin_piece(),
            };
        }
        if let Some((start, end)) = self.board.first_lost() {
            return self.lost_piece(start, end, size);
        }
        if core::mem::take(&mut self.tail_due) && !self.board.is_empty() {
            return Some(self.tail_piece(size));
        }
        let unsent = u32::try_from(self.end.minus(self.next)).unwrap_or(0);
        if unsent == 0 {
            self.withheld = None;
            return self.fin_piece();
        }
        if self.board.is_empty() && now > self.sent_at.plus(self.trip.timeout()) {
            self.control.rested();
        }
        let len = unsent.min(size);
        let usable = u32::try_from(self.una.plus(self.window).minus(self.next)).unwrap_or(0);
        let room = self.control.window().saturating_sub(self.in_flight());
        if len > usable.min(room) {
            return self.part_piece(now, usable);
        }
        self.withheld = None;
        if self.nagle && len < size && !self.board.is_empty() && !self.fin_wanted {
            return None;
        }
        let most = u32::try_from(segments).unwrap_or(u32::MAX);
        let full = (unsent.min(usable).min(room) / size).min(most);
        Some(self.piece(self.next, len.max(full * size), PieceKind::New))
    }

    /// A window that has room for a part of what waits, and for no full segment: an acknowledgement will make room, or
    /// the part goes if it is half of the largest window seen, or has waited (RFC 9293 section 3.8.6.2.1).
    pub(super) fn part_piece(&mut self, now: Micros, usable: u32) -> Option<Piece> {
        if !self.board.is_empty() || usable == 0 {
            self.withheld = None;
            return None;
        }
        if usable < self.mss.min(self.max_window / 2) {
            let since = *self.withheld.get_or_insert(now);
            if now < since.plus(OVERRIDE) {
                return None;
            }
        }
        self.withheld = None;
        Some(self.piece(self.next, usable.min(self.mss), PieceKind::New))
    }

    pub(super) fn lost_piece(&self, start: Seq, end: Seq, size: u32) -> Option<Piece> {
        if start == self.end {
            return Some(Piece {
                fin: true,
                ..self.piece(start, 0, PieceKind::Again)
            });
        }
        let end = if end.is_after(self.end) {
            self.end
        } else {
            end
        };
        let usable = u32::try_from(self.una.plus(self.window).minus(start)).unwrap_or(0);
        let len = end.minus(start).unsigned_abs().min(size).min(usable);
        let room = self.control.window().saturating_sub(self.in_flight());
        if len == 0 || (len > room && !self.force && self.in_flight() > 0) {
            return None;
        }
        let piece = self.piece(start, len, PieceKind::Again);
        Some(Piece {
            // A FIN that is to be sent again leaves with the last byte.
            fin: piece.push && self.fin_sent && self.board.is_lost(self.end),
            ..piece
        })
    }

    /// The probe for the end of a flight: something new if there is any, or else the last segment again.
    pub(super) fn tail_piece(&mut self, size: u32) -> Piece {
        let usable = u32::try_from(self.una.plus(self.window).minus(self.next)).unwrap_or(0);
        let unsent = u32::try_from(self.end.minus(self.next)).unwrap_or(0);
        let len = unsent.min(size);
        let piece = if len > 0 && len <= usable {
            self.piece(self.next, len, PieceKind::New)
        } else {
            let (start, end) = self
                .board
                .tail(size.min(self.last_len))
                .unwrap_or((self.una, self.una));
            let fin = end.is_after(self.end);
            let start = if fin { self.end } else { start };
            let len = if fin {
                0
            } else {
                end.minus(start).unsigned_abs()
            };
            Piece {
                fin,
                ..self.piece(start, len, PieceKind::Again)
            }
        };
        self.tail = Some(TailProbe {
            end: self
                .next
                .latest(piece.seq.plus(piece.len + u32::from(piece.fin))),
            again: piece.is_again(),
        });
        piece
    }

    pub(super) fn fin_piece(&self) -> Option<Piece> {
        (self.fin_wanted && !self.fin_sent && self.next == self.end).then(|| Piece {
            fin: true,
            ..self.piece(self.end, 0, PieceKind::New)
        })
    }

    pub(super) fn piece(&self, seq: Seq, len: u32, kind: PieceKind) -> Piece {
        Piece {
            seq,
            len,
            fin: false,
            push: len > 0 && seq.plus(len) == self.end,
            kind,
        }
    }

    /// The byte that a closed window is probed with.
    pub(super) fn una_byte(&self) -> Seq {
        self.una.latest(self.base())
    }

    /// Notes that a piece left in segments of `size` bytes.
    #[inline]
    pub(crate) fn left(&mut self, now: Micros, piece: &Piece, size: u32) {
        let end = piece.seq.plus(piece.len + u32::from(piece.fin));
        match piece.kind {
            PieceKind::New => {
                if self.board.is_empty() {
                    self.armed = now;
                }
                self.board.sent(piece.seq, end, now);
                self.next = end;
                self.last_len = piece.len.min(size) + u32::from(piece.fin);
                self.fin_sent |= piece.fin;
            }
            PieceKind::Again => {
                if self.force {
                    self.armed = now;
                    self.force = false;
                }
                let data = piece.seq.plus(piece.len);
                if piece.len > 0 {
                    self.board.sent_again(piece.seq, data, now);
                }
                if piece.fin {
                    self.board.sent_again(data, end, now);
                }
                // What probes for the end of a flight was sent for no loss that could be undone.
                let lost = |recovery: &Recovery| recovery.cause != Cause::NotThePath;
                if self.recovery.as_ref().is_some_and(lost) {
                    self.suspect = self.suspect.saturating_add(piece.len);
                }
            }
            PieceKind::WindowProbe => {}
        }
        self.highest = self.highest.latest(end);
        self.sent_at = now;
    }
}
