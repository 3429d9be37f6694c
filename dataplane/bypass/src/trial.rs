//! A connection of our own through the programs: they learn whom they serve, and we learn whether
//! this kernel does what the rest relies on.

use std::fmt::Display;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use aya::maps::{Array, MapData};
use socket2::{Domain, SockRef, Socket, Type};

use crate::Bypass;

/// Nothing of it takes that long; a kernel that loses a byte must not hold up the start.
const PATIENCE: Duration = Duration::from_secs(5);

/// Receive buffer of the reader that does not read.
const BUFFER_BYTES: usize = 64 << 10;

/// What a sender may get rid of to such a reader before it has to wait: both sides' buffers and
/// some more. A kernel that does not charge diverted bytes to the reader takes all of memory.
const UNREAD_BYTES_MAX: usize = 4 << 20;

/// `struct identity`: network namespace, process, and the listener to learn them from.
type Identity = [u64; 3];

/// The trial; says in words what went wrong.
pub(crate) fn run(identity: &mut Array<MapData, Identity>, bypass: &Bypass) -> Result<(), String> {
    // Not ours yet: the other end of the trial has to be another's.
    let server = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).map_err(say("no listener"))?;
    learn(identity)?;
    let to = server.local_addr().map_err(say("no address"))?;
    let mut client = TcpStream::connect_timeout(&to, PATIENCE).map_err(say("no connection"))?;
    let (mut server, _) = server.accept().map_err(say("no connection"))?;
    for end in [&client, &server] {
        end.set_read_timeout(Some(PATIENCE)).map_err(say("no timeout"))?;
        SockRef::from(end).set_send_buffer_size(BUFFER_BYTES).map_err(say("no buffer"))?;
        SockRef::from(end).set_recv_buffer_size(BUFFER_BYTES).map_err(say("no buffer"))?;
    }
    if bypass.counts().paired != 1 {
        return Err("its two ends were not paired".to_owned());
    }
    let unread = fill(&mut client).map_err(say("sending"))?;
    if unread > UNREAD_BYTES_MAX {
        return Err("this kernel does not make a sender wait for its reader".to_owned());
    }
    client.set_nonblocking(false).map_err(say("sending"))?;
    client.shutdown(Shutdown::Write).map_err(say("half-closing"))?;
    in_order(&mut server, unread)?;
    // The other way still works.
    server.write_all(&pattern(0, 100)).map_err(say("answering"))?;
    drop(server);
    in_order(&mut client, 100)?;
    if bypass.counts().diverted != 2 {
        return Err("its bytes still went by TCP".to_owned());
    }
    Ok(())
}

/// Lets the program see this process and its namespace: they begin to listen on a socket whose
/// cookie, which nobody else's has, it is told before.
fn learn(identity: &mut Array<MapData, Identity>) -> Result<(), String> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).map_err(say("no socket"))?;
    let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    socket.bind(&any.into()).map_err(say("no port"))?;
    let cookie = socket.cookie().map_err(say("no cookie"))?;
    identity.set(0, [0, 0, cookie], 0).map_err(say("no identity"))?;
    socket.listen(1).map_err(say("no listener"))?;
    let [netns, process, _] = identity.get(&0, 0).map_err(say("no identity"))?;
    if netns == 0 || process == 0 {
        return Err("this process is not in the control group".to_owned());
    }
    Ok(())
}

/// Sends until the kernel takes no more.
fn fill(client: &mut TcpStream) -> io::Result<usize> {
    client.set_nonblocking(true)?;
    let mut sent = 0;
    while sent <= UNREAD_BYTES_MAX {
        match client.write(&pattern(sent, 10_007)) {
            Ok(n) => sent += n,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
            Err(error) => return Err(error),
        }
    }
    Ok(sent)
}

/// Reads to the end what `fill` has sent.
fn in_order(from: &mut TcpStream, bytes: usize) -> Result<(), String> {
    let mut read = Vec::with_capacity(bytes);
    from.read_to_end(&mut read).map_err(say("reading to the end"))?;
    if read != pattern(0, bytes) {
        return Err("bytes were lost or changed places".to_owned());
    }
    Ok(())
}

/// Bytes of which each says where it belongs: their period is no power of two.
fn pattern(from: usize, len: usize) -> Vec<u8> {
    (from..from + len).map(|at| (at % 251) as u8).collect()
}

fn say<E: Display>(what: &'static str) -> impl Fn(E) -> String {
    move |error| format!("{what}: {error}")
}
