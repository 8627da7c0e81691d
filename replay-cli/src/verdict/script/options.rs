//! Options and flags of descriptors, and the error that waits on one.

use engine::{By, How};

use super::calls::{Came, second, words};
use super::player::Player;
use super::settings::{option_value, socket_option};
use super::sockets::Socket;
use crate::notation::packetdrill::syntax::{Call, Expression};
use crate::simulation::world::World;

impl Player<'_> {
    pub(super) fn fcntl(&mut self, call: &Call, number: i64, socket: &Socket) -> Came {
        match words(call, 1)[..] {
            ["F_SETFL"] => {
                let nonblocking = words(call, 2).contains(&"O_NONBLOCK");
                self.change(number, |socket| socket.nonblocking = nonblocking);
                Came::Number(0)
            }
            // The bit of O_NONBLOCK is 4 on BSD, 0x800 on Linux.
            ["F_GETFL"] if socket.nonblocking => match call.result.number() {
                Some(flags @ (0x6 | 0x802)) => Came::Number(flags),
                _ => Came::Number(0x802),
            },
            ["F_GETFL"] => Came::Number(0x2),
            _ => Came::PassedOver(format!("fcntl of {}", second(call))),
        }
    }

    pub(super) fn set_option(
        &mut self,
        world: &mut World<'_>,
        call: &Call,
        number: i64,
        connection: Option<usize>,
    ) -> Came {
        let option = socket_option(call).unwrap_or_default();
        let value = option_value(call);
        let started = connection.is_some();
        match option {
            "SO_LINGER" => {
                let linger = call.arguments.get(3);
                let field = |name| linger?.field(name)?.number();
                match (field("onoff"), field("linger")) {
                    (Some(0), _) => self.change(number, |socket| socket.abortive = false),
                    (Some(_), Some(0)) => self.change(number, |socket| socket.abortive = true),
                    (Some(_), Some(_)) => {
                        return Came::PassedOver("SO_LINGER with a time".to_owned());
                    }
                    _ => return Came::Lost("SO_LINGER without its fields".to_owned()),
                }
                Came::Number(0)
            }
            "TCP_CORK" | "TCP_NOPUSH" => {
                let on = value != Some(0);
                self.change(number, |socket| socket.corked = on);
                if let Some(index) = connection.filter(|_| !on) {
                    self.flush(world, number, index);
                }
                Came::Number(0)
            }
            "TCP_NODELAY" => {
                self.change(number, |socket| socket.no_delay = value != Some(0));
                // What waits behind a cork leaves too.
                if let Some(index) = connection.filter(|_| value != Some(0)) {
                    self.flush(world, number, index);
                }
                Came::Number(0)
            }
            // Mapped before the start, or without a meaning for what leaves.
            "SO_REUSEADDR" | "SO_REUSEPORT" | "SO_RCVTIMEO" | "SO_SNDTIMEO" | "SO_PRIORITY"
            | "SO_MARK" | "IP_FREEBIND" | "IP_MTU_DISCOVER" | "IP_TRANSPARENT" | "IPV6_V6ONLY" => {
                Came::Number(0)
            }
            "TCP_MAXSEG" if !started && self.settings.mapped.contains(&option) => Came::Number(0),
            "TCP_USER_TIMEOUT" | "TCP_KEEPIDLE" | "TCP_KEEPINTVL" | "TCP_KEEPCNT"
                if self.settings.mapped.contains(&option) =>
            {
                Came::Number(0)
            }
            "SO_KEEPALIVE" if self.settings.mapped.contains(&"TCP_KEEPIDLE") => Came::Number(0),
            "SO_RCVBUF" | "IP_TTL" | "IPV6_UNICAST_HOPS" if !started => Came::Number(0),
            "SO_SNDBUF" | "SO_RCVLOWAT" | "TCP_NOTSENT_LOWAT" | "SO_ZEROCOPY"
            | "SO_TIMESTAMPING" | "TCP_INQ" | "IP_RECVERR" | "IPV6_RECVERR" | "SO_BUSY_POLL"
            | "TCP_QUICKACK" | "TCP_FUNCTION_BLK" | "TCP_DEFER_ACCEPT" => {
                Came::PassedOver(format!("setsockopt of {option}"))
            }
            _ => Came::Lost(format!("socket option {option}: an engine has none")),
        }
    }

    pub(super) fn get_option(
        &mut self,
        world: &World<'_>,
        call: &Call,
        connection: Option<usize>,
    ) -> Came {
        let option = socket_option(call).unwrap_or_default();
        let expected = call.arguments.get(3).and_then(Expression::only);
        if option != "SO_ERROR" {
            return Came::PassedOver(format!("the value of {option}"));
        }
        let error = connection.and_then(|index| self.take_error(world, index));
        let wanted = match expected {
            Some(Expression::Number(0)) => None,
            Some(Expression::Word(word)) => Some(word.clone()),
            _ => return Came::PassedOver("the value of SO_ERROR".to_owned()),
        };
        match (wanted, error) {
            (None, None) => Came::Number(0),
            (Some(wanted), Some(errors)) if errors.contains(&wanted.as_str()) => Came::Number(0),
            (wanted, errors) => {
                let error = errors.and_then(|errors| errors.first().copied());
                Came::Value(
                    wanted.unwrap_or_else(|| "no error".to_owned()),
                    error.unwrap_or("no error").to_owned(),
                )
            }
        }
    }

    /// The error that waits for the application, which is reported once.
    pub(super) fn take_error(
        &mut self,
        world: &World<'_>,
        index: usize,
    ) -> Option<&'static [&'static str]> {
        let flow = self.flow(world, index)?;
        let one = self.connections.get_mut(index)?;
        let (_, close) = flow.closed.filter(|_| !one.error_reported)?;
        let errors: &'static [&'static str] = match (close.how, close.by, one.established) {
            (How::Reset, By::Device, true) => &["ECONNRESET"],
            (How::Reset, By::Device, false) => &["ECONNREFUSED", "ECONNRESET"],
            (How::Fin, ..) => return None,
            (How::Reset, By::Remote, _) => return None,
            _ => &["ETIMEDOUT", "EHOSTUNREACH", "ECONNABORTED"],
        };
        one.error_reported = true;
        Some(errors)
    }
}
