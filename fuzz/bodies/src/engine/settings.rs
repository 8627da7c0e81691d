//! The settings of an input as the engine's.

use core::time::Duration;

use engine::{
    Config, DialFailure, LogLevel, Martians, PathPolicy, Refusal, UdpFiltering, UdpMapping,
};

use super::input::{Mtu, Settings};

impl Settings {
    pub(super) fn config(&self) -> Config {
        let mut config = Config {
            mtu: match self.mtu {
                Mtu::Usual => 1500,
                Mtu::Least => 576,
                Mtu::Phone => 4064,
                Mtu::Largest => 65_535,
                Mtu::Any(mtu) => mtu.into(),
            },
            rx_buffer: self.rings.map(Into::into),
            tcp_limit: (self.tcp_limit % 12).into(),
            udp_limit: (self.udp_limit % 12).into(),
            pending_dials: self.pending_dials.map(|limit| (limit % 12).into()),
            byte_budget: self.byte_budget.map(Into::into),
            udp_path_mtu: self.udp_path_mtu.map(Into::into),
            keep_alive: self.keep_alive.map(|idle| Duration::from_secs(idle.into())),
            udp_queue: self.udp_queue.into(),
            resolve_limit: (self.resolve_limit % 8).into(),
            dns_names: (self.dns_names % 8).into(),
            seed: Some(1),
            ..Config::default()
        };
        let bit = |at: u8| self.flags & (1 << at) != 0;
        config.nagle = bit(0);
        config.congestion_control = !bit(1);
        config.dns_interception = bit(2);
        config.log_level = bit(3).then_some(LogLevel::Debug);
        config.metrics_interval = bit(4).then_some(Duration::from_secs(1));
        if bit(5) {
            config.martians = Martians::Admit;
        }
        if bit(6) {
            config.udp_mapping = UdpMapping::EndpointIndependent;
        }
        if bit(7) {
            config.dial_failure = DialFailure::Icmp;
        }
        config.path_policy = match self.words % 3 {
            0 => PathPolicy::Keep,
            1 => PathPolicy::Close,
            _ => PathPolicy::Redial,
        };
        config.admission_refusal = match self.words / 3 % 3 {
            0 => Refusal::Drop,
            1 => Refusal::Reset,
            _ => Refusal::Icmp,
        };
        config.udp_filtering = match self.words / 9 % 3 {
            0 => UdpFiltering::AddressAndPortDependent,
            1 => UdpFiltering::AddressDependent,
            _ => UdpFiltering::EndpointIndependent,
        };
        let durations = [
            &mut config.retransmission_limit,
            &mut config.linger,
            &mut config.dial_timeout,
            &mut config.handshake_timeout,
            &mut config.tcp_half_closed,
            &mut config.tcp_fin_wait,
            &mut config.udp_idle,
            &mut config.dns_idle,
            &mut config.resolve_timeout,
            &mut config.tombstone,
            &mut config.time_wait,
            &mut config.admission_grace,
            &mut config.keep_alive_interval,
            &mut config.tcp_idle,
        ];
        for (duration, millis) in durations.into_iter().zip(&self.durations) {
            *duration = Duration::from_millis((*millis).into());
        }
        config
    }
}
