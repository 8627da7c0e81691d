//! `expect.never`: packets that must not be emitted; it is not renewed.

use super::Behaviour;
use crate::base::duration::Micros;
use crate::packet::{Flags, Packet, Transport};
use crate::scenario::failure::FailureKind;
use crate::scenario::{Never, Protocol};
use crate::verdict::check::Check;

pub(super) struct Nevers;

impl Behaviour for Nevers {
    fn needs_frames(&self) -> bool {
        true
    }

    fn check(&self, check: &mut Check<'_>) {
        let view = check.view();
        for (index, never) in check.scenario.expect.never.iter().enumerate() {
            check.verdicts.checks += 1;
            let pointer = format!("/expect/never/{index}");
            for (at, emitted) in check.run.emitted.iter().enumerate() {
                let Ok(packet) = Packet::whole(&emitted.bytes) else {
                    continue;
                };
                let on_flow = never.flow.as_ref().is_none_or(|name| {
                    view.spec(name)
                        .is_some_and(|spec| view.belongs(&packet, emitted, &spec))
                });
                if on_flow && is_forbidden(never, &packet, emitted.at) {
                    let what = "a packet came that must never come".to_owned();
                    let forbidden = check.fail(FailureKind::ForbiddenPacket, &pointer, what);
                    (forbidden.flow, forbidden.at_us) = (never.flow.clone(), Some(emitted.at));
                    forbidden.actual = Some(view.shown(at));
                }
            }
        }
    }
}

fn is_forbidden(never: &Never, packet: &Packet<'_>, at: u64) -> bool {
    let Never {
        flow: _,
        proto,
        flags,
        length,
        window,
        at: time,
    } = never;
    let protocol = match packet.transport {
        Transport::Tcp(_) => Some(Protocol::Tcp),
        Transport::Udp(_) => Some(Protocol::Udp),
        Transport::Icmp(_) => Some(Protocol::Icmp),
        _ => None,
    };
    let tcp = packet.tcp();
    let payload = tcp
        .map(|tcp| tcp.payload_len)
        .or_else(|| packet.udp().map(|udp| udp.payload_len))
        .unwrap_or(0) as u64;
    proto.is_none_or(|wanted| protocol == Some(wanted))
        && flags.as_ref().is_none_or(|wanted| {
            // Every flag written must be there; others may be.
            let wanted = wanted
                .chars()
                .filter_map(Flags::from_letter)
                .fold(Flags(0), Flags::with);
            tcp.is_some_and(|tcp| tcp.flags.contains(wanted))
        })
        && length
            .as_ref()
            .is_none_or(|wanted| wanted.matches(&payload))
        && window
            .as_ref()
            .is_none_or(|wanted| tcp.is_some_and(|tcp| wanted.matches(&u64::from(tcp.window))))
        && time
            .as_ref()
            .is_none_or(|wanted| wanted.matches(&Micros(at)))
}
