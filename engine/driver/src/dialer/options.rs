//! How sockets are opened.

use core::time::Duration;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use engine::UdpMapping;
use socket2::{Domain, Protocol, SockRef, Socket, Type};

/// Settings of a [`TokioDialer`](crate::TokioDialer). A tunnel that carries the whole machine must keep its own sockets
/// out of itself: by device, by mark (and a routing rule), or by source address.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Options {
    /// How long a connect may take. Zero: as long as the kernel tries, about two minutes on Linux. Default 30 s.
    pub connect_timeout: Duration,
    /// The interface that sockets are bound to (`SO_BINDTODEVICE`; Linux, needs `CAP_NET_RAW`). Default none.
    pub device: Option<String>,
    /// The mark of their packets (`SO_MARK`; Linux, needs `CAP_NET_ADMIN`). Default none.
    pub mark: Option<u32>,
    /// The source of IPv4 sockets. Default: the system chooses.
    pub source_v4: Option<Ipv4Addr>,
    /// The source of IPv6 sockets. Default: the system chooses.
    pub source_v6: Option<Ipv6Addr>,
    /// As [`Config::udp_mapping`](engine::Config::udp_mapping): a flow with one destination has a connected socket,
    /// which gets ICMP errors, and datagrams of its server only; a flow for all destinations has one that is not connected.
    /// Default one destination.
    pub udp_mapping: UdpMapping,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(30),
            device: None,
            mark: None,
            source_v4: None,
            source_v6: None,
            udp_mapping: UdpMapping::AddressAndPortDependent,
        }
    }
}

impl Options {
    /// A socket that does not block, bound as the settings say.
    pub(super) fn socket(&self, to: SocketAddr, stream: bool) -> io::Result<Socket> {
        let (kind, protocol) = if stream {
            (Type::STREAM, Protocol::TCP)
        } else {
            (Type::DGRAM, Protocol::UDP)
        };
        let socket = Socket::new(Domain::for_address(to), kind, Some(protocol))?;
        socket.set_nonblocking(true)?;
        self.keep_out_of_the_tunnel(&SockRef::from(&socket))?;
        let source = match to.ip() {
            IpAddr::V4(_) => self.source_v4.map(IpAddr::V4),
            IpAddr::V6(_) => self.source_v6.map(IpAddr::V6),
        };
        if let Some(source) = source {
            socket.bind(&SocketAddr::new(source, 0).into())?;
        }
        Ok(socket)
    }

    #[cfg(any(target_os = "linux", target_os = "android"))]
    fn keep_out_of_the_tunnel(&self, socket: &SockRef<'_>) -> io::Result<()> {
        if let Some(device) = &self.device {
            socket.bind_device(Some(device.as_bytes()))?;
        }
        if let Some(mark) = self.mark {
            socket.set_mark(mark)?;
        }
        Ok(())
    }

    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    fn keep_out_of_the_tunnel(&self, _socket: &SockRef<'_>) -> io::Result<()> {
        if self.device.is_some() || self.mark.is_some() {
            return Err(io::ErrorKind::Unsupported.into());
        }
        Ok(())
    }
}

/// Asks for as many open files as the administrator permits, and returns how many that are: each flow has a socket.
///
/// # Errors
/// The limit cannot be read.
#[cfg(unix)]
pub fn raise_file_limit() -> io::Result<u64> {
    let mut limit = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: the pointer is to a live structure, which the call fills in and does not keep.
    #[expect(unsafe_code, reason = "the standard library has no call for limits")]
    if unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) } != 0 {
        return Err(io::Error::last_os_error());
    }
    let before = limit.rlim_cur;
    limit.rlim_cur = limit.rlim_max;
    // SAFETY: as above; the call only reads. Where it is refused, the old limit stands.
    #[expect(unsafe_code, reason = "the standard library has no call for limits")]
    let raised = unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) } == 0;
    #[allow(
        clippy::useless_conversion,
        reason = "rlim_t is not u64 on every system"
    )]
    Ok(u64::from(if raised { limit.rlim_cur } else { before }))
}
