//! The command line and the sockets that all rungs have in common.

use std::io::{self, Write};
use std::net::{SocketAddr, TcpListener};
use std::process::exit;

use socket2::{Domain, Socket, Type};

/// Connections that may wait to be accepted.
const BACKLOG: i32 = 4096;

/// What a rung is told.
#[derive(Clone, Debug)]
pub struct Command {
    /// Where it accepts.
    pub listen: SocketAddr,
    /// Where it connects to, once for each connection.
    pub upstream: SocketAddr,
    /// `--driver`: the one to use, for rungs that have several.
    pub driver: String,
}

impl Command {
    /// Reads the program's arguments; ends the program where they are wrong.
    #[must_use]
    pub fn from_args() -> Self {
        Self::parse(std::env::args().skip(1)).unwrap_or_else(|why| {
            eprintln!("{why}\nusage: --listen IP:PORT --upstream IP:PORT [--driver uring|epoll]");
            exit(2)
        })
    }

    fn parse(mut words: impl Iterator<Item = String>) -> Result<Self, String> {
        let (mut listen, mut upstream, mut driver) = (None, None, "uring".to_owned());
        while let Some(name) = words.next() {
            let value = words.next().ok_or_else(|| format!("{name} has no value"))?;
            let address = || value.parse().map_err(|error| format!("{name} {value}: {error}"));
            match name.as_str() {
                "--listen" => listen = Some(address()?),
                "--upstream" => upstream = Some(address()?),
                "--driver" => driver = value,
                _ => return Err(format!("{name} is unknown")),
            }
        }
        let listen = listen.ok_or("--listen is missing")?;
        Ok(Self { listen, upstream: upstream.ok_or("--upstream is missing")?, driver })
    }

    /// A listening socket, not blocking. What it accepts has `TCP_NODELAY` from it.
    ///
    /// # Errors
    /// The kernel refuses, for instance because the port is taken.
    pub fn listener(&self) -> io::Result<TcpListener> {
        let socket = Socket::new(Domain::for_address(self.listen), Type::STREAM, None)?;
        socket.set_reuse_address(true)?;
        socket.set_tcp_nodelay(true)?;
        socket.set_nonblocking(true)?;
        socket.bind(&self.listen.into())?;
        socket.listen(BACKLOG)?;
        Ok(socket.into())
    }
}

/// Tells whoever started the program that it listens.
///
/// # Errors
/// Nobody reads.
pub fn ready() -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "ready")?;
    out.flush()
}
