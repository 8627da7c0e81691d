//! The engine's outputs as calls of C.

use core::ffi::{c_char, c_void};
use std::ffi::CString;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use engine::{Close, DnsRecord, FlowId, FlowKey, Frames, LogRecord, Proto, QueryId, QueryKind};
use engine_driver::{Host, Notice};

use crate::log;
use crate::types::{
    BridgeAddress, BridgeCallbacks, BridgeClose, BridgeDnsRecord, BridgePacket, BridgeStatus,
};

/// The most packets of one `emit_packets`.
const BATCH: usize = 64;

type Dial = unsafe extern "C" fn(
    *mut c_void,
    u64,
    *const BridgeAddress,
    *const BridgeAddress,
    *const c_char,
);
type End = unsafe extern "C" fn(*mut c_void, u64, *const BridgeClose);

/// The host's callbacks, those that are required present.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Callbacks {
    context: *mut c_void,
    emit_packets: unsafe extern "C" fn(*mut c_void, *const BridgePacket, usize) -> usize,
    tcp_dial: Dial,
    udp_dial: Dial,
    tcp_send: unsafe extern "C" fn(*mut c_void, u64, *const u8, usize) -> usize,
    udp_send: unsafe extern "C" fn(*mut c_void, u64, *const BridgeAddress, *const u8, usize) -> i32,
    tcp_close: End,
    udp_close: End,
    record_dns: Option<unsafe extern "C" fn(*mut c_void, *const BridgeDnsRecord)>,
    half_close: Option<unsafe extern "C" fn(*mut c_void, u64)>,
    resume: Option<unsafe extern "C" fn(*mut c_void, u64, usize)>,
    wake: Option<unsafe extern "C" fn(*mut c_void)>,
    resolve: Option<unsafe extern "C" fn(*mut c_void, u64, *const c_char, u32)>,
}

// SAFETY: the header makes the host promise that `context` may be used from the engine's thread, from one thread at a
// time, and `wake` from any; the function pointers are plain code.
unsafe impl Send for Callbacks {}
// SAFETY: as above; the only call made through a shared reference from several threads is `wake`.
unsafe impl Sync for Callbacks {}

impl Callbacks {
    /// Checks that what is required is there.
    pub(crate) fn new(callbacks: &BridgeCallbacks) -> Result<Self, BridgeStatus> {
        let missing = BridgeStatus::NullPointer;
        Ok(Self {
            context: callbacks.context,
            emit_packets: callbacks.emit_packets.ok_or(missing)?,
            tcp_dial: callbacks.request_tcp_dial.ok_or(missing)?,
            udp_dial: callbacks.request_udp_dial.ok_or(missing)?,
            tcp_send: callbacks.tcp_send.ok_or(missing)?,
            udp_send: callbacks.udp_send.ok_or(missing)?,
            tcp_close: callbacks.tcp_close.ok_or(missing)?,
            udp_close: callbacks.udp_close.ok_or(missing)?,
            record_dns: callbacks.record_dns,
            half_close: callbacks.tcp_half_close,
            resume: callbacks.tcp_resume,
            wake: callbacks.wake,
            resolve: callbacks.resolve,
        })
    }

    /// Whether the host looks names up itself.
    pub(crate) const fn resolves(&self) -> bool {
        self.resolve.is_some()
    }

    /// Wakes a host that drives the engine itself: something came.
    pub(crate) fn wake(&self) {
        if let Some(wake) = self.wake {
            // SAFETY: the host promised that its callbacks are sound with its context, this one from any thread.
            unsafe { wake(self.context) }
        }
    }
}

impl Host for Callbacks {
    fn frames(&mut self, frames: Frames<'_>) -> usize {
        let none = BridgePacket {
            bytes: core::ptr::null(),
            length: 0,
        };
        let mut packets = [none; BATCH];
        let mut count = 0;
        for (packet, frame) in packets.iter_mut().zip(frames.iter()) {
            *packet = BridgePacket {
                bytes: frame.as_ptr(),
                length: frame.len(),
            };
            count += 1;
        }
        // SAFETY: the host promised that the callback is sound with its context; the packets live for the call.
        unsafe { (self.emit_packets)(self.context, packets.as_ptr(), count) }
    }

    fn dial(&mut self, flow: FlowId, key: FlowKey, name: Option<&str>) {
        let call = match key.proto {
            Proto::Tcp => self.tcp_dial,
            Proto::Udp => self.udp_dial,
        };
        let (client, server) = (address(key.client), address(key.server));
        let name = name.map(text);
        let name = name
            .as_ref()
            .map_or(core::ptr::null(), |name| name.as_ptr());
        // SAFETY: the host promised that the callback is sound with its context; the addresses and the name live for
        // the call.
        unsafe {
            call(
                self.context,
                flow.to_bits(),
                &raw const client,
                &raw const server,
                name,
            );
        }
    }

    fn data(&mut self, flow: FlowId, bytes: &[u8]) -> usize {
        // SAFETY: the host promised that the callback is sound with its context; the bytes live for the call.
        unsafe { (self.tcp_send)(self.context, flow.to_bits(), bytes.as_ptr(), bytes.len()) }
    }

    fn datagram(&mut self, flow: FlowId, to: SocketAddr, payload: &[u8]) -> bool {
        let (to, length) = (address(to), payload.len());
        // SAFETY: the host promised that the callback is sound with its context; address and payload live for the call.
        let taken = unsafe {
            (self.udp_send)(
                self.context,
                flow.to_bits(),
                &raw const to,
                payload.as_ptr(),
                length,
            )
        };
        taken > 0
    }

    fn half_close(&mut self, flow: FlowId) {
        if let Some(half_close) = self.half_close {
            // SAFETY: the host promised that the callback is sound with its context.
            unsafe { half_close(self.context, flow.to_bits()) }
        }
    }

    fn resume(&mut self, flow: FlowId, space: usize) {
        if let Some(resume) = self.resume {
            // SAFETY: the host promised that the callback is sound with its context.
            unsafe { resume(self.context, flow.to_bits(), space) }
        }
    }

    fn close(&mut self, flow: FlowId, key: FlowKey, close: Close) {
        let call = match key.proto {
            Proto::Tcp => self.tcp_close,
            Proto::Udp => self.udp_close,
        };
        let close = BridgeClose::from(close);
        // SAFETY: the host promised that the callback is sound with its context; the struct lives for the call.
        unsafe { call(self.context, flow.to_bits(), &raw const close) }
    }

    fn dns(&mut self, _flow: Option<FlowId>, record: &DnsRecord) {
        let Some(record_dns) = self.record_dns else {
            return;
        };
        let name = text(&record.name);
        let addresses: Vec<_> = record
            .addresses
            .iter()
            .map(|ip| address(SocketAddr::new(*ip, 0)))
            .collect();
        let record = BridgeDnsRecord {
            name: name.as_ptr(),
            addresses: addresses.as_ptr(),
            count: addresses.len(),
            ttl: record.ttl,
        };
        // SAFETY: the host promised that the callback is sound with its context; the record lives for the call.
        unsafe { record_dns(self.context, &raw const record) }
    }

    fn log(&mut self, record: &LogRecord) {
        log::write(log::number(record.level), &record.to_string());
    }

    fn resolve(&mut self, query: QueryId, name: &str, kind: QueryKind) -> bool {
        let Some(resolve) = self.resolve else {
            return false;
        };
        let name = text(name);
        let family = match kind {
            QueryKind::A => 4,
            QueryKind::Aaaa => 6,
        };
        // SAFETY: the host promised that the callback is sound with its context; the name lives for the call.
        unsafe { resolve(self.context, query.to_bits(), name.as_ptr(), family) }
        true
    }

    fn notice(&mut self, notice: &Notice) {
        log::write(log::WARN, &notice.to_string());
    }
}

/// A text for C; what follows a zero is cut.
pub(crate) fn text(text: &str) -> CString {
    let end = text.find('\0').unwrap_or(text.len());
    CString::new(text.get(..end).unwrap_or_default()).unwrap_or_default()
}

pub(crate) fn address(from: SocketAddr) -> BridgeAddress {
    let mut octets = [0; 16];
    let family = match from.ip() {
        IpAddr::V4(ip) => {
            for (octet, value) in octets.iter_mut().zip(ip.octets()) {
                *octet = value;
            }
            4
        }
        IpAddr::V6(ip) => {
            octets = ip.octets();
            6
        }
    };
    BridgeAddress {
        family,
        reserved: 0,
        port: from.port(),
        octets,
    }
}

/// An address that came from C; `None` for a family that is neither.
pub(crate) fn socket_address(from: &BridgeAddress) -> Option<SocketAddr> {
    let ip = match from.family {
        4 => {
            let [a, b, c, d, ..] = from.octets;
            IpAddr::V4(Ipv4Addr::new(a, b, c, d))
        }
        6 => IpAddr::V6(Ipv6Addr::from(from.octets)),
        _ => return None,
    };
    Some(SocketAddr::new(ip, from.port))
}
