//! One connection after its first words: the handshake by rustls, then records of our own.

use std::fmt;
use std::ops::Range;

use crate::aead::Refused;
use crate::engine::Engine;
use crate::error::{Breach, ended, refusal};
use crate::handshake::Handshake;
use crate::session::{Opened, Peer, Sealed, TlsError};
use crate::traffic::Traffic;

/// Where a connection stands.
pub(crate) enum Flow<E: Engine> {
    /// rustls does it all: a handshake, and TLS 1.2 to its end.
    Handshake(Box<Handshake<E>>),
    /// TLS 1.3 with keys of our own.
    Traffic(Box<Traffic<E::Side>>),
    /// It cannot go on: the keys are forgotten.
    Ended(Ended),
}

/// What is left of a connection that has failed.
#[derive(Debug, Default)]
pub(crate) struct Ended {
    /// The alert that says why.
    out: Vec<u8>,
    /// The handshake was finished, whatever came later.
    established: bool,
}

/// Shows where it stands, no keys and no bytes.
impl<E: Engine> fmt::Debug for Flow<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Handshake(handshake) => handshake.fmt(f),
            Self::Traffic(_) => f.write_str("Traffic"),
            Self::Ended(_) => f.write_str("Ended"),
        }
    }
}

impl<E: Engine> Flow<E> {
    pub(crate) fn new(handshake: Handshake<E>) -> Self {
        Self::Handshake(Box::new(handshake))
    }

    pub(crate) fn is_handshaking(&self) -> bool {
        match self {
            Self::Handshake(handshake) => handshake.is_handshaking(),
            Self::Traffic(_) => false,
            Self::Ended(ended) => !ended.established,
        }
    }

    /// See [`crate::Session::open`].
    pub(crate) fn open(
        &mut self,
        input: &mut [u8],
        plain: &mut Vec<Range<usize>>,
        peer: &mut Peer,
    ) -> Result<Opened, TlsError> {
        match self {
            Self::Handshake(handshake) => {
                let opened = handshake.open(input, plain, peer);
                if handshake.is_over() {
                    return self.go_on(input, opened?.consumed, plain);
                }
                if handshake.has_failed() {
                    let mut ended = Ended { out: Vec::new(), established: !self.is_handshaking() };
                    self.output(&mut ended.out);
                    *self = Self::Ended(ended);
                }
                opened
            }
            Self::Traffic(traffic) => match traffic.open(input, 0, plain) {
                Ok(opened) => Ok(opened),
                Err(breach) => Err(self.end(&breach)),
            },
            Self::Ended(_) => Err(ended()),
        }
    }

    /// The handshake is over: takes the keys and opens what has come behind it.
    fn go_on(
        &mut self,
        input: &mut [u8],
        consumed: usize,
        plain: &mut Vec<Range<usize>>,
    ) -> Result<Opened, TlsError> {
        let over = std::mem::replace(self, Self::Ended(Ended::default()));
        let Self::Handshake(handshake) = over else { return Err(ended()) };
        let said_goodbye = handshake.has_said_goodbye();
        let (engine, out) = handshake.into_parts();
        let (secrets, kernel) = engine.into_secrets().map_err(|error| refusal(&error))?;
        let mut traffic = Traffic::begin(&secrets, kernel, out)?;
        if said_goodbye {
            traffic.forget_sealing();
        }
        *self = Self::Traffic(Box::new(traffic));
        let Self::Traffic(traffic) = self else { return Err(ended()) };
        match traffic.open(input, consumed, plain) {
            Ok(opened) => Ok(opened),
            Err(breach) => Err(self.end(&breach)),
        }
    }

    /// See [`crate::Session::seal_pieces`].
    pub(crate) fn seal(&mut self, plain: &[&[u8]], out: &mut [u8]) -> Result<Sealed, TlsError> {
        match self {
            Self::Handshake(handshake) => handshake.seal(plain, out),
            Self::Traffic(traffic) if traffic.has_said_goodbye() => Err(ended()),
            Self::Traffic(traffic) => match traffic.seal(plain, out) {
                Ok(sealed) => Ok(sealed),
                Err(Refused) => {
                    *self = Self::Ended(Ended { out: Vec::new(), established: true });
                    Err(Refused.into())
                }
            },
            Self::Ended(_) => Err(ended()),
        }
    }

    /// See [`crate::Session::output`].
    pub(crate) fn output(&mut self, out: &mut Vec<u8>) {
        match self {
            Self::Handshake(handshake) => handshake.output(out),
            Self::Traffic(traffic) => traffic.output(out),
            Self::Ended(ended) => out.append(&mut std::mem::take(&mut ended.out)),
        }
    }

    /// See [`crate::Session::close`].
    pub(crate) fn close(&mut self) {
        match self {
            Self::Handshake(handshake) => handshake.close(),
            Self::Traffic(traffic) => traffic.close(),
            Self::Ended(_) => {}
        }
    }

    fn end(&mut self, breach: &Breach) -> TlsError {
        let Self::Traffic(traffic) = self else { return ended() };
        let (error, out) = traffic.end(breach);
        *self = Self::Ended(Ended { out, established: true });
        error
    }
}

#[cfg(test)]
mod tests;
