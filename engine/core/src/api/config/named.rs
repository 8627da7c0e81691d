//! Settings by name, as texts: for borders that cannot pass a [`Config`] as it is.

use core::time::Duration;

use super::{Config, DialFailure, Martians, PathPolicy, Refusal, UdpFiltering, UdpMapping};

/// A setting that can be said in a text: durations in microseconds, sizes and counts in decimal, `true` and `false`, words with
/// underscores, `none` for what may be absent.
trait Setting: Sized {
    fn text(&self) -> String;
    fn parse(text: &str) -> Option<Self>;
}

macro_rules! plain {
    ($($kind:ty)+) => {$(
        impl Setting for $kind {
            fn text(&self) -> String {
                self.to_string()
            }

            fn parse(text: &str) -> Option<Self> {
                text.parse().ok()
            }
        }
    )+};
}

plain!(u8 u32 u64 usize bool);

impl Setting for Duration {
    fn text(&self) -> String {
        self.as_micros().to_string()
    }

    fn parse(text: &str) -> Option<Self> {
        text.parse().ok().map(Self::from_micros)
    }
}

impl<T: Setting> Setting for Option<T> {
    fn text(&self) -> String {
        self.as_ref().map_or_else(|| "none".to_owned(), T::text)
    }

    fn parse(text: &str) -> Option<Self> {
        if text == "none" {
            return Some(None);
        }
        T::parse(text).map(Some)
    }
}

macro_rules! words {
    ($($kind:ident { $($variant:ident $word:literal)+ })+) => {$(
        impl Setting for $kind {
            fn text(&self) -> String {
                match self {
                    $(Self::$variant => $word,)+
                }
                .to_owned()
            }

            fn parse(text: &str) -> Option<Self> {
                match text {
                    $($word => Some(Self::$variant),)+
                    _ => None,
                }
            }
        }
    )+};
}

words! {
    Martians { Drop "drop" Admit "admit" }
    Refusal { Drop "drop" Reset "reset" Icmp "icmp" }
    DialFailure { Reset "reset" Icmp "icmp" }
    UdpMapping {
        AddressAndPortDependent "address_and_port_dependent"
        EndpointIndependent "endpoint_independent"
    }
    UdpFiltering {
        AddressAndPortDependent "address_and_port_dependent"
        AddressDependent "address_dependent"
        EndpointIndependent "endpoint_independent"
    }
    PathPolicy { Keep "keep" Close "close" Redial "redial" }
}

macro_rules! settings {
    ($($name:ident)+; $($logged:ident)+) => {
        impl Config {
            /// Every setting but the level and mask of the log, as name and text: what [`Config::set`] takes.
            #[must_use]
            pub fn named(&self) -> Vec<(&'static str, String)> {
                let Self { $($name,)+ $($logged: _,)+ } = self;
                vec![$((stringify!($name), $name.text()),)+]
            }

            /// Sets the field of this name from a text: durations in microseconds, sizes and counts in decimal, `true` and
            /// `false`, words with underscores, `none` for what may be absent. `false`, and nothing changes, if there is no
            /// such setting or it has no such value; whether the value is within its bounds is [`Config::check`]'s matter.
            pub fn set(&mut self, name: &str, text: &str) -> bool {
                match name {
                    $(stringify!($name) => match Setting::parse(text) {
                        Some(value) => self.$name = value,
                        None => return false,
                    },)+
                    _ => return false,
                }
                true
            }
        }
    };
}

settings! {
    mtu hop_limit tcp_limit udp_limit pending_dials byte_budget admission_grace nagle seed rx_buffer tx_buffer rx_limit tx_limit martians
    admission_refusal dial_failure dial_timeout handshake_timeout tcp_idle tcp_half_closed tcp_fin_wait keep_alive
    keep_alive_interval keep_alive_probes linger retransmission_limit udp_idle dns_idle udp_mapping udp_filtering
    udp_path_mtu udp_queue output_limit path_policy congestion_control min_rto loss_probe ack_delay tombstone dns_interception resolve_timeout
    resolve_limit dns_names time_wait log_addresses metrics_interval;
    log_level log_mask
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_named_can_be_set() {
        let odd = Config {
            pending_dials: Some(3),
            keep_alive: Some(Duration::from_micros(7_200_000_001)),
            martians: Martians::Admit,
            admission_refusal: Refusal::Icmp,
            dial_failure: DialFailure::Icmp,
            udp_mapping: UdpMapping::EndpointIndependent,
            udp_filtering: UdpFiltering::AddressDependent,
            path_policy: PathPolicy::Redial,
            nagle: true,
            seed: 0,
            ..Config::many_flows()
        };
        let mut copy = Config::default();
        for (name, text) in odd.named() {
            assert!(copy.set(name, &text), "{name} {text}");
        }
        assert_eq!(copy, odd);
    }

    #[test]
    fn what_cannot_be_changes_nothing() {
        let mut config = Config::default();
        for (name, text) in [
            ("mtu", "-1"),
            ("mtu", "none"),
            ("nagle", "1"),
            ("hop_limit", "256"),
            ("path_policy", "Keep"),
            ("log_level", "info"),
            ("", ""),
        ] {
            assert!(!config.set(name, text), "{name} {text}");
        }
        assert_eq!(config, Config::default());
    }
}
