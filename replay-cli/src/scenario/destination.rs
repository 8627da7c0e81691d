//! Destinations of dial rules: `addr:port`, `prefix/len:port`, `*:443`, `*`.

use std::borrow::Cow;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

/// A set of destinations: addresses within a network, or any; a port, or any.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "Cow<'_, str>", into = "String")]
pub struct Destination {
    /// The addresses meant; `None` is every address.
    pub network: Option<Network>,
    /// The port meant; `None` is every port.
    pub port: Option<u16>,
}

/// The addresses that share a prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Network {
    /// An address of the network.
    pub address: IpAddr,
    /// How many leading bits are shared: 0 to 32 or 0 to 128.
    pub prefix: u8,
}

/// Why text is no destination; fit for a diagnostic.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DestinationError {
    /// The overall shape is wrong.
    #[error(
        "{0:?} is no destination; write \"93.184.216.34:80\", \"[2001:db8::1]:443\", \"10.0.0.0/8:80\", \"*:443\" or \"*\""
    )]
    Shape(String),
    /// The prefix is longer than the address.
    #[error("prefix /{0} is longer than the address")]
    Prefix(String),
}

impl Destination {
    /// Whether a dial to `server` is meant. Addresses of different IP versions never match.
    #[must_use]
    pub fn matches(&self, server: SocketAddr) -> bool {
        self.network
            .is_none_or(|network| network.contains(server.ip()))
            && self.port.is_none_or(|port| port == server.port())
    }
}

impl Network {
    /// The network of one address.
    #[must_use]
    pub fn single(address: IpAddr) -> Self {
        Self {
            address,
            prefix: if address.is_ipv4() { 32 } else { 128 },
        }
    }

    /// Whether an address shares the prefix.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        match (self.address, address) {
            (IpAddr::V4(network), IpAddr::V4(address)) => {
                let differing = network.to_bits() ^ address.to_bits();
                differing.leading_zeros() >= u32::from(self.prefix)
            }
            (IpAddr::V6(network), IpAddr::V6(address)) => {
                let differing = network.to_bits() ^ address.to_bits();
                differing.leading_zeros() >= u32::from(self.prefix)
            }
            (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => false,
        }
    }

    fn is_single(&self) -> bool {
        *self == Self::single(self.address)
    }
}

impl From<SocketAddr> for Destination {
    fn from(server: SocketAddr) -> Self {
        Self {
            network: Some(Network::single(server.ip())),
            port: Some(server.port()),
        }
    }
}

impl FromStr for Destination {
    type Err = DestinationError;

    fn from_str(text: &str) -> Result<Self, DestinationError> {
        if text == "*" {
            return Ok(Self {
                network: None,
                port: None,
            });
        }
        let shape = || DestinationError::Shape(text.to_owned());
        let (host, port) = text.rsplit_once(':').ok_or_else(shape)?;
        let port = match port {
            "*" => None,
            number => Some(number.parse().map_err(|_| shape())?),
        };
        let network = if host == "*" {
            None
        } else {
            Some(network(host).ok_or_else(shape)??)
        };
        Ok(Self { network, port })
    }
}

/// Reads `10.0.0.0/8`, `[fd00::1]`, `[fd00::/8]` or `[fd00::]/8`; an IPv6 address needs its brackets.
fn network(host: &str) -> Option<Result<Network, DestinationError>> {
    let (inside, outside) = match host.strip_prefix('[') {
        Some(rest) => rest.split_once(']')?,
        None => (host, ""),
    };
    let (address, prefix) = match (inside.split_once('/'), outside.strip_prefix('/')) {
        (Some((address, prefix)), None) if outside.is_empty() => (address, Some(prefix)),
        (None, Some(prefix)) => (inside, Some(prefix)),
        (None, None) if outside.is_empty() => (inside, None),
        _ => return None,
    };
    let address: IpAddr = address.parse().ok()?;
    if address.is_ipv6() != host.starts_with('[') {
        return None;
    }
    let single = Network::single(address);
    let Some(digits) = prefix else {
        return Some(Ok(single));
    };
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    Some(match digits.parse::<u8>() {
        Ok(prefix) if prefix <= single.prefix => Ok(Network { address, prefix }),
        _ => Err(DestinationError::Prefix(digits.to_owned())),
    })
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { address, prefix } = self;
        match (address, self.is_single()) {
            (IpAddr::V4(_), true) => write!(f, "{address}"),
            (IpAddr::V6(_), true) => write!(f, "[{address}]"),
            (IpAddr::V4(_), false) => write!(f, "{address}/{prefix}"),
            (IpAddr::V6(_), false) => write!(f, "[{address}/{prefix}]"),
        }
    }
}

impl fmt::Display for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.network, self.port) {
            (None, None) => f.write_str("*"),
            (None, Some(port)) => write!(f, "*:{port}"),
            (Some(network), None) => write!(f, "{network}:*"),
            (Some(network), Some(port)) => write!(f, "{network}:{port}"),
        }
    }
}

impl TryFrom<Cow<'_, str>> for Destination {
    type Error = DestinationError;

    fn try_from(text: Cow<'_, str>) -> Result<Self, DestinationError> {
        text.parse()
    }
}

impl From<Destination> for String {
    fn from(destination: Destination) -> Self {
        destination.to_string()
    }
}

impl JsonSchema for Destination {
    fn schema_name() -> Cow<'static, str> {
        "Destination".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "pattern": r"^(\*|(\*|[0-9.]+(/[0-9]+)?|\[[0-9A-Fa-f:.]+(/[0-9]+)?\](/[0-9]+)?):(\*|[0-9]+))$",
            "description": "Where a dial goes: `addr:port`, `[v6]:port`, `prefix/len:port`, `*:443` or `*`.",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(destination: &str, server: &str) -> bool {
        destination
            .parse::<Destination>()
            .unwrap()
            .matches(server.parse().unwrap())
    }

    #[test]
    fn each_form_matches_what_it_says_and_nothing_else() {
        let cases = [
            ("93.184.216.34:80", "93.184.216.34:80", "93.184.216.35:80"),
            ("93.184.216.34:80", "93.184.216.34:80", "93.184.216.34:81"),
            ("10.0.0.0/8:80", "10.255.0.1:80", "11.0.0.1:80"),
            ("10.0.0.0/0:80", "192.0.2.1:80", "[2001:db8::1]:80"),
            (
                "[2001:db8::1]:443",
                "[2001:db8::1]:443",
                "[2001:db8::2]:443",
            ),
            (
                "[2001:db8::/32]:443",
                "[2001:db8:1::1]:443",
                "[2001:db9::1]:443",
            ),
            ("[2001:db8::]/32:443", "[2001:db8:1::1]:443", "10.0.0.1:443"),
            ("*:443", "[2001:db8::2]:443", "10.0.0.1:80"),
            ("10.0.0.1:*", "10.0.0.1:9", "10.0.0.2:9"),
        ];
        for (destination, inside, outside) in cases {
            assert!(
                matches(destination, inside),
                "{destination} should match {inside}"
            );
            assert!(
                !matches(destination, outside),
                "{destination} should not match {outside}"
            );
        }
    }

    #[test]
    fn a_star_matches_every_destination() {
        assert!(matches("*", "10.0.0.1:1") && matches("*", "[fd00::1]:65535"));
    }

    #[test]
    fn destinations_print_canonically() {
        for (text, canonical) in [
            ("*", "*"),
            ("*:443", "*:443"),
            ("10.0.0.0/8:80", "10.0.0.0/8:80"),
            ("10.0.0.1/32:80", "10.0.0.1:80"),
            ("[2001:db8::]/32:443", "[2001:db8::/32]:443"),
        ] {
            assert_eq!(text.parse::<Destination>().unwrap().to_string(), canonical);
        }
    }

    #[test]
    fn text_of_another_shape_is_refused() {
        for text in [
            "",
            "10.0.0.1",
            "2001:db8::1:443",
            "*:x",
            "10.0.0.1:70000",
            "[10.0.0.1]:80",
            "[fd00::1/8]/8:1",
            "1.2.3.4/:80",
        ] {
            assert!(
                matches!(text.parse::<Destination>(), Err(DestinationError::Shape(_))),
                "{text}"
            );
        }
        assert_eq!(
            "10.0.0.0/33:80"
                .parse::<Destination>()
                .unwrap_err()
                .to_string(),
            "prefix /33 is longer than the address"
        );
    }
}
