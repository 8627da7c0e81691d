//! The `lwip` crate: lwIP 2 in C behind a global lock; buffers, MTU and the number of connections are compiled in.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures::{Sink, StreamExt};

use super::{Arrival, Datagram, Stack, Wire, pump};

impl pump::Port for lwip::NetStack {
    const FORGETS: bool = true;
}

/// Frames, and datagrams, that may wait: the former the crate's default, the latter what a burst needs.
const QUEUES: (usize, usize) = (512, 512);

pub(super) fn start(wire: impl Wire) -> io::Result<Stack> {
    let (port, listener, udp) =
        lwip::NetStack::with_buffer_size(QUEUES.0, QUEUES.1).map_err(io::Error::other)?;
    pump::spawn(port, wire);
    let arrivals = listener.map(|(stream, client, server)| Arrival {
        tcp: true,
        client,
        server,
        stream: Box::pin(stream),
    });
    let (sender, receiver) = udp.split();
    let reader = receiver.map(|(payload, from, to)| Datagram { payload, from, to });
    Ok(Stack {
        arrivals: Box::pin(arrivals),
        datagrams: Some((Box::pin(reader), Box::pin(Writer(sender)))),
    })
}

/// A call that sends at once, as a sink.
struct Writer(lwip::UdpSendHalf);

impl Sink<Datagram> for Writer {
    type Error = io::Error;

    fn poll_ready(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn start_send(self: Pin<&mut Self>, datagram: Datagram) -> io::Result<()> {
        self.0
            .send_to(&datagram.payload, &datagram.from, &datagram.to)
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
