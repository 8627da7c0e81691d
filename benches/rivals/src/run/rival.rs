//! A stack on tokio: a task for each stream, as `copy_bidirectional` would serve it.

use std::future::{Future, poll_fn};
use std::mem::MaybeUninit;
use std::sync::Arc;
use std::task::{Context, Poll};

use engine::FrameBatch;
use futures::{SinkExt, StreamExt};
use replay::load::Pattern;
use tokio::io::{AsyncReadExt, AsyncWriteExt, ReadBuf};

use super::{Troubles, attend, describe};
use crate::clock::Meter;
use crate::load::{FarEnd, PIECE, Shared, Word, lock};
use crate::stacks::{Arrival, BoxDuplex, Datagram, Kind, Settings, Stack, Wire};
use crate::workload::DATAGRAM;

/// Pieces that a stream may read and write before others have their turn.
const TURN: usize = 16;

/// Runs the load to its end.
pub(crate) async fn run(kind: Kind, settings: Settings, shared: Shared) -> Result<Stack, String> {
    let link = Link {
        shared: Arc::clone(&shared),
        late: Arc::default(),
        frames: FrameBatch::new(),
    };
    let late = Arc::clone(&link.late);
    let mut stack = kind
        .start(settings, link)
        .map_err(|problem| problem.to_string())?;
    let troubles = Troubles::default();
    let pattern = Arc::new(lock(&shared).device().pattern().clone());
    let meter = Arc::clone(lock(&shared).meter());
    if let Some((mut reader, mut writer)) = stack.datagrams.take() {
        tokio::spawn(async move {
            while let Some(Datagram { payload, from, to }) = reader.next().await {
                let answer = Datagram {
                    payload,
                    from: to,
                    to: from,
                };
                if writer.send(answer).await.is_err() {
                    return;
                }
            }
        });
    }
    let (accepting, served, troubled) = (
        Arc::clone(&shared),
        Arc::clone(&pattern),
        Arc::clone(&troubles),
    );
    let mut arrivals = std::mem::replace(&mut stack.arrivals, Box::pin(futures::stream::pending()));
    tokio::spawn(async move {
        while let Some(arrival) = arrivals.next().await {
            accept(arrival, &accepting, &served, &meter, &troubled);
        }
    });
    attend(&shared, |frames| {
        let mut late = lock(&late);
        for frame in frames {
            late.push(frame);
        }
    })
    .await?;
    describe(&lock(&shared), &troubles)?;
    Ok(stack)
}

fn accept(
    arrival: Arrival,
    shared: &Shared,
    pattern: &Arc<Pattern>,
    meter: &Arc<Meter>,
    troubles: &Troubles,
) {
    if !arrival.tcp {
        tokio::spawn(echo(arrival.stream));
        return;
    }
    let Some(far) = lock(shared).dialed(arrival.client.port()) else {
        return;
    };
    let serving = serve(
        arrival.stream,
        far,
        Arc::clone(pattern),
        Arc::clone(meter),
        Arc::clone(troubles),
    );
    let shared = Arc::clone(shared);
    tokio::spawn(async move {
        serving.await;
        lock(&shared).left();
    });
}

async fn echo(mut stream: BoxDuplex) {
    let mut buffer = [0; DATAGRAM];
    while let Ok(count) = stream.read(&mut buffer).await {
        let Some(datagram) = buffer.get(..count).filter(|datagram| !datagram.is_empty()) else {
            return;
        };
        if stream.write_all(datagram).await.is_err() {
            return;
        }
    }
}

/// Reads, verifies, writes and closes as the plan wants it. Its buffer is on the stack of whoever polls it, so that an idle
/// flow does not pay for it.
async fn serve(
    mut stream: BoxDuplex,
    mut far: FarEnd,
    pattern: Arc<Pattern>,
    meter: Arc<Meter>,
    troubles: Troubles,
) {
    let (mut closing, mut closed) = (false, false);
    let mut wait = None;
    poll_fn(|context| {
        for _ in 0..TURN {
            let (mut moved, mut over) = (false, false);
            if !far.is_ended() && far.reads() {
                moved |= read(&mut stream, &mut far, &pattern, &meter, context, &mut over);
            }
            if let Some(late) = far.waits() {
                let wait = wait.get_or_insert_with(|| Box::pin(tokio::time::sleep(late)));
                if wait.as_mut().poll(context).is_ready() {
                    far.release();
                }
            }
            let bytes = far.next(&pattern);
            if !bytes.is_empty() && !closing {
                match stream.as_mut().poll_write(context, bytes) {
                    Poll::Ready(Ok(count)) => {
                        far.sent(count);
                        moved = true;
                    }
                    Poll::Ready(Err(_)) => over = true,
                    Poll::Pending => {}
                }
            }
            closing |= far.ends_now();
            if closing && !closed && stream.as_mut().poll_shutdown(context).is_ready() {
                closed = true;
                moved = true;
            }
            if over || (closed && far.is_ended()) {
                return Poll::Ready(());
            }
            if !moved {
                return Poll::Pending;
            }
        }
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
    if let Some(trouble) = far.trouble() {
        lock(&troubles).push(trouble.to_owned());
    }
}

fn read(
    stream: &mut BoxDuplex,
    far: &mut FarEnd,
    pattern: &Pattern,
    meter: &Meter,
    context: &mut Context<'_>,
    over: &mut bool,
) -> bool {
    let mut space = [MaybeUninit::uninit(); PIECE];
    let mut buffer = ReadBuf::uninit(&mut space);
    match stream.as_mut().poll_read(context, &mut buffer) {
        Poll::Ready(Ok(())) => {
            match buffer.filled() {
                [] => far.hear_end(),
                bytes => far.hear(meter, pattern, bytes),
            }
            true
        }
        Poll::Ready(Err(_)) => {
            *over = true;
            false
        }
        Poll::Pending => false,
    }
}

/// The device's end of the link.
struct Link {
    shared: Shared,
    /// What timers of the device made.
    late: Arc<std::sync::Mutex<FrameBatch>>,
    frames: FrameBatch,
}

impl Wire for Link {
    fn poll_speak(&mut self, context: &mut Context<'_>) -> Poll<Option<&[u8]>> {
        if self.frames.is_empty() {
            let mut load = lock(&self.shared);
            let mut late = lock(&self.late);
            if !late.is_empty() {
                for frame in late.take(usize::MAX) {
                    self.frames.push(frame);
                }
            }
            let now = load.clock();
            match load.speak(now, &mut self.frames) {
                Word::Said => {}
                Word::Soon => context.waker().wake_by_ref(),
                Word::Silent => load.wake_later(context.waker()),
            }
        }
        match self.frames.take(1).into_iter().next() {
            Some(frame) => Poll::Ready(Some(frame)),
            None => Poll::Pending,
        }
    }

    fn hear(&mut self, frame: &[u8]) {
        let mut load = lock(&self.shared);
        let now = load.clock();
        load.hear(now, [frame]);
    }
}
