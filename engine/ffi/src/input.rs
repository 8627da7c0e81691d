//! What the device and the dialer bring in. All of it can be called from any thread, also from within a callback; bytes are
//! copied before the call returns.

use engine::{DialResult, FlowId, QueryId, RemoteEnd, Resolution};

use crate::handle::{find, guard, guard_count};
use crate::host::socket_address;
use crate::read;
use crate::types::{
    BridgeAddress, BridgeDialResultNumber, BridgeEndNumber, BridgeEngine, BridgePacket,
    BridgeStatus, BridgeStatusNumber,
};

/// The longest IP packet, bytes.
const PACKET: usize = 65_535;

/// The most addresses of one answer.
const ADDRESSES: usize = 64;

/// The longest payload of a datagram, bytes.
const DATAGRAM: usize = 65_535 - 8;

/// One IP packet of the device. `FULL`: too much waits already; it is lost and counted, as on a network. `BAD_LENGTH`: empty, or
/// longer than any packet. `NOT_STARTED`, `STOPPED`.
///
/// # Safety
/// `bytes` points to `length` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn BridgeEngineHandlePacket(
    engine: *mut BridgeEngine,
    bytes: *const u8,
    length: usize,
) -> BridgeStatus {
    guard(|| {
        let mailbox = find(engine)?.running()?;
        // SAFETY: as this call's own contract says.
        let frame = unsafe { packet(bytes, length) }?;
        had_room(mailbox.frame(frame))
    })
}

/// Several IP packets of the device, in order, cheaper than one by one. Answers how many found room; those that did not, those
/// that are no packet by their length (0, or beyond 65,535), and those without bytes (null) are lost and counted (`packets_lost`). Or a
/// status below zero: `NULL_POINTER` without `packets`, `BAD_LENGTH` for a `count` that no memory holds.
///
/// # Safety
/// `packets` points to `count` structs, each of which points to its `length` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn BridgeEngineHandlePackets(
    engine: *mut BridgeEngine,
    packets: *const BridgePacket,
    count: usize,
) -> i64 {
    guard_count(|| {
        let mailbox = find(engine)?.running()?;
        if count == 0 {
            return Ok(0);
        }
        if packets.is_null() {
            return Err(BridgeStatus::NullPointer);
        }
        let whole = count.checked_mul(size_of::<BridgePacket>());
        if whole.is_none_or(|whole| isize::try_from(whole).is_err()) {
            return Err(BridgeStatus::BadLength);
        }
        let mut none = 0;
        let frames = (0..count).filter_map(|at| {
            // SAFETY: `at` is below `count`, and the structs are there by this call's contract.
            let BridgePacket { bytes, length } = unsafe { packets.add(at).read_unaligned() };
            // SAFETY: as this call's own contract says.
            let frame = unsafe { packet(bytes, length) }.ok();
            none += usize::from(frame.is_none());
            frame
        });
        let taken = mailbox.frames(frames);
        mailbox.lost(none);
        Ok(taken.try_into().unwrap_or(i64::MAX))
    })
}

fn had_room(taken: bool) -> Result<(), BridgeStatus> {
    taken.then_some(()).ok_or(BridgeStatus::Full)
}

/// # Safety
/// As [`read::bytes`].
unsafe fn packet<'a>(bytes: *const u8, length: usize) -> Result<&'a [u8], BridgeStatus> {
    if !(1..=PACKET).contains(&length) {
        return Err(BridgeStatus::BadLength);
    }
    // SAFETY: as this function's own contract says.
    unsafe { read::bytes(bytes, length) }
}

/// What became of a dial: a `BridgeDialResult`; anything else is `BAD_ARGUMENT`. `STALE_FLOW`: the flow has ended meanwhile (the device
/// gave up, the engine's own limit passed): close what was connected. `DIAL_ANSWERED`: the first answer counts.
#[unsafe(no_mangle)]
pub extern "C" fn BridgeEngineOnDialResult(
    engine: *mut BridgeEngine,
    flow: u64,
    result: BridgeDialResultNumber,
) -> BridgeStatus {
    guard(|| {
        let mailbox = find(engine)?.running()?;
        let result = match result {
            0 => DialResult::Connected,
            1 => DialResult::Refused,
            2 => DialResult::HostUnreachable,
            3 => DialResult::NetworkUnreachable,
            4 => DialResult::Denied,
            5 => DialResult::TimedOut,
            _ => return Err(BridgeStatus::BadArgument),
        };
        Ok(mailbox.dialed(FlowId::from_bits(flow), result)?)
    })
}

/// The next bytes of the far side's stream. Answers how many were taken, from the front: keep the rest, stop reading, and go on
/// after `tcp_resume`. No bytes are none taken, whatever `bytes` is. Or a status below zero: `NOT_CONNECTED`, `AFTER_END`, `STALE_FLOW`,
/// `WRONG_PROTOCOL`; `BAD_LENGTH`: a length that no memory has.
///
/// # Safety
/// `bytes` points to `length` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn BridgeEngineOnTcpReceive(
    engine: *mut BridgeEngine,
    flow: u64,
    bytes: *const u8,
    length: usize,
) -> i64 {
    guard_count(|| {
        let mailbox = find(engine)?.running()?;
        // SAFETY: as this call's own contract says.
        let bytes = unsafe { read::bytes(bytes, length) }?;
        let taken = mailbox.data(FlowId::from_bits(flow), bytes)?;
        Ok(taken.try_into().unwrap_or(i64::MAX))
    })
}

/// Bytes that `BridgeEngineOnTcpReceive` would take of this flow now, or the status below zero that it would answer.
#[unsafe(no_mangle)]
pub extern "C" fn BridgeEngineTcpRoom(engine: *mut BridgeEngine, flow: u64) -> i64 {
    guard_count(|| {
        let room = find(engine)?.running()?.room(FlowId::from_bits(flow))?;
        Ok(room.try_into().unwrap_or(i64::MAX))
    })
}

/// One datagram of the far side, which may be empty. `from`: who sent it, or null for the destination that was dialed. `FULL`: too much waits; it is lost and
/// counted. `BAD_LENGTH`: longer than any datagram (65,527). `BAD_ARGUMENT`: an address of no family.
///
/// # Safety
/// `from` is null or points to an address; `bytes` points to `length` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn BridgeEngineOnUdpReceive(
    engine: *mut BridgeEngine,
    flow: u64,
    from: *const BridgeAddress,
    bytes: *const u8,
    length: usize,
) -> BridgeStatus {
    guard(|| {
        let mailbox = find(engine)?.running()?;
        if length > DATAGRAM {
            return Err(BridgeStatus::BadLength);
        }
        // SAFETY: as this call's own contract says.
        let payload = unsafe { read::bytes(bytes, length) }?;
        // SAFETY: as this call's own contract says; an address is integers only.
        let from = match unsafe { read::optional(from) } {
            None => None,
            Some(from) => Some(socket_address(&from).ok_or(BridgeStatus::BadArgument)?),
        };
        had_room(mailbox.datagram(FlowId::from_bits(flow), from, payload)?)
    })
}

/// The far side of a TCP flow has ended: a `BridgeEnd`. After `EOF` the device may still send; after the others the flow's
/// `tcp_close` follows. After an `EOF` a connection can still break; after that it is `AFTER_END`.
#[unsafe(no_mangle)]
pub extern "C" fn BridgeEngineOnTcpClose(
    engine: *mut BridgeEngine,
    flow: u64,
    end: BridgeEndNumber,
) -> BridgeStatus {
    ended(engine, flow, end)
}

/// The far side of a UDP flow has ended: a `BridgeEnd`. Its `udp_close` follows.
#[unsafe(no_mangle)]
pub extern "C" fn BridgeEngineOnUdpClose(
    engine: *mut BridgeEngine,
    flow: u64,
    end: BridgeEndNumber,
) -> BridgeStatus {
    ended(engine, flow, end)
}

fn ended(engine: *mut BridgeEngine, flow: u64, end: BridgeEndNumber) -> BridgeStatus {
    guard(|| {
        let mailbox = find(engine)?.running()?;
        let end = match end {
            0 => RemoteEnd::Eof,
            1 => RemoteEnd::Reset,
            2 => RemoteEnd::Error,
            _ => return Err(BridgeStatus::BadArgument),
        };
        Ok(mailbox.ended(FlowId::from_bits(flow), end)?)
    })
}

/// The dialer takes nothing more of this flow until `BridgeEngineOnWritable`: no `tcp_send` or `udp_send` after the next turn. A short
/// `tcp_send` says so by itself.
#[unsafe(no_mangle)]
pub extern "C" fn BridgeEngineOnBlocked(engine: *mut BridgeEngine, flow: u64) -> BridgeStatus {
    guard(|| Ok(find(engine)?.running()?.blocked(FlowId::from_bits(flow))?))
}

/// The dialer takes bytes or datagrams of this flow again.
#[unsafe(no_mangle)]
pub extern "C" fn BridgeEngineOnWritable(engine: *mut BridgeEngine, flow: u64) -> BridgeStatus {
    guard(|| Ok(find(engine)?.running()?.writable(FlowId::from_bits(flow))?))
}

/// What the host found out for `resolve`: `count` addresses that the device may keep for `ttl` seconds, those of the other family left out;
/// with `status` `OK` and none of them: the name exists, without such an address; with `NOT_FOUND`: there is no such name; with anything
/// else: it could not be found out, and the device may ask another resolver. An answer to a query that is not open is passed over.
///
/// `FULL`: more answers wait than the engine has queries. `BAD_LENGTH`: more than 64 addresses; `BAD_ARGUMENT`: one of no family.
///
/// # Safety
/// `addresses` points to `count` addresses.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn BridgeEngineOnResolved(
    engine: *mut BridgeEngine,
    query: u64,
    addresses: *const BridgeAddress,
    count: usize,
    ttl: u32,
    status: BridgeStatusNumber,
) -> BridgeStatus {
    guard(|| {
        let mailbox = find(engine)?.running()?;
        let resolution = match status {
            0 if count > ADDRESSES => return Err(BridgeStatus::BadLength),
            0 if count > 0 && addresses.is_null() => return Err(BridgeStatus::NullPointer),
            0 => {
                let mut found = Vec::with_capacity(count);
                for at in 0..count {
                    // SAFETY: `at` is below `count`, and the addresses are there by this call's contract; they are integers only.
                    let address = unsafe { addresses.add(at).read_unaligned() };
                    let address = socket_address(&address).ok_or(BridgeStatus::BadArgument)?;
                    found.push(address.ip());
                }
                Resolution::Addresses {
                    addresses: found,
                    ttl,
                }
            }
            status if status == BridgeStatus::NotFound as i32 => Resolution::NotFound,
            _ => Resolution::Failed,
        };
        had_room(mailbox.resolved(QueryId::from_bits(query), resolution))
    })
}

/// The network path has changed (Wi-Fi to cellular, another address): see `close_on_path_change`.
#[unsafe(no_mangle)]
pub extern "C" fn BridgeEngineOnPathChange(engine: *mut BridgeEngine) -> BridgeStatus {
    guard(|| {
        find(engine)?.running()?.path_changed();
        Ok(())
    })
}

/// The device's end of the tunnel has lost this address (its port is passed over): flows of it are closed, without a packet, because none could
/// reach the device. `BAD_ARGUMENT`: of no family. `FULL`: more addresses wait than a device has.
///
/// # Safety
/// `address` points to an address.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn BridgeEngineOnAddressLost(
    engine: *mut BridgeEngine,
    address: *const BridgeAddress,
) -> BridgeStatus {
    guard(|| {
        let mailbox = find(engine)?.running()?;
        // SAFETY: as this call's own contract says; an address is integers only.
        let address = unsafe { read::optional(address) }.ok_or(BridgeStatus::NullPointer)?;
        let address = socket_address(&address).ok_or(BridgeStatus::BadArgument)?;
        had_room(mailbox.address_lost(address.ip()))
    })
}
