//! What a user of the stack would write: the dial, then bytes both ways until both have ended or one has failed.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::MutexGuard;
use std::task::{Context, Poll};

use stack_protocol::Reply;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, ReadBuf};

use super::clock::busy;
use super::session::{Flow, SESSION, Session};
use crate::stacks::BoxDuplex;

/// Relays a TCP stream.
pub(super) async fn stream(id: u64, mut stream: BoxDuplex) {
    let result = dialed(id).await;
    if result != "connected" {
        // None of the stacks has another way to refuse than to let go.
        busy(|| drop(stream));
        close(id, "remote", &result);
        return;
    }
    let mut remote = Remote(id);
    let copied = tokio::io::copy_bidirectional(&mut stream, &mut remote).await;
    busy(|| drop(stream));
    let ended = SESSION.lock().ok().and_then(|session| {
        let flow = session.flows.get(&id)?;
        Some((flow.first, flow.end.clone()))
    });
    let (first, end) = ended.unwrap_or_default();
    match (copied, end.as_deref()) {
        (Ok(_), _) => close(id, first.unwrap_or("device"), "fin"),
        (Err(error), Some("reset")) if error.kind() == io::ErrorKind::ConnectionReset => {
            close(id, "remote", "reset");
        }
        (Err(_), Some("error")) => close(id, "remote", "error"),
        (Err(error), _) if error.kind() == io::ErrorKind::TimedOut => close(id, "engine", "idle"),
        (Err(_), _) => close(id, "device", "reset"),
    }
}

/// Relays a UDP flow of a stack that makes a stream of it.
pub(super) async fn datagrams(id: u64, stream: BoxDuplex) {
    let result = dialed(id).await;
    if result != "connected" {
        busy(|| drop(stream));
        close(id, "remote", &result);
        return;
    }
    let (mut reader, mut writer) = tokio::io::split(stream);
    let sending = tokio::spawn(async move {
        while let Some(payload) = next_datagram(id).await {
            if writer.write_all(&payload).await.is_err() {
                return;
            }
        }
    });
    let mut buffer = vec![0; 65_536];
    while let Ok(count @ 1..) = reader.read(&mut buffer).await {
        if let Some((mut session, to)) = session(id, |flow| flow.server) {
            session.say(Reply::Datagram(id, to, buffer[..count].to_vec()));
        }
    }
    sending.abort();
    close(id, "engine", "idle");
}

async fn dialed(id: u64) -> String {
    poll_fn(|context| {
        let waker = context.waker();
        let answer = session(id, |flow| {
            flow.wakers.push(waker.clone());
            flow.dialed.clone()
        });
        match answer {
            Some((_, Some(result))) => Poll::Ready(result),
            _ => Poll::Pending,
        }
    })
    .await
}

async fn next_datagram(id: u64) -> Option<Vec<u8>> {
    poll_fn(|context| {
        let waker = context.waker();
        let next = session(id, |flow| {
            flow.wakers.push(waker.clone());
            flow.datagrams.pop_front()
        });
        match next {
            None => Poll::Ready(None),
            Some((_, None)) => Poll::Pending,
            Some((_, payload)) => Poll::Ready(payload),
        }
    })
    .await
}

fn session<T>(
    id: u64,
    act: impl FnOnce(&mut Flow) -> T,
) -> Option<(MutexGuard<'static, Session>, T)> {
    let mut session = SESSION.lock().ok()?;
    let result = act(session.flows.get_mut(&id)?);
    Some((session, result))
}

fn close(id: u64, by: &str, how: &str) {
    if let Ok(mut session) = SESSION.lock() {
        session.close(id, by, how);
    }
}

/// The far side of a flow, as a socket.
struct Remote(u64);

impl AsyncRead for Remote {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let read = session(self.0, |flow| {
            if !flow.inbox.is_empty() {
                let count = flow.inbox.len().min(buffer.remaining());
                let count: Vec<u8> = flow.inbox.drain(..count).collect();
                buffer.put_slice(&count);
                return Poll::Ready(Ok(()));
            }
            match flow.end.as_deref() {
                Some("eof") => {
                    flow.first.get_or_insert("remote");
                    Poll::Ready(Ok(()))
                }
                Some("reset") => Poll::Ready(Err(io::ErrorKind::ConnectionReset.into())),
                Some(_) => Poll::Ready(Err(io::Error::other("the far side failed"))),
                None => {
                    flow.wakers.push(context.waker().clone());
                    Poll::Pending
                }
            }
        });
        match read {
            Some((mut session, read)) => {
                session.told_room(self.0);
                read
            }
            None => Poll::Ready(Err(io::ErrorKind::BrokenPipe.into())),
        }
    }
}

impl AsyncWrite for Remote {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let room = session(self.0, |flow| {
            // A socket whose far side has reset takes nothing more.
            if matches!(flow.end.as_deref(), Some("reset" | "error")) && flow.inbox.is_empty() {
                return Err(io::ErrorKind::ConnectionReset.into());
            }
            let room = match flow.allowance {
                _ if flow.blocked => 0,
                Some(allowance) => allowance.min(bytes.len()),
                None => bytes.len(),
            };
            if room == 0 && !bytes.is_empty() {
                flow.wakers.push(context.waker().clone());
            }
            if let Some(allowance) = &mut flow.allowance {
                *allowance -= room;
            }
            Ok(room)
        });
        match room {
            Some((_, Ok(0))) if !bytes.is_empty() => Poll::Pending,
            Some((mut session, Ok(room))) => {
                session.say(Reply::Data(self.0, bytes[..room].to_vec()));
                Poll::Ready(Ok(room))
            }
            Some((_, Err(error))) => Poll::Ready(Err(error)),
            None => Poll::Ready(Err(io::ErrorKind::BrokenPipe.into())),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        let told = session(self.0, |flow| {
            flow.first.get_or_insert("device");
        });
        if let Some((mut session, ())) = told {
            session.say(Reply::HalfClose(self.0));
        }
        Poll::Ready(Ok(()))
    }
}
