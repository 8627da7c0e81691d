//! What the engine calls: each callback keeps what it is given in the [`State`] behind its context pointer.

use core::ffi::{CStr, c_char, c_void};
use core::ptr::NonNull;
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use engine::{By, Close, DialResult, DnsRecord, FlowId, FlowKey, How, Proto, QueryId, QueryKind};
use engine_ffi::{
    BridgeAddress, BridgeBy, BridgeCallbacks, BridgeClose, BridgeDnsRecord, BridgeHow, BridgePacket,
};

use super::size;
use crate::stack::OwnedOutput;
use crate::stack::driven::MockHost;

/// What a C host keeps by itself.
#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) host: MockHost,
    /// The protocol of each open flow, which says by which call it ends, and what its dial was answered with: a close
    /// says only that the dial failed.
    pub(super) flows: BTreeMap<u64, (Proto, Option<DialResult>)>,
}

/// The callbacks of this module, with this state as their context.
pub(super) fn all(state: NonNull<State>) -> BridgeCallbacks {
    BridgeCallbacks {
        size: size::<BridgeCallbacks>(),
        reserved: 0,
        context: state.as_ptr().cast(),
        emit_packets: Some(emit_packets),
        request_tcp_dial: Some(request_tcp_dial),
        request_udp_dial: Some(request_udp_dial),
        tcp_send: Some(tcp_send),
        udp_send: Some(udp_send),
        tcp_close: Some(flow_close),
        udp_close: Some(flow_close),
        record_dns: Some(record_dns),
        tcp_half_close: Some(tcp_half_close),
        tcp_resume: Some(tcp_resume),
        wake: None,
        resolve: Some(resolve),
    }
}

fn socket_address(from: BridgeAddress) -> SocketAddr {
    let [a, b, c, d, ..] = from.octets;
    let ip = match from.family {
        4 => IpAddr::from([a, b, c, d]),
        _ => IpAddr::V6(Ipv6Addr::from(from.octets)),
    };
    SocketAddr::new(ip, from.port)
}

/// What a callback pushes into.
///
/// # Safety
/// `context` is that of an engine of this module, and no other reference to its state is in use.
unsafe fn state<'a>(context: *mut c_void) -> &'a mut State {
    // SAFETY: as this function's own contract says.
    unsafe { &mut *context.cast::<State>() }
}

/// # Safety
/// `name` is null or ends with a zero.
unsafe fn name_of(name: *const c_char) -> Option<String> {
    // SAFETY: as this function's own contract says.
    let name = (!name.is_null()).then(|| unsafe { CStr::from_ptr(name) });
    name.map(|name| name.to_string_lossy().into_owned())
}

/// # Safety
/// `first` points to `count` values.
unsafe fn slice<'a, T>(first: *const T, count: usize) -> &'a [T] {
    if count == 0 {
        return &[];
    }
    // SAFETY: as this function's own contract says.
    unsafe { core::slice::from_raw_parts(first, count) }
}

unsafe extern "C" fn emit_packets(
    context: *mut c_void,
    packets: *const BridgePacket,
    count: usize,
) -> usize {
    // SAFETY: the engine calls back with its context, one call at a time, from within a call of `Ffi`.
    let state = unsafe { state(context) };
    // SAFETY: the header promises `count` packets.
    let packets = unsafe { slice(packets, count) };
    // SAFETY: the header promises that each points to its bytes.
    let frame = |packet: &BridgePacket| unsafe { slice(packet.bytes, packet.length) };
    state.host.frames(packets.iter().map(frame))
}

/// # Safety
/// As the header promises to a dial request.
unsafe fn dial(
    context: *mut c_void,
    flow: u64,
    proto: Proto,
    ends: [*const BridgeAddress; 2],
    name: *const c_char,
) {
    // SAFETY: the engine calls back with its context, one call at a time, from within a call of `Ffi`.
    let state = unsafe { state(context) };
    // SAFETY: the header promises two addresses.
    let [client, server] = ends.map(|end| socket_address(unsafe { end.read() }));
    // SAFETY: the header promises a string or null.
    let name = unsafe { name_of(name) };
    state.flows.insert(flow, (proto, None));
    let key = FlowKey {
        proto,
        client,
        server,
    };
    let flow = FlowId::from_bits(flow);
    state.host.dial(flow, key, name.as_deref());
}

unsafe extern "C" fn request_tcp_dial(
    context: *mut c_void,
    flow: u64,
    client: *const BridgeAddress,
    server: *const BridgeAddress,
    name: *const c_char,
) {
    // SAFETY: handed on as it came.
    unsafe { dial(context, flow, Proto::Tcp, [client, server], name) }
}

unsafe extern "C" fn request_udp_dial(
    context: *mut c_void,
    flow: u64,
    client: *const BridgeAddress,
    server: *const BridgeAddress,
    name: *const c_char,
) {
    // SAFETY: handed on as it came.
    unsafe { dial(context, flow, Proto::Udp, [client, server], name) }
}

unsafe extern "C" fn tcp_send(
    context: *mut c_void,
    flow: u64,
    bytes: *const u8,
    length: usize,
) -> usize {
    // SAFETY: the engine calls back with its context, one call at a time, from within a call of `Ffi`.
    let state = unsafe { state(context) };
    // SAFETY: the header promises `length` bytes.
    let bytes = unsafe { slice(bytes, length) };
    state.host.data(FlowId::from_bits(flow), bytes)
}

unsafe extern "C" fn udp_send(
    context: *mut c_void,
    flow: u64,
    to: *const BridgeAddress,
    bytes: *const u8,
    length: usize,
) -> i32 {
    // SAFETY: the engine calls back with its context, one call at a time, from within a call of `Ffi`.
    let state = unsafe { state(context) };
    // SAFETY: the header promises an address.
    let to = socket_address(unsafe { to.read() });
    // SAFETY: the header promises `length` bytes.
    let bytes = unsafe { slice(bytes, length) }.to_vec();
    let datagram = OwnedOutput::Datagram(FlowId::from_bits(flow), to, bytes);
    state.host.seen.push(datagram);
    1
}

unsafe extern "C" fn flow_close(context: *mut c_void, flow: u64, close: *const BridgeClose) {
    // SAFETY: the engine calls back with its context, one call at a time, from within a call of `Ffi`.
    let state = unsafe { state(context) };
    let answered = state.flows.remove(&flow).and_then(|(_, answered)| answered);
    // SAFETY: the header promises a struct.
    let close = unsafe { close.read() };
    let by = match close.by {
        BridgeBy::Device => By::Device,
        BridgeBy::Remote => By::Remote,
        BridgeBy::Engine => By::Engine,
    };
    let how = match close.how {
        BridgeHow::Fin => How::Fin,
        BridgeHow::Reset => How::Reset,
        // A dial that was never answered took too long.
        BridgeHow::Dial => How::Dial(answered.unwrap_or(DialResult::TimedOut)),
        BridgeHow::Error => How::Error,
        BridgeHow::Handshake => How::Handshake,
        BridgeHow::Idle => How::Idle,
        BridgeHow::HalfClosed => How::HalfClosed,
        BridgeHow::Abandoned => How::Abandoned,
        BridgeHow::Path => How::Path,
        BridgeHow::Guard => How::Guard,
        BridgeHow::Stopped => How::Stopped,
        BridgeHow::Admission => How::Admission,
        BridgeHow::Other => {
            let complaint = "a close in a way that the header has no word for";
            state.host.complaints.push(complaint.to_owned());
            How::Error
        }
    };
    let close = OwnedOutput::Close(FlowId::from_bits(flow), Close { by, how });
    state.host.seen.push(close);
}

unsafe extern "C" fn record_dns(context: *mut c_void, record: *const BridgeDnsRecord) {
    // SAFETY: the engine calls back with its context, one call at a time, from within a call of `Ffi`.
    let state = unsafe { state(context) };
    // SAFETY: the header promises a record.
    let record = unsafe { record.read() };
    // SAFETY: the header promises `count` addresses.
    let addresses = unsafe { slice(record.addresses, record.count) }.iter();
    let record = DnsRecord {
        // SAFETY: the header promises a string.
        name: unsafe { name_of(record.name) }.unwrap_or_default(),
        addresses: addresses.map(|ip| socket_address(*ip).ip()).collect(),
        ttl: record.ttl,
    };
    state.host.seen.push(OwnedOutput::Dns(None, record));
}

unsafe extern "C" fn tcp_half_close(context: *mut c_void, flow: u64) {
    // SAFETY: the engine calls back with its context, one call at a time, from within a call of `Ffi`.
    let state = unsafe { state(context) };
    let seen = OwnedOutput::HalfClose(FlowId::from_bits(flow));
    state.host.seen.push(seen);
}

unsafe extern "C" fn tcp_resume(context: *mut c_void, flow: u64, room: usize) {
    // SAFETY: the engine calls back with its context, one call at a time, from within a call of `Ffi`.
    let state = unsafe { state(context) };
    let seen = OwnedOutput::Resume(FlowId::from_bits(flow), room);
    state.host.seen.push(seen);
}

unsafe extern "C" fn resolve(context: *mut c_void, query: u64, name: *const c_char, family: u32) {
    // SAFETY: the engine calls back with its context, one call at a time, from within a call of `Ffi`.
    let state = unsafe { state(context) };
    // SAFETY: the header promises a string.
    let name = unsafe { name_of(name) }.unwrap_or_default();
    let kind = match family {
        4 => QueryKind::A,
        _ => QueryKind::Aaaa,
    };
    let seen = OwnedOutput::Resolve(QueryId::from_bits(query), name, kind);
    state.host.seen.push(seen);
}
