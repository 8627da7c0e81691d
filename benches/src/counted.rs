//! Calls of a stack, each a symbol of its own, as in `replay::load`: a profiler that collects within `counted` counts the
//! stack and none of the load.

use engine::{Engine, Micros, TimerName};
use smoltcp::iface::{Interface, PollResult, SocketHandle, SocketSet};
use smoltcp::socket::tcp;
use smoltcp::time::Instant;

use crate::bare::Card;

/// One look at an engine to which nothing happens; says what it waits for.
#[inline(never)]
pub(crate) fn tick(engine: &mut Engine, now: Micros) -> Option<TimerName> {
    engine.handle_timeout(now);
    while engine.poll_output(now).is_some() {}
    engine.poll_timeout().map(|deadline| deadline.timer)
}

#[inline(never)]
pub(crate) fn poll(
    iface: &mut Interface,
    now: Instant,
    card: &mut Card<'_>,
    sockets: &mut SocketSet<'_>,
) -> PollResult {
    iface.poll(now, card, sockets)
}

#[inline(never)]
pub(crate) fn peek<'a>(sockets: &'a mut SocketSet<'_>, handle: SocketHandle) -> &'a [u8] {
    sockets
        .get_mut::<tcp::Socket<'_>>(handle)
        .peek(usize::MAX)
        .unwrap_or(&[])
}

#[inline(never)]
pub(crate) fn consume(sockets: &mut SocketSet<'_>, handle: SocketHandle, count: usize) {
    // What was just looked at is there.
    let _ = sockets
        .get_mut::<tcp::Socket<'_>>(handle)
        .recv(|_| (count, ()));
}

#[inline(never)]
pub(crate) fn send(sockets: &mut SocketSet<'_>, handle: SocketHandle, bytes: &[u8]) -> usize {
    sockets
        .get_mut::<tcp::Socket<'_>>(handle)
        .send_slice(bytes)
        .unwrap_or(0)
}
