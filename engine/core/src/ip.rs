//! IP packets: read, put together from fragments, written, and the errors about them (ICMP). Knows no flows.

pub(crate) mod build;
pub(crate) mod checksum;
pub(crate) mod extension;
pub(crate) mod fragment;
pub(crate) mod icmp;
pub(crate) mod packet;
pub(crate) mod reassembly;
