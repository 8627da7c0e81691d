//! Which flow a packet belongs to.

use core::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use crate::api::label::labelled;
use crate::ip::build::Addresses;

labelled! {
    /// The transport protocols the engine terminates.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
    pub enum Proto {
        /// TCP (RFC 9293).
        Tcp = "tcp",
        /// UDP (RFC 768).
        Udp = "udp",
    }
}

/// The five-tuple of a flow, seen from the device: `client` is the device's end.
///
/// ```
/// use engine::{FlowKey, Proto};
///
/// let (client, server) = ("10.0.0.2:40000".parse()?, "203.0.113.80:443".parse()?);
/// let key = FlowKey { proto: Proto::Tcp, client, server };
/// assert_eq!(key.to_string(), "tcp 10.0.0.2:40000 > 203.0.113.80:443");
/// # Ok::<(), std::net::AddrParseError>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FlowKey {
    /// Transport protocol.
    pub proto: Proto,
    /// The device's address and port.
    pub client: SocketAddr,
    /// The address and port the device asked for.
    pub server: SocketAddr,
}

impl fmt::Display for FlowKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} > {}", self.proto, self.client, self.server)
    }
}

impl fmt::Debug for FlowKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The bit of a packed key that is set for IPv6.
const V6_BIT: u32 = 40;

/// A [`FlowKey`] in five words: cheap to hash and to compare on every packet.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PackedKey([u64; 5]);

impl PackedKey {
    /// The key of a packet from the device.
    #[inline]
    pub(crate) fn new(
        proto: Proto,
        (client, client_port): (IpAddr, u16),
        (server, server_port): (IpAddr, u16),
    ) -> Self {
        #[expect(
            clippy::cast_possible_truncation,
            reason = "each half of 128 bits goes to its own word"
        )]
        let words = |address: IpAddr| match address {
            IpAddr::V4(a) => (0, u64::from(a.to_bits())),
            IpAddr::V6(a) => ((a.to_bits() >> 64) as u64, a.to_bits() as u64),
        };
        let (client_high, client_low) = words(client);
        let (server_high, server_low) = words(server);
        let proto: u64 = match proto {
            Proto::Tcp => 6,
            Proto::Udp => 17,
        };
        let ports = u64::from(client_port) << 16 | u64::from(server_port);
        let rest = u64::from(client.is_ipv6()) << V6_BIT | proto << 32 | ports;
        Self([client_high, client_low, server_high, server_low, rest])
    }

    /// All of it, for a hash whose result must not depend on how the table hashes.
    pub(crate) fn words(&self) -> [u64; 5] {
        self.0
    }

    /// The public form.
    pub(crate) fn unpack(&self) -> FlowKey {
        let [.., server_high, server_low, rest] = self.0;
        FlowKey {
            proto: if rest >> 32 & 0xff == 17 {
                Proto::Udp
            } else {
                Proto::Tcp
            },
            client: self.client(),
            server: self.end(server_high, server_low, rest),
        }
    }

    /// The addresses of a packet toward the device: one family, as the key has.
    #[expect(
        clippy::cast_possible_truncation,
        reason = "an IPv4 address has 32 bits"
    )]
    pub(crate) fn toward_device(&self) -> Addresses {
        let [client_high, client_low, server_high, server_low, rest] = self.0;
        let v6 = |high, low| Ipv6Addr::from_bits(u128::from(high) << 64 | u128::from(low));
        if rest >> V6_BIT & 1 == 1 {
            Addresses::V6 {
                source: v6(server_high, server_low),
                destination: v6(client_high, client_low),
            }
        } else {
            Addresses::V4 {
                source: Ipv4Addr::from_bits(server_low as u32),
                destination: Ipv4Addr::from_bits(client_low as u32),
            }
        }
    }

    /// The device's end.
    #[inline]
    pub(crate) fn client(&self) -> SocketAddr {
        let [high, low, .., rest] = self.0;
        self.end(high, low, rest >> 16)
    }

    /// An address of the key's family out of its two words, and the port out of the low bits of a third.
    #[expect(
        clippy::cast_possible_truncation,
        reason = "an IPv4 address has 32 bits, a port 16"
    )]
    #[inline]
    fn end(&self, high: u64, low: u64, port: u64) -> SocketAddr {
        let [.., rest] = self.0;
        let address = if rest >> V6_BIT & 1 == 1 {
            IpAddr::V6(Ipv6Addr::from_bits(
                u128::from(high) << 64 | u128::from(low),
            ))
        } else {
            IpAddr::V4(Ipv4Addr::from_bits(low as u32))
        };
        SocketAddr::new(address, port as u16)
    }
}

impl From<&FlowKey> for PackedKey {
    fn from(key: &FlowKey) -> Self {
        Self::new(
            key.proto,
            (key.client.ip(), key.client.port()),
            (key.server.ip(), key.server.port()),
        )
    }
}

impl PartialEq for PackedKey {
    #[inline]
    fn eq(&self, other: &Self) -> bool {
        // Without branches and without a call: nearly every comparison is of equals.
        let differences = self.0.iter().zip(&other.0).map(|(a, b)| a ^ b);
        differences.fold(0, |all, one| all | one) == 0
    }
}

impl Eq for PackedKey {}

impl core::hash::Hash for PackedKey {
    #[inline]
    fn hash<H: core::hash::Hasher>(&self, state: &mut H) {
        let [client_high, client_low, server_high, server_low, rest] = self.0;
        if rest >> V6_BIT & 1 == 0 {
            // Both addresses of IPv4 fit one word.
            state.write_u64(client_low << 32 | server_low);
        } else {
            for word in [client_high, client_low, server_high, server_low] {
                state.write_u64(word);
            }
        }
        state.write_u64(rest);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tuple_is_shown_from_the_device_to_the_server() {
        let key = |proto| FlowKey {
            proto,
            client: "10.0.0.2:40000".parse().expect("address"),
            server: "[2001:db8::2]:53".parse().expect("address"),
        };
        let (tcp, udp) = (key(Proto::Tcp), key(Proto::Udp));
        assert_eq!(tcp.to_string(), "tcp 10.0.0.2:40000 > [2001:db8::2]:53");
        assert_eq!(format!("{udp:?}"), "udp 10.0.0.2:40000 > [2001:db8::2]:53");
    }

    #[test]
    fn packed_keys_unpack_to_what_they_were() {
        for (proto, client, server) in [
            (Proto::Tcp, "10.0.0.2:40000", "93.184.216.34:80"),
            (Proto::Udp, "[2001:db8::1]:65535", "[2001:db8::2]:53"),
            (Proto::Udp, "[::1]:1", "[::2]:2"),
            (Proto::Tcp, "0.0.0.1:1", "0.0.0.2:2"),
        ] {
            let key = FlowKey {
                proto,
                client: client.parse().expect("address"),
                server: server.parse().expect("address"),
            };
            assert_eq!(PackedKey::from(&key).unpack(), key);
        }
    }
}
