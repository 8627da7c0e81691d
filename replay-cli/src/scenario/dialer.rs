//! The far side's script: what a dial is answered with, and what the connection does then.

use std::borrow::Cow;
use std::fmt;
use std::net::SocketAddr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use super::bytes::Bytes;
use super::destination::Destination;
use super::flow::Protocol;
use crate::base::duration::Micros;

/// How the far side behaves: the first rule that matches a dial answers it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DialerScript {
    /// Rules in order; the first that matches wins.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rules: Vec<Rule>,
    /// The answer to a dial no rule matches; `refused` if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub otherwise: Option<DialResult>,
    /// How intercepted DNS queries are answered (`engine.dns_interception`): the first that matches; a name without one
    /// fails.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub resolver: Vec<ResolverRule>,
}

/// The answer to intercepted DNS queries for a name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ResolverRule {
    /// The name in lower case, or `*` for any.
    pub name: String,
    /// Only queries of this type; both if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<QueryKind>,
    /// What is found out; `addresses` if absent.
    #[serde(default, skip_serializing_if = "ResolverResult::is_default")]
    pub result: ResolverResult,
    /// The addresses of the name, of both families; the engine gives the device those it asked for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub addresses: Vec<std::net::IpAddr>,
    /// How long they hold, seconds; 60 if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ttl: Option<u32>,
    /// How long after the query the answer comes; at once if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<Micros>,
}

/// The type of a DNS query for addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum QueryKind {
    /// IPv4 addresses.
    A,
    /// IPv6 addresses.
    Aaaa,
}

/// How a resolution ends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ResolverResult {
    /// The name has these addresses; with none of the type asked for, none.
    #[default]
    Addresses,
    /// There is no such name.
    NotFound,
    /// It cannot be found out.
    Failed,
    /// No answer ever comes.
    Never,
}

impl ResolverResult {
    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// One rule of the dialer.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// Which dials it answers; every dial if absent.
    #[serde(default, skip_serializing_if = "When::is_default")]
    pub when: When,
    /// The answer; connected at once if absent.
    #[serde(default, skip_serializing_if = "Dial::is_default")]
    pub dial: Dial,
    /// What the connection does then, step by step.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub then: Vec<Step>,
}

/// Which dials a rule answers: those that meet every condition written.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct When {
    /// The flow whose dial is meant: a name in `flows`, a name with `#n`, or a full tuple.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub flow: Option<String>,
    /// The transport.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proto: Option<Protocol>,
    /// The destination.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<Destination>,
    /// Which of the dials that meet the other conditions, from 1; every one if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub occurrence: Option<u32>,
}

/// The answer to a dial.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Dial {
    /// The result.
    pub result: DialResult,
    /// How long after the request the result comes; at once if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<Micros>,
}

/// How a dial ends: one list for scenarios, the core and the C ABI.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum DialResult {
    /// The far side is connected.
    #[default]
    Connected,
    /// The far side refused.
    Refused,
    /// The host cannot be reached.
    HostUnreachable,
    /// The network cannot be reached.
    NetworkUnreachable,
    /// Policy forbids the connection.
    Denied,
    /// The dialer gave up waiting.
    TimedOut,
    /// No result ever comes.
    Never,
}

/// One step of a connection's script; each starts when the one before is done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Step {
    /// Waits for n bytes (UDP: datagrams) beyond the previous `read`.
    Read(u64),
    /// Waits until these bytes have come.
    ReadUntil(Bytes),
    /// Waits for the device's end of stream.
    ReadEof(True),
    /// Waits.
    Wait(Micros),
    /// Sends bytes (UDP: one datagram); done when the engine has taken the last one.
    Send(Bytes),
    /// UDP: one datagram that comes from another address than the one dialed.
    SendFrom(SendFrom),
    /// TCP: takes the next n bytes from the engine, then none until the next `take` or `unblock`.
    Take(u64),
    /// Takes no bytes from the engine until `unblock`.
    Block(True),
    /// Takes bytes from the engine again.
    Unblock(True),
    /// Ends the stream toward the device.
    Shutdown(True),
    /// Resets the connection.
    Reset(True),
    /// The connection fails for this reason.
    Fail(String),
    /// Sends back what is read, n times (TCP: n bytes, UDP: n datagrams, each from where it was sent to).
    Echo(u64),
    /// UDP: one of these datagrams for each one read.
    Reply(Vec<Bytes>),
    /// All that the far side did in the capture, with its waits; the only step of a rule whose `when.flow` names a flow of the capture.
    Recorded(True),
}

/// A datagram of a third party.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SendFrom {
    /// Where it comes from; `families` changes it like the addresses of flows.
    pub from: SocketAddr,
    /// Its payload.
    pub bytes: Bytes,
}

/// The value `true`: a step that takes no argument, or a condition that is only ever written to hold.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "bool", into = "bool")]
pub struct True;

impl DialerScript {
    /// Whether it is what an absent `dialer` means: every dial refused.
    #[must_use]
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }

    /// The answer to a dial no rule matches.
    #[must_use]
    pub fn otherwise(&self) -> DialResult {
        self.otherwise.unwrap_or(DialResult::Refused)
    }
}

impl When {
    /// Whether no condition is written.
    #[must_use]
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

impl Dial {
    /// Whether it is what an absent `dial` means: connected at once.
    #[must_use]
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }

    /// How long after the request the result comes.
    #[must_use]
    pub fn delay(&self) -> Micros {
        self.after.unwrap_or(Micros::ZERO)
    }
}

impl DialResult {
    /// The word scenarios use.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Connected => "connected",
            Self::Refused => "refused",
            Self::HostUnreachable => "host_unreachable",
            Self::NetworkUnreachable => "network_unreachable",
            Self::Denied => "denied",
            Self::TimedOut => "timed_out",
            Self::Never => "never",
        }
    }
}

impl fmt::Display for DialResult {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl TryFrom<bool> for True {
    type Error = &'static str;

    fn try_from(value: bool) -> Result<Self, &'static str> {
        if value {
            Ok(Self)
        } else {
            Err("only `true` can be written here; leave it out to mean the opposite")
        }
    }
}

impl From<True> for bool {
    fn from(_: True) -> Self {
        true
    }
}

impl JsonSchema for True {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "True".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "const": true })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_step_prints_as_it_was_read() {
        let json = concat!(
            r#"[{"read":78},{"read_until":{"text":"\r\n"}},{"read_eof":true},{"wait":"10ms"},{"send":{"hex":"00"}},{"block":true},{"take":5},"#,
            r#"{"unblock":true},{"shutdown":true},{"reset":true},{"fail":"tls"},{"echo":2},{"reply":[{"text":"a"}]},{"recorded":true}]"#
        );
        let steps: Vec<Step> = serde_json::from_str(json).unwrap();
        assert_eq!(serde_json::to_string(&steps).unwrap(), json);
    }

    #[test]
    fn a_step_cannot_be_written_not_to_happen() {
        assert!(serde_json::from_str::<Step>(r#"{"reset":false}"#).is_err());
    }

    #[test]
    fn dials_no_rule_matches_are_refused_unless_written() {
        assert_eq!(DialerScript::default().otherwise(), DialResult::Refused);
    }
}
