//! When a flow must be looked at again for reasons of the engine's own.

use crate::api::config::Config;
use crate::api::output::RemoteEnd;
use crate::api::time::Micros;
use crate::flow::timer::TimerName;
use crate::tcp::Live;
use crate::tcp::stack::State;

impl Live {
    /// Whether smoltcp waits for nothing but segments: all is acknowledged, both ways.
    #[inline]
    pub(crate) fn is_quiet(&self) -> bool {
        self.is_open()
            && self.socket.send_queue() == 0
            && self.sender.shown() > 0
            && !self.owes_acknowledgement()
    }

    /// When the device is to be probed, if it is: it is silent, and nothing is owed that would be sent anyway.
    fn keep_alive(&self, config: &Config) -> Option<(Micros, TimerName)> {
        let idle = config.keep_alive?;
        if !self.handshake_done() || self.unacknowledged() || self.socket.send_queue() > 0 {
            return None;
        }
        let waited = config.keep_alive_interval.saturating_mul(self.probes);
        Some((self.heard.plus(idle).plus(waited), TimerName::KeepAlive))
    }

    /// The deadlines that are the engine's own, not smoltcp's.
    pub(crate) fn own_deadline(&self, config: &Config) -> (Micros, TimerName) {
        let idle = if self.handshake_done() {
            if self.socket.state() == State::FinWait2 {
                (
                    self.last_activity.plus(config.tcp_fin_wait),
                    TimerName::FinWait,
                )
            } else if self.first_end.is_some() {
                (
                    self.last_activity.plus(config.tcp_half_closed),
                    TimerName::HalfClosed,
                )
            } else {
                (self.last_activity.plus(config.tcp_idle), TimerName::Idle)
            }
        } else {
            (
                self.opened.plus(config.handshake_timeout),
                TimerName::Handshake,
            )
        };
        let limit = (self.handshake_done() && self.awaits_progress()).then(|| {
            (
                self.progress.plus(config.retransmission_limit),
                TimerName::RetransmissionLimit,
            )
        });
        let linger =
            matches!(self.remote_end, Some(RemoteEnd::Reset | RemoteEnd::Error)).then(|| {
                (
                    self.ended_at
                        .unwrap_or(self.last_activity)
                        .plus(config.linger),
                    TimerName::Linger,
                )
            });
        [limit, linger, self.keep_alive(config)]
            .into_iter()
            .flatten()
            .fold(
                idle,
                |first, other| if other.0 < first.0 { other } else { first },
            )
    }
}
