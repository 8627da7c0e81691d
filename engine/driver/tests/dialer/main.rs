//! The dialer on the loopback interface, driven by an engine and a device made of bytes.

#[path = "../../../core/tests/support/mod.rs"]
mod support;

mod endings;
mod flow_control;
mod scene;
mod udp;
