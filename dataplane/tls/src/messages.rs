//! What a peer says of the connection itself after the handshake: tickets and new keys, whole or
//! in fragments (RFC 8446 section 4.6).

use std::borrow::Cow;

use rustls::client::ClientConnectionData;
use rustls::kernel::KernelConnection;
use rustls::server::ServerConnectionData;
use rustls::{AlertDescription, Error, HandshakeType, InvalidMessage};

use crate::error::Breach;

/// A ticket's bytes at most (as rustls). What OpenSSL puts into one, the client's chain among it,
/// takes a few KiB.
const TICKET_MAX: usize = 0xffff;
/// Type and length.
const HEAD: usize = 4;

/// Which side we are: only a client is given tickets.
pub(crate) trait Role: Sized {
    const TAKES_TICKETS: bool;

    /// Keeps a ticket for the next connection to the same server.
    fn keep_ticket(kernel: &mut KernelConnection<Self>, payload: &[u8]) -> Result<(), Error>;
}

impl Role for ServerConnectionData {
    const TAKES_TICKETS: bool = false;

    fn keep_ticket(_: &mut KernelConnection<Self>, _: &[u8]) -> Result<(), Error> {
        Ok(())
    }
}

impl Role for ClientConnectionData {
    const TAKES_TICKETS: bool = true;

    fn keep_ticket(kernel: &mut KernelConnection<Self>, payload: &[u8]) -> Result<(), Error> {
        kernel.handle_new_session_ticket(payload)
    }
}

/// One message.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Message<'a> {
    /// NewSessionTicket, without its head.
    Ticket(Cow<'a, [u8]>),
    /// The peer's next record is under new keys; whether it wants the same of us.
    KeyUpdate(bool),
}

/// Puts messages together.
#[derive(Default)]
pub(crate) struct Messages {
    /// The beginning of a message.
    partial: Vec<u8>,
}

impl Messages {
    /// A message has begun and is not whole: nothing else may come before the rest of it.
    pub(crate) fn is_partial(&self) -> bool {
        !self.partial.is_empty()
    }

    /// Takes the next message off the front of `content`. `None`: it is used up.
    pub(crate) fn next<'a, R: Role>(
        &mut self,
        content: &mut &'a [u8],
    ) -> Result<Option<Message<'a>>, Breach> {
        if content.is_empty() {
            return Ok(None);
        }
        let mut partial = std::mem::take(&mut self.partial);
        let whole = length::<R>(&[&partial, content])?;
        let missing = whole.map_or(usize::MAX, |whole| whole.saturating_sub(partial.len()));
        let Some((mine, rest)) = content.split_at_checked(missing) else {
            partial.extend_from_slice(content);
            (self.partial, *content) = (partial, &[]);
            return Ok(None);
        };
        *content = rest;
        if partial.is_empty() {
            return parse(Cow::Borrowed(mine)).map(Some);
        }
        partial.extend_from_slice(mine);
        parse(Cow::Owned(partial)).map(Some)
    }
}

/// The length of a message with its head, once that can be told. What has no place here is told
/// as early as its first byte, so that nobody's memory is filled with it.
fn length<R: Role>(parts: &[&[u8]; 2]) -> Result<Option<usize>, Breach> {
    let mut bytes = parts.iter().flat_map(|part| part.iter().copied());
    let mut head = [0; HEAD];
    let mut count = 0;
    for (to, byte) in head.iter_mut().zip(&mut bytes) {
        *to = byte;
        count += 1;
    }
    let [kind, high, middle, low] = head;
    let most = match HandshakeType::from(kind) {
        HandshakeType::KeyUpdate => 1,
        HandshakeType::NewSessionTicket if R::TAKES_TICKETS => TICKET_MAX,
        got_type => return Err(out_of_place::<R>(got_type)),
    };
    if count < HEAD {
        return Ok(None);
    }
    let length = u32::from_be_bytes([0, high, middle, low]) as usize;
    if length > most {
        let error = InvalidMessage::HandshakePayloadTooLarge.into();
        return Err(Breach::new(AlertDescription::DecodeError, error));
    }
    Ok(Some(HEAD + length))
}

/// A whole message, of a type that [`length`] has let pass.
fn parse(message: Cow<'_, [u8]>) -> Result<Message<'_>, Breach> {
    match *message {
        [24, 0, 0, 1, 0] => return Ok(Message::KeyUpdate(false)),
        [24, 0, 0, 1, 1] => return Ok(Message::KeyUpdate(true)),
        [24, 0, 0, 1, _] => {
            let error = InvalidMessage::InvalidKeyUpdate.into();
            return Err(Breach::new(AlertDescription::IllegalParameter, error));
        }
        [24, ..] => return Err(Breach::malformed("KeyUpdate")),
        _ => {}
    }
    Ok(Message::Ticket(match message {
        Cow::Borrowed(bytes) => Cow::Borrowed(bytes.get(HEAD..).unwrap_or_default()),
        Cow::Owned(mut bytes) => {
            bytes.drain(..HEAD.min(bytes.len()));
            Cow::Owned(bytes)
        }
    }))
}

fn out_of_place<R: Role>(got_type: HandshakeType) -> Breach {
    let mut expect_types = vec![HandshakeType::KeyUpdate];
    if R::TAKES_TICKETS {
        expect_types.push(HandshakeType::NewSessionTicket);
    }
    let error = Error::InappropriateHandshakeMessage { expect_types, got_type };
    Breach::new(AlertDescription::UnexpectedMessage, error)
}

#[cfg(test)]
mod tests;
