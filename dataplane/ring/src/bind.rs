//! Listening sockets.

use std::io;
use std::net::{SocketAddr, TcpListener};

use socket2::{Domain, Protocol, Socket, Type};

/// How to bind a listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bind {
    /// `SO_REUSEPORT`: each worker binds its own listener and the kernel spreads connections.
    pub reuse_port: bool,
    /// `IP_TRANSPARENT` / `IPV6_TRANSPARENT`: take connections to addresses that are not local
    /// (Envoy: `transparent`). Needs `CAP_NET_ADMIN`.
    pub transparent: bool,
    /// `IP_FREEBIND`: bind to an address that no interface has yet (Envoy: `freebind`).
    pub freebind: bool,
    /// `IPV6_V6ONLY`: an IPv6 listener takes no IPv4 connections (the reverse of Envoy's
    /// `ipv4_compat`).
    pub v6_only: bool,
    /// How many connections may wait to be accepted; the kernel cuts it to `net.core.somaxconn`.
    pub backlog: i32,
}

impl Default for Bind {
    fn default() -> Self {
        Self { reuse_port: true, transparent: false, freebind: false, v6_only: true, backlog: 1024 }
    }
}

/// A bound, listening, non-blocking TCP socket with `SO_REUSEADDR`, `TCP_NODELAY` and whatever
/// `bind` asks for. Connections have the delay of their listener at the moment when they come,
/// which may be long before a driver accepts them.
pub fn listener(addr: SocketAddr, bind: Bind) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(addr), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_nonblocking(true)?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(bind.reuse_port)?;
    socket.set_tcp_nodelay(true)?;
    if addr.is_ipv6() {
        socket.set_only_v6(bind.v6_only)?;
    }
    if bind.transparent {
        match addr {
            SocketAddr::V4(_) => socket.set_ip_transparent_v4(true)?,
            SocketAddr::V6(_) => socket.set_ip_transparent_v6(true)?,
        }
    }
    if bind.freebind {
        match addr {
            SocketAddr::V4(_) => socket.set_freebind_v4(true)?,
            SocketAddr::V6(_) => socket.set_freebind_v6(true)?,
        }
    }
    socket.bind(&addr.into())?;
    socket.listen(bind.backlog)?;
    Ok(socket.into())
}

#[cfg(test)]
mod tests;
