//! System calls of a script: those that take a while, which other events do not wait for, and what each came to.

use super::super::calls::{Came, is_of_stack, number};
use super::super::sockets::Kind;
use super::Player;
use crate::base::wording::seconds_of as seconds;
use crate::notation::packetdrill::syntax::{Call, Event};
use crate::scenario::failure::FailureKind;
use crate::simulation::timeline::run_until;
use crate::simulation::world::World;

/// A call that may take until a time, which other events do not wait for.
pub(super) struct Waiting<'a> {
    pub(super) event: &'a Event,
    pub(super) call: &'a Call,
    /// Before this time it must not be complete; `None`: any time will do.
    pub(super) early: Option<u64>,
    /// By this time it must be.
    pub(super) late: u64,
}

impl<'a> Player<'a> {
    /// Looks after calls that wait while other things happen, up to a time.
    pub(super) fn meanwhile(
        &mut self,
        world: &mut World<'_>,
        waiting: &mut Vec<Waiting<'a>>,
        until: u64,
    ) {
        for one in waiting.iter_mut() {
            if let Some(early) = one.early.take_if(|early| *early < until) {
                self.must_wait(world, one, early);
            }
        }
        let due: Vec<Waiting<'a>> = waiting.extract_if(.., |one| one.late < until).collect();
        for one in due {
            run_until(world, one.late);
            self.refresh(world);
            self.call(world, one.event, one.call);
        }
    }

    /// A call that is complete by `early` returns too soon.
    fn must_wait(&mut self, world: &mut World<'_>, one: &Waiting<'_>, early: u64) {
        run_until(world, early);
        self.refresh(world);
        if self.is_complete(world, one.call) {
            let what = format!("it returned before {} s", seconds(early));
            self.fail(world, one.event, FailureKind::WrongTime, what);
        }
    }

    /// Calls wait for each other: those under way are looked at before the next.
    pub(super) fn finish_waiting(&mut self, world: &mut World<'_>, waiting: &mut Vec<Waiting<'a>>) {
        for one in std::mem::take(waiting) {
            self.refresh(world);
            if !self.is_complete(world, one.call) {
                if let Some(early) = one.early {
                    self.must_wait(world, &one, early);
                }
                run_until(world, one.late);
            } else if one.early.is_some_and(|early| world.now <= early) {
                let what = format!("it returned by {} s", seconds(world.now));
                self.fail(world, one.event, FailureKind::WrongTime, what);
            }
            self.refresh(world);
            self.call(world, one.event, one.call);
        }
    }

    /// What a call that may take a while does at once.
    pub(super) fn begin(&mut self, call: &Call) {
        if let ("connect", Some(number)) = (call.name.as_str(), number(call, 0)) {
            self.next_tuple();
            self.change(number, |socket| socket.kind = Kind::Connecting);
        }
    }

    /// Whether a blocking call would have returned by now.
    fn is_complete(&self, world: &mut World<'_>, call: &Call) -> bool {
        let socket = number(call, 0).and_then(|number| self.sockets.get(number));
        match (call.name.as_str(), socket.map(|socket| &socket.kind)) {
            ("accept" | "accept4", _) => {
                let mut all = self.connections.iter();
                all.any(|one| one.established && !one.taken && !one.turned)
            }
            ("connect", Some(Kind::Connection(index))) => {
                let one = self.connections.get(*index);
                one.is_some_and(|one| one.established)
            }
            ("connect", _) => false,
            ("read" | "recv" | "recvfrom" | "recvmsg" | "readv", Some(Kind::Connection(index))) => {
                self.unread(world, *index).is_some_and(|unread| unread > 0)
                    || self.has_ended(world, *index)
            }
            _ => true,
        }
    }

    pub(super) fn call(&mut self, world: &mut World<'_>, event: &Event, call: &Call) {
        self.tally.all += 1;
        let came = self.carry_out(world, call);
        self.refresh(world);
        let of_stack = is_of_stack(call);
        if let Some(what) = self.lost.clone().filter(|_| of_stack) {
            return self.not_compared(event, &what);
        }
        let wanted = (call.result.number(), call.error.as_deref());
        let problem = match &came {
            Came::Lost(what) => {
                self.lose(event, what.clone());
                return self.not_compared(event, what);
            }
            Came::Unknown(what) => return self.not_compared(event, what),
            Came::PassedOver(what) => {
                self.tally.passed_over.push((event.at, what.clone()));
                // The descriptor is a good one: all but its value is compared.
                (wanted.0 != Some(0)).then(|| {
                    let wanted = shown(wanted);
                    format!("`{}` came to 0, not {wanted}", call.name)
                })
            }
            Came::Value(wanted, actual) => {
                Some(format!("`{}` gave {actual}, not {wanted}", call.name))
            }
            Came::Number(actual) => (wanted.0 != Some(*actual))
                .then(|| format!("`{}` came to {actual}, not {}", call.name, shown(wanted))),
            Came::Error(errors) => {
                let is =
                    wanted.0 == Some(-1) && wanted.1.is_none_or(|error| errors.contains(&error));
                (!is).then(|| {
                    let first = errors.first().copied().unwrap_or_default();
                    format!("`{}` came to -1 {first}, not {}", call.name, shown(wanted))
                })
            }
        };
        self.tally.compared += 1;
        self.tally.of_stack += u64::from(of_stack);
        if let Some(what) = problem {
            let kind = match call.name.as_str() {
                "accept" | "accept4" => FailureKind::MissingDial,
                _ => FailureKind::WrongStream,
            };
            self.fail(world, event, kind, what);
        }
    }
}

fn shown((number, error): (Option<i64>, Option<&str>)) -> String {
    let number = number.map_or_else(|| "a value".to_owned(), |number| number.to_string());
    match error {
        Some(error) => format!("{number} {error}"),
        None => number,
    }
}
