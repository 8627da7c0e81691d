//! What crosses the border: plain structs and numbers, none of which can be invalid.

use core::ffi::{c_char, c_void};

use engine::{Close, How, Misuse, TimerName};

/// The version of this header. It changes when something in it changes its meaning; what is added does not change it.
pub const BRIDGE_ABI_VERSION: u32 = 2;

/// What `BridgeEnginePoll` answers when nothing is due before the next input.
pub const BRIDGE_NO_DEADLINE: i64 = i64::MAX;

/// An engine. A number in the shape of a pointer: it is never followed, so that an old, a freed or an invented one
/// is answered with `BRIDGE_STATUS_BAD_HANDLE`.
#[derive(Debug)]
pub struct BridgeEngine {
    _private: (),
}

/// What a call came to. Calls that answer with a count answer with the same numbers below zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i32)]
pub enum BridgeStatus {
    /// Done.
    Ok = 0,
    /// A pointer that must not be null is.
    NullPointer = -1,
    /// No engine has this handle: it was freed, or never was one.
    BadHandle = -2,
    /// A length that cannot be: zero, beyond what any packet has, or a `size` of a struct that is too short.
    BadLength = -3,
    /// A number or a text outside of what it may be.
    BadArgument = -4,
    /// The engine was not started yet.
    NotStarted = -5,
    /// The engine was started before.
    AlreadyStarted = -6,
    /// The engine was stopped.
    Stopped = -7,
    /// The call would wait for the callback it is made from, or drive an engine that has a thread of its own.
    Reentrant = -8,
    /// Another thread is polling this engine.
    Busy = -9,
    /// No flow has this number: it has ended, or never was.
    StaleFlow = -10,
    /// A stream call on a UDP flow, or a datagram call on a TCP flow.
    WrongProtocol = -11,
    /// The dial of this flow was answered before.
    DialAnswered = -12,
    /// The dial of this flow is not answered yet.
    NotConnected = -13,
    /// The far side of this flow has ended before.
    AfterEnd = -14,
    /// No room: the packet or datagram is lost, and counted.
    Full = -15,
    /// The file or the thread cannot be made.
    Io = -16,
    /// It took longer than it may.
    TimedOut = -17,
    /// There is no such name.
    NotFound = -18,
    /// The engine broke: a bug. It answers nothing but this from then on; stop and free it.
    Panicked = -19,
}

/// A [`BridgeStatus`] as it comes from C, where it can be any number. The header names the enum itself.
pub type BridgeStatusNumber = i32;

/// A [`BridgeDialResult`] as it comes from C.
pub type BridgeDialResultNumber = u32;

/// A [`BridgeEnd`] as it comes from C.
pub type BridgeEndNumber = u32;

/// A [`BridgePreset`] as it comes from C.
pub type BridgePresetNumber = u32;

/// A [`BridgeLogLevel`] as it comes from C, and as it goes there.
pub type BridgeLogLevelNumber = u32;

/// Settings to begin with, for a purpose; those that are not zero in `BridgeConfig` take the place of the preset's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum BridgePreset {
    /// The defaults that the fields name.
    Default = 0,
    /// A tunnel on a phone, which is to fit 15 MB: an MTU of 4,064, 256 TCP and 256 UDP flows, buffers of up to 64 KiB each way, and
    /// 11 MiB for all flows.
    Phone = 1,
    /// Thousands of flows: buffers of 4 KiB each way, 2,048 TCP and 2,048 UDP flows, 32 MiB for all flows.
    ManyFlows = 2,
    /// A desktop or a router, which is to fit 500 MB: 4,096 TCP and 4,096 UDP flows, buffers of up to 1 MiB each way, and 384 MiB for
    /// all flows.
    Desktop = 3,
}

/// The weight of a line of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum BridgeLogLevel {
    /// Something broke.
    Error = 0,
    /// Something was lost or refused.
    Warn = 1,
    /// What happens once: starts, stops, counters.
    Info = 2,
    /// Each flow.
    Debug = 3,
    /// Each packet.
    Trace = 4,
}

/// What became of a dial.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum BridgeDialResult {
    /// The connection is established.
    Connected = 0,
    /// The far host refused it.
    Refused = 1,
    /// The far host cannot be reached.
    HostUnreachable = 2,
    /// No route to the far network.
    NetworkUnreachable = 3,
    /// A policy forbids it.
    Denied = 4,
    /// The far host did not answer in time.
    TimedOut = 5,
}

/// How a far side ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum BridgeEnd {
    /// End of file: the device gets a FIN, and may go on sending.
    Eof = 0,
    /// The far side reset the connection: so does the engine, after what came before.
    Reset = 1,
    /// The connection failed otherwise: like a reset to the device.
    Error = 2,
}

/// Who ended a flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum BridgeBy {
    /// The device.
    Device = 0,
    /// The far side.
    Remote = 1,
    /// The engine: a timer, a limit, `BridgeEngineStop`.
    Engine = 2,
}

/// The way a flow ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum BridgeHow {
    /// Both directions closed in order: close the connection.
    Fin = 0,
    /// A reset.
    Reset = 1,
    /// The dial failed.
    Dial = 2,
    /// The connection failed after it had stood.
    Error = 3,
    /// The handshake with the device never completed.
    Handshake = 4,
    /// Nothing moved for too long.
    Idle = 5,
    /// Nothing moved for too long after one side had closed.
    HalfClosed = 6,
    /// The device acknowledged nothing for too long.
    Abandoned = 7,
    /// The path changed.
    Path = 8,
    /// A guard inside the engine stepped in.
    Guard = 9,
    /// The engine was stopped.
    Stopped = 10,
    /// Another way, which this version of the header has no name for.
    Other = 11,
    /// It had to make room for others, or there was none for its buffers.
    Admission = 12,
}

/// What the engine waits for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(u32)]
pub enum BridgeTimer {
    /// Nothing but the next input.
    #[default]
    None = 0,
    /// The answer to a dial.
    Dial = 1,
    /// The device's part of a handshake.
    Handshake = 2,
    /// Something to send: a retransmission, a probe of a closed window, a delayed acknowledgement.
    Transmit = 3,
    /// An acknowledgement of the device, before the flow is given up.
    RetransmissionLimit = 4,
    /// The end of a flow on its way out.
    Linger = 5,
    /// The other fragments of a packet.
    Reassembly = 6,
    /// The addresses of a name.
    Resolve = 7,
    /// A keep-alive probe, or the answer to one.
    KeepAlive = 8,
    /// Idle time: nothing is owed to anybody.
    Idle = 9,
    /// Idle time with one side closed.
    HalfClosed = 10,
    /// Idle time after the far side has ended, as the device knows.
    FinWait = 11,
    /// Something else, which this version of the header has no name for.
    Other = 12,
}

/// What the engine waits for, and until when.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct BridgeDeadline {
    /// `sizeof(BridgeDeadline)` of the header the caller was compiled with, set before the call.
    pub size: u32,
    /// What for.
    pub timer: BridgeTimer,
    /// Microseconds on the host's clock; zero if it waits for nothing.
    pub at_us: u64,
    /// The flow that waits, or zero, which is no flow.
    pub flow: u64,
}

/// How a flow ended: of anything but `BRIDGE_HOW_FIN` the far side should see a reset. Later versions may have more fields behind these.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct BridgeClose {
    /// Whose doing it was.
    pub by: BridgeBy,
    /// The way it ended.
    pub how: BridgeHow,
}

/// An IP address and a port.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct BridgeAddress {
    /// 4 or 6.
    pub family: u8,
    /// Zero.
    pub reserved: u8,
    /// In the host's byte order.
    pub port: u16,
    /// In network byte order; of IPv4 the first four.
    pub octets: [u8; 16],
}

/// One IP packet.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct BridgePacket {
    /// Its first byte.
    pub bytes: *const u8,
    /// Its length in bytes.
    pub length: usize,
}

/// A DNS answer that passed on its way to the device.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct BridgeDnsRecord {
    /// The name that was asked for, UTF-8.
    pub name: *const c_char,
    /// Its addresses; ports are zero.
    pub addresses: *const BridgeAddress,
    /// How many.
    pub count: usize,
    /// The shortest time to live among them, seconds.
    pub ttl: u32,
}

/// Settings. Zero means the default in every field, so a zeroed struct with `size` set is a sound one; what is to be zero
/// indeed, a limit say, is set with `BridgeEngineSet`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct BridgeConfig {
    /// `sizeof(BridgeConfig)` of the header the caller was compiled with. Fields beyond it keep their defaults; fields
    /// beyond what the library knows are ignored.
    pub size: u32,
    /// Largest IP packet toward the device, bytes; 576 to 65,535. Zero: 1,500.
    pub mtu: u32,
    /// Bytes of the device's packets that may wait for the engine. Zero: 1 MiB.
    pub packet_pool_bytes: u64,
    /// Bytes of the buffers of one TCP flow, half for each direction, each half of a fixed size of 1 byte to 16 MiB. Zero: they
    /// open with use, up to the settings `rx_limit` and `tx_limit`.
    pub per_flow_bytes: u64,
    /// Most TCP flows at a time. Zero: 128.
    pub tcp_limit: u32,
    /// Most UDP flows at a time. Zero: 128.
    pub udp_limit: u32,
    /// Seed of initial sequence numbers and hashes. Zero: drawn from the system at each start. Fix it in tests only.
    pub seed: u64,
    /// Not zero: the host drives the engine with `BridgeEnginePoll`, and it has no thread. Zero: it has one.
    pub host_driven: u32,
    /// Not zero: a change of the path closes every flow, so that apps reconnect at once. Zero: flows stay.
    pub close_on_path_change: u32,
    /// How long a dial may take before it counts as timed out, milliseconds. Zero: 75,000.
    pub dial_timeout_ms: u32,
    /// Not zero: loopback and reserved addresses are ordinary ones. Zero: their packets are dropped.
    pub admit_martians: u32,
    /// Not zero: the device's DNS queries for addresses are answered by the engine, which asks the host or the system: see
    /// `resolve`. Zero: they are datagrams and streams like all others.
    pub dns_interception: u32,
    /// Settings to begin with; zero: the defaults.
    pub preset: BridgePresetNumber,
    /// How often the counters are written to the log, at `BRIDGE_LOG_LEVEL_INFO`, milliseconds; an idle engine is not woken for it.
    /// Default: never.
    pub metrics_interval_ms: u32,
    /// Zero.
    pub reserved: u32,
}

/// What a recording keeps. Zero means the default in every field.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct BridgeRecording {
    /// `sizeof(BridgeRecording)` of the header the caller was compiled with.
    pub size: u32,
    /// The most bytes of each packet; of what far sides sent then only the length is kept. Zero: packets and payloads are
    /// whole.
    pub snap_length: u32,
    /// The most bytes of both files together, at least 512 KiB. Zero: no bound.
    pub max_bytes: u64,
}

/// What the engine calls. All calls come from one thread at a time: the engine's own, or the one in
/// `BridgeEnginePoll` or `BridgeEngineStop`. Pointers are lent for the call. A callback must not block for long, must not
/// let an exception out, and may make every call of this header but those that say otherwise.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
pub struct BridgeCallbacks {
    /// `sizeof(BridgeCallbacks)` of the header the caller was compiled with; callbacks beyond it count as null.
    pub size: u32,
    /// Zero.
    pub reserved: u32,
    /// Handed to every callback. It must stay sound until `BridgeEngineStop` or `BridgeFreeEngine` has returned.
    pub context: *mut c_void,
    /// Packets for the device, 64 at most. Answers how many were taken, from the front; the others are offered again
    /// within 5 ms, and nothing else comes before them. Required.
    pub emit_packets: Option<
        unsafe extern "C" fn(
            context: *mut c_void,
            packets: *const BridgePacket,
            count: usize,
        ) -> usize,
    >,
    /// Connect to `server`, and answer with `BridgeEngineOnDialResult`. `name` is the host name that the device had
    /// looked up for the address, or null. Required.
    pub request_tcp_dial: Option<
        unsafe extern "C" fn(
            context: *mut c_void,
            flow: u64,
            client: *const BridgeAddress,
            server: *const BridgeAddress,
            name: *const c_char,
        ),
    >,
    /// As `request_tcp_dial`, for datagrams. Required.
    pub request_udp_dial: Option<
        unsafe extern "C" fn(
            context: *mut c_void,
            flow: u64,
            client: *const BridgeAddress,
            server: *const BridgeAddress,
            name: *const c_char,
        ),
    >,
    /// The next bytes of the device's stream. Answers how many were taken, from the front; if not all, the flow gives
    /// no more until `BridgeEngineOnWritable`, and then begins with those that were not taken. Required.
    pub tcp_send: Option<
        unsafe extern "C" fn(
            context: *mut c_void,
            flow: u64,
            bytes: *const u8,
            length: usize,
        ) -> usize,
    >,
    /// One datagram of the device for `to`. Answers 1 if it was taken; 0 or less: it is lost and counted
    /// (`datagrams_refused`), and the flow gives no more until `BridgeEngineOnWritable`, then those that came meanwhile, up to a bound.
    /// Required.
    pub udp_send: Option<
        unsafe extern "C" fn(
            context: *mut c_void,
            flow: u64,
            to: *const BridgeAddress,
            bytes: *const u8,
            length: usize,
        ) -> i32,
    >,
    /// The flow has ended; its number is dead. Exactly one for each `request_tcp_dial`. Required.
    pub tcp_close:
        Option<unsafe extern "C" fn(context: *mut c_void, flow: u64, close: *const BridgeClose)>,
    /// As `tcp_close`, for `request_udp_dial`. Required.
    pub udp_close:
        Option<unsafe extern "C" fn(context: *mut c_void, flow: u64, close: *const BridgeClose)>,
    /// A DNS answer passed. May be null.
    pub record_dns:
        Option<unsafe extern "C" fn(context: *mut c_void, record: *const BridgeDnsRecord)>,
    /// The device has sent its last byte, all before it was handed over: shut the write side down. What the far side
    /// sends still reaches the device. Null: half-closed connections stay open toward the far side until they end.
    pub tcp_half_close: Option<unsafe extern "C" fn(context: *mut c_void, flow: u64)>,
    /// A `BridgeEngineOnTcpReceive` that was taken short may go on: `room` bytes would be taken now. Null only if the host asks
    /// `BridgeEngineTcpRoom`.
    pub tcp_resume: Option<unsafe extern "C" fn(context: *mut c_void, flow: u64, room: usize)>,
    /// Host-driven only: something came in and nothing had been waiting, so `BridgeEnginePoll` should be called soon. Comes
    /// from whatever thread made the call, and cannot itself poll, stop or free (`REENTRANT`). May be null.
    pub wake: Option<unsafe extern "C" fn(context: *mut c_void)>,
    /// With `dns_interception` only: find out the addresses of `name` of a `family`, 4 or 6, and answer with
    /// `BridgeEngineOnResolved`. Without an answer in time the device gets a failure. Null: the system's resolver is asked,
    /// on threads of the library's own, one of which may call `wake`.
    pub resolve: Option<
        unsafe extern "C" fn(context: *mut c_void, query: u64, name: *const c_char, family: u32),
    >,
}

impl From<Misuse> for BridgeStatus {
    fn from(misuse: Misuse) -> Self {
        match misuse {
            Misuse::StaleFlow => Self::StaleFlow,
            Misuse::WrongProtocol => Self::WrongProtocol,
            Misuse::DialAnswered => Self::DialAnswered,
            Misuse::NotConnected => Self::NotConnected,
            Misuse::AfterEnd => Self::AfterEnd,
            _ => Self::BadArgument,
        }
    }
}

impl From<TimerName> for BridgeTimer {
    fn from(timer: TimerName) -> Self {
        match timer {
            TimerName::Dial => Self::Dial,
            TimerName::Handshake => Self::Handshake,
            TimerName::Transmit => Self::Transmit,
            TimerName::RetransmissionLimit => Self::RetransmissionLimit,
            TimerName::Linger => Self::Linger,
            TimerName::Reassembly => Self::Reassembly,
            TimerName::Resolve => Self::Resolve,
            TimerName::KeepAlive => Self::KeepAlive,
            TimerName::Idle => Self::Idle,
            TimerName::HalfClosed => Self::HalfClosed,
            TimerName::FinWait => Self::FinWait,
            _ => Self::Other,
        }
    }
}

impl From<Close> for BridgeClose {
    fn from(close: Close) -> Self {
        let by = match close.by {
            engine::By::Device => BridgeBy::Device,
            engine::By::Remote => BridgeBy::Remote,
            engine::By::Engine => BridgeBy::Engine,
        };
        let how = match close.how {
            How::Fin => BridgeHow::Fin,
            How::Reset => BridgeHow::Reset,
            How::Dial(_) => BridgeHow::Dial,
            How::Error => BridgeHow::Error,
            How::Handshake => BridgeHow::Handshake,
            How::Idle => BridgeHow::Idle,
            How::HalfClosed => BridgeHow::HalfClosed,
            How::Abandoned => BridgeHow::Abandoned,
            How::Path => BridgeHow::Path,
            How::Guard => BridgeHow::Guard,
            How::Admission => BridgeHow::Admission,
            How::Stopped => BridgeHow::Stopped,
            _ => BridgeHow::Other,
        };
        Self { by, how }
    }
}
