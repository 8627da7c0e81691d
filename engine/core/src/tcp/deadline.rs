//! When a flow must be looked at again for reasons that are not TCP's.

use crate::api::config::Config;
use crate::api::time::Micros;
use crate::flow::timer::TimerName;
use crate::tcp::Live;
use crate::tcp::connection::State;

impl Live {
    /// When the device is to be probed, if it is: it is silent, and nothing is owed that would be sent anyway.
    fn keep_alive(&self, config: &Config) -> Option<(Micros, TimerName)> {
        let idle = config.keep_alive?;
        if !self.connection.is_established()
            || self.connection.unacknowledged()
            || self.connection.queue() > 0
        {
            return None;
        }
        let waited = config.keep_alive_interval.saturating_mul(self.probes);
        Some((
            self.last_segment.plus(idle).plus(waited),
            TimerName::KeepAlive,
        ))
    }

    /// The deadlines that are the engine's own.
    pub(crate) fn own_deadline(&self, config: &Config) -> (Micros, TimerName) {
        let established = self.connection.is_established();
        let (since, limit, timer) = if !established {
            (self.opened, config.handshake_timeout, TimerName::Handshake)
        } else if self.connection.state() == State::FinWait2 {
            (self.last_activity, config.tcp_fin_wait, TimerName::FinWait)
        } else if self.first_end.is_some() {
            (
                self.last_activity,
                config.tcp_half_closed,
                TimerName::HalfClosed,
            )
        } else {
            (self.last_activity, config.tcp_idle, TimerName::Idle)
        };
        let idle = (since.plus(limit), timer);
        let limit = (established && self.connection.awaits_progress()).then(|| {
            let at = self.connection.progress().plus(config.retransmission_limit);
            (at, TimerName::RetransmissionLimit)
        });
        let linger = self
            .remote_broke()
            .map(|(_, at)| (at.plus(config.linger), TimerName::Linger));
        let others = [limit, linger, self.keep_alive(config)];
        let earlier = |first: (Micros, TimerName), other: (Micros, TimerName)| {
            if other.0 < first.0 { other } else { first }
        };
        others.into_iter().flatten().fold(idle, earlier)
    }
}
