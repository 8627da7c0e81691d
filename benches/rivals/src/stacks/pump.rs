//! Frames between a [`Wire`] and a stack that is a `Sink` and a `Stream` of them.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures::{Sink, Stream};

use super::Wire;

/// Frames handed over at a time, each way, before others have their turn.
const BATCH: usize = 64;

/// A stack's device end, as two of the three crates have it.
pub(super) trait Port:
    Stream<Item = io::Result<Vec<u8>>> + Sink<Vec<u8>, Error = io::Error> + Send + Unpin + 'static
{
    /// Whether a frame that cannot be taken is lost and nobody is woken.
    const FORGETS: bool;
}

/// Spawns the exchange; it ends when either end is gone.
pub(super) fn spawn(mut port: impl Port, mut wire: impl Wire) {
    tokio::spawn(poll_fn(move |context| {
        exchange(&mut port, &mut wire, context)
    }));
}

fn exchange<P: Port>(port: &mut P, wire: &mut impl Wire, context: &mut Context<'_>) -> Poll<()> {
    let mut heard = 0;
    while heard < BATCH {
        match Pin::new(&mut *port).poll_next(context) {
            Poll::Ready(Some(Ok(frame))) => wire.hear(&frame),
            Poll::Ready(Some(Err(_))) => {}
            Poll::Ready(None) => return Poll::Ready(()),
            Poll::Pending => break,
        }
        heard += 1;
    }
    let mut said = 0;
    while said < BATCH {
        // A sink that has no room wakes this task; one that forgets says so at the flush.
        if ready!(Pin::new(&mut *port).poll_ready(context)).is_err() {
            return Poll::Ready(());
        }
        let frame = match wire.poll_speak(context) {
            Poll::Ready(Some(frame)) => frame.to_vec(),
            Poll::Ready(None) => return Poll::Ready(()),
            Poll::Pending => break,
        };
        said += 1;
        // What a stack does not take is its loss: the device sends it again.
        let _ = Pin::new(&mut *port).start_send(frame);
        if Pin::new(&mut *port).poll_flush(context).is_pending() && P::FORGETS {
            break;
        }
    }
    if said > 0 || heard == BATCH {
        // Others first: what the stack made of these frames may be there by then.
        context.waker().wake_by_ref();
    }
    Poll::Pending
}
