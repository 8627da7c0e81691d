//! What a stack put out, owned.

use std::net::{IpAddr, SocketAddr};

use engine::{Close, DnsRecord, FlowId, FlowKey, Output, QueryId, QueryKind};

/// An output, owned.
#[derive(Debug)]
pub(crate) enum OwnedOutput {
    Frame(Vec<u8>),
    Batch(usize),
    Dial(FlowId, FlowKey, Option<String>),
    Data(FlowId, Vec<u8>),
    Datagram(FlowId, SocketAddr, Vec<u8>),
    HalfClose(FlowId),
    Resume(FlowId, usize),
    Close(FlowId, Close),
    Dns(Option<FlowId>, DnsRecord),
    Resolve(QueryId, String, QueryKind),
}

impl OwnedOutput {
    /// A number of its kind.
    pub(crate) fn number(&self) -> u64 {
        match self {
            Self::Frame(_) => 1,
            Self::Batch(_) => 2,
            Self::Dial(..) => 3,
            Self::Data(..) => 4,
            Self::Datagram(..) => 5,
            Self::HalfClose(_) => 6,
            Self::Resume(..) => 7,
            Self::Close(..) => 8,
            Self::Dns(..) => 9,
            Self::Resolve(..) => 10,
        }
    }

    /// The bytes that it holds.
    pub(crate) fn count(&self) -> usize {
        match self {
            Self::Frame(count) | Self::Data(_, count) | Self::Datagram(_, _, count) => count.len(),
            _ => 0,
        }
    }

    /// Keeps an output, its bytes where `spare` has a place for them. Of a stream it keeps and takes as many bytes as
    /// `takes` says of its flow and their number.
    pub(crate) fn keep(
        output: Output<'_>,
        to: &mut Vec<Self>,
        spare: &mut Vec<Vec<u8>>,
        takes: impl FnOnce(FlowId, usize) -> usize,
    ) {
        let mut copy = |count: &[u8]| {
            let mut place = spare.pop().unwrap_or_default();
            place.clear();
            place.extend_from_slice(count);
            place
        };
        let seen = match output {
            Output::Frames(batch) => {
                to.extend(batch.iter().map(|frame| Self::Frame(copy(frame))));
                Self::Batch(batch.len())
            }
            Output::Dial { flow, key, name } => Self::Dial(flow, key, name.map(str::to_owned)),
            Output::Data { flow, bytes } => {
                let len = bytes.len();
                match bytes.took(takes(flow, len)) {
                    [] => return,
                    taken => Self::Data(flow, copy(taken)),
                }
            }
            Output::Datagram { flow, to, payload } => Self::Datagram(flow, to, copy(payload)),
            Output::HalfClose { flow } => Self::HalfClose(flow),
            Output::Resume { flow, space } => Self::Resume(flow, space),
            Output::Close { flow, close, .. } => Self::Close(flow, close),
            Output::Dns { flow, record } => Self::Dns(flow, record),
            Output::Resolve { query, name, kind } => Self::Resolve(query, name.to_owned(), kind),
            _ => return,
        };
        to.push(seen);
    }
}

/// A DNS record the engine reported.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DnsSeen {
    /// The name asked for.
    pub name: String,
    /// Its addresses.
    pub addresses: Vec<IpAddr>,
    /// Time to live, seconds.
    pub ttl: u32,
}
