//! ipstack: a TCP of its own, a task for all frames; UDP flows are streams too.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures::stream;
use ipstack::{IpStack, IpStackConfig, IpStackStream, TcpConfig, TcpOptions};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::{Arrival, Buffers, Settings, Stack, Wire};

/// Bytes of IPv4 and TCP headers without options.
const HEADERS: usize = 40;

pub(super) fn start(settings: Settings, wire: impl Wire) -> io::Result<Stack> {
    let mtu = u16::try_from(settings.mtu).map_err(io::Error::other)?;
    let mut config = IpStackConfig::default();
    config.mtu(mtu).map_err(io::Error::other)?;
    if let Buffers::Bytes(bytes) = settings.buffers {
        let bytes = bytes.min(65_535);
        let mut tcp = TcpConfig::default();
        tcp.max_unacked_bytes = bytes;
        tcp.read_buffer_size = bytes as usize;
        let mss = settings.mtu.saturating_sub(HEADERS);
        tcp.options = Some(vec![TcpOptions::MaximumSegmentSize(mss as u16)]);
        config.with_tcp_config(tcp);
    }
    let stack = IpStack::new(config, Link(wire));
    let arrivals = stream::unfold(stack, |mut stack| async move {
        loop {
            match stack.accept().await.ok()? {
                IpStackStream::Tcp(stream) => {
                    let arrival = Arrival {
                        tcp: true,
                        client: stream.local_addr(),
                        server: stream.peer_addr(),
                        stream: Box::pin(stream),
                    };
                    return Some((arrival, stack));
                }
                IpStackStream::Udp(stream) => {
                    let arrival = Arrival {
                        tcp: false,
                        client: stream.local_addr(),
                        server: stream.peer_addr(),
                        stream: Box::pin(stream),
                    };
                    return Some((arrival, stack));
                }
                // Other protocols are nobody's.
                _ => {}
            }
        }
    });
    Ok(Stack {
        arrivals: Box::pin(arrivals),
        datagrams: None,
    })
}

/// A [`Wire`] as the TUN that ipstack reads and writes: a packet a call.
struct Link<W>(W);

impl<W: Wire> AsyncRead for Link<W> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.0.poll_speak(context) {
            Poll::Ready(Some(frame)) if frame.len() <= buffer.remaining() => {
                buffer.put_slice(frame);
                Poll::Ready(Ok(()))
            }
            // Longer than the MTU: a TUN would cut it, which is as good as lost.
            Poll::Ready(Some(_)) => {
                context.waker().wake_by_ref();
                Poll::Pending
            }
            Poll::Ready(None) => Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into())),
            Poll::Pending => Poll::Pending,
        }
    }
}

impl<W: Wire> AsyncWrite for Link<W> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        frame: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.0.hear(frame);
        Poll::Ready(Ok(frame.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
