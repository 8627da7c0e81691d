//! Ranges that take several segments: what each of them must be, and how they are sent.

use super::number::Bindings;
use super::parse::LENGTH_MAX;
use super::{Body, Cut, Num, Range, Segment};
use crate::packet::{Flags, Tcp};

impl Segment {
    /// What a segment that comes after `before` bytes of the range must be, and whether it is the last; `None` for a line of one
    /// segment, or with a name that has no value yet.
    ///
    /// Segments come in order, without a hole and with a byte at the least. Flags are those of the last one; of the others
    /// a push is not looked at, and a FIN that is to end the range may come by itself.
    pub(crate) fn part(
        &self,
        before: u32,
        tcp: &Tcp<'_>,
        bindings: &Bindings,
    ) -> Option<(Self, bool)> {
        let mut part = self.clone();
        let Body::Tcp(body) = &mut part.body else {
            return None;
        };
        let (start, end) = body.range.as_ref()?.spans(bindings)?;
        let at = start.wrapping_add(before);
        let got = u32::try_from(tcp.payload_len).unwrap_or(u32::MAX);
        // Without an end there is always more to come.
        let rest = end.map_or_else(|| got.max(1) + 1, |end| end.wrapping_sub(at));
        let fin_to_come = body.flags.contains(Flags::FIN) && !tcp.flags.contains(Flags::FIN);
        let last = got == 0 || got > rest || (got == rest && !fin_to_come);
        body.range = Some(Range::one(at, if last { rest } else { got }));
        if !last {
            let push = Flags(tcp.flags.0 & Flags::PSH.0);
            body.flags = body
                .flags
                .without(Flags::FIN)
                .without(Flags::PSH)
                .with(push);
        }
        Some((part, last))
    }

    /// Whether a line takes what comes in its time, however much that is: the end of its range is not written.
    pub(crate) fn is_open(&self, bindings: &Bindings) -> bool {
        match &self.body {
            Body::Tcp(body) => {
                let range = body.range.as_ref();
                range.is_some_and(|range| matches!(range.spans(bindings), Some((_, None))))
            }
            _ => false,
        }
    }

    /// Gives the end of an open range its value, so many bytes having come.
    pub(crate) fn close(&self, bytes: u32, bindings: &mut Bindings) {
        if let Body::Tcp(body) = &self.body
            && let Some(range) = &body.range
            && let Some((start, None)) = range.spans(bindings)
        {
            range.end.accepts(start.wrapping_add(bytes), bindings);
        }
    }

    /// The segments that a line sends, none of more bytes than `most`: itself, if its length is written.
    pub(crate) fn cut(&self, most: u32, bindings: &Bindings) -> Vec<Self> {
        let span = match &self.body {
            Body::Tcp(body) => body.range.as_ref().and_then(|range| range.spans(bindings)),
            _ => None,
        };
        let Some((start, Some(end))) = span else {
            return vec![self.clone()];
        };
        let mut pieces = Vec::new();
        // A range that ends before it begins is empty.
        let mut rest = end.wrapping_sub(start);
        if rest > LENGTH_MAX {
            rest = 0;
        }
        let mut at = start;
        loop {
            let len = rest.min(most.max(1));
            rest -= len;
            let last = rest == 0;
            let mut piece = self.clone();
            if let Body::Tcp(body) = &mut piece.body {
                body.range = Some(Range::one(at, len));
                if !last {
                    body.flags = body.flags.without(Flags::FIN).without(Flags::PSH);
                }
                // An empty range is not written.
                if len > 0 || body.flags.contains(Flags::FIN) {
                    pieces.push(piece);
                }
            }
            if last {
                return pieces;
            }
            at = at.wrapping_add(len);
        }
    }
}

impl Range {
    /// The range of one segment.
    pub(super) fn one(start: u32, len: u32) -> Self {
        Self {
            start: Num::of(start),
            end: Num::of(start.wrapping_add(len)),
            len: Num::of(len),
            cut: Cut::One,
        }
    }

    /// Where a range in several segments begins, if its name has a value, and where it ends, if that is written.
    fn spans(&self, bindings: &Bindings) -> Option<(u32, Option<u32>)> {
        (self.cut != Cut::One).then_some(())?;
        let start = self.start.resolve(bindings).ok()?;
        Some((start, self.end.resolve(bindings).ok()))
    }
}

#[cfg(test)]
mod tests {
    use crate::notation::{Action, Bindings, Body, Line};
    use crate::packet::build::{TcpSpec, tcp};
    use crate::packet::{Flags, Packet};

    use super::Segment;

    fn segment(text: &str) -> Segment {
        match Line::parse(text).unwrap().action {
            Action::Inject(segment) | Action::Expect(segment) => segment,
            _ => panic!("{text} is no packet"),
        }
    }

    /// What a segment of so many bytes with these flags must be, and whether it is the last.
    fn part(text: &str, before: u32, flags: &str, len: usize) -> (String, bool) {
        let letters = flags.chars().filter_map(Flags::from_letter);
        let ends = ["192.0.2.1:80", "10.0.0.2:40000"].map(|end| end.parse().unwrap());
        let bytes = tcp(&TcpSpec {
            flags: letters.fold(Flags(0), Flags::with),
            payload: &vec![0; len],
            ..TcpSpec::new(ends[0], ends[1])
        });
        let packet = Packet::whole(&bytes).unwrap();
        let part = segment(text).part(before, packet.tcp().unwrap(), &Bindings::default());
        part.map(|(part, last)| (part.body.to_string(), last))
            .unwrap()
    }

    #[test]
    fn each_segment_of_a_range_must_go_on_where_the_one_before_ended() {
        let line = "~ > get P. 1:101(+) ack 5";
        assert_eq!(
            part(line, 0, ".", 60),
            (". 1:61(60) ack 5".to_owned(), false)
        );
        assert_eq!(
            part(line, 60, "P.", 30),
            ("P. 61:91(30) ack 5".to_owned(), false)
        );
        assert_eq!(
            part(line, 90, "P.", 10),
            ("P. 91:101(10) ack 5".to_owned(), true)
        );
        // Neither nothing nor too much is a part of it.
        assert_eq!(
            part(line, 90, ".", 0),
            ("P. 91:101(10) ack 5".to_owned(), true)
        );
        assert_eq!(
            part(line, 90, ".", 11),
            ("P. 91:101(10) ack 5".to_owned(), true)
        );
    }

    #[test]
    fn the_fin_of_a_range_stands_on_its_last_byte_or_comes_by_itself() {
        let line = "~ > get F. 1:11(+)";
        assert_eq!(part(line, 0, "F.", 10), ("F. 1:11(10)".to_owned(), true));
        assert_eq!(part(line, 0, ".", 10), (". 1:11(10)".to_owned(), false));
        assert_eq!(part(line, 10, "F.", 0), ("F. 11:11(0)".to_owned(), true));
        // Ahead of its bytes it ends nothing.
        assert_eq!(part(line, 0, "F.", 4), (". 1:5(4)".to_owned(), false));
    }

    #[test]
    fn what_is_sent_in_several_segments_has_push_and_fin_on_the_last() {
        let cut = |text: &str, bindings: &Bindings| -> Vec<String> {
            let pieces = segment(text).cut(1000, bindings);
            pieces.iter().map(|piece| piece.body.to_string()).collect()
        };
        let none = Bindings::default();
        assert_eq!(
            cut("+0 < get FP. 1:2501(+) ack 1", &none),
            [
                ". 1:1001(1000) ack 1",
                ". 1001:2001(1000) ack 1",
                "FP. 2001:2501(500) ack 1"
            ]
        );
        assert_eq!(cut("+0 < get P. 7:7(+) ack 1", &none), [""; 0]);
        assert_eq!(cut("+0 < get F. 7:7(+) ack 1", &none), ["F. 7:7(0) ack 1"]);
        assert_eq!(cut("+0 < get . 9:7(+) ack 1", &none), [""; 0], "no room");
        assert_eq!(cut("+0 < get . 1:3001(3000) ack 1", &none).len(), 1);
        let mut edge = Bindings::default();
        edge.bind("edge", 1501);
        assert_eq!(cut("+0 < get . 1:$edge(+) ack 1", &edge).len(), 2);
    }

    #[test]
    fn a_range_without_an_end_takes_what_comes() {
        let line = segment("~ > get . 1:$end(+)");
        let mut bindings = Bindings::default();
        assert!(line.is_open(&bindings));
        assert_eq!(
            part("~ > get . 1:$end(+)", 5, ".", 9),
            (". 6:15(9)".to_owned(), false)
        );
        assert!(part("~ > get . 1:*(+)", 5, ".", 0).1, "no byte");
        line.close(14, &mut bindings);
        assert_eq!(bindings.value("end"), Some(15));
        assert!(!line.is_open(&bindings));
    }

    #[test]
    fn a_line_of_one_segment_has_no_parts() {
        let Body::Tcp(body) = segment("~ > get . 1:101(100)").body else {
            panic!("no segment");
        };
        assert!(body.range.unwrap().spans(&Bindings::default()).is_none());
    }
}
