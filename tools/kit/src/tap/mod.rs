//! The bytes that cross a bridge: packets taken from the link, put back into streams, and read as
//! TLS records, so that "the wire is encrypted" is something seen and not something believed.

mod frame;
mod stream;
mod tls;

pub use self::{
    frame::{Segment, parse_frame},
    stream::{Direction, Streams},
    tls::{Hello, TlsSeen, inspect},
};

use std::{
    io::{self, Read},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
    time::Duration,
};

use socket2::{Domain, Protocol, Socket, Type};

use crate::net::{Namespace, NetError};

/// linux/if_ether.h: every protocol, in network order as packet(7) wants it.
const ETH_P_ALL: u16 = 3;
/// The largest frame that a veth pair hands over (offloads may join packets up to 64 KiB).
const FRAME_MAX: usize = 65_600;
/// Room for bursts between two reads; what does not fit is lost, and only to the watcher.
const RECEIVE_BUFFER: usize = 8 << 20;
/// How often the watcher looks whether it should stop.
const POLL: Duration = Duration::from_millis(50);

/// A running capture of a whole namespace.
pub struct Tap {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<io::Result<Streams>>,
}

impl Tap {
    /// Starts watching every link of the namespace; the socket is open when this returns.
    pub fn start(namespace: &Namespace) -> Result<Self, NetError> {
        let step = format!("cannot watch the links of {}", namespace.name());
        let socket = namespace.run(open)?.map_err(|e| NetError::new(step, e))?;
        let stop = Arc::new(AtomicBool::new(false));
        let watched = Arc::clone(&stop);
        let thread = namespace.thread(move || watch(socket, &watched))?;
        Ok(Self { stop, thread })
    }

    /// Stops, and returns what was seen.
    pub fn stop(self) -> Result<Streams, NetError> {
        self.stop.store(true, Ordering::Relaxed);
        let step = "cannot read the captured packets";
        let seen = self.thread.join().map_err(|_| NetError::other(step, "its thread panicked"))?;
        seen.map_err(|e| NetError::new(step, e))
    }
}

fn open() -> io::Result<Socket> {
    let every = Protocol::from(i32::from(ETH_P_ALL.to_be()));
    let socket = Socket::new(Domain::PACKET, Type::RAW, Some(every))?;
    socket.set_recv_buffer_size(RECEIVE_BUFFER)?;
    socket.set_read_timeout(Some(POLL))?;
    Ok(socket)
}

fn watch(mut socket: Socket, stop: &AtomicBool) -> io::Result<Streams> {
    let mut frame = vec![0; FRAME_MAX];
    let mut streams = Streams::default();
    loop {
        match socket.read(&mut frame) {
            Ok(length) => {
                if let Some(segment) = frame.get(..length).and_then(parse_frame) {
                    streams.add(&segment);
                }
            }
            // Quiet for a moment: only then is it certain that nothing waits in the socket.
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                if stop.load(Ordering::Relaxed) {
                    return Ok(streams);
                }
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}
