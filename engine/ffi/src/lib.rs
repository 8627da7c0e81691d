//! The engine behind a C ABI. The contract is in include/bridge.h, which cbindgen makes from the items here.
//!
//! * `types`: structs and numbers that cross the border.
//! * `lifecycle`, `input`, `look`, `resolve`, `log`: the calls, by what they do.
//! * `handle`: the table of engines, the guard around each call.
//! * `bridge`: one engine, its thread or its host.
//! * `host`: the engine's outputs as calls of C; `gate`: where `wake` goes out.
//!
//! The rules of `unsafe` here: pointers from C are read in `read`, callbacks are called in `host` and `log`; nothing else.

#![warn(unsafe_op_in_unsafe_fn)]
#![deny(clippy::undocumented_unsafe_blocks)]

mod bridge;
mod gate;
mod handle;
mod host;
mod input;
mod lifecycle;
mod log;
mod look;
mod read;
mod resolve;
mod types;

pub use crate::input::{
    BridgeEngineHandlePacket, BridgeEngineHandlePackets, BridgeEngineOnAddressLost,
    BridgeEngineOnBlocked, BridgeEngineOnDialResult, BridgeEngineOnPathChange,
    BridgeEngineOnResolved, BridgeEngineOnTcpClose, BridgeEngineOnTcpReceive,
    BridgeEngineOnUdpClose, BridgeEngineOnUdpReceive, BridgeEngineOnWritable, BridgeEngineTcpRoom,
};
pub use crate::lifecycle::{
    BridgeEnginePoll, BridgeEngineRecord, BridgeEngineRecordWith, BridgeEngineSet,
    BridgeEngineStart, BridgeEngineStop, BridgeFreeEngine, BridgeNewEngine, BridgeStatusText,
    BridgeVersion,
};
pub use crate::log::{BridgeLogSink, BridgeSetLogSink};
pub use crate::look::{
    BridgeCounters, BridgeEngineGetCounters, BridgeEngineGetDeadline, BridgeEngineGetStats,
};
pub use crate::resolve::{BridgeEngineResolveHost, BridgeResolveResult, BridgeResolveResultFree};
pub use crate::types::{
    BRIDGE_ABI_VERSION, BRIDGE_NO_DEADLINE, BridgeAddress, BridgeBy, BridgeCallbacks, BridgeClose,
    BridgeConfig, BridgeDeadline, BridgeDialResult, BridgeDnsRecord, BridgeEnd, BridgeEngine,
    BridgeHow, BridgePacket, BridgeRecording, BridgeStatus, BridgeTimer,
};
