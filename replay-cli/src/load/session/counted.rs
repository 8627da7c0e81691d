//! The calls of the engine, each a symbol of its own: a profiler that collects within `load::session::counted` counts
//! the engine and none of the load.

use super::super::clock::Timed;
use crate::base::heap::AtWork;
use engine::{Deadline, DialResult, Engine, FlowId, Frames, Micros, Misuse, Output, RemoteEnd};

#[inline(never)]
pub(super) fn frames(engine: &mut Engine, now: Micros, frames: Frames<'_>) {
    let (_counting, _timed) = (AtWork::begin(), Timed::begin());
    engine.handle_frames(now, frames);
}

#[inline(never)]
pub(super) fn output(engine: &mut Engine, now: Micros) -> Option<Output<'_>> {
    let (_counting, _timed) = (AtWork::begin(), Timed::begin());
    engine.poll_output(now)
}

#[inline(never)]
pub(super) fn dialed(
    engine: &mut Engine,
    now: Micros,
    flow: FlowId,
    result: DialResult,
) -> Result<(), Misuse> {
    let (_counting, _timed) = (AtWork::begin(), Timed::begin());
    engine.dial_result(now, flow, result)
}

#[inline(never)]
pub(super) fn data(
    engine: &mut Engine,
    now: Micros,
    flow: FlowId,
    bytes: &[u8],
) -> Result<usize, Misuse> {
    let (_counting, _timed) = (AtWork::begin(), Timed::begin());
    engine.remote_data(now, flow, bytes)
}

#[inline(never)]
pub(super) fn datagram(
    engine: &mut Engine,
    now: Micros,
    flow: FlowId,
    payload: &[u8],
) -> Result<bool, Misuse> {
    let (_counting, _timed) = (AtWork::begin(), Timed::begin());
    engine.remote_datagram(now, flow, payload)
}

#[inline(never)]
pub(super) fn end(engine: &mut Engine, now: Micros, flow: FlowId) -> Result<(), Misuse> {
    let (_counting, _timed) = (AtWork::begin(), Timed::begin());
    engine.remote_closed(now, flow, RemoteEnd::Eof)
}

#[inline(never)]
pub(super) fn timeout(engine: &mut Engine, now: Micros) {
    let (_counting, _timed) = (AtWork::begin(), Timed::begin());
    engine.handle_timeout(now);
}

#[inline(never)]
pub(super) fn deadline(engine: &mut Engine) -> Option<Deadline> {
    let (_counting, _timed) = (AtWork::begin(), Timed::begin());
    engine.poll_timeout()
}
