//! What a descriptor is ready for, as `poll` and `epoll_wait` report it: what a peer's doings make of it.

use engine::How;

use super::calls::{self, Came, words};
use super::player::Player;
use super::sockets::{Happened, Kind, Socket, Watched};
use crate::notation::packetdrill::syntax::{Call, Expression};
use crate::simulation::world::World;

impl Player<'_> {
    pub(super) fn watch(&mut self, call: &Call, number: i64) -> Came {
        let Some(of) = calls::number(call, 2) else {
            return Came::Error(&["EBADF"]);
        };
        let events = call.arguments.get(3).map(|one| field_words(one, "events"));
        let events = events.unwrap_or_default();
        let watched = Watched {
            events: events.iter().map(ToString::to_string).collect(),
            reported: None,
        };
        let deletes = words(call, 1) == ["EPOLL_CTL_DEL"];
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

    /// One descriptor is watched: readable and writable is what a peer's doings make it. By its level it is reported as long as
    /// it is so, by its edge (`EPOLLET`) when something new has happened, with `EPOLLONESHOT` once.
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
            return no_connection();
        };
        let once = by("EPOLLONESHOT") && watched.reported.is_some();
        if once || by("EPOLLET") && watched.reported == Some(happened) {
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
                    watched.reported = Some(happened);
                }
            });
        }
        let wanted = call.arguments.get(1).map(|one| field_words(one, "events"));
        let mut wanted = wanted.unwrap_or_default();
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
        let flow = self.flow(world, index)?;
        Some(Happened {
            come: unread + self.connections.get(index)?.consumed,
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
            let events = field_words(one, "events");
            let events: Vec<String> = events.iter().map(ToString::to_string).collect();
            let now = of.and_then(|of| self.ready(world, of, "POLL", &events));
            let Some(now) = now else {
                return no_connection();
            };
            let mut wanted = field_words(one, "revents");
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
        let flow = self.flow(world, index)?;
        let reset = flow.closed.is_some_and(|(_, close)| close.how != How::Fin);
        let epoll = prefix == "EPOLL";
        let word = |one: &'static str, other: &'static str| if epoll { one } else { other };
        let ended = ended || socket.read_shut;
        let hung_up = reset || ended && socket.write_shut;
        let is_asked = |word: &str| asked.iter().any(|asked| asked == word);
        // Each with whether it is so, and whether it is reported without being asked.
        let mut now = vec![
            (readable || reset, word("EPOLLIN", "POLLIN"), false),
            (true, word("EPOLLOUT", "POLLOUT"), false),
            (reset, word("EPOLLERR", "POLLERR"), true),
            (hung_up, word("EPOLLHUP", "POLLHUP"), true),
            (ended || reset, word("EPOLLRDHUP", "POLLRDHUP"), false),
        ];
        now.retain(|(is_so, word, always)| *is_so && (*always || is_asked(word)));
        let mut now: Vec<&str> = now.into_iter().map(|(_, word, _)| word).collect();
        now.sort_unstable();
        Some(now)
    }
}

fn field_words<'a>(of: &'a Expression, field: &str) -> Vec<&'a str> {
    let field = of.field(field);
    field.map(Expression::words).unwrap_or_default()
}

fn no_connection() -> Came {
    Came::Unknown("what a descriptor without a connection is ready for".to_owned())
}
