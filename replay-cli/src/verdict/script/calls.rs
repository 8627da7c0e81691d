//! System calls: what the application at the far side does, and what each must come to.

use super::player::{Connection, Player};
use super::settings::socket_option;
use super::sockets::{Kind, Socket};
use crate::notation::packetdrill::syntax::{Call, Expression};
use crate::notation::pattern_bytes;
use crate::simulation::dialer::content::{Action as Step, Content};
use crate::simulation::world::World;

/// What a call comes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Came {
    /// A number, 0 or more.
    Number(i64),
    /// -1, with one of these errors: kernels differ in which.
    Error(&'static [&'static str]),
    /// What only a kernel knows, and why: the call's effect is carried out, its result is not compared.
    Unknown(String),
    /// Nothing is carried out that a later line could depend on.
    PassedOver(String),
    /// A value beside the number differs: expected, and what it is.
    Value(String, String),
    /// Later lines depend on what this would do.
    Lost(String),
}

/// Whether the result of a call depends on the stack, not on descriptors alone.
pub(super) fn is_of_stack(call: &Call) -> bool {
    matches!(
        call.name.as_str(),
        "accept"
            | "accept4"
            | "read"
            | "recv"
            | "recvfrom"
            | "recvmsg"
            | "readv"
            | "write"
            | "send"
            | "sendto"
            | "sendmsg"
            | "writev"
            | "connect"
            | "ioctl"
            | "poll"
            | "epoll_wait"
    ) || socket_option(call) == Some("SO_ERROR") && call.name == "getsockopt"
}

/// The most bytes that one call writes.
const WRITE_MAX: u64 = 1 << 26;

const BAD: Came = Came::Error(&["EBADF"]);
pub(super) const WOULD_BLOCK: Came = Came::Error(&["EAGAIN", "EWOULDBLOCK"]);

impl Came {
    /// So many bytes.
    pub(super) fn bytes(count: u64) -> Self {
        Self::Number(i64::try_from(count).unwrap_or(i64::MAX))
    }
}

/// An argument that is a number.
pub(super) fn number(call: &Call, at: usize) -> Option<i64> {
    call.arguments.get(at)?.number()
}

/// The words of an argument, such as flags.
pub(super) fn words(call: &Call, at: usize) -> Vec<&str> {
    let argument = call.arguments.get(at);
    argument.map(Expression::words).unwrap_or_default()
}

impl Player<'_> {
    /// Carries out a call; what it comes to.
    pub(super) fn carry_out(&mut self, world: &mut World<'_>, call: &Call) -> Came {
        let expected = call.result.number();
        let first = number(call, 0);
        match call.name.as_str() {
            "socket" => {
                let words: Vec<&str> = call.arguments.iter().flat_map(Expression::words).collect();
                let kind = match words.contains(&"SOCK_DGRAM") {
                    true => Kind::Datagrams,
                    false => Kind::Fresh,
                };
                let socket = Socket {
                    kind,
                    nonblocking: words.contains(&"SOCK_NONBLOCK"),
                    ..Socket::default()
                };
                self.new_descriptor(expected, socket)
            }
            "epoll_create" | "epoll_create1" => {
                let socket = Socket {
                    kind: Kind::Watch(std::collections::BTreeMap::new()),
                    ..Socket::default()
                };
                self.new_descriptor(expected, socket)
            }
            "accept" | "accept4" => self.accept(call, first, expected),
            "pipe" | "open" | "splice" | "sendfile" | "dup" => {
                Came::Lost(format!("{}: files are the kernel's", call.name))
            }
            "poll" => self.poll(world, call),
            _ => match first {
                Some(number) if self.sockets.get(number).is_some() => {
                    self.of_descriptor(world, call, number)
                }
                Some(_) => BAD,
                None => Came::Lost(format!("{}: no descriptor", call.name)),
            },
        }
    }

    fn new_descriptor(&mut self, expected: Option<i64>, socket: Socket) -> Came {
        match expected {
            Some(number) if number >= 0 => match self.sockets.open(number, socket) {
                true => Came::Number(number),
                false => Came::Unknown(format!("descriptor {number} is open already")),
            },
            _ => Came::Unknown("a kernel that has no descriptor left".to_owned()),
        }
    }

    fn accept(&mut self, call: &Call, first: Option<i64>, expected: Option<i64>) -> Came {
        match first.and_then(|number| self.sockets.get(number)) {
            None => return BAD,
            Some(socket) if socket.kind != Kind::Listening => return Came::Error(&["EINVAL"]),
            Some(_) => {}
        }
        let words: Vec<&str> = call.arguments.iter().flat_map(Expression::words).collect();
        let waiting = self.connections.iter_mut().enumerate();
        let mut waiting = waiting.filter(|(_, one)| one.established && !one.taken && !one.turned);
        let Some((index, one)) = waiting.next() else {
            return WOULD_BLOCK;
        };
        match expected.filter(|number| *number >= 0) {
            None => Came::Value("no connection".to_owned(), "one".to_owned()),
            Some(number) => {
                one.taken = true;
                let socket = Socket {
                    kind: Kind::Connection(index),
                    nonblocking: words.contains(&"SOCK_NONBLOCK"),
                    ..Socket::default()
                };
                self.new_descriptor(Some(number), socket)
            }
        }
    }

    fn of_descriptor(&mut self, world: &mut World<'_>, call: &Call, number: i64) -> Came {
        let Some(socket) = self.sockets.get(number).cloned() else {
            return BAD;
        };
        let connection = match socket.kind {
            Kind::Connection(index) => Some(index),
            _ => None,
        };
        match (call.name.as_str(), connection) {
            ("bind", None) => Came::Number(0),
            ("listen", None) => {
                self.next_tuple();
                self.change(number, |socket| socket.kind = Kind::Listening);
                Came::Number(0)
            }
            ("bind", _) => Came::Error(&["EINVAL"]),
            ("connect", None) if socket.kind == Kind::Datagrams => Came::Number(0),
            // A blocking one has waited by now.
            ("connect", Some(_)) if !socket.nonblocking && expected_zero(call) => Came::Number(0),
            ("connect", None) if socket.kind == Kind::Connecting => {
                Came::Error(&["ETIMEDOUT", "ECONNREFUSED"])
            }
            ("connect", None) => {
                self.next_tuple();
                self.change(number, |socket| socket.kind = Kind::Connecting);
                match socket.nonblocking {
                    true => Came::Error(&["EINPROGRESS"]),
                    false => Came::Number(0),
                }
            }
            ("connect", Some(_)) => Came::Error(&["EISCONN"]),
            ("fcntl", _) => self.fcntl(call, number, &socket),
            ("setsockopt", _) => self.set_option(world, call, number, connection),
            ("getsockopt", _) => self.get_option(world, call, connection),
            ("epoll_ctl", _) => self.watch(call, number),
            ("epoll_wait", _) => self.epoll_wait(world, call, number, &socket),
            ("close", _) => {
                self.sockets.close(number);
                match connection {
                    Some(index) => self.close(world, index, &socket),
                    None if socket.kind == Kind::Listening => self.stop_listening(world),
                    None => {}
                }
                Came::Number(0)
            }
            ("ioctl", Some(index)) => match words(call, 1)[..] {
                ["SIOCINQ" | "FIONREAD"] => {
                    let unread = self.unread(world, index);
                    compare(call.arguments.get(2), unread)
                }
                _ => Came::PassedOver(format!("ioctl of {}", second(call))),
            },
            ("read" | "recv" | "recvfrom" | "recvmsg" | "readv", Some(index)) => {
                self.read_call(world, call, number, index)
            }
            ("write" | "send" | "sendto" | "sendmsg" | "writev", Some(index)) => {
                self.write_call(world, call, number, index)
            }
            ("shutdown", Some(index)) => self.shutdown(world, call, number, index),
            ("read" | "recv" | "recvfrom" | "recvmsg" | "readv", None)
                if socket.kind == Kind::Datagrams =>
            {
                WOULD_BLOCK
            }
            (name, None) if socket.kind == Kind::Datagrams => {
                Came::Lost(format!("{name}: a device begins every flow"))
            }
            (
                "read" | "recv" | "recvfrom" | "recvmsg" | "readv" | "write" | "send" | "sendto"
                | "sendmsg" | "writev" | "shutdown",
                None,
            ) => Came::Error(&["ENOTCONN", "EPIPE", "EAGAIN", "EWOULDBLOCK"]),
            (name, _) => Came::Lost(format!("{name}: not a call that is mapped")),
        }
    }

    pub(super) fn change(&mut self, number: i64, change: impl FnOnce(&mut Socket)) {
        if let Some(socket) = self.sockets.get_mut(number) {
            change(socket);
        }
    }

    fn read_call(&mut self, world: &mut World<'_>, call: &Call, socket: i64, index: usize) -> Came {
        let flags = match call.name.as_str() {
            "recv" | "recvfrom" => words(call, 3),
            "recvmsg" => words(call, 2),
            _ => Vec::new(),
        };
        if flags.contains(&"MSG_ERRQUEUE") || flags.contains(&"MSG_OOB") {
            return Came::Lost(format!("{} of {}", call.name, flags.join("|")));
        }
        let most = match call.name.as_str() {
            "recvmsg" => message(call),
            "readv" => vector(call.arguments.get(1)),
            _ => number(call, 2),
        };
        let Some(most) = most.and_then(|most| u64::try_from(most).ok()) else {
            return Came::Lost(format!("{}: no length", call.name));
        };
        if self.is_of_datagrams(world, index) {
            return self.receive(world, index, most, flags.contains(&"MSG_PEEK"));
        }
        let got = if flags.contains(&"MSG_PEEK") {
            self.unread(world, index).map(|unread| unread.min(most))
        } else {
            Some(self.read(world, index, most))
        };
        match got {
            None => Came::Unknown("a peek, by this way in".to_owned()),
            Some(0) => self.end_of_read(world, socket, index),
            Some(bytes) => Came::bytes(bytes),
        }
    }

    /// What a read that finds nothing comes to.
    fn end_of_read(&mut self, world: &World<'_>, number: i64, index: usize) -> Came {
        if let Some(errors) = self.take_error(world, index) {
            return Came::Error(errors);
        }
        let socket = self.sockets.get(number);
        let shut = socket.is_some_and(|socket| socket.read_shut);
        if shut || self.has_ended(world, index) {
            return Came::Number(0);
        }
        WOULD_BLOCK
    }

    fn write_call(
        &mut self,
        world: &mut World<'_>,
        call: &Call,
        socket: i64,
        index: usize,
    ) -> Came {
        let (count, flags) = match call.name.as_str() {
            "sendmsg" => (message(call), words(call, 2)),
            "writev" => (vector(call.arguments.get(1)), Vec::new()),
            "write" => (number(call, 2), Vec::new()),
            _ => (number(call, 2), words(call, 3)),
        };
        let Some(count) = count.and_then(|count| u64::try_from(count).ok()) else {
            return Came::Lost(format!("{}: no length", call.name));
        };
        if count > WRITE_MAX {
            return Came::Lost(format!("{} of more than {WRITE_MAX} bytes", call.name));
        }
        if flags.contains(&"MSG_OOB") {
            return Came::Lost("urgent data: a dialer has none".to_owned());
        }
        if let Some(errors) = self.take_error(world, index) {
            return Came::Error(errors);
        }
        let descriptor = self.sockets.get(socket);
        if descriptor.is_some_and(|socket| socket.write_shut) || self.is_closed(world, index) {
            return Came::Error(&["EPIPE"]);
        }
        if self.is_of_datagrams(world, index) {
            return self.send_datagram(world, index, count);
        }
        // How much a send buffer takes is the kernel's matter: as much as the script has is sent.
        let result = call.result.number();
        let has_room = !matches!(
            call.error.as_deref(),
            Some("EAGAIN" | "EWOULDBLOCK" | "ENOBUFS")
        );
        let sent = match result.and_then(|sent| u64::try_from(sent).ok()) {
            Some(sent) if sent < count => sent,
            None if !has_room => 0,
            _ => count,
        };
        let lent = flags.contains(&"MSG_ZEROCOPY");
        self.change(socket, |socket| socket.lent |= lent);
        let more = flags.contains(&"MSG_MORE");
        let taken = self.write(world, socket, index, sent, more);
        if sent < count {
            self.change(socket, |socket| socket.filled = true);
            return Came::Unknown("how much a send buffer takes".to_owned());
        }
        if flags.contains(&"MSG_EOR") {
            return Came::Lost("MSG_EOR: a stream has no records here".to_owned());
        }
        Came::bytes(taken)
    }

    /// Sends bytes; how many were taken. Those that wait for more count as taken.
    fn write(
        &mut self,
        world: &mut World<'_>,
        number: i64,
        index: usize,
        count: u64,
        more: bool,
    ) -> u64 {
        let segment = u64::from(self.segment_of(index)).max(1);
        let one = self.connections.get(index);
        let waits = self.settings.minshall && one.is_some_and(Connection::has_small_one);
        let mut due = 0;
        self.change(number, |socket| {
            let all = socket.held + count;
            let whole = socket.corked || more || waits && !socket.no_delay;
            due = if whole { all / segment * segment } else { all };
            socket.held = all - due;
            socket.more = more;
        });
        let before_held = due.saturating_sub(count);
        let taken = self.send(world, index, due);
        let kept = count.saturating_sub(due);
        (taken + kept).saturating_sub(before_held).min(count)
    }

    /// Sends what waits for more.
    pub(super) fn flush(&mut self, world: &mut World<'_>, number: i64, index: usize) {
        let mut due = 0;
        self.change(number, |socket| due = std::mem::take(&mut socket.held));
        self.send(world, index, due);
    }

    fn send(&mut self, world: &mut World<'_>, index: usize, count: u64) -> u64 {
        let segment = u64::from(self.segment_of(index)).max(1);
        let Some(one) = self.connections.get_mut(index).filter(|_| count > 0) else {
            return 0;
        };
        let len = usize::try_from(count).unwrap_or(0);
        let bytes = pattern_bytes(0, one.written, len);
        one.written += count;
        if !count.is_multiple_of(segment) {
            one.small_to = one.written;
        }
        let flow = one.flow;
        let sent = |world: &World<'_>| world.flows.get(flow).map_or(0, |flow| flow.sent.len());
        let before = sent(world);
        super::streams::steps(world, flow, [Step::Send(Content::Owned(bytes.into()))]);
        sent(world) - before
    }

    fn shutdown(&mut self, world: &mut World<'_>, call: &Call, number: i64, index: usize) -> Came {
        let (reads, writes) = match (self::number(call, 1), &words(call, 1)[..]) {
            (Some(0), _) | (None, ["SHUT_RD"]) => (true, false),
            (Some(1), _) | (None, ["SHUT_WR"]) => (false, true),
            (Some(2), _) | (None, ["SHUT_RDWR"]) => (true, true),
            _ => return Came::Error(&["EINVAL"]),
        };
        self.change(number, |socket| socket.read_shut |= reads);
        if self.is_closed(world, index) {
            return Came::Error(&["ENOTCONN"]);
        }
        let socket = self.sockets.get(number);
        let already = socket.is_some_and(|socket| socket.write_shut);
        if writes && !already {
            self.flush(world, number, index);
            self.change(number, |socket| socket.write_shut = true);
            if let Some(flow) = self.connections.get(index).map(|one| one.flow) {
                super::streams::steps(world, flow, [Step::Shutdown]);
            }
        }
        Came::Number(0)
    }
}

fn expected_zero(call: &Call) -> bool {
    call.result.number() == Some(0)
}

fn compare(expected: Option<&Expression>, actual: Option<u64>) -> Came {
    let expected = expected
        .and_then(Expression::only)
        .and_then(Expression::number);
    let actual = actual.and_then(|actual| i64::try_from(actual).ok());
    match (expected, actual) {
        (Some(expected), Some(actual)) if expected == actual => Came::Number(0),
        (Some(expected), Some(actual)) => Came::Value(expected.to_string(), actual.to_string()),
        _ => Came::Unknown("how much is unread, by this way in".to_owned()),
    }
}

/// The bytes of all parts of a message.
fn message(call: &Call) -> Option<i64> {
    vector(call.arguments.get(1)?.field("msg_iov"))
}

/// The bytes of all parts of a vector.
fn vector(parts: Option<&Expression>) -> Option<i64> {
    let Expression::List(parts) = parts? else {
        return None;
    };
    parts
        .iter()
        .map(|part| match part {
            Expression::Struct(fields) => fields.get(1).and_then(|(_, len)| len.number()),
            _ => None,
        })
        .sum()
}

/// The words of the second argument, as they are written.
pub(super) fn second(call: &Call) -> String {
    words(call, 1).join("|")
}
