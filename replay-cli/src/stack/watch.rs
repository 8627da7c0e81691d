//! What a run makes the engine do: the states its connections are in, how flows end, what is counted.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use engine::{Close, Counters, FlowId, FlowKey, How, Inspection, Micros, Proto};

/// Before the first SYN of a connection, and after its end.
pub const CLOSED: &str = "CLOSED";

/// After an orderly close that the far side began.
pub const TIME_WAIT: &str = "TIME-WAIT";

/// What a run made the engine do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Exercised {
    /// States of connections (RFC 9293 section 3.3.2).
    pub states: BTreeSet<&'static str>,
    /// From which of them to which.
    pub transitions: BTreeSet<(&'static str, &'static str)>,
    /// By whom flows ended and how: `device reset`.
    pub ends: BTreeSet<String>,
    /// Counters that counted, and gauges that rose.
    pub counters: BTreeSet<&'static str>,
    /// Settings of the engine that were other than the default.
    pub settings: BTreeSet<&'static str>,
}

/// Where it is noted; clones share the notes. Who watches looks at the engine after each call and each output, so that only
/// the frames of one batch can hide a state from it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Watch(Arc<Mutex<Watched>>);

#[derive(Debug, Default)]
struct Watched {
    exercised: Exercised,
    states: BTreeMap<FlowId, &'static str>,
    /// Of each counter, in their order: whether it is known to have counted.
    counted: Vec<bool>,
    /// Until when tuples are in TIME-WAIT.
    waiting: HashMap<FlowKey, Micros>,
}

impl Watch {
    /// Looks at the flows and counters as they are now.
    pub(crate) fn look(&self, now: Inspection, counters: &Counters) {
        let mut watched = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let watched = &mut *watched;
        let exercised = &mut watched.exercised;
        for (index, (name, count)) in counters.iter().enumerate() {
            if watched.counted.len() <= index {
                watched.counted.push(false);
            }
            let counted = watched.counted.get_mut(index);
            // There are many, and nearly all are known already.
            if let Some(counted) = counted.filter(|counted| count > 0 && !**counted) {
                *counted = true;
                exercised.counters.insert(name);
            }
        }
        let tcp = now.flows.into_iter();
        for flow in tcp.filter(|flow| flow.key.proto == Proto::Tcp) {
            let before = match watched.states.insert(flow.flow, flow.state) {
                Some(before) => before,
                None => match watched.waiting.remove(&flow.key) {
                    Some(until) if until > now.at => TIME_WAIT,
                    _ => CLOSED,
                },
            };
            if before != flow.state {
                exercised.states.insert(flow.state);
                exercised.transitions.insert((before, flow.state));
            }
        }
    }

    /// A flow has ended, and what is left of it stays until a time.
    pub(crate) fn ended(&self, flow: FlowId, key: FlowKey, close: Close, until: Micros) {
        let mut watched = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let end = format!("{} {}", close.by, close.how.label());
        watched.exercised.ends.insert(end);
        let Some(last) = watched.states.remove(&flow) else {
            return;
        };
        let waits = matches!(last, "FIN-WAIT-1" | "FIN-WAIT-2" | "CLOSING" | TIME_WAIT);
        let state = if waits && close.how == How::Fin {
            watched.waiting.insert(key, until);
            TIME_WAIT
        } else {
            CLOSED
        };
        // An orderly end may have been seen already.
        if last != state {
            watched.exercised.states.insert(state);
            watched.exercised.transitions.insert((last, state));
        }
    }

    /// What was noted so far.
    pub(crate) fn take(&self) -> Exercised {
        let mut watched = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut *watched).exercised
    }
}
