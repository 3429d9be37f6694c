//! A TLS 1.3 connection after its handshake: records are opened and sealed here, without rustls.
//!
//! rustls has given the traffic keys away and keeps what the next ones are made of
//! ([`KernelConnection`]). A record costs its AEAD and no allocation. What a kernel with kTLS would
//! need is at hand in [`Traffic::begin`]: both keys with their counts; changing keys and tickets
//! would stay here as they are.

use std::ops::Range;

use rustls::kernel::KernelConnection;
use rustls::{AlertDescription, Error, ExtractedSecrets, PeerMisbehaved};

use crate::aead::{HEAD, Library, Material, Refused};
use crate::choice::choice;
use crate::error::{Breach, ended, refusal};
use crate::messages::{Message, Messages, Role};
use crate::pieces::Pieces;
use crate::record::{self, Kind, Opener, PLAIN_MAX, RECORD_OVERHEAD, Sealer};
use crate::session::{Opened, Sealed, TlsError};

/// What sealing may add to one record: head, explicit nonce, content type and tag, and before it a
/// KeyUpdate record that has become due.
pub const SEAL_OVERHEAD: usize = 64;
const _: () = assert!(SEAL_OVERHEAD >= 2 * RECORD_OVERHEAD + KEY_UPDATE.len());
/// Records without content, one after the other (as rustls and OpenSSL).
const EMPTY_MAX: u8 = 32;
/// Changes of the peer's keys without data between them (as rustls, BoringSSL and OpenSSL).
const UPDATES_MAX: u8 = 32;
/// Warnings that mean nothing (as rustls and BoringSSL).
const WARNINGS_MAX: u8 = 4;
/// Tickets that are kept of one connection; more are passed over. Servers send one or two.
const TICKETS_MAX: u8 = 8;
/// A KeyUpdate that asks for none in return: our key is worn, not the peer's.
const KEY_UPDATE: [u8; 5] = [24, 0, 0, 1, 0];

/// A connection that carries data. Errors end it: its owner drops it and with it the keys.
pub(crate) struct Traffic<R> {
    /// `None`: good-bye was said.
    sealer: Option<Sealer>,
    /// `None`: the peer has said good-bye.
    opener: Option<Opener>,
    library: Library,
    /// Large and needed rarely: for new keys and tickets.
    kernel: Box<KernelConnection<R>>,
    messages: Messages,
    /// What TLS itself wants to send.
    out: Vec<u8>,
    /// The peer has asked for new keys of ours. They come with the next data (RFC 8446 section
    /// 4.6.3), so that many questions need one answer.
    update_due: bool,
    empty_in_a_row: u8,
    updates_in_a_row: u8,
    warnings: u8,
    tickets: u8,
}

impl<R: Role> Traffic<R> {
    /// Takes over from rustls. `out` is what it had yet to send.
    pub(crate) fn begin(
        secrets: &ExtractedSecrets,
        kernel: KernelConnection<R>,
        out: Vec<u8>,
    ) -> Result<Self, Refused> {
        let sealing = Material::of(&secrets.tx)?;
        let library = choice().library(sealing.algorithm);
        Ok(Self {
            sealer: Some(Sealer::new(library, &sealing)?),
            opener: Some(Opener::new(library, &Material::of(&secrets.rx)?)?),
            library,
            kernel: Box::new(kernel),
            messages: Messages::default(),
            out,
            update_due: false,
            empty_in_a_row: 0,
            updates_in_a_row: 0,
            warnings: 0,
            tickets: 0,
        })
    }

    /// Opens the records of `input` behind its first `consumed` bytes. See
    /// [`crate::Session::open`].
    pub(crate) fn open(
        &mut self,
        input: &mut [u8],
        mut consumed: usize,
        plain: &mut Vec<Range<usize>>,
    ) -> Result<Opened, Breach> {
        while let Some(opener) = &mut self.opener {
            let rest = input.get_mut(consumed..).unwrap_or_default();
            let Some(record) = record::first(rest)? else {
                return Ok(Opened { consumed, closed: false });
            };
            let (kind, size) = opener.open(record)?;
            let place = consumed + HEAD..consumed + HEAD + size;
            consumed += record.len();
            self.note_size(size)?;
            if kind == Kind::Data {
                self.note_data(size)?;
                plain.push(place);
            } else {
                let content = input.get(place).unwrap_or_default();
                self.on_control(kind, content)?;
            }
        }
        // RFC 8446 section 6.1: what follows a close_notify is ignored.
        Ok(Opened { consumed: input.len(), closed: true })
    }

    fn note_size(&mut self, size: usize) -> Result<(), Breach> {
        self.empty_in_a_row = if size == 0 { self.empty_in_a_row + 1 } else { 0 };
        if self.empty_in_a_row > EMPTY_MAX {
            return Err(misbehaved(PeerMisbehaved::TooManyEmptyFragments));
        }
        Ok(())
    }

    fn note_data(&mut self, size: usize) -> Result<(), Breach> {
        if self.messages.is_partial() {
            return Err(misbehaved(PeerMisbehaved::MessageInterleavedWithHandshakeMessage));
        }
        if size > 0 {
            self.updates_in_a_row = 0;
        }
        Ok(())
    }

    /// What is not data.
    fn on_control(&mut self, kind: Kind, content: &[u8]) -> Result<(), Breach> {
        if kind == Kind::Handshake {
            return self.on_handshake(content);
        }
        if self.messages.is_partial() {
            return Err(misbehaved(PeerMisbehaved::MessageInterleavedWithHandshakeMessage));
        }
        self.on_alert(content)
    }

    fn on_alert(&mut self, content: &[u8]) -> Result<(), Breach> {
        let (level, alert) = match *content {
            [level, alert] => (level, AlertDescription::from(alert)),
            [] => return Err(Breach::empty()),
            _ => return Err(Breach::malformed("Alert")),
        };
        let received = Error::AlertReceived(alert);
        match (level, alert) {
            (1 | 2, AlertDescription::CloseNotify) => self.opener = None,
            (1, AlertDescription::UserCanceled) => {
                self.warnings += 1;
                if self.warnings > WARNINGS_MAX {
                    return Err(misbehaved(PeerMisbehaved::TooManyWarningAlertsReceived));
                }
            }
            // The level says nothing (RFC 8446 section 6), but there are only two.
            (1 | 2, _) => return Err(Breach::silent(received)),
            _ => return Err(Breach::new(AlertDescription::IllegalParameter, received)),
        }
        Ok(())
    }

    fn on_handshake(&mut self, mut content: &[u8]) -> Result<(), Breach> {
        if content.is_empty() {
            return Err(Breach::empty());
        }
        while let Some(message) = self.messages.next::<R>(&mut content)? {
            match message {
                Message::Ticket(payload) if self.tickets < TICKETS_MAX => {
                    self.tickets += 1;
                    R::keep_ticket(&mut self.kernel, &payload).map_err(Breach::of_ticket)?;
                }
                Message::Ticket(_) => {}
                // New keys begin with a new record (RFC 8446 section 5.1).
                Message::KeyUpdate(_) if !content.is_empty() => {
                    return Err(misbehaved(PeerMisbehaved::KeyEpochWithPendingFragment));
                }
                Message::KeyUpdate(is_asked) => self.on_key_update(is_asked)?,
            }
        }
        Ok(())
    }

    fn on_key_update(&mut self, is_asked: bool) -> Result<(), Breach> {
        self.updates_in_a_row += 1;
        if self.updates_in_a_row > UPDATES_MAX {
            return Err(misbehaved(PeerMisbehaved::TooManyKeyUpdateRequests));
        }
        let secrets = self.kernel.update_rx_secret().map_err(Breach::internal)?;
        let opener = Material::of(&secrets).and_then(|from| Opener::new(self.library, &from));
        self.opener = Some(opener.map_err(|Refused| Breach::internal(Error::EncryptError))?);
        self.update_due |= is_asked;
        Ok(())
    }

    /// See [`crate::Session::seal_pieces`].
    pub(crate) fn seal(&mut self, plain: &[&[u8]], out: &mut [u8]) -> Result<Sealed, Refused> {
        let mut sealed = Sealed::default();
        // What TLS has to say goes first: the handshake's end may be among it.
        if !give(&mut self.out, out, &mut sealed.written) {
            return Ok(sealed);
        }
        let mut pieces = Pieces::new(plain);
        loop {
            let free = out.get_mut(sealed.written..).unwrap_or_default();
            let room = free.len().saturating_sub(SEAL_OVERHEAD);
            let length = pieces.left.min(PLAIN_MAX).min(room);
            if length == 0 {
                return Ok(sealed);
            }
            sealed.written += self.seal_record(&mut pieces, length, free)?;
            sealed.read += length;
        }
    }

    fn seal_record(
        &mut self,
        pieces: &mut Pieces<'_>,
        length: usize,
        free: &mut [u8],
    ) -> Result<usize, Refused> {
        let mut written = 0;
        if self.update_due || self.sealer.as_ref().is_some_and(Sealer::is_worn) {
            written = self.change_key(free)?;
        }
        let sealer = self.sealer.as_mut().ok_or(Refused)?;
        let free = free.get_mut(written..).unwrap_or_default();
        Ok(written
            + match pieces.take(length) {
                Some(chunk) => sealer.seal(Kind::Data, chunk, free)?,
                None => sealer.seal_filled(Kind::Data, length, |to| pieces.fill(to), free)?,
            })
    }

    /// The last that is sealed with the old key says that a new one follows.
    fn change_key(&mut self, free: &mut [u8]) -> Result<usize, Refused> {
        let mut worn = self.sealer.take().ok_or(Refused)?;
        let written = worn.seal(Kind::Handshake, &KEY_UPDATE, free)?;
        let secrets = self.kernel.update_tx_secret().map_err(|_| Refused)?;
        self.sealer = Some(Sealer::new(self.library, &Material::of(&secrets)?)?);
        self.update_due = false;
        Ok(written)
    }

    #[cfg(test)]
    pub(crate) fn tickets(&self) -> u8 {
        self.tickets
    }

    /// Good-bye was said: nothing can be sealed any more.
    pub(crate) fn has_said_goodbye(&self) -> bool {
        self.sealer.is_none()
    }

    pub(crate) fn output(&mut self, out: &mut Vec<u8>) {
        if !self.out.is_empty() {
            out.append(&mut self.out);
            self.out = Vec::new();
        }
    }

    /// Says good-bye and forgets the key.
    pub(crate) fn close(&mut self) {
        self.say(AlertDescription::CloseNotify);
    }

    /// Forgets the key without a word.
    pub(crate) fn forget_sealing(&mut self) {
        self.sealer = None;
    }

    /// Ends it: the reason for us, and what is left to be sent, with what is said about it.
    pub(crate) fn end(&mut self, breach: &Breach) -> (TlsError, Vec<u8>) {
        if let Some(alert) = breach.alert {
            self.say(alert);
        }
        (refusal(&breach.error), std::mem::take(&mut self.out))
    }

    /// The last record: an alert.
    fn say(&mut self, alert: AlertDescription) {
        let Some(mut sealer) = self.sealer.take() else { return };
        let level = if alert == AlertDescription::CloseNotify { 1 } else { 2 };
        let mut record = [0; RECORD_OVERHEAD + 2];
        if sealer.seal(Kind::Alert, &[level, u8::from(alert)], &mut record).is_ok() {
            self.out.extend_from_slice(&record);
        }
    }
}

impl From<Refused> for TlsError {
    /// Sealing has failed: a key that is used up, or arithmetic that did not work.
    fn from(Refused: Refused) -> Self {
        Self { code: "tls.seal_failed", ..ended() }
    }
}

fn misbehaved(how: PeerMisbehaved) -> Breach {
    Breach::new(AlertDescription::UnexpectedMessage, Error::PeerMisbehaved(how))
}

/// Moves what fits from `from` into the free part of `out`. Says whether all of it went.
pub(crate) fn give(from: &mut Vec<u8>, out: &mut [u8], written: &mut usize) -> bool {
    if from.is_empty() {
        return true;
    }
    let free = out.get_mut(*written..).unwrap_or_default();
    let length = from.len().min(free.len());
    if let (Some(to), Some(bytes)) = (free.get_mut(..length), from.get(..length)) {
        to.copy_from_slice(bytes);
    }
    from.drain(..length);
    *written += length;
    from.is_empty()
}

#[cfg(test)]
mod tests;
