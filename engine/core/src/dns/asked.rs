//! What the device asked on a flow: only answers to it are believed (RFC 5452 section 9.1).

use std::collections::VecDeque;
use std::net::SocketAddr;

use super::message::Question;

/// Queries remembered of one flow; the oldest makes room. A stub has a handful under way.
const MAX: usize = 32;

/// The queries of one flow that have no answer yet.
#[derive(Debug, Default)]
pub(crate) struct Asked {
    queries: VecDeque<(SocketAddr, u16, Question)>,
}

impl Asked {
    pub(crate) fn note(&mut self, server: SocketAddr, id: u16, question: Question) {
        if self.queries.len() >= MAX {
            self.queries.pop_front();
        }
        self.queries.push_back((server, id, question));
    }

    /// Whether `server` was asked this; each query answers for one answer.
    pub(crate) fn take(&mut self, server: SocketAddr, id: u16, question: &Question) -> bool {
        let place = self.queries.iter().position(|(asked, number, known)| {
            *asked == server && *number == id && known.is_same(question)
        });
        place.and_then(|place| self.queries.remove(place)).is_some()
    }
}
