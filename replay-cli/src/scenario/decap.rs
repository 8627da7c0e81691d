//! Which tunnels are taken off the packets of a capture.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A way to carry packets in packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Tunnel {
    /// IPv6 in IP (RFC 4213).
    SixInFour,
    /// IPv4 in IP (RFC 2003, RFC 2473).
    IpIp,
    /// Generic routing encapsulation (RFC 2784, RFC 2637).
    Gre,
    /// User data of mobile networks (3GPP TS 29.281), UDP to port 2152.
    GtpU,
    /// Ethernet in UDP to port 4789 (RFC 7348).
    Vxlan,
}

impl Tunnel {
    const ALL: [Self; 5] = [
        Self::SixInFour,
        Self::IpIp,
        Self::Gre,
        Self::GtpU,
        Self::Vxlan,
    ];

    /// Its name on the command line and in scenarios.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::SixInFour => "6in4",
            Self::IpIp => "ipip",
            Self::Gre => "gre",
            Self::GtpU => "gtp-u",
            Self::Vxlan => "vxlan",
        }
    }

    fn bit(self) -> u8 {
        1 << self as u8
    }
}

impl fmt::Display for Tunnel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The tunnels that are taken off, so that the packets in them are what the device sent: none unless it is said.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Decap(u8);

impl Decap {
    /// Whether this tunnel is taken off.
    #[must_use]
    pub fn takes_off(self, tunnel: Tunnel) -> bool {
        self.0 & tunnel.bit() != 0
    }
}

/// `none`, `auto` for all of them, or their names with commas between them.
impl FromStr for Decap {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "none" => return Ok(Self::default()),
            "auto" => {
                return Ok(Tunnel::ALL
                    .iter()
                    .fold(Self(0), |all, one| Self(all.0 | one.bit())));
            }
            _ => {}
        }
        let mut decap = Self(0);
        for word in text.split(',').map(str::trim) {
            let named = Tunnel::ALL.iter().find(|tunnel| tunnel.as_str() == word);
            let tunnel = named.ok_or_else(|| {
                let known = Tunnel::ALL.map(Tunnel::as_str).join(", ");
                format!("`{word}` is no tunnel; there are `none`, `auto`, and a list of {known}")
            })?;
            decap.0 |= tunnel.bit();
        }
        Ok(decap)
    }
}

impl fmt::Display for Decap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = Tunnel::ALL.iter().filter(|tunnel| self.takes_off(**tunnel));
        let names: Vec<_> = names.map(|tunnel| tunnel.as_str()).collect();
        match names.len() {
            0 => f.write_str("none"),
            5 => f.write_str("auto"),
            _ => f.write_str(&names.join(",")),
        }
    }
}

impl Serialize for Decap {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Decap {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Cow::<'de, str>::deserialize(deserializer)?
            .parse()
            .map_err(D::Error::custom)
    }
}

impl JsonSchema for Decap {
    fn schema_name() -> Cow<'static, str> {
        "Decap".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "Tunnels that are taken off the packets of the capture: `none`, `auto`, or 6in4, ipip, gre, gtp-u, vxlan with commas between them.",
            "type": "string",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_form_prints_as_it_was_read() {
        for text in ["none", "auto", "gre", "6in4,vxlan"] {
            let decap: Decap = text.parse().unwrap();
            assert_eq!(decap.to_string(), text);
        }
        let all: Decap = "vxlan, gtp-u,gre,ipip,6in4".parse().unwrap();
        assert_eq!(all.to_string(), "auto");
    }

    #[test]
    fn a_tunnel_that_is_not_known_is_refused_with_those_that_are() {
        let error = "gre,geneve".parse::<Decap>().unwrap_err();
        assert!(error.starts_with("`geneve` is no tunnel;"), "{error}");
        assert!(error.ends_with("6in4, ipip, gre, gtp-u, vxlan"), "{error}");
    }
}
