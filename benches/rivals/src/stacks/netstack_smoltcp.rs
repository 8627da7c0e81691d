//! netstack-smoltcp: smoltcp 0.12, one interface and one set for all sockets.

use std::io;

use futures::{SinkExt, StreamExt};

use super::{Arrival, Buffers, Datagram, Settings, Stack, Wire, pump};

impl pump::Port for netstack_smoltcp::Stack {
    const FORGETS: bool = false;
}

pub(super) fn start(settings: Settings, wire: impl Wire) -> io::Result<Stack> {
    let mut builder = netstack_smoltcp::StackBuilder::default()
        .enable_tcp(true)
        .enable_udp(true)
        .enable_icmp(true)
        .mtu(settings.mtu);
    if let Buffers::Bytes(bytes) = settings.buffers {
        builder = builder
            .tcp_recv_buffer_size(bytes)
            .tcp_send_buffer_size(bytes);
    }
    let (port, runner, udp, listener) = builder.build()?;
    let (Some(runner), Some(udp), Some(listener)) = (runner, udp, listener) else {
        return Err(io::Error::other("TCP and UDP were asked for"));
    };
    tokio::spawn(runner);
    pump::spawn(port, wire);
    let arrivals = listener.map(|(stream, client, server)| Arrival {
        tcp: true,
        client,
        server,
        stream: Box::pin(stream),
    });
    let (reader, writer) = udp.split();
    let reader = reader.map(|(payload, from, to)| Datagram { payload, from, to });
    let writer = writer.with(|datagram: Datagram| async move {
        Ok::<_, io::Error>((datagram.payload, datagram.from, datagram.to))
    });
    Ok(Stack {
        arrivals: Box::pin(arrivals),
        datagrams: Some((Box::pin(reader), Box::pin(writer))),
    })
}
