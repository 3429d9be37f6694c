//! The bytes that come, frame by frame.

use super::{Connection, Event, Handle, KEPT_BYTES, Role, Step};
use crate::h2::ErrorCode;
use crate::h2::frame::{ACK, FRAME_BYTES_MAX, FRAME_HEAD_BYTES, FrameHead, Kind, PADDED, PREFACE};
use crate::h2::refusal::{self, Refusal};
use crate::head::Head;

/// What is read next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reading {
    /// The client's preface, of which so many bytes have come.
    Preface(usize),
    /// A frame.
    Frame,
    /// The rest of a DATA frame's bytes, and its padding.
    Data { stream: u32, left: usize, padding: usize, end: bool },
    /// Bytes that nobody wants.
    Skip(usize),
    /// A header block's continuation.
    Continuation { stream: u32, end: bool, frames: u32 },
}

impl Reading {
    pub(super) fn new(role: Role) -> Self {
        match role {
            Role::Server => Self::Preface(0),
            Role::Client => Self::Frame,
        }
    }
}

impl Connection {
    /// Looks at the front of the input. Call again with what is left after `skip + data` bytes,
    /// until there is no event; then all of it is used up.
    ///
    /// A head, or trailers, are unpacked into `head`, which means nothing unless the event says so.
    /// An error ends the connection: send the output and close. What is refused once stays refused.
    pub fn receive(&mut self, input: &[u8], head: &mut Head) -> Result<Step, Refusal> {
        if let Some(refusal) = self.failed {
            return Err(refusal);
        }
        let mut rest = input;
        self.advance(&mut rest, input.len(), head).inspect_err(|refusal| self.fail(*refusal))
    }

    fn advance(&mut self, rest: &mut &[u8], len: usize, head: &mut Head) -> Result<Step, Refusal> {
        if let Some(event) = self.not_looked_at() {
            return Ok(Step { event: Some(event), ..Step::default() });
        }
        loop {
            let event = match self.reading {
                Reading::Preface(seen) => {
                    self.preface(seen, rest)?;
                    None
                }
                Reading::Data { .. } => {
                    let skip = len - rest.len();
                    if let Some((data, event)) = self.data(rest) {
                        return Ok(Step { skip, data, event: Some(event) });
                    }
                    None
                }
                Reading::Skip(left) => {
                    let skipped = left.min(rest.len());
                    *rest = rest.get(skipped..).unwrap_or_default();
                    self.reading = match left - skipped {
                        0 => Reading::Frame,
                        left => Reading::Skip(left),
                    };
                    None
                }
                Reading::Frame | Reading::Continuation { .. } => self.frame(rest, head)?,
            };
            // A DATA frame without bytes has its end to tell.
            if event.is_some() || (rest.is_empty() && !self.has_end_to_tell()) {
                return Ok(Step { skip: len - rest.len(), data: 0, event });
            }
        }
    }

    fn has_end_to_tell(&self) -> bool {
        matches!(self.reading, Reading::Data { left: 0, .. })
    }

    /// A stream that the peer has not looked at before it went away.
    fn not_looked_at(&mut self) -> Option<Event> {
        let last = self.gone_away?;
        let id = self.streams.last().filter(|id| self.role == Role::Client && *id > last)?;
        let user = self.streams.remove(id)?.user;
        self.resets.push(id);
        Some(Event::Reset { stream: Handle { id, user }, error: ErrorCode::RefusedStream })
    }

    fn preface(&mut self, seen: usize, rest: &mut &[u8]) -> Result<(), Refusal> {
        let missing = PREFACE.get(seen..).unwrap_or_default();
        let len = missing.len().min(rest.len());
        if rest.get(..len) != missing.get(..len) {
            return Err(refusal::PREFACE);
        }
        *rest = rest.get(len..).unwrap_or_default();
        let is_whole = len == missing.len();
        self.reading = if is_whole { Reading::Frame } else { Reading::Preface(seen + len) };
        Ok(())
    }

    /// Reads a frame, gathering it if it comes in pieces.
    fn frame(&mut self, rest: &mut &[u8], head: &mut Head) -> Result<Option<Event>, Refusal> {
        if self.partial.is_empty() {
            let wanted = self.wanted(rest)?;
            if let Some((bytes, after)) = rest.split_at_checked(wanted) {
                *rest = after;
                return self.on_frame(bytes, head);
            }
        }
        loop {
            let wanted = self.wanted(&self.partial)?;
            let missing = wanted - self.partial.len();
            if missing == 0 {
                break;
            }
            if rest.is_empty() {
                return Ok(None);
            }
            let (bytes, after) = rest.split_at_checked(missing).unwrap_or((*rest, &[]));
            self.partial.extend_from_slice(bytes);
            *rest = after;
        }
        let mut bytes = std::mem::take(&mut self.partial);
        let result = self.on_frame(&bytes, head);
        bytes.clear();
        bytes.shrink_to(KEPT_BYTES);
        self.partial = bytes;
        result
    }

    /// How many bytes are needed of the frame that begins so. Of DATA, and of frames that are
    /// ignored, the payload is not.
    fn wanted(&self, bytes: &[u8]) -> Result<usize, Refusal> {
        let Some(head) = bytes.first_chunk() else { return Ok(FRAME_HEAD_BYTES) };
        let head = FrameHead::read(head);
        self.check(head)?;
        Ok(FRAME_HEAD_BYTES
            + match head.kind {
                Kind::Data => usize::from(head.has(PADDED) && head.len > 0),
                Kind::Unknown => 0,
                _ => head.len,
            })
    }

    /// What a frame's head says must fit before the frame is gathered.
    fn check(&self, head: FrameHead) -> Result<(), Refusal> {
        if !self.is_greeted && (head.kind != Kind::Settings || head.has(ACK)) {
            return Err(refusal::SETTINGS_FIRST);
        }
        if head.len > FRAME_BYTES_MAX {
            return Err(refusal::FRAME_TOO_LARGE);
        }
        match self.reading {
            Reading::Continuation { stream, .. }
                if head.kind != Kind::Continuation || head.stream != stream =>
            {
                return Err(refusal::CONTINUATION_EXPECTED);
            }
            Reading::Frame if head.kind == Kind::Continuation => {
                return Err(refusal::CONTINUATION_UNEXPECTED);
            }
            _ => {}
        }
        check_shape(head)
    }

    fn on_frame(&mut self, bytes: &[u8], head: &mut Head) -> Result<Option<Event>, Refusal> {
        let Some((frame, payload)) = bytes.split_first_chunk() else { return Ok(None) };
        let frame = FrameHead::read(frame);
        match frame.kind {
            Kind::Data => self.on_data(frame, payload.first().copied()),
            Kind::Headers => self.on_headers(frame, payload, head),
            Kind::Continuation => self.on_continuation(frame, payload, head),
            Kind::Priority => self.on_priority(frame, payload),
            Kind::RstStream => self.on_reset(frame, payload),
            Kind::Settings => self.on_settings(frame, payload),
            Kind::PushPromise => Err(refusal::PUSH),
            Kind::Ping => self.on_ping(frame, payload),
            Kind::GoAway => self.on_go_away(payload),
            Kind::WindowUpdate => self.on_window_update(frame, payload),
            Kind::Unknown => {
                self.reading = Reading::Skip(frame.len);
                Ok(None)
            }
        }
    }
}

/// Length and stream of each kind (RFC 9113, 6).
fn check_shape(head: FrameHead) -> Result<(), Refusal> {
    let is_long_enough = match head.kind {
        Kind::Priority => head.len == 5,
        Kind::RstStream | Kind::WindowUpdate => head.len == 4,
        Kind::Settings if head.has(ACK) => head.len == 0,
        Kind::Settings => head.len.is_multiple_of(6),
        Kind::Ping => head.len == 8,
        Kind::GoAway => head.len >= 8,
        _ => true,
    };
    let is_of_its_stream = match head.kind {
        Kind::Settings | Kind::Ping | Kind::GoAway => head.stream == 0,
        Kind::WindowUpdate | Kind::Unknown => true,
        _ => head.stream != 0,
    };
    match (is_of_its_stream, is_long_enough) {
        (false, _) => Err(refusal::STREAM_ID),
        (_, false) => Err(refusal::FRAME_SIZE),
        _ => Ok(()),
    }
}
