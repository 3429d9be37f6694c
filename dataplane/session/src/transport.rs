//! A socket with or without TLS: buffers in, buffers out.

use ring::Buf;
use ring::driver::{Driver, Size, Socket};
use tls::session::{Peer, TlsError};

use crate::limits::{RECV_LARGE, UNSENT_LOW};
use crate::queue::Queue;
use crate::secure::Extent;
pub(crate) use crate::secure::{Scratch, Secure, Side};
use crate::share;

/// A socket, what protects it, and how it is being received from.
pub(crate) struct Transport {
    pub(crate) socket: Socket,
    secure: Option<Box<Secure>>,
    receiving: Receiving,
    size: Size,
    /// Full buffers in a row, to know when larger ones pay.
    full: u8,
    queue: Queue,
}

/// Where receiving stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Receiving {
    /// Nothing was asked for, or the budget is used up.
    Paused,
    /// Bytes may come.
    Armed,
    /// The kernel moves them on by itself.
    Relaying,
    /// The peer has closed its side.
    Ended,
}

/// Why a transport is at its end.
#[derive(Debug)]
pub(crate) enum Fault {
    /// TLS refuses to go on.
    Tls(TlsError),
    /// The worker's buffers are used up.
    Memory,
}

impl From<TlsError> for Fault {
    fn from(error: TlsError) -> Self {
        Self::Tls(error)
    }
}

impl Transport {
    pub(crate) fn plain(socket: Socket) -> Self {
        let (receiving, size) = (Receiving::Paused, Size::Small);
        Self { socket, secure: None, receiving, size, full: 0, queue: Queue::default() }
    }

    /// From here on the socket speaks TLS.
    pub(crate) fn secure(&mut self, side: Side) {
        self.secure = Some(Box::new(Secure::new(side)));
    }

    pub(crate) fn is_secure(&self) -> bool {
        self.secure.is_some()
    }

    pub(crate) fn is_handshaking(&self) -> bool {
        self.secure.as_ref().is_some_and(|secure| secure.side.is_handshaking())
    }

    /// What the handshake has shown of the peer.
    pub(crate) fn peer(&self) -> Option<&Peer> {
        self.secure.as_ref().map(|secure| secure.side.peer())
    }

    /// Our own SPIFFE id, as far as a header is to tell it; else empty.
    pub(crate) fn local_uri(&self) -> &str {
        self.secure.as_ref().map_or("", |secure| &secure.local_uri)
    }

    /// A header is to tell it.
    pub(crate) fn tell_local_uri(&mut self, uri: String) {
        if let Some(secure) = &mut self.secure {
            secure.local_uri = uri.into();
        }
    }

    pub(crate) fn receiving(&self) -> Receiving {
        self.receiving
    }

    /// The budget is used up.
    pub(crate) fn paused(&mut self) {
        if self.receiving == Receiving::Armed {
            self.receiving = Receiving::Paused;
        }
    }

    /// The peer has closed its side.
    pub(crate) fn ended(&mut self) {
        self.receiving = Receiving::Ended;
    }

    /// Asks for more bytes unless that is already so: for fewer at a time where memory is scarce.
    pub(crate) fn arm<D: Driver>(&mut self, driver: &mut D) {
        if self.receiving != Receiving::Paused {
            return;
        }
        let (budget, size) = share::receive(driver.pool(), self.size);
        self.receiving = Receiving::Armed;
        driver.recv(self.socket, budget, size);
    }

    /// The kernel moves the bytes on by itself from here.
    pub(crate) fn relaying(&mut self) {
        self.receiving = Receiving::Relaying;
    }

    /// Receiving starts again after a relay: nothing is known of the stream's pace.
    pub(crate) fn begin_anew(&mut self) {
        (self.receiving, self.full) = (Receiving::Paused, 0);
    }

    /// Full large buffers came in a row: so many.
    pub(crate) fn full_large_reads(&self) -> u8 {
        if self.size == Size::Large { self.full } else { 0 }
    }

    /// Takes what the ring has received and appends the plaintext in it.
    pub(crate) fn receive<D: Driver>(
        &mut self,
        driver: &mut D,
        scratch: &mut Scratch,
        bytes: Buf,
        plain: &mut Vec<Buf>,
    ) -> Result<(), Fault> {
        self.adapt(bytes.len());
        let Some(secure) = &mut self.secure else {
            plain.push(bytes);
            return Ok(());
        };
        let opened = secure.open(driver.pool(), scratch, bytes, plain);
        let flushed = secure.flush(driver, self.socket, &mut self.queue, scratch);
        opened.and(flushed)
    }

    /// The peer has said good-bye within TLS: nothing follows.
    pub(crate) fn is_closed_by_peer(&self) -> bool {
        self.secure.as_ref().is_some_and(|secure| secure.closed)
    }

    /// Sends what TLS wants to say first (a ClientHello).
    pub(crate) fn hello<D: Driver>(
        &mut self,
        driver: &mut D,
        scratch: &mut Scratch,
    ) -> Result<(), Fault> {
        match &mut self.secure {
            Some(secure) => secure.flush(driver, self.socket, &mut self.queue, scratch),
            None => Ok(()),
        }
    }

    /// Sends plaintext, sealed where the socket is protected.
    pub(crate) fn send<D: Driver>(&mut self, driver: &mut D, bytes: Buf) -> Result<(), Fault> {
        match &mut self.secure {
            _ if bytes.is_empty() => Ok(()),
            Some(secure) if secure.is_held => {
                secure.push(bytes);
                Ok(())
            }
            Some(secure) => {
                secure.push(bytes);
                secure.seal(driver, self.socket, &mut self.queue, Extent::Share)
            }
            None => self.queue.push(driver, self.socket, bytes),
        }
    }

    /// More than one piece is about to be sent: they are sealed together by
    /// [`Transport::release`], a head with its body in one record. Says whether it is this call
    /// that must be followed by it. Never beyond one event: nothing else would come back to it.
    pub(crate) fn hold(&mut self) -> bool {
        self.secure.as_mut().is_some_and(|secure| !std::mem::replace(&mut secure.is_held, true))
    }

    /// Seals what was sent since [`Transport::hold`].
    pub(crate) fn release<D: Driver>(
        &mut self,
        driver: &mut D,
        scratch: &mut Scratch,
    ) -> Result<(), Fault> {
        let Some(secure) = &mut self.secure else { return Ok(()) };
        secure.is_held = false;
        self.seal_waiting(driver, scratch)
    }

    /// Closes the sending side once all has left.
    pub(crate) fn finish<D: Driver>(&mut self, driver: &mut D, scratch: &mut Scratch) {
        if let Some(secure) = self.secure.as_mut().filter(|secure| secure.waiting_bytes() > 0) {
            // `sent` comes back to this.
            secure.is_finishing = true;
            return;
        }
        self.say_goodbye(driver, scratch);
        self.queue.finish(driver, self.socket);
    }

    /// Closes once all has left. Without memory for what is not sealed yet it is a reset: the peer
    /// must see that something is missing.
    pub(crate) fn close<D: Driver>(&mut self, driver: &mut D, scratch: &mut Scratch) {
        self.part(driver, scratch, D::close);
    }

    /// The same for a peer that has said that it will send nothing more.
    pub(crate) fn leave<D: Driver>(&mut self, driver: &mut D, scratch: &mut Scratch) {
        self.part(driver, scratch, D::leave);
    }

    fn part<D: Driver>(
        &mut self,
        driver: &mut D,
        scratch: &mut Scratch,
        close: impl FnOnce(&mut D, Socket),
    ) {
        if let Some(secure) = &mut self.secure
            && secure.seal(driver, self.socket, &mut self.queue, Extent::All).is_err()
        {
            return driver.reset(self.socket);
        }
        self.say_goodbye(driver, scratch);
        self.queue.flush(driver, self.socket);
        close(driver, self.socket);
    }

    fn say_goodbye<D: Driver>(&mut self, driver: &mut D, scratch: &mut Scratch) {
        if let Some(secure) = &mut self.secure {
            secure.side.close();
            // Without memory for the alert the peer sees the close of the socket alone.
            let _ = secure.flush(driver, self.socket, &mut self.queue, scratch);
        }
    }

    /// Bytes have left: those that waited for it follow.
    pub(crate) fn sent<D: Driver>(
        &mut self,
        driver: &mut D,
        scratch: &mut Scratch,
    ) -> Result<(), Fault> {
        if driver.unsent(self.socket) == 0 {
            self.queue.flush(driver, self.socket);
        }
        self.seal_waiting(driver, scratch)
    }

    fn seal_waiting<D: Driver>(
        &mut self,
        driver: &mut D,
        scratch: &mut Scratch,
    ) -> Result<(), Fault> {
        let Some(secure) = &mut self.secure else { return Ok(()) };
        secure.seal(driver, self.socket, &mut self.queue, Extent::Share)?;
        if secure.waiting_bytes() == 0 && std::mem::take(&mut secure.is_finishing) {
            self.finish(driver, scratch);
        }
        Ok(())
    }

    /// Bytes that have not left yet.
    pub(crate) fn unsent<D: Driver>(&self, driver: &D) -> usize {
        let unsealed = self.secure.as_ref().map_or(0, |secure| secure.waiting_bytes());
        driver.unsent(self.socket) + self.queue.kept() + unsealed
    }

    /// Too much is waiting to leave: whoever feeds this socket should stop for a while.
    pub(crate) fn is_congested<D: Driver>(&self, driver: &D) -> bool {
        let unsent = self.unsent(driver);
        unsent > 0 && unsent > share::unsent_max(driver.pool())
    }

    /// Little is waiting to leave: feeding may go on.
    pub(crate) fn is_clear<D: Driver>(&self, driver: &D) -> bool {
        self.unsent(driver) <= UNSENT_LOW
    }

    /// Two full small buffers in a row ask for large ones; two poor large ones for small ones.
    fn adapt(&mut self, received: usize) {
        let small = 4 * 1024;
        match self.size {
            Size::Small if received >= small => {
                self.full += 1;
                if self.full >= 2 {
                    (self.size, self.full) = (Size::Large, 0);
                }
            }
            Size::Large if received >= RECV_LARGE => self.full = self.full.saturating_add(1),
            Size::Large if received < small => (self.size, self.full) = (Size::Small, 0),
            Size::Small | Size::Large => self.full = 0,
        }
    }
}
