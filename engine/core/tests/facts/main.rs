//! What the engine promises, one fact per test.

#[path = "../support/mod.rs"]
mod support;

mod admission;
mod backpressure;
mod challenges;
mod clock;
mod coalesced;
mod config;
mod counters;
mod determinism;
mod dns;
mod endings;
mod fins;
mod fragments;
mod half_close;
mod handles;
mod handshake;
mod icmp;
mod inspection;
mod interception;
mod isn;
mod logs;
mod malformed;
mod mtu;
mod recovery;
mod streams;
mod timers;
mod timestamps;
mod tombstones;
mod udp;
mod uploads;
mod windows;
