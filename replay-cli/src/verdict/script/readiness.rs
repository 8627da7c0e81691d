//! What a descriptor is ready for, as `poll` and `epoll_wait` tell it: what a peer's doings make of it.

use engine::How;

use super::calls::Came;
use super::player::Player;
use super::sockets::{Happened, Kind, Socket, Watched};
use crate::notation::packetdrill::syntax::{Call, Expression};
use crate::simulation::world::World;

impl Player<'_> {
    pub(super) fn watch(&mut self, call: &Call, number: i64) -> Came {
        let what = call.arguments.get(1).map(Expression::words);
        let Some(of) = call.arguments.get(2).and_then(Expression::number) else {
            return Came::Error(&["EBADF"]);
        };
        let events = call.arguments.get(3).and_then(|one| one.field("events"));
        let events = events.map(Expression::words).unwrap_or_default();
        let watched = Watched {
            events: events.iter().map(ToString::to_string).collect(),
            told: None,
        };
        let deletes = what.as_deref() == Some(&["EPOLL_CTL_DEL"]);
        self.change(number, |socket| {
            if let Kind::Watch(all) = &mut socket.kind {
                match deletes {
                    true => drop(all.remove(&of)),
                    false => drop(all.insert(of, watched)),
                }
            }
        });
        Came::Number(0)
    }

    /// One descriptor is watched: readable and writable is what a peer's doings make it. By its level it is told as long as it
    /// is so, by its edge (`EPOLLET`) when something new has happened, with `EPOLLONESHOT` once.
    pub(super) fn epoll_wait(
        &mut self,
        world: &mut World<'_>,
        call: &Call,
        number: i64,
        socket: &Socket,
    ) -> Came {
        let Kind::Watch(all) = &socket.kind else {
            return Came::Error(&["EINVAL"]);
        };
        let [(of, watched)] = all.iter().collect::<Vec<_>>()[..] else {
            return Came::Unknown("several descriptors are watched".to_owned());
        };
        let by = |word: &str| watched.events.iter().any(|event| event == word);
        let happened = self.happened(world, *of);
        let (Some(mut now), Some(happened)) =
            (self.ready(world, *of, "EPOLL", &watched.events), happened)
        else {
            return Came::Unknown("what a descriptor without a connection is ready for".to_owned());
        };
        let once = by("EPOLLONESHOT") && watched.told.is_some();
        if once || by("EPOLLET") && watched.told == Some(happened) {
            now.clear();
        }
        let of_kernel =
            |socket: &Socket| socket.lent || socket.filled && by("EPOLLET") && by("EPOLLOUT");
        if self.sockets.get(*of).is_some_and(of_kernel) {
            return Came::Unknown("when a send buffer has room, or is done with".to_owned());
        }
        if !now.is_empty() {
            self.change(number, |socket| {
                if let Kind::Watch(all) = &mut socket.kind
                    && let Some(watched) = all.get_mut(of)
                {
                    watched.told = Some(happened);
                }
            });
        }
        let wanted = call.arguments.get(1).and_then(|one| one.field("events"));
        let mut wanted = wanted.map(Expression::words).unwrap_or_default();
        wanted.sort_unstable();
        if wanted != now {
            return Came::Value(wanted.join("|"), now.join("|"));
        }
        Came::Number(i64::from(!now.is_empty()))
    }

    /// What has happened on a descriptor so far that makes it ready.
    fn happened(&self, world: &mut World<'_>, of: i64) -> Option<Happened> {
        let Kind::Connection(index) = self.sockets.get(of)?.kind else {
            return None;
        };
        let unread = self.unread(world, index)?;
        let one = self.connections.get(index)?;
        let flow = world.flows.get(one.flow)?;
        Some(Happened {
            come: unread + one.consumed,
            ended: self.has_ended(world, index),
            reset: flow.closed.is_some_and(|(_, close)| close.how != How::Fin),
        })
    }

    pub(super) fn poll(&self, world: &mut World<'_>, call: &Call) -> Came {
        let Some(Expression::List(asked)) = call.arguments.first() else {
            return Came::Lost("poll without a list".to_owned());
        };
        let asked = asked.clone();
        let mut count = 0;
        for one in &asked {
            let of = one.field("fd").and_then(Expression::number);
            let events = one
                .field("events")
                .map(Expression::words)
                .unwrap_or_default();
            let events: Vec<String> = events.iter().map(ToString::to_string).collect();
            let now = of.and_then(|of| self.ready(world, of, "POLL", &events));
            let Some(now) = now else {
                return Came::Unknown(
                    "what a descriptor without a connection is ready for".to_owned(),
                );
            };
            let mut wanted = one
                .field("revents")
                .map(Expression::words)
                .unwrap_or_default();
            wanted.sort_unstable();
            if wanted != now {
                return Came::Value(wanted.join("|"), now.join("|"));
            }
            count += i64::from(!now.is_empty());
        }
        Came::Number(count)
    }

    /// What a descriptor is ready for of what is asked, in words with a prefix, sorted.
    fn ready(
        &self,
        world: &mut World<'_>,
        of: i64,
        prefix: &str,
        asked: &[String],
    ) -> Option<Vec<&'static str>> {
        let socket = self.sockets.get(of)?.clone();
        let Kind::Connection(index) = socket.kind else {
            return None;
        };
        let ended = self.has_ended(world, index);
        let readable = self.unread(world, index)? > 0 || ended || socket.read_shut;
        let flow = world.flows.get(self.connections.get(index)?.flow)?;
        let reset = flow.closed.is_some_and(|(_, close)| close.how != How::Fin);
        let epoll = prefix == "EPOLL";
        let word = |one: &'static str, other: &'static str| if epoll { one } else { other };
        let mut now = Vec::new();
        let mut is = |yes: bool, word: &'static str, always: bool| {
            if yes && (always || asked.iter().any(|asked| asked == word)) {
                now.push(word);
            }
        };
        is(readable || reset, word("EPOLLIN", "POLLIN"), false);
        is(true, word("EPOLLOUT", "POLLOUT"), false);
        is(reset, word("EPOLLERR", "POLLERR"), true);
        is(
            reset || (ended || socket.read_shut) && socket.write_shut,
            word("EPOLLHUP", "POLLHUP"),
            true,
        );
        is(
            ended || socket.read_shut || reset,
            word("EPOLLRDHUP", "POLLRDHUP"),
            false,
        );
        now.sort_unstable();
        Some(now)
    }
}
