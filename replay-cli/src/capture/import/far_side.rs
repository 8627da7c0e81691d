//! What the far sides of a capture did, as rules and steps of the dialer, and the streams that come of it.

use sha2::{Digest as _, Sha256};

use crate::base::duration::Micros;
use crate::base::hex::Hex;
use crate::capture::conversation::{
    ByteReader, Conversation, FarEventKind, Stream, Talk, TcpConversation, UdpConversation,
};
use crate::capture::recording::RemoteEnd;
use crate::scenario::{
    Bytes, Dial, DialResult, Expected, Rule, Step, StreamExpectation, StreamPair, True, When,
};

/// How many steps the far side of a flow takes at the least.
pub(super) fn steps_of(flow: &Conversation) -> usize {
    match &flow.talk {
        Talk::Tcp(tcp) => tcp.far.len(),
        Talk::Udp(udp) => udp.far.len(),
    }
}

/// The dialer's rule for a flow; its steps one by one if they are to be `listed`.
pub(super) fn rule(flow: &Conversation, name: &str, listed: bool) -> Rule {
    let (result, after) = flow.dial();
    let then = match &flow.talk {
        _ if result != DialResult::Connected => Vec::new(),
        _ if !listed => vec![Step::Recorded(True)],
        Talk::Tcp(tcp) => tcp_steps(tcp, name),
        Talk::Udp(udp) => udp_steps(udp, name),
    };
    Rule {
        when: When {
            flow: Some(name.to_owned()),
            ..When::default()
        },
        dial: Dial {
            result,
            after: (after > 0).then_some(Micros(after)),
        },
        then,
    }
}

/// The steps of a far side: what it had read, how long it took, what it did then.
#[derive(Default)]
struct Steps {
    steps: Vec<Step>,
    /// Bytes, or datagrams, of the device that it had read.
    read: u64,
}

impl Steps {
    /// Adds what is done after so many bytes of the device, and so many microseconds.
    fn after(&mut self, read: u64, wait_us: u64) {
        if read > self.read {
            self.steps.push(Step::Read(read - self.read));
            self.read = read;
        }
        if wait_us > 0 {
            self.steps.push(Step::Wait(Micros(wait_us)));
        }
    }
}

fn tcp_steps(tcp: &TcpConversation, name: &str) -> Vec<Step> {
    let mut done = Steps::default();
    let mut read_eof = false;
    for event in &tcp.far {
        done.after(event.acked, 0);
        if event.fin_acked && !read_eof {
            done.steps.push(Step::ReadEof(True));
            read_eof = true;
        }
        done.after(event.acked, event.wait_us);
        done.steps.push(match event.kind {
            FarEventKind::Send { from, to } => sent(name, from, to),
            FarEventKind::Fin => ended(RemoteEnd::Eof),
            FarEventKind::Reset => ended(RemoteEnd::Reset),
            FarEventKind::Fail => ended(RemoteEnd::Error),
            FarEventKind::Take(count) => Step::Take(count),
            FarEventKind::Block => Step::Block(True),
            FarEventKind::Unblock => Step::Unblock(True),
        });
    }
    done.steps
}

fn udp_steps(udp: &UdpConversation, name: &str) -> Vec<Step> {
    let mut done = Steps::default();
    for datagram in &udp.far {
        done.after(datagram.after, datagram.wait_us);
        done.steps.push(sent(name, datagram.from, datagram.to));
    }
    if let Some((end, after, wait_us)) = udp.end {
        done.after(after, wait_us);
        done.steps.push(ended(end));
    }
    done.steps
}

fn sent(name: &str, from: u64, to: u64) -> Step {
    Step::Send(Bytes::Capture {
        flow: name.to_owned(),
        from,
        to,
    })
}

fn ended(end: RemoteEnd) -> Step {
    match end {
        RemoteEnd::Eof => Step::Shutdown(True),
        RemoteEnd::Reset => Step::Reset(True),
        // A recording has no reason of a failure.
        RemoteEnd::Error => Step::Fail("recorded".to_owned()),
    }
}

pub(super) fn expected_streams(flow: &Conversation, reader: &mut ByteReader<'_>) -> StreamPair {
    // All of a stream, or its first bytes.
    let mut expected = |stream: &Stream, count: Option<u64>| {
        let mut hash = Sha256::new();
        let count = count.unwrap_or_else(|| stream.len());
        let mut left = count;
        stream.each(reader, |bytes| {
            let count = left.min(bytes.len() as u64);
            hash.update(bytes.get(..count as usize).unwrap_or_default());
            left -= count;
        });
        StreamExpectation {
            bytes: Expected::Exact(count),
            sha256: Some(Hex(&hash.finalize()).to_string()),
        }
    };
    let (result, _) = flow.dial();
    let mut whole = |stream: &Stream| Some(expected(stream, None));
    if result != DialResult::Connected {
        // What the device sent before anybody had answered was delivered to nobody.
        let none = Stream::default();
        return StreamPair {
            upstream: whole(&none),
            downstream: whole(&none),
        };
    }
    match &flow.talk {
        Talk::Udp(udp) => StreamPair {
            upstream: whole(&udp.device_bytes),
            downstream: whole(&udp.far_bytes),
        },
        Talk::Tcp(tcp) => StreamPair {
            upstream: Some(expected(&tcp.device_stream, tcp.far_took)),
            downstream: Some(match tcp.device_took {
                // What the device had not acknowledged when it reset the connection is not owed to it.
                Some(took) => StreamExpectation {
                    bytes: Expected::Range {
                        min: Some(took),
                        max: Some(tcp.far_stream.len()),
                    },
                    sha256: None,
                },
                None => expected(&tcp.far_stream, None),
            }),
        },
    }
}
