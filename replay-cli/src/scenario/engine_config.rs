//! A scenario's settings as the engine's configuration.

use engine::{Config, DialFailure, Martians, PathPolicy, Refusal, UdpFiltering, UdpMapping};

use crate::scenario::{self, EngineSettings};

/// The engine's settings for a scenario.
pub(crate) fn config(settings: &EngineSettings) -> Config {
    let EngineSettings {
        preset,
        mtu,
        hop_limit,
        tcp_limit,
        udp_limit,
        seed,
        martians,
        nagle,
        rx_buffer,
        tx_buffer,
        rx_limit,
        tx_limit,
        min_rto,
        loss_probe,
        ack_delay,
        udp_path_mtu,
        tcp_idle,
        udp_idle,
        dns_idle,
        handshake_timeout,
        dial_timeout,
        dns_interception,
        resolve_timeout,
        resolve_limit,
        dns_names,
        time_wait,
        congestion_control,
        pending_dials,
        byte_budget,
        admission_grace,
        dial_failure,
        tcp_fin_wait,
        keep_alive,
        keep_alive_interval,
        keep_alive_probes,
        tcp_half_closed,
        linger,
        retransmission_limit,
        tombstone,
        admission_refusal,
        path_policy,
        udp_mapping,
        udp_filtering,
        udp_queue,
        output_limit,
    } = settings;
    let mut config = match preset {
        None => Config::default(),
        Some(scenario::Preset::ManyFlows) => Config::many_flows(),
        Some(scenario::Preset::Phone) => Config::phone(),
        Some(scenario::Preset::Desktop) => Config::desktop(),
    };
    if let Some(control) = congestion_control {
        config.congestion_control = *control;
    }
    let size = |value: &crate::base::duration::Size| {
        usize::try_from(value.as_bytes()).unwrap_or(usize::MAX)
    };
    let time =
        |value: &crate::base::duration::Micros| std::time::Duration::from_micros(value.as_micros());
    if let Some(mtu) = mtu {
        config.mtu = *mtu as usize;
    }
    if let Some(hop_limit) = hop_limit {
        config.hop_limit = *hop_limit;
    }
    if let Some(limit) = tcp_limit {
        config.tcp_limit = *limit as usize;
    }
    if let Some(limit) = udp_limit {
        config.udp_limit = *limit as usize;
    }
    if let Some(seed) = seed {
        config.seed = *seed;
    }
    if let Some(martians) = martians {
        config.martians = match martians {
            scenario::Martians::Drop => Martians::Drop,
            scenario::Martians::Admit => Martians::Admit,
        };
    }
    config.udp_path_mtu = udp_path_mtu.map(|mtu| mtu as usize);
    if let Some(intercept) = dns_interception {
        config.dns_interception = *intercept;
    }
    if let Some(limit) = resolve_limit {
        config.resolve_limit = *limit as usize;
    }
    if let Some(names) = dns_names {
        config.dns_names = *names as usize;
    }
    if let Some(refusal) = admission_refusal {
        config.admission_refusal = match refusal {
            scenario::Refusal::Drop => Refusal::Drop,
            scenario::Refusal::Reset => Refusal::Reset,
            scenario::Refusal::Icmp => Refusal::Icmp,
        };
    }
    if let Some(failure) = dial_failure {
        config.dial_failure = match failure {
            scenario::DialFailure::Reset => DialFailure::Reset,
            scenario::DialFailure::Icmp => DialFailure::Icmp,
        };
    }
    config.pending_dials = pending_dials.map(|limit| limit as usize);
    config.byte_budget = byte_budget.as_ref().map(size).or(config.byte_budget);
    config.keep_alive = keep_alive.as_ref().map(time);
    if let Some(probes) = keep_alive_probes {
        config.keep_alive_probes = *probes;
    }
    if let Some(policy) = path_policy {
        config.path_policy = match policy {
            scenario::PathPolicy::Keep => PathPolicy::Keep,
            scenario::PathPolicy::Close => PathPolicy::Close,
            scenario::PathPolicy::Redial => PathPolicy::Redial,
        };
    }
    if let Some(mapping) = udp_mapping {
        config.udp_mapping = match mapping {
            scenario::UdpMapping::AddressAndPortDependent => UdpMapping::AddressAndPortDependent,
            scenario::UdpMapping::EndpointIndependent => UdpMapping::EndpointIndependent,
        };
    }
    if let Some(filtering) = udp_filtering {
        config.udp_filtering = match filtering {
            scenario::UdpFiltering::AddressAndPortDependent => {
                UdpFiltering::AddressAndPortDependent
            }
            scenario::UdpFiltering::AddressDependent => UdpFiltering::AddressDependent,
            scenario::UdpFiltering::EndpointIndependent => UdpFiltering::EndpointIndependent,
        };
    }
    if let Some(queue) = udp_queue {
        config.udp_queue = size(queue);
    }
    if let Some(limit) = output_limit {
        config.output_limit = *limit as usize;
    }
    config.nagle = nagle.unwrap_or(config.nagle);
    config.rx_buffer = rx_buffer.as_ref().map(size).or(config.rx_buffer);
    config.tx_buffer = tx_buffer.as_ref().map(size).or(config.tx_buffer);
    config.rx_limit = rx_limit.as_ref().map_or(config.rx_limit, size);
    config.tx_limit = tx_limit.as_ref().map_or(config.tx_limit, size);
    config.loss_probe = loss_probe.unwrap_or(config.loss_probe);
    config.ack_delay = ack_delay.as_ref().map(time).or(config.ack_delay);
    for (field, value) in [
        (&mut config.min_rto, min_rto),
        (&mut config.tcp_idle, tcp_idle),
        (&mut config.udp_idle, udp_idle),
        (&mut config.dns_idle, dns_idle),
        (&mut config.handshake_timeout, handshake_timeout),
        (&mut config.dial_timeout, dial_timeout),
        (&mut config.resolve_timeout, resolve_timeout),
        (&mut config.time_wait, time_wait),
        (&mut config.tcp_half_closed, tcp_half_closed),
        (&mut config.linger, linger),
        (&mut config.admission_grace, admission_grace),
        (&mut config.tcp_fin_wait, tcp_fin_wait),
        (&mut config.keep_alive_interval, keep_alive_interval),
        (&mut config.retransmission_limit, retransmission_limit),
        (&mut config.tombstone, tombstone),
    ] {
        if let Some(value) = value {
            *field = time(value);
        }
    }
    config
}
