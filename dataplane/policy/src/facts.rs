//! What is known of a connection and a request when a decision is asked for.

use std::net::{IpAddr, SocketAddr};

use config::snapshot::Transport;
use tls::session::Peer;
use wire::head::Head;

/// A downstream connection after its inspectors have run. Cheap to copy; borrows everything.
#[derive(Clone, Copy, Debug)]
pub struct ConnectionFacts<'c> {
    /// Where the client meant to go: the original destination if the listener restores it.
    pub destination: SocketAddr,
    /// The client: the direct peer, or whom a proxy in front has named (PROXY protocol).
    pub source: SocketAddr,
    /// The direct peer where that is somebody else.
    pub direct: Option<SocketAddr>,
    /// What the inspectors have found; `Raw` where none ran.
    pub transport: Transport,
    /// The server name of the ClientHello, empty if there is none.
    pub sni: &'c str,
    /// The application protocols: offered in the ClientHello, or found by the HTTP inspector.
    pub alpn: Protocols<'c>,
}

impl ConnectionFacts<'_> {
    /// The other end of the socket.
    pub fn direct_peer(&self) -> SocketAddr {
        self.direct.unwrap_or(self.source)
    }
}

/// A list of application protocols in whatever form the asker has it.
#[derive(Clone, Copy, Debug)]
pub enum Protocols<'c> {
    /// One slice a protocol, in the client's order.
    List(&'c [&'c [u8]]),
    /// The body of the ALPN extension's list as it stands on the wire: each name behind one byte
    /// of length (RFC 7301, 3.1). A torn last name is ignored.
    Wire(&'c [u8]),
}

impl<'c> Protocols<'c> {
    /// No protocol is known.
    pub const NONE: Self = Self::List(&[]);

    /// The names in order.
    pub fn iter(self) -> impl Iterator<Item = &'c [u8]> {
        let (mut list, mut wire) = match self {
            Self::List(list) => (list.iter(), &[][..]),
            Self::Wire(wire) => ([].iter(), wire),
        };
        std::iter::from_fn(move || {
            if let Some(name) = list.next() {
                return Some(*name);
            }
            let (len, rest) = wire.split_first()?;
            let (name, rest) = rest.split_at_checked(usize::from(*len))?;
            wire = rest;
            Some(name)
        })
    }
}

/// A request, for those who judge it.
#[derive(Clone, Copy, Debug)]
pub struct RequestFacts<'c> {
    /// Its head, normalised; `None` for a raw connection.
    pub head: Option<&'c Head>,
    /// Its connection.
    pub connection: &'c ConnectionFacts<'c>,
    /// The other side of the TLS connection; `None` on a plaintext one.
    pub peer: Option<&'c Peer>,
    /// The client's address: what [`crate::headers::request`] returned, or the direct peer's.
    pub remote: IpAddr,
}
