//! rustls' unbuffered interface driven to and fro: every handshake, and TLS 1.2 to its end.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use rustls::unbuffered::ConnectionState;
use rustls::{HandshakeKind, ProtocolVersion};

use crate::aead::{HEAD, TAG};
use crate::engine::{self, Engine, Shown, Turn, record_end};
use crate::error::{ended, refusal, too_large};
use crate::leaf::{self, Leaf};
use crate::record::PLAIN_MAX;
use crate::session::{Opened, Peer, Sealed, TlsError};
use crate::traffic::{SEAL_OVERHEAD, give};
use crate::verify::Verifier;

/// Bytes of a handshake that is not whole yet, kept for one connection at most. A message of 64 KiB
/// is the largest that rustls takes; its records have headers and tags.
pub(crate) const PENDING_MAX: usize = 72 * 1024;
/// Records that rustls may want to send when it has failed.
const ALERTS_MAX: usize = 16;

/// A connection and what it has yet to read and to send.
///
/// rustls is shown one record at a time. So it never reads beyond a handshake of TLS 1.3: what
/// follows it, KeyUpdates that would have to be answered among it, finds the keys in their new
/// place.
pub(crate) struct Handshake<E> {
    engine: E,
    verifier: Arc<Verifier>,
    /// Input that rustls has begun to read and wants to see again from its start. Empty but during
    /// a handshake, or between the fragments of a later handshake message.
    pending: Vec<u8>,
    /// Bytes of `pending` that are whole records, of which rustls has seen the inside.
    seen: usize,
    /// What TLS itself wants to send.
    out: Vec<u8>,
    phase: Phase,
    /// The handshake was finished, whatever came later.
    established: bool,
    /// We have sent close_notify. What the peer has yet to say may still come.
    said_goodbye: bool,
}

/// Shows where it stands, no keys and no bytes.
impl<E> fmt::Debug for Handshake<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handshake")
            .field("phase", &self.phase)
            .field("pending", &self.pending.len())
            .field("out", &self.out.len())
            .finish_non_exhaustive()
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Handshake,
    /// TLS 1.2 carries data.
    Open,
    /// A handshake of TLS 1.3 is done, and rustls has nothing left to say: on with the keys.
    Over,
    /// The peer has sent close_notify. We may still have something to say.
    PeerClosed,
    Failed,
}

impl<E: Engine> Handshake<E> {
    pub(crate) fn new(engine: E, verifier: Arc<Verifier>, pending: Vec<u8>) -> Self {
        Self {
            engine,
            verifier,
            pending,
            seen: 0,
            out: Vec::new(),
            phase: Phase::Handshake,
            established: false,
            said_goodbye: false,
        }
    }

    pub(crate) fn is_handshaking(&self) -> bool {
        !self.established
    }

    /// A handshake of TLS 1.3 is done: what follows is not read here.
    pub(crate) fn is_over(&self) -> bool {
        self.phase == Phase::Over
    }

    pub(crate) fn has_said_goodbye(&self) -> bool {
        self.said_goodbye
    }

    pub(crate) fn has_failed(&self) -> bool {
        self.phase == Phase::Failed
    }

    /// What comes of it when it is over, and what it had yet to send.
    pub(crate) fn into_parts(self) -> (E, Vec<u8>) {
        (self.engine, self.out)
    }

    /// See [`crate::Session::open`].
    pub(crate) fn open(
        &mut self,
        input: &mut [u8],
        plain: &mut Vec<Range<usize>>,
        peer: &mut Peer,
    ) -> Result<Opened, TlsError> {
        match (self.phase, self.pending.is_empty()) {
            (Phase::Failed, _) => Err(ended()),
            (Phase::PeerClosed, _) => Ok(Opened { consumed: input.len(), closed: true }),
            (_, true) => self.open_in_place(input, plain, peer),
            (_, false) => self.open_joined(input, plain, peer),
        }
    }

    fn open_in_place(
        &mut self,
        input: &mut [u8],
        plain: &mut Vec<Range<usize>>,
        peer: &mut Peer,
    ) -> Result<Opened, TlsError> {
        let mut opened = self.pump(input, true, plain, peer)?;
        let rest = input.get(opened.consumed..).unwrap_or_default();
        if !rest.is_empty() && self.wants_again(rest) {
            self.keep(rest)?;
            opened.consumed = input.len();
        }
        Ok(opened)
    }

    /// rustls wants to see bytes of earlier calls again, in front of the input.
    fn open_joined(
        &mut self,
        input: &mut [u8],
        plain: &mut Vec<Range<usize>>,
        peer: &mut Peer,
    ) -> Result<Opened, TlsError> {
        let mut joined = std::mem::take(&mut self.pending);
        let before = joined.len();
        joined.extend_from_slice(input);
        let first = plain.len();
        let opened = self.pump(&mut joined, false, plain, peer)?;
        // Plaintext can only follow the handshake message that was incomplete, whose end is in
        // the new input.
        for range in plain.iter_mut().skip(first) {
            match take_over(range, before, &joined, input) {
                Some(moved) => *range = moved,
                None => return Err(self.end(ended())),
            }
        }
        let rest = joined.get(opened.consumed..).unwrap_or_default();
        match opened.consumed.checked_sub(before) {
            Some(consumed) if !self.wants_again(rest) => Ok(Opened { consumed, ..opened }),
            // A handshake's last record has its end in the new input, too.
            None if self.phase == Phase::Over => Err(self.end(ended())),
            _ => {
                self.keep(rest)?;
                Ok(Opened { consumed: input.len(), ..opened })
            }
        }
    }

    /// Whether the rest of the input must be kept here as it is: rustls has read (and changed)
    /// whole records of it, or will join it with what comes.
    fn wants_again(&self, rest: &[u8]) -> bool {
        match self.phase {
            Phase::Handshake => true,
            Phase::Over => false,
            _ => record_end(rest).is_some(),
        }
    }

    fn keep(&mut self, rest: &[u8]) -> Result<(), TlsError> {
        if rest.len() > PENDING_MAX {
            return Err(self.end(too_large(PENDING_MAX)));
        }
        self.pending = rest.to_vec();
        Ok(())
    }

    /// Lets rustls read until it wants more. `aligned`: the input begins with a record of which
    /// rustls has seen nothing.
    fn pump(
        &mut self,
        input: &mut [u8],
        aligned: bool,
        plain: &mut Vec<Range<usize>>,
        peer: &mut Peer,
    ) -> Result<Opened, TlsError> {
        let mut opened = Opened::default();
        // TLS 1.2 stays with rustls: of its data nothing has to be kept back.
        let seen = if self.phase == Phase::Open { input.len() } else { self.seen };
        let mut shown = Shown { records: seen, end: seen };
        while let Some(rest) = input.get_mut(opened.consumed..shown.end) {
            let (turn, discard) = engine::turn(&mut self.engine, rest, aligned, &mut self.out);
            let start = opened.consumed;
            opened.consumed += discard;
            self.note_handshake(peer)?;
            match turn {
                Turn::Again => {}
                Turn::Record(length) => plain.push(self.place(start, opened.consumed, length)),
                Turn::Copied(bytes) => {
                    let range = opened.consumed.saturating_sub(bytes.len())..opened.consumed;
                    let Some(to) = input.get_mut(range.clone()) else {
                        return Err(self.end(ended()));
                    };
                    to.copy_from_slice(&bytes);
                    plain.push(range);
                }
                Turn::PeerClosed => opened.closed = true,
                Turn::Idle if self.is_done() => {
                    self.phase = Phase::Over;
                    break;
                }
                Turn::Idle if shown.more(input) => {}
                Turn::Idle => break,
                Turn::Failed(error) => return Err(self.fail(&error)),
            }
        }
        self.seen = shown.records.saturating_sub(opened.consumed);
        if opened.closed {
            // RFC 8446 section 6.1: what follows a close_notify is ignored.
            self.phase = Phase::PeerClosed;
            opened.consumed = input.len();
        }
        Ok(opened)
    }

    /// The handshake is done, and rustls need not be asked any more.
    fn is_done(&self) -> bool {
        let version = self.engine.common().protocol_version();
        self.phase == Phase::Open && version == Some(ProtocolVersion::TLSv1_3)
    }

    /// Where the plaintext of the record at `start..end` is. TLS 1.3 may have padding after it,
    /// TLS 1.2 an explicit nonce before it.
    fn place(&self, start: usize, end: usize, length: usize) -> Range<usize> {
        let from = match self.engine.common().protocol_version() {
            Some(ProtocolVersion::TLSv1_2) => end.saturating_sub(TAG + length),
            _ => start + HEAD,
        };
        from..from + length
    }

    /// See [`crate::Session::seal_pieces`]: of pieces only the first goes, TLS 1.2 is old.
    pub(crate) fn seal(&mut self, plain: &[&[u8]], out: &mut [u8]) -> Result<Sealed, TlsError> {
        let plain = plain.iter().copied().find(|piece| !piece.is_empty()).unwrap_or_default();
        match self.phase {
            Phase::Handshake | Phase::Over => return Ok(Sealed::default()),
            Phase::Failed => return Err(ended()),
            Phase::Open | Phase::PeerClosed if self.said_goodbye => return Err(ended()),
            Phase::Open | Phase::PeerClosed => {}
        }
        let mut sealed = Sealed::default();
        // What TLS has to say goes first: it may announce a new key.
        while give(&mut self.out, out, &mut sealed.written) {
            let rest = plain.get(sealed.read..).unwrap_or_default();
            let free = out.get_mut(sealed.written..).unwrap_or_default();
            let room = free.len().saturating_sub(SEAL_OVERHEAD);
            let length = rest.len().min(PLAIN_MAX).min(room);
            let Some(chunk) = rest.get(..length).filter(|chunk| !chunk.is_empty()) else { break };
            if let Some(written) = self.seal_record(chunk, free)? {
                sealed.read += length;
                sealed.written += written;
            }
        }
        Ok(sealed)
    }

    /// Seals one record. `None`: TLS had something to say first; call again.
    fn seal_record(&mut self, chunk: &[u8], free: &mut [u8]) -> Result<Option<usize>, TlsError> {
        let status = self.engine.process(&mut self.pending);
        let failure = match status.state {
            Ok(ConnectionState::WriteTraffic(mut data)) => match data.encrypt(chunk, free) {
                Ok(written) => return Ok(Some(written)),
                Err(error) => error.to_string(),
            },
            Ok(ConnectionState::EncodeTlsData(data)) => {
                engine::encode(data, &mut self.out);
                return Ok(None);
            }
            Ok(ConnectionState::TransmitTlsData(data)) => {
                data.done();
                return Ok(None);
            }
            Ok(state) => format!("cannot send in state {state:?}"),
            Err(error) => error.to_string(),
        };
        Err(self.end(TlsError { code: "tls.seal_failed", detail: failure }))
    }

    /// See [`crate::Session::output`].
    pub(crate) fn output(&mut self, out: &mut Vec<u8>) {
        out.append(&mut self.out);
        self.out = Vec::new();
    }

    /// See [`crate::Session::close`].
    pub(crate) fn close(&mut self) {
        if self.said_goodbye || self.phase == Phase::Failed {
            return;
        }
        self.said_goodbye = true;
        while !matches!(self.phase, Phase::Handshake | Phase::Over) {
            match self.engine.process(&mut self.pending).state {
                Ok(ConnectionState::EncodeTlsData(data)) => engine::encode(data, &mut self.out),
                Ok(ConnectionState::TransmitTlsData(data)) => data.done(),
                Ok(ConnectionState::WriteTraffic(mut data)) => {
                    let mut alert = [0; SEAL_OVERHEAD * 2];
                    let written = data.queue_close_notify(&mut alert).unwrap_or(0);
                    self.out.extend_from_slice(alert.get(..written).unwrap_or_default());
                    break;
                }
                _ => break,
            }
        }
    }

    /// Looks at the peer as soon as the handshake is done, before any of its plaintext is given
    /// out.
    fn note_handshake(&mut self, peer: &mut Peer) -> Result<(), TlsError> {
        let common = self.engine.common();
        if self.phase != Phase::Handshake || common.is_handshaking() {
            return Ok(());
        }
        self.phase = Phase::Open;
        peer.is_resumed = common.handshake_kind() == Some(HandshakeKind::Resumed);
        peer.alpn = common.alpn_protocol().unwrap_or_default().to_vec();
        peer.version = match common.protocol_version() {
            Some(ProtocolVersion::TLSv1_3) => "TLSv1.3",
            Some(ProtocolVersion::TLSv1_2) => "TLSv1.2",
            _ => "",
        };
        let certificate = common.peer_certificates().and_then(|chain| chain.first());
        let Some(certificate) = certificate.filter(|_| self.verifier.verifies()) else {
            self.established = true;
            return Ok(());
        };
        let leaf = match Leaf::parse(certificate) {
            Ok(leaf) => leaf,
            Err(error) => return Err(self.end(error)),
        };
        if peer.is_resumed
            && let Err(error) = self.verifier.still_valid(&leaf)
        {
            return Err(self.fail(&error));
        }
        peer.fingerprint = leaf::fingerprint(certificate);
        peer.uris = leaf.uris;
        peer.dns = leaf.dns;
        peer.subject = leaf.subject;
        peer.verified = true;
        self.established = true;
        Ok(())
    }

    /// Ends the session; what rustls says about it to the peer goes out.
    fn fail(&mut self, error: &rustls::Error) -> TlsError {
        for _ in 0..ALERTS_MAX {
            if !self.engine.common().wants_write() {
                break;
            }
            match self.engine.process(&mut []).state {
                Ok(ConnectionState::EncodeTlsData(data)) => engine::encode(data, &mut self.out),
                Ok(ConnectionState::TransmitTlsData(data)) => data.done(),
                _ => break,
            }
        }
        self.end(refusal(error))
    }

    fn end(&mut self, error: TlsError) -> TlsError {
        self.phase = Phase::Failed;
        self.pending = Vec::new();
        error
    }
}

/// Copies the plaintext at `range` of `joined` to the same place of `input`, which stood in
/// `joined` after `before` other bytes.
fn take_over(
    range: &Range<usize>,
    before: usize,
    joined: &[u8],
    input: &mut [u8],
) -> Option<Range<usize>> {
    let moved = range.start.checked_sub(before)?..range.end.checked_sub(before)?;
    input.get_mut(moved.clone())?.copy_from_slice(joined.get(range.clone())?);
    Some(moved)
}
