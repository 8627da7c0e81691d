//! A flight recorder's block: other addresses, names and bytes, in the layout of docs/FLIGHT_RECORDER.md.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use super::Mark;
use super::content::Content;
use super::read::is_of_dns;
use crate::capture::CustomBlock;
use crate::capture::recording::{self, EventKind};
use crate::scenario::Protocol;

/// Where an event's time, addresses and body stand, and how long the fixed part is.
const TIME: usize = 8;
const ADDRESSES: [usize; 2] = [28, 44];
const FIXED: usize = 64;

/// The data of a block as it is written, behind the enterprise number; `None` if it is not a recorder's, or says what is not known here.
pub(super) fn rewrite(
    block: &CustomBlock<'_>,
    flow: Option<usize>,
    seconds: i64,
    reported: &mut BTreeMap<usize, i64>,
    content: &mut Content<'_>,
) -> Option<(Vec<u8>, Vec<Mark>)> {
    let event = recording::decode(block)?.ok()?;
    let length = block.data.get(60..FIXED)?.first_chunk().copied();
    let length = u32::from_le_bytes(length?) as usize;
    // Options behind it do not stay.
    let mut data = block.data.get(..FIXED + length)?.to_vec();
    let mut marks = vec![Mark::Structure; data.len()];
    let micros = data.get(TIME..TIME + 8)?.first_chunk().copied();
    let micros = u64::from_le_bytes(micros?).saturating_add_signed(-seconds * 1_000_000);
    data.get_mut(TIME..TIME + 8)?
        .copy_from_slice(&micros.to_le_bytes());
    if let Some(tuple) = event.flow {
        let size = if tuple.client.is_ipv4() { 4 } else { 16 };
        for at in ADDRESSES {
            content.mapping.put_address(data.get_mut(at..at + size)?);
            marks.get_mut(at..at + size)?.fill(Mark::Named);
        }
    }
    let body = data.get_mut(FIXED..)?;
    let reported = match (event.kind, event.flow) {
        (EventKind::Dial(_), _) => {
            content.mapping.put_name(body);
            vec![Mark::Named; length]
        }
        (EventKind::RemoteData(_), _) => {
            let flow = flow?;
            let at = reported.entry(flow).or_default();
            let from = *at;
            *at += length as i64;
            content.stream((flow, false), from, body)
        }
        (EventKind::RemoteDatagram(_), Some(tuple)) => {
            let seed = content.seed(tuple.server, tuple.client, true, 0);
            let is_dns =
                tuple.protocol == Protocol::Udp && ports_of_dns(tuple.client, tuple.server);
            content.datagram(seed, is_dns, body)
        }
        // Words of the engine; that no address stands in them is looked at.
        _ => vec![Mark::Named; length],
    };
    marks.get_mut(FIXED..)?.copy_from_slice(&reported);
    Some((data, marks))
}

fn ports_of_dns(client: SocketAddr, server: SocketAddr) -> bool {
    is_of_dns(client.port(), server.port())
}
