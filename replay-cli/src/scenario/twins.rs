//! IPv4 and IPv6 twins of a scenario written by hand.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use crate::scenario::destination::Network;
use crate::scenario::{Scenario, Step};

/// The network that stands for all of IPv4 in an IPv6 twin: a part of the documentation prefix (RFC 3849).
const TWIN: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 4, 0, 0, 0, 0, 0);

/// The scenario with every address in the wanted family.
pub(crate) fn in_family(scenario: &Scenario, family: u8) -> Scenario {
    let mut twin = scenario.clone();
    for (_, flow) in &mut twin.flows.0 {
        flow.client = endpoint(flow.client, family);
        flow.server = endpoint(flow.server, family);
    }
    for rule in &mut twin.dialer.rules {
        if let Some(network) = rule.when.to.as_mut().and_then(|to| to.network.as_mut()) {
            *network = net(*network, family);
        }
        for step in &mut rule.then {
            if let Step::SendFrom(datagram) = step {
                datagram.from = endpoint(datagram.from, family);
            }
        }
    }
    twin
}

fn endpoint(end: SocketAddr, family: u8) -> SocketAddr {
    SocketAddr::new(address(end.ip(), family), end.port())
}

fn address(address: IpAddr, family: u8) -> IpAddr {
    match (address, family) {
        (IpAddr::V4(a), 6) => IpAddr::V6(Ipv6Addr::from_bits(
            TWIN.to_bits() | u128::from(a.to_bits()),
        )),
        (IpAddr::V6(a), 4) => {
            #[expect(
                clippy::cast_possible_truncation,
                reason = "the low 32 bits are the twin's address"
            )]
            let low = a.to_bits() as u32;
            IpAddr::V4(Ipv4Addr::from_bits(low))
        }
        (address, _) => address,
    }
}

fn net(network: Network, family: u8) -> Network {
    let prefix = match (network.address, family) {
        (IpAddr::V4(_), 6) => network.prefix + 96,
        (IpAddr::V6(_), 4) => network.prefix.saturating_sub(96).min(32),
        _ => network.prefix,
    };
    Network {
        address: address(network.address, family),
        prefix,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_has_as_many_addresses_in_its_twin_and_the_way_back_is_the_same() {
        for (text, prefix) in [("198.51.100.0", 24), ("0.0.0.0", 0), ("192.0.2.1", 32)] {
            let network = Network {
                address: text.parse().unwrap(),
                prefix,
            };
            let twin = net(network, 6);
            assert_eq!(twin.prefix, 96 + prefix);
            let inside = endpoint(format!("{text}:7").parse().unwrap(), 6);
            assert!(inside.is_ipv6() && twin.contains(inside.ip()));
            assert_eq!((net(twin, 4), net(network, 4)), (network, network));
        }
        let outside = address("198.51.101.1".parse().unwrap(), 6);
        let network = Network {
            address: "198.51.100.0".parse().unwrap(),
            prefix: 24,
        };
        assert!(!net(network, 6).contains(outside));
    }
}
