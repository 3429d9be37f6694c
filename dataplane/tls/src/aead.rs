//! Sealing and opening in place: one key and the count of what it was used for.
//!
//! Two libraries can do it, and which is faster depends on the processor: see [`crate::choice`].
//! A nonce comes only out of the count that lives with the key, is consumed by the call that uses
//! it, and cannot be copied: no two records are sealed under one nonce, whatever a caller does.

use aws_lc_rs::aead as aws_lc;
use ring_aead::aead as ring;
use rustls::ConnectionTrafficSecrets;

/// The tag at the end of a record, of every algorithm here.
pub(crate) const TAG: usize = 16;
/// The head of a record, which is its additional data (RFC 8446 section 5.2).
pub(crate) const HEAD: usize = 5;
/// Records that one key may seal. RFC 8446 section 5.5 allows AES-GCM 2^24.5; ChaCha20-Poly1305
/// may do more and has no need of it.
pub(crate) const RECORDS_MAX: u64 = 1 << 24;
const NONCE: usize = 12;

/// Who does the arithmetic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Library {
    AwsLc,
    Ring,
}

impl Library {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::AwsLc => "aws-lc",
            Self::Ring => "ring",
        }
    }
}

/// The algorithms of TLS 1.3 that are built in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Algorithm {
    Aes128Gcm,
    Aes256Gcm,
    Chacha20Poly1305,
}

impl Algorithm {
    fn aws_lc(self) -> &'static aws_lc::Algorithm {
        match self {
            Self::Aes128Gcm => &aws_lc::AES_128_GCM,
            Self::Aes256Gcm => &aws_lc::AES_256_GCM,
            Self::Chacha20Poly1305 => &aws_lc::CHACHA20_POLY1305,
        }
    }

    fn ring(self) -> &'static ring::Algorithm {
        match self {
            Self::Aes128Gcm => &ring::AES_128_GCM,
            Self::Aes256Gcm => &ring::AES_256_GCM,
            Self::Chacha20Poly1305 => &ring::CHACHA20_POLY1305,
        }
    }
}

/// It did not work: a tag that does not fit, a key that is used up, lengths that do not agree.
/// Whoever meets it gives the connection up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Refused;

/// A nonce that nobody has used. Neither `Clone` nor `Copy`.
struct Nonce([u8; NONCE]);

/// The count of a key's records, and where their nonces begin (RFC 8446 section 5.3).
struct Count {
    salt: [u8; 4],
    base: u64,
    next: u64,
}

impl Count {
    fn new(iv: [u8; NONCE], next: u64) -> Self {
        let [a, b, c, d, base @ ..] = iv;
        Self { salt: [a, b, c, d], base: u64::from_be_bytes(base), next }
    }

    /// The next nonce, as long as there are fewer than `limit`.
    fn take(&mut self, limit: u64) -> Result<Nonce, Refused> {
        if self.next >= limit {
            return Err(Refused);
        }
        let mut nonce = [0; NONCE];
        let (salt, base) = nonce.split_at_mut(4);
        salt.copy_from_slice(&self.salt);
        base.copy_from_slice(&(self.base ^ self.next).to_be_bytes());
        self.next += 1;
        Ok(Nonce(nonce))
    }
}

/// The key schedule of one algorithm, expanded.
enum Key {
    AwsLc(aws_lc::LessSafeKey),
    Ring(Box<ring::LessSafeKey>),
}

impl Key {
    fn new(library: Library, algorithm: Algorithm, key: &[u8]) -> Result<Self, Refused> {
        Ok(match library {
            Library::AwsLc => {
                let key = aws_lc::UnboundKey::new(algorithm.aws_lc(), key).map_err(|_| Refused)?;
                Self::AwsLc(aws_lc::LessSafeKey::new(key))
            }
            Library::Ring => {
                let key = ring::UnboundKey::new(algorithm.ring(), key).map_err(|_| Refused)?;
                Self::Ring(Box::new(ring::LessSafeKey::new(key)))
            }
        })
    }

    /// Seals `plain` and one byte more into `out`, which has room for exactly that and the tag.
    /// AWS-LC copies while it seals.
    fn seal(
        &self,
        Nonce(nonce): Nonce,
        head: [u8; HEAD],
        plain: &[u8],
        last: u8,
        out: &mut [u8],
    ) -> Result<(), Refused> {
        if out.len() != plain.len() + 1 + TAG {
            return Err(Refused);
        }
        match self {
            Self::AwsLc(key) => {
                let (to, rest) = out.split_at_mut_checked(plain.len()).ok_or(Refused)?;
                let nonce = aws_lc::Nonce::assume_unique_for_key(nonce);
                let head = aws_lc::Aad::from(head);
                key.seal_out_of_place_scatter(nonce, head, plain, to, &[last], rest)
                    .map_err(|_| Refused)
            }
            Self::Ring(_) => {
                let (to, _) = out.split_at_mut_checked(plain.len()).ok_or(Refused)?;
                to.copy_from_slice(plain);
                self.seal_in_place(Nonce(nonce), head, last, out)
            }
        }
    }

    /// Seals what stands at the front of `out` and one byte more; behind it is room for exactly
    /// that byte and the tag.
    fn seal_in_place(
        &self,
        Nonce(nonce): Nonce,
        head: [u8; HEAD],
        last: u8,
        out: &mut [u8],
    ) -> Result<(), Refused> {
        let length = out.len().checked_sub(TAG + 1).ok_or(Refused)?;
        match self {
            Self::AwsLc(key) => {
                let (plain, rest) = out.split_at_mut_checked(length).ok_or(Refused)?;
                let nonce = aws_lc::Nonce::assume_unique_for_key(nonce);
                let head = aws_lc::Aad::from(head);
                key.seal_in_place_scatter(nonce, head, plain, &[last], rest).map_err(|_| Refused)
            }
            Self::Ring(key) => {
                let (inner, tag) = out.split_at_mut_checked(length + 1).ok_or(Refused)?;
                *inner.last_mut().ok_or(Refused)? = last;
                let nonce = ring::Nonce::assume_unique_for_key(nonce);
                let head = ring::Aad::from(head);
                let sum =
                    key.seal_in_place_separate_tag(nonce, head, inner).map_err(|_| Refused)?;
                if tag.len() != sum.as_ref().len() {
                    return Err(Refused);
                }
                tag.copy_from_slice(sum.as_ref());
                Ok(())
            }
        }
    }

    /// Opens the body of a record where it is. What comes back is its front.
    fn open<'a>(
        &self,
        Nonce(nonce): Nonce,
        head: [u8; HEAD],
        body: &'a mut [u8],
    ) -> Result<&'a mut [u8], Refused> {
        match self {
            Self::AwsLc(key) => {
                let nonce = aws_lc::Nonce::assume_unique_for_key(nonce);
                key.open_in_place(nonce, aws_lc::Aad::from(head), body).map_err(|_| Refused)
            }
            Self::Ring(key) => {
                let nonce = ring::Nonce::assume_unique_for_key(nonce);
                key.open_in_place(nonce, ring::Aad::from(head), body).map_err(|_| Refused)
            }
        }
    }
}

/// What a key is made of: algorithm, key, first nonce, records that were protected by it already.
pub(crate) struct Material<'a> {
    pub(crate) algorithm: Algorithm,
    pub(crate) key: &'a [u8],
    pub(crate) iv: [u8; NONCE],
    pub(crate) count: u64,
}

impl<'a> Material<'a> {
    /// What rustls has agreed on with the peer.
    pub(crate) fn of(
        (count, secrets): &'a (u64, ConnectionTrafficSecrets),
    ) -> Result<Self, Refused> {
        let (algorithm, key, iv) = match secrets {
            ConnectionTrafficSecrets::Aes128Gcm { key, iv } => (Algorithm::Aes128Gcm, key, iv),
            ConnectionTrafficSecrets::Aes256Gcm { key, iv } => (Algorithm::Aes256Gcm, key, iv),
            ConnectionTrafficSecrets::Chacha20Poly1305 { key, iv } => {
                (Algorithm::Chacha20Poly1305, key, iv)
            }
            _ => return Err(Refused),
        };
        let iv = iv.as_ref().try_into().map_err(|_| Refused)?;
        Ok(Self { algorithm, key: key.as_ref(), iv, count: *count })
    }
}

/// Seals one direction's records.
pub(crate) struct SealKey {
    key: Key,
    count: Count,
}

impl SealKey {
    pub(crate) fn new(library: Library, from: &Material<'_>) -> Result<Self, Refused> {
        let key = Key::new(library, from.algorithm, from.key)?;
        Ok(Self { key, count: Count::new(from.iv, from.count) })
    }

    /// Records that it can still seal.
    pub(crate) fn left(&self) -> u64 {
        RECORDS_MAX.saturating_sub(self.count.next)
    }

    /// Passes nonces over, for tests of their end.
    #[cfg(test)]
    pub(crate) fn skip_to(&mut self, next: u64) {
        self.count.next = self.count.next.max(next);
    }

    /// Seals `plain` and one byte more into `out`, which is [`TAG`] + 1 longer.
    pub(crate) fn seal(
        &mut self,
        head: [u8; HEAD],
        plain: &[u8],
        last: u8,
        out: &mut [u8],
    ) -> Result<(), Refused> {
        let nonce = self.count.take(RECORDS_MAX)?;
        self.key.seal(nonce, head, plain, last, out)
    }

    /// The same for plaintext that stands in `out` already.
    pub(crate) fn seal_in_place(
        &mut self,
        head: [u8; HEAD],
        last: u8,
        out: &mut [u8],
    ) -> Result<(), Refused> {
        let nonce = self.count.take(RECORDS_MAX)?;
        self.key.seal_in_place(nonce, head, last, out)
    }
}

/// Opens the other direction's records.
pub(crate) struct OpenKey {
    key: Key,
    count: Count,
}

impl OpenKey {
    pub(crate) fn new(library: Library, from: &Material<'_>) -> Result<Self, Refused> {
        let key = Key::new(library, from.algorithm, from.key)?;
        Ok(Self { key, count: Count::new(from.iv, from.count) })
    }

    /// Passes nonces over, for tests of their end.
    #[cfg(test)]
    pub(crate) fn skip_to(&mut self, next: u64) {
        self.count.next = self.count.next.max(next);
    }

    /// Opens the body of a record where it is. Whether the peer has used its key too often is its
    /// own affair: the harm is done.
    pub(crate) fn open<'a>(
        &mut self,
        head: [u8; HEAD],
        body: &'a mut [u8],
    ) -> Result<&'a mut [u8], Refused> {
        let nonce = self.count.take(u64::MAX)?;
        self.key.open(nonce, head, body)
    }
}

#[cfg(test)]
pub(crate) mod tests;
