//! What a connection needs of TLS.

use std::ops::Range;

/// One side of one TLS connection.
pub trait Session {
    /// Reads ciphertext. Records are opened in place: `plain` receives the ranges of `input` that
    /// are now plaintext. `consumed` bytes are done with; what follows is the start of a record of
    /// which more must come, to be presented again in front of it.
    fn open(&mut self, input: &mut [u8], plain: &mut Vec<Range<usize>>)
    -> Result<Opened, TlsError>;

    /// Seals plaintext into `out`, as much as fits; call again with the rest.
    fn seal(&mut self, plain: &[u8], out: &mut [u8]) -> Result<Sealed, TlsError> {
        self.seal_pieces(&[plain], out)
    }

    /// Seals pieces as if they were one, in as few records as there can be. `read` counts through
    /// all of them.
    fn seal_pieces(&mut self, plain: &[&[u8]], out: &mut [u8]) -> Result<Sealed, TlsError>;

    /// Moves what TLS itself wants to send (handshake, tickets, alerts) to the end of `out`. To be
    /// asked after every `open`, also after one that failed: the alert says why.
    fn output(&mut self, out: &mut Vec<u8>);

    /// Says good-bye (close_notify); `output` then has the alert.
    fn close(&mut self);

    /// The handshake is not finished.
    fn is_handshaking(&self) -> bool;

    /// What is known of the peer once the handshake is done.
    fn peer(&self) -> &Peer;
}

/// What `open` did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Opened {
    /// Bytes of the input that are done with.
    pub consumed: usize,
    /// The peer has said good-bye: no plaintext follows.
    pub closed: bool,
}

/// What `seal` did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sealed {
    /// Plaintext bytes taken.
    pub read: usize,
    /// Ciphertext bytes written.
    pub written: usize,
}

/// What a handshake has shown of the other side.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Peer {
    /// URI SANs of the peer's verified certificate, in order; the first is its SPIFFE id.
    pub uris: Vec<String>,
    /// DNS SANs of the peer's verified certificate.
    pub dns: Vec<String>,
    /// The subject in RFC 2253 form, if it has one (Envoy falls back on it as principal).
    pub subject: String,
    /// The negotiated application protocol.
    pub alpn: Vec<u8>,
    /// The server name that a client asked for.
    pub sni: String,
    /// "TLSv1.3" or "TLSv1.2".
    pub version: &'static str,
    /// SHA-256 of the peer's verified certificate in DER; zeros if there is none.
    pub fingerprint: [u8; 32],
    /// The peer has shown a certificate and it was verified against the roots. Without that the
    /// names above are empty.
    pub verified: bool,
    /// An earlier session was taken up again: the certificate is the one that was shown then.
    pub is_resumed: bool,
}

/// Why a connection cannot go on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{code}: {detail}")]
pub struct TlsError {
    /// A stable reason, e.g. `tls.unknown_ca`, `tls.san_mismatch`, `tls.no_certificate`.
    pub code: &'static str,
    /// What happened, for people.
    pub detail: String,
}
