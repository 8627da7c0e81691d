//! Names of servers, from DNS answers and first flights, while a capture is read.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use crate::capture::CapturedPacket;
use crate::capture::structure;
use crate::packet::Transport;
use crate::scenario::Protocol;

/// An answer that named a server, by numbers of packets.
#[derive(Clone, Copy, Debug)]
pub(super) struct Named {
    pub(super) query: Option<u64>,
    pub(super) answer: u64,
}

/// What is known of names.
#[derive(Debug, Default)]
pub(super) struct Names {
    /// Questions that have no answer yet, by flow and message number.
    asked: BTreeMap<(usize, u16), u64>,
    /// Answers by the address they gave, in order.
    answers: BTreeMap<IpAddr, Vec<(i64, Named)>>,
    /// Names by the address that has them.
    of_address: BTreeMap<IpAddr, Vec<String>>,
    /// What a flow's client called its server.
    of_flow: BTreeMap<usize, Vec<String>>,
    /// When each flow began, nanoseconds.
    began: BTreeMap<usize, i64>,
}

/// How long after an answer a flow still counts as its consequence, as when a capture is replayed.
const WINDOW_NS: i64 = 30_000_000_000;

/// Names kept for a flow or an address.
const MOST_NAMES: usize = 16;

impl Names {
    /// Takes note of a packet of a flow with these ends.
    pub(super) fn packet(
        &mut self,
        captured: &CapturedPacket<'_>,
        flow: usize,
        ends: Option<(Protocol, SocketAddr, SocketAddr)>,
    ) {
        let (Ok(ip), Some((_, client, server))) = (&captured.content, ends) else {
            return;
        };
        let Ok(packet) = ip.packet() else { return };
        self.began.entry(flow).or_insert(captured.time_ns);
        match packet.transport {
            Transport::Udp(udp) if server.port() == 53 => {
                if udp.source_port == 53 {
                    self.answer(captured, flow, udp.payload);
                } else if let Some(id) = udp.payload.first_chunk() {
                    let id = u16::from_be_bytes(*id);
                    self.asked.insert((flow, id), captured.number);
                }
            }
            Transport::Tcp(tcp)
                if packet.ends().is_some_and(|(from, _)| from == client)
                    && !self.of_flow.contains_key(&flow) =>
            {
                if let Some(found) = structure::first_flight(tcp.payload) {
                    self.of_flow.insert(flow, found.names(tcp.payload));
                }
            }
            _ => {}
        }
    }

    fn answer(&mut self, captured: &CapturedPacket<'_>, flow: usize, payload: &[u8]) {
        let Ok(message) = simple_dns::Packet::parse(payload) else {
            return;
        };
        let named = Named {
            query: self.asked.remove(&(flow, message.id())),
            answer: captured.number,
        };
        let asked = message.questions.iter().map(|question| &question.qname);
        let owners = message.answers.iter().map(|record| &record.name);
        let names: Vec<String> = asked
            .chain(owners)
            .map(|name| name.to_string().to_ascii_lowercase())
            .collect();
        for record in &message.answers {
            let Some(address) = structure::address_of(&record.rdata) else {
                continue;
            };
            let answers = self.answers.entry(address).or_default();
            answers.push((captured.time_ns, named));
            let known = self.of_address.entry(address).or_default();
            for name in &names {
                if known.len() < MOST_NAMES && !known.contains(name) {
                    known.push(name.clone());
                }
            }
        }
    }

    /// The names of a flow's server.
    pub(super) fn of(&self, flow: usize, server: IpAddr) -> impl Iterator<Item = &str> {
        let own = self.of_flow.get(&flow).into_iter().flatten();
        let answered = self.of_address.get(&server).into_iter().flatten();
        own.chain(answered).map(String::as_str)
    }

    /// The last answer that named a server before a flow to it began.
    pub(super) fn before(&self, server: IpAddr, flow: usize) -> Option<Named> {
        let began = *self.began.get(&flow)?;
        let answers = self.answers.get(&server)?;
        let before = answers.iter().filter(|(at, _)| *at <= began);
        let (at, named) = before.max_by_key(|(at, _)| *at)?;
        (began.saturating_sub(*at) <= WINDOW_NS).then_some(*named)
    }
}
