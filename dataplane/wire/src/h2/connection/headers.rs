//! HEADERS and CONTINUATION frames (RFC 9113, 6.2 and 6.10).

use super::receive::Reading;
use super::{Connection, Event, Handle, KEPT_BYTES, Request, Role, Side};
use crate::h2::Scope;
use crate::h2::frame::{END_HEADERS, END_STREAM, FrameHead, PADDED, PRIORITY, u31};
use crate::h2::guard::limits;
use crate::h2::message::{self, Kind, Outcome};
use crate::h2::refusal::{self, Refusal};
use crate::head::Head;

/// What a header block belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    New,
    Response(Request),
    Trailers,
    /// A stream that we have reset, or that we no longer look at.
    Nowhere,
    /// A stream that is to be reset for it.
    Refused(Refusal),
}

impl Connection {
    pub(super) fn on_headers(
        &mut self,
        frame: FrameHead,
        payload: &[u8],
        head: &mut Head,
    ) -> Result<Option<Event>, Refusal> {
        let fragment = fragment(frame, payload)?;
        let end = frame.has(END_STREAM);
        self.guard.on_frame(fragment.is_empty() && !end)?;
        if frame.has(END_HEADERS) {
            return self.on_block(frame.stream, end, fragment, head);
        }
        self.gather(fragment)?;
        self.reading = Reading::Continuation { stream: frame.stream, end, frames: 0 };
        Ok(None)
    }

    pub(super) fn on_continuation(
        &mut self,
        frame: FrameHead,
        payload: &[u8],
        head: &mut Head,
    ) -> Result<Option<Event>, Refusal> {
        let Reading::Continuation { stream, end, frames } = self.reading else {
            return Err(refusal::CONTINUATION_UNEXPECTED);
        };
        self.guard.on_frame(payload.is_empty())?;
        let frames = frames + 1;
        if frames > limits::CONTINUATIONS_MAX {
            return Err(refusal::CONTINUATION_FLOOD);
        }
        self.gather(payload)?;
        if !frame.has(END_HEADERS) {
            self.reading = Reading::Continuation { stream, end, frames };
            return Ok(None);
        }
        self.reading = Reading::Frame;
        let mut block = std::mem::take(&mut self.block);
        let result = self.on_block(stream, end, &block, head);
        block.clear();
        block.shrink_to(KEPT_BYTES);
        self.block = block;
        result
    }

    /// Puts a piece of a block to the others. A block of twice the size that its head may have is
    /// not gathered: no compression makes one longer.
    fn gather(&mut self, fragment: &[u8]) -> Result<(), Refusal> {
        let max = self.config.head_bytes_max.saturating_mul(limits::BLOCK_TIMES_MAX);
        if self.block.len() + fragment.len() > max {
            return Err(refusal::HEADER_BLOCK_TOO_LONG);
        }
        self.block.extend_from_slice(fragment);
        Ok(())
    }

    /// A whole header block.
    fn on_block(
        &mut self,
        id: u32,
        end: bool,
        block: &[u8],
        head: &mut Head,
    ) -> Result<Option<Event>, Refusal> {
        let place = self.place(id)?;
        let kind = match place {
            Place::New => Kind::Request,
            Place::Response(request) => Kind::Response(request),
            Place::Trailers | Place::Nowhere | Place::Refused(_) => Kind::Trailers,
        };
        let outcome = message::read(&mut self.decoder, block, kind, end, &self.config, head)?;
        match (place, outcome) {
            (Place::Nowhere, _) => Ok(None),
            (Place::Refused(refusal), _) => self.refuse(id, refusal),
            (Place::New, outcome) => self.on_request(id, end, outcome, head),
            (_, Outcome::Malformed(refusal) | Outcome::TooLarge(refusal)) => {
                self.refuse(id, refusal)
            }
            (Place::Trailers, Outcome::Fine(_)) => self.on_trailers(id),
            (Place::Response(_), Outcome::Fine(length)) => self.on_response(id, end, length, head),
        }
    }

    fn place(&mut self, id: u32) -> Result<Place, Refusal> {
        if let Some(stream) = self.streams.get(id) {
            return match stream.theirs {
                Side::Head => Ok(Place::Response(stream.request)),
                Side::Body => Ok(Place::Trailers),
                Side::Done => Err(refusal::STREAM_CLOSED),
            };
        }
        if self.role == Role::Server && self.is_idle(id) {
            return self.new_place(id);
        }
        match self.check_closed(id) {
            Ok(()) => Ok(Place::Nowhere),
            Err(refusal) if refusal.scope == Scope::Stream => Ok(Place::Refused(refusal)),
            Err(refusal) => Err(refusal),
        }
    }

    /// A stream that the peer opens.
    fn new_place(&mut self, id: u32) -> Result<Place, Refusal> {
        if id.is_multiple_of(2) {
            return Err(refusal::STREAM_ID);
        }
        self.last_of_peer = id;
        self.guard.on_stream();
        if self.going_away.is_some_and(|last| id > last) {
            return Ok(Place::Nowhere);
        }
        if self.streams.len() >= self.config.streams_max as usize {
            return Ok(Place::Refused(refusal::TOO_MANY_STREAMS));
        }
        Ok(Place::New)
    }

    fn on_request(
        &mut self,
        id: u32,
        end: bool,
        outcome: Outcome,
        head: &Head,
    ) -> Result<Option<Event>, Refusal> {
        if let Outcome::Malformed(refusal) = outcome {
            return self.refuse(id, refusal);
        }
        let mut stream = self.new_stream(id, Request::of(head));
        stream.theirs = if end { Side::Done } else { Side::Body };
        let handle = Handle { id, user: 0 };
        let event = match outcome {
            Outcome::TooLarge(refusal) => Event::HeadTooLarge { stream: handle, end, refusal },
            Outcome::Fine(length) => {
                stream.left = length;
                Event::Head { stream: handle, end }
            }
            Outcome::Malformed(_) => return Ok(None),
        };
        self.streams.push(stream);
        Ok(Some(event))
    }

    fn on_response(
        &mut self,
        id: u32,
        end: bool,
        length: Option<u64>,
        head: &Head,
    ) -> Result<Option<Event>, Refusal> {
        let Some(stream) = self.streams.get_mut(id) else { return Ok(None) };
        let handle = Handle { id, user: stream.user };
        // 101 is what the answer to an extended CONNECT was turned into.
        if head.status >= 200 || head.status == 101 {
            stream.theirs = if end { Side::Done } else { Side::Body };
            stream.left = length;
            self.settle(id);
        }
        Ok(Some(Event::Head { stream: handle, end }))
    }

    fn on_trailers(&mut self, id: u32) -> Result<Option<Event>, Refusal> {
        let Some(stream) = self.streams.get_mut(id) else { return Ok(None) };
        if stream.left.is_some_and(|left| left > 0) {
            return self.refuse(id, refusal::CONTENT_LENGTH_DIFFERS);
        }
        let handle = Handle { id, user: stream.user };
        stream.theirs = Side::Done;
        self.settle(id);
        Ok(Some(Event::Trailers { stream: handle }))
    }
}

impl Request {
    /// What matters of a request's head for the response.
    pub(super) fn of(head: &Head) -> Self {
        let is_upgrade = head.upgrade.is_some();
        Self {
            is_head: head.method() == b"HEAD",
            is_connect: is_upgrade || head.method() == b"CONNECT",
            is_upgrade,
        }
    }
}

/// A HEADERS frame's payload without padding and priority.
fn fragment(frame: FrameHead, payload: &[u8]) -> Result<&[u8], Refusal> {
    let mut rest = payload;
    if frame.has(PADDED) {
        let (padding, after) = rest.split_first().ok_or(refusal::FRAME_SIZE)?;
        let len = after.len().checked_sub(usize::from(*padding)).ok_or(refusal::PADDING)?;
        rest = after.get(..len).unwrap_or_default();
    }
    if frame.has(PRIORITY) {
        let (priority, after) = rest.split_at_checked(5).ok_or(refusal::FRAME_SIZE)?;
        if u31(priority) == Some(frame.stream) {
            return Err(refusal::SELF_DEPENDENCY);
        }
        rest = after;
    }
    Ok(rest)
}
