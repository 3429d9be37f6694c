//! Records of TLS 1.3 under traffic keys (RFC 8446 section 5): framing, and what is inside.

use rustls::{AlertDescription, ContentType, Error, InvalidMessage, PeerMisbehaved};

use crate::aead::{HEAD, Library, Material, OpenKey, Refused, SealKey, TAG};
use crate::error::Breach;

/// Plaintext bytes in one record at most (RFC 8446 section 5.1).
pub(crate) const PLAIN_MAX: usize = 16 * 1024;
/// Bytes of a record's body at most (RFC 8446 section 5.2).
const BODY_MAX: usize = PLAIN_MAX + 256;
/// What a record is longer than its plaintext: head, type, tag.
pub(crate) const RECORD_OVERHEAD: usize = HEAD + 1 + TAG;
/// A key is changed when so few records are left to it: the KeyUpdate is one of them, an alert
/// may be another.
const WORN: u64 = 8;
/// The outside of every record.
const OUTER: u8 = 23;

/// What is inside a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Alert,
    Handshake,
    Data,
}

impl Kind {
    fn code(self) -> u8 {
        match self {
            Self::Alert => 21,
            Self::Handshake => 22,
            Self::Data => 23,
        }
    }
}

/// Seals records.
pub(crate) struct Sealer(SealKey);

impl Sealer {
    pub(crate) fn new(library: Library, from: &Material<'_>) -> Result<Self, Refused> {
        SealKey::new(library, from).map(Self)
    }

    #[cfg(test)]
    pub(crate) fn skip_to(&mut self, next: u64) {
        self.0.skip_to(next);
    }

    /// The key has to be changed before more data.
    pub(crate) fn is_worn(&self) -> bool {
        self.0.left() <= WORN
    }

    /// Seals one record into the front of `out` and says how long it is. After an error the
    /// connection is at its end.
    pub(crate) fn seal(
        &mut self,
        kind: Kind,
        plain: &[u8],
        out: &mut [u8],
    ) -> Result<usize, Refused> {
        let (head, to) = frame(plain.len(), out)?;
        self.0.seal(head, plain, kind.code(), to)?;
        Ok(HEAD + to.len())
    }

    /// The same for `length` bytes of plaintext that `fill` puts where they are sealed.
    pub(crate) fn seal_filled(
        &mut self,
        kind: Kind,
        length: usize,
        fill: impl FnOnce(&mut [u8]),
        out: &mut [u8],
    ) -> Result<usize, Refused> {
        let (head, to) = frame(length, out)?;
        fill(to.get_mut(..length).ok_or(Refused)?);
        self.0.seal_in_place(head, kind.code(), to)?;
        Ok(HEAD + to.len())
    }
}

/// Writes a record's head and says what it is, and where the body goes.
fn frame(length: usize, out: &mut [u8]) -> Result<([u8; HEAD], &mut [u8]), Refused> {
    let body = length + 1 + TAG;
    let [high, low] = u16::try_from(body).map_err(|_| Refused)?.to_be_bytes();
    let head = [OUTER, 3, 3, high, low];
    let (to, rest) = out.split_at_mut_checked(HEAD).ok_or(Refused)?;
    to.copy_from_slice(&head);
    Ok((head, rest.get_mut(..body).ok_or(Refused)?))
}

/// Opens records.
pub(crate) struct Opener(OpenKey);

impl Opener {
    pub(crate) fn new(library: Library, from: &Material<'_>) -> Result<Self, Refused> {
        OpenKey::new(library, from).map(Self)
    }

    #[cfg(test)]
    pub(crate) fn skip_to(&mut self, next: u64) {
        self.0.skip_to(next);
    }

    /// Opens a whole record in place. So many bytes of plaintext follow its head.
    pub(crate) fn open(&mut self, record: &mut [u8]) -> Result<(Kind, usize), Breach> {
        let (head, body) = record.split_first_chunk_mut::<HEAD>().ok_or(BAD_RECORD)?;
        if body.len() < TAG {
            return Err(BAD_RECORD);
        }
        let inner = self.0.open(*head, body).map_err(|_| BAD_RECORD)?;
        let too_long = inner.len() > PLAIN_MAX + 1;
        // Zeros at the end are padding; before them stands the type.
        let end = inner.iter().rposition(|&byte| byte != 0).filter(|_| !too_long);
        let kind = match end.and_then(|end| inner.get(end)) {
            Some(21) => Kind::Alert,
            Some(22) => Kind::Handshake,
            Some(23) => Kind::Data,
            Some(&other) => return Err(unexpected(ContentType::from(other))),
            None if too_long => return Err(TOO_LONG),
            None => return Err(ONLY_PADDING),
        };
        Ok((kind, end.unwrap_or(0)))
    }
}

const BAD_RECORD: Breach = Breach::new(AlertDescription::BadRecordMac, Error::DecryptError);
const TOO_LONG: Breach =
    Breach::new(AlertDescription::RecordOverflow, Error::PeerSentOversizedRecord);
const ONLY_PADDING: Breach = Breach::new(
    AlertDescription::UnexpectedMessage,
    Error::PeerMisbehaved(PeerMisbehaved::IllegalTlsInnerPlaintext),
);

/// The record that begins here, its head included. `None`: more of it must come. What its head
/// has wrong is told at once.
pub(crate) fn first(input: &mut [u8]) -> Result<Option<&mut [u8]>, Breach> {
    match *input {
        [] => Ok(None),
        [OUTER, _, _, high, low, ..] => {
            let body = usize::from(u16::from_be_bytes([high, low]));
            match body > BODY_MAX {
                true => Err(TOO_LONG),
                false => Ok(input.get_mut(..HEAD + body)),
            }
        }
        [OUTER, ..] => Ok(None),
        [other, ..] => Err(unexpected(ContentType::from(other))),
    }
}

/// A type of record that has no place here.
fn unexpected(got: ContentType) -> Breach {
    let error = match got {
        ContentType::Unknown(_) => InvalidMessage::InvalidContentType.into(),
        got_type => Error::InappropriateMessage {
            expect_types: vec![ContentType::ApplicationData],
            got_type,
        },
    };
    Breach::new(AlertDescription::UnexpectedMessage, error)
}

#[cfg(test)]
mod tests;
