//! What a segment from the device is to a flow before smoltcp sees it, and what must be changed about it.

use crate::ip::packet::Segment;
use crate::tcp::Live;
use crate::tcp::crafted::Crafted;
use crate::tcp::plain::Plain;
use crate::tcp::seq::Seq;

/// Where a reset stands (RFC 5961 section 3.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Placement {
    /// At RCV.NXT: it counts.
    Exact,
    /// Elsewhere in the window: challenged.
    InWindow,
    /// Outside the window: ignored.
    Outside,
}

impl Live {
    /// Whether an acknowledgement is older than any that can still be on its way (RFC 5961 section 5.2).
    #[inline]
    pub(crate) fn is_ancient(&self, ack: Seq) -> bool {
        i64::from(self.acked.minus(ack)) > i64::from(self.max_window)
    }

    /// Whether a segment asks whether the flow is alive (RFC 9293 section 3.8.4), without text. smoltcp answers one a
    /// second.
    #[inline]
    pub(crate) fn is_bare_probe(&self, segment: &Segment<'_>) -> bool {
        segment.payload.is_empty()
            && !segment.fin
            && self.handshake_done()
            && segment.seq.plus(1) == self.expected()
    }

    /// Whether a segment is a copy of the FIN that was received.
    pub(crate) fn is_fin_again(&self, segment: &Segment<'_>) -> bool {
        segment.fin
            && segment.payload.is_empty()
            && self.device_closed()
            && segment.seq.plus(1) == self.expected()
    }

    /// Where a segment stands in the receive window (RFC 9293 section 3.10.7.4).
    pub(crate) fn reset_placement(&self, segment: &Segment<'_>) -> Placement {
        let expected = self.expected();
        if segment.seq == expected {
            Placement::Exact
        } else if segment.seq.is_after(expected)
            && segment.seq.is_before(self.edge.latest(expected.plus(1)))
        {
            Placement::InWindow
        } else {
            Placement::Outside
        }
    }

    /// Remembers a FIN within the window; says whether the text before it was all received before. smoltcp forgets
    /// a FIN behind a hole, and takes text it had, with a FIN, for a mere duplicate.
    pub(crate) fn keep_fin(&mut self, segment: &Segment<'_>) -> bool {
        let text = u32::try_from(segment.payload.len()).unwrap_or(u32::MAX);
        let (end, expected) = (segment.seq.plus(text), self.expected());
        if self.device_closed() || end.is_before(expected) || end.is_after(self.edge) {
            return false;
        }
        self.fin_at = Some(end);
        text > 0 && end == expected
    }

    /// The FIN that was kept, once nothing is missing before it.
    #[inline]
    pub(crate) fn kept_fin(&self) -> Option<Crafted> {
        let at = self.fin_at?;
        (self.handshake_done() && !self.device_closed() && at == self.expected()).then_some(
            Crafted {
                seq: at,
                ack: self.acked,
                window: self.field_for(self.acked),
                fin: true,
                octet: false,
            },
        )
    }

    /// Whether [`Live::repair`] may find anything to change.
    #[inline]
    pub(crate) fn may_need_repair(&self, segment: &Segment<'_>) -> bool {
        segment.fin
            || self.device_closed()
            || segment.ack.is_none_or(|ack| ack.is_before(self.acked))
    }

    /// What must be changed about a segment before smoltcp may see it; `field` is the window field to put in the
    /// place of its own.
    pub(crate) fn repair(&self, segment: &Segment<'_>, field: u16) -> Option<Plain> {
        let mut plain = Plain::whole(segment);
        let text = u32::try_from(segment.payload.len()).unwrap_or(u32::MAX);
        let end = segment.seq.plus(text);
        let mut needed = false;
        if segment.fin && text > 0 && end.is_after(self.edge) {
            // smoltcp keeps the FIN of a segment whose text it cuts at the window's edge.
            plain.without_fin = true;
            needed = true;
        }
        if text > 0 && self.device_closed() && end.is_after(self.expected()) {
            // RFC 9293 section 3.10.7.4, seventh: text after a FIN is ignored; smoltcp would deliver it.
            plain.payload = false;
            plain.without_fin = true;
            needed = true;
        }
        if segment.fin && self.device_closed() {
            // A second FIN says nothing, but smoltcp would pass over the acknowledgement and window beside it.
            plain.without_fin = true;
            needed = true;
        }
        let ack = segment.ack.unwrap_or(self.acked);
        if self.handshake_done() && ack.is_before(self.acked) && segment.sequence_len() > 0 {
            // smoltcp drops the text of a segment whose acknowledgement is old; RFC 9293 section 3.10.7.4, fifth,
            // ignores only the acknowledgement.
            plain.ack = Some((self.acked, field));
            needed = true;
        }
        if needed && plain.ack.is_none() {
            plain.ack = Some((ack, field));
        }
        needed.then_some(plain)
    }
}
