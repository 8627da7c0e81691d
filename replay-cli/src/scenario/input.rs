//! What the device sends: a capture, or frames written by hand.

use std::borrow::Cow;
use std::fmt;
use std::net::IpAddr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{self, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::decap::Decap;
use crate::base::duration::Micros;

/// The input of a scenario: either `capture` or `frames`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Input {
    /// The capture, relative to captures/, or to the scenario file if it begins with `./`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub capture: Option<String>,
    /// The SHA-256 of the capture, in hex: it must be this file and no other. A capture outside of the scenario's tree is read only
    /// if this names it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub capture_sha256: Option<String>,
    /// Who the device is; `"any"` if absent: each flow's opener.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device: Option<Device>,
    /// Tunnels that are taken off its packets: what is in them is what the device sent; `none` if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decap: Option<Decap>,
    /// Names of TCP flows that are adopted: their beginning is not in the capture, and a handshake is made up for them. Flows without
    /// their beginning that are not named are left out.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("uniqueItems" = true))]
    pub adopted: Vec<String>,
    /// When captured device frames may go in; `causal` if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timing: Option<Timing>,
    /// What happens to checksums of captured frames; `repair` if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checksums: Option<Checksums>,
    /// Which recorded retransmissions go in; `as_needed` if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retransmissions: Option<Retransmissions>,
    /// Whether engine settings are fitted to the capture; `import` if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub settings: Option<CaptureSettings>,
    /// Frames written by hand, one line each: `+0 < get S 0:0(0) win 65535 <mss 1460>`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub frames: Vec<String>,
    /// The IP versions hand-written frames run over; `[4, 6]` runs twins.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(inner(range(min = 4, max = 6)), extend("uniqueItems" = true))]
    pub families: Vec<u8>,
    /// How many frames are handed over at a time; 1 for lines, the frames of one instant for captures if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub batch: Option<u32>,
    /// When the run ends at the latest, in virtual time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Micros>,
}

/// Who the device is in a capture.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Device {
    /// The opener of each flow.
    #[default]
    Any,
    /// The holder of these addresses; other flows are left out.
    Addresses(Vec<IpAddr>),
}

/// When a captured device frame may go in, besides its cause.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Timing {
    /// Not before its gap to the flow's previous device frame has passed again.
    #[default]
    Causal,
    /// Not before its absolute offset in the capture.
    Strict,
    /// As soon as its cause is there.
    Asap,
}

/// What happens to the checksums of captured frames.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Checksums {
    /// They are computed anew: captures often hold frames whose checksums the network card had yet to fill in.
    #[default]
    Repair,
    /// They go in as recorded, right or wrong.
    Keep,
}

/// Which recorded retransmissions of the device go in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Retransmissions {
    /// Those whose bytes the engine has not acknowledged by then.
    #[default]
    AsNeeded,
    /// All of them.
    AsRecorded,
}

/// Whether engine settings are fitted to the capture.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum CaptureSettings {
    /// Limits at the capture's peak, martians admitted if it holds any, MTU at its largest device frame.
    #[default]
    Import,
    /// The engine's defaults.
    Default,
}

impl Device {
    /// Whether frames from `address` are the device's; `None` if each flow's opener decides.
    #[must_use]
    pub fn is_device(&self, address: IpAddr) -> Option<bool> {
        match self {
            Self::Any => None,
            Self::Addresses(addresses) => Some(addresses.contains(&address)),
        }
    }
}

impl Serialize for Device {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Any => serializer.serialize_str("any"),
            Self::Addresses(addresses) => match addresses.as_slice() {
                [address] => serializer.collect_str(address),
                several => serializer.collect_seq(several.iter().map(ToString::to_string)),
            },
        }
    }
}

impl<'de> Deserialize<'de> for Device {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct WordOrAddresses;
        impl<'de> Visitor<'de> for WordOrAddresses {
            type Value = Device;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("\"any\", an address or a list of addresses")
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Device, E> {
                if text == "any" {
                    Ok(Device::Any)
                } else {
                    Ok(Device::Addresses(vec![address(text)?]))
                }
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Device, A::Error> {
                let mut addresses = Vec::new();
                while let Some(text) = seq.next_element::<Cow<'de, str>>()? {
                    addresses.push(address(&text)?);
                }
                if addresses.is_empty() {
                    return Err(de::Error::custom(
                        "the list of device addresses is empty; leave `device` out to mean any",
                    ));
                }
                Ok(Device::Addresses(addresses))
            }
        }
        deserializer.deserialize_any(WordOrAddresses)
    }
}

fn address<E: de::Error>(text: &str) -> Result<IpAddr, E> {
    text.parse().map_err(|_| {
        E::custom(format_args!(
            "{text:?} is no IP address; `device` is \"any\", an address or a list of addresses"
        ))
    })
}

impl JsonSchema for Device {
    fn schema_name() -> Cow<'static, str> {
        "Device".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "Who the device is: `any` (each flow's opener), an address or a list of addresses.",
            "anyOf": [
                { "const": "any" },
                { "type": "string", "anyOf": [{ "format": "ipv4" }, { "format": "ipv6" }] },
                { "type": "array", "items": { "type": "string" }, "minItems": 1 },
            ],
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_form_of_the_device_prints_as_it_was_read() {
        for json in [r#""any""#, r#""10.0.0.2""#, r#"["10.0.0.2","fd00::2"]"#] {
            let device: Device = serde_json::from_str(json).unwrap();
            assert_eq!(serde_json::to_string(&device).unwrap(), json);
        }
    }

    #[test]
    fn a_device_that_is_no_address_is_refused() {
        for json in [r#""phone""#, "[]", r#"["any"]"#, "1"] {
            assert!(serde_json::from_str::<Device>(json).is_err(), "{json}");
        }
    }
}
