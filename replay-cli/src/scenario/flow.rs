//! Flows by their tuple: `tcp 10.0.0.2:40000 > 93.184.216.34:80`.

use std::borrow::Cow;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

use engine::{FlowKey, Proto};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

/// A flow: `PROTO CLIENT > SERVER`, optionally followed by `#n` for the n-th dial request on that tuple.
///
/// The client is the device's end. ICMP flows are written without ports, which then are 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "Cow<'_, str>", into = "String")]
pub struct FlowSpec {
    /// The transport.
    pub protocol: Protocol,
    /// The device's end.
    pub client: SocketAddr,
    /// The far end, which the dialer is asked for.
    pub server: SocketAddr,
    /// Which dial request on this tuple is meant, from 1.
    pub occurrence: u32,
}

/// A transport the engine knows flows of.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Protocol {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
    /// ICMP or ICMPv6 echo.
    Icmp,
}

/// Why text is no flow; fit for a diagnostic.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FlowError {
    /// The overall shape is wrong.
    #[error("{0:?} is no flow; a flow is written \"tcp 10.0.0.2:40000 > 93.184.216.34:80\"")]
    Shape(String),
    /// The protocol is none of ours.
    #[error("unknown protocol `{0}`; flows are tcp, udp or icmp")]
    Protocol(String),
    /// One end is no address with a port.
    #[error("`{0}` is no address with a port, such as 10.0.0.2:40000 or [fd00::2]:40000")]
    Endpoint(String),
    /// One end of an ICMP flow is no bare address.
    #[error(
        "`{0}` is no address; icmp flows have addresses without ports, such as 10.0.0.2 or fd00::2"
    )]
    Address(String),
    /// The ends belong to different IP versions.
    #[error("{0:?} has ends of two IP versions")]
    MixedVersions(String),
    /// The number after `#` is no count from 1.
    #[error("`#{0}` is no dial request; they count from #1")]
    Occurrence(String),
}

impl Protocol {
    /// The word scenarios use.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
            Self::Icmp => "icmp",
        }
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for FlowSpec {
    type Err = FlowError;

    fn from_str(text: &str) -> Result<Self, FlowError> {
        let shape = || FlowError::Shape(text.to_owned());
        let (tuple, occurrence) = match text.split_once('#') {
            Some((tuple, number)) => {
                let parsed = number.parse().ok().filter(|n| *n > 0);
                (
                    tuple,
                    parsed.ok_or_else(|| FlowError::Occurrence(number.to_owned()))?,
                )
            }
            None => (text, 1),
        };
        let (protocol, ends) = tuple.trim().split_once(' ').ok_or_else(shape)?;
        let protocol = match protocol {
            "tcp" => Protocol::Tcp,
            "udp" => Protocol::Udp,
            "icmp" => Protocol::Icmp,
            other => return Err(FlowError::Protocol(other.to_owned())),
        };
        let (client, server) = ends.split_once('>').ok_or_else(shape)?;
        let (client, server) = (
            endpoint(protocol, client.trim())?,
            endpoint(protocol, server.trim())?,
        );
        if client.is_ipv4() != server.is_ipv4() {
            return Err(FlowError::MixedVersions(text.to_owned()));
        }
        Ok(Self {
            protocol,
            client,
            server,
            occurrence,
        })
    }
}

/// One end of a flow: an address with a port, or for ICMP an address alone.
fn endpoint(protocol: Protocol, text: &str) -> Result<SocketAddr, FlowError> {
    if protocol != Protocol::Icmp {
        return text
            .parse()
            .map_err(|_| FlowError::Endpoint(text.to_owned()));
    }
    let bare = text
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'))
        .unwrap_or(text);
    let address: IpAddr = bare
        .parse()
        .map_err(|_| FlowError::Address(text.to_owned()))?;
    Ok(SocketAddr::new(address, 0))
}

impl fmt::Display for FlowSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            protocol,
            client,
            server,
            occurrence,
        } = self;
        match protocol {
            Protocol::Icmp => write!(f, "{protocol} {} > {}", client.ip(), server.ip())?,
            Protocol::Tcp | Protocol::Udp => write!(f, "{protocol} {client} > {server}")?,
        }
        match occurrence {
            1 => Ok(()),
            n => write!(f, " #{n}"),
        }
    }
}

impl TryFrom<Cow<'_, str>> for FlowSpec {
    type Error = FlowError;

    fn try_from(text: Cow<'_, str>) -> Result<Self, FlowError> {
        text.parse()
    }
}

impl From<FlowSpec> for String {
    fn from(flow: FlowSpec) -> Self {
        flow.to_string()
    }
}

impl JsonSchema for FlowSpec {
    fn schema_name() -> Cow<'static, str> {
        "Flow".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "pattern": "^((tcp|udp) [^ ]+:[0-9]+ *> *[^ ]+:[0-9]+|icmp [^ ]+ *> *[^ ]+?)( *#[1-9][0-9]*)?$",
            "description": "A flow: `PROTO CLIENT > SERVER`, the client being the device's end, optionally `#n` for the n-th dial \
                request on that tuple. IPv6 ends are written `[v6]:port`; icmp flows have no ports.",
        })
    }
}

/// The tuple and number of a dial as scenarios write it.
pub(crate) fn flow_spec(key: &FlowKey, occurrence: u32) -> FlowSpec {
    let protocol = match key.proto {
        Proto::Tcp => Protocol::Tcp,
        Proto::Udp => Protocol::Udp,
    };
    FlowSpec {
        protocol,
        client: key.client,
        server: key.server,
        occurrence,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flows_of_every_protocol_print_as_they_were_read() {
        for text in [
            "tcp 10.0.0.2:40000 > 93.184.216.34:80",
            "tcp 10.0.0.2:40000 > 93.184.216.34:80 #2",
            "udp [fd00::2]:5353 > [2001:db8::1]:53",
            "icmp 10.0.0.2 > 1.1.1.1",
            "icmp fd00::2 > 2001:db8::1",
        ] {
            assert_eq!(
                text.parse::<FlowSpec>()
                    .map(|flow| flow.to_string())
                    .as_deref(),
                Ok(text)
            );
        }
    }

    #[test]
    fn the_first_dial_request_needs_no_number() {
        let plain: FlowSpec = "tcp 10.0.0.2:1 > 10.0.0.3:2".parse().unwrap();
        assert_eq!("tcp 10.0.0.2:1 > 10.0.0.3:2#1".parse(), Ok(plain));
    }

    #[test]
    fn each_way_to_miswrite_a_flow_has_its_own_message() {
        let cases = [
            (
                "get",
                "\"get\" is no flow; a flow is written \"tcp 10.0.0.2:40000 > 93.184.216.34:80\"",
            ),
            (
                "sctp 10.0.0.2:1 > 10.0.0.3:2",
                "unknown protocol `sctp`; flows are tcp, udp or icmp",
            ),
            (
                "tcp 10.0.0.2 > 10.0.0.3:2",
                "`10.0.0.2` is no address with a port, such as 10.0.0.2:40000 or [fd00::2]:40000",
            ),
            (
                "icmp 10.0.0.2:1 > 10.0.0.3",
                "`10.0.0.2:1` is no address; icmp flows have addresses without ports, such as 10.0.0.2 or fd00::2",
            ),
            (
                "tcp 10.0.0.2:1 > [fd00::1]:2",
                "\"tcp 10.0.0.2:1 > [fd00::1]:2\" has ends of two IP versions",
            ),
            (
                "tcp 10.0.0.2:1 > 10.0.0.3:2 #0",
                "`#0` is no dial request; they count from #1",
            ),
        ];
        for (text, message) in cases {
            assert_eq!(text.parse::<FlowSpec>().unwrap_err().to_string(), message);
        }
    }
}
