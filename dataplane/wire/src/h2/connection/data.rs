//! DATA frames (RFC 9113, 6.1).

use super::receive::Reading;
use super::{Connection, Event, Handle, Side};
use crate::h2::frame::{self, END_STREAM, FrameHead, PADDED};
use crate::h2::refusal::{self, Refusal};

impl Connection {
    /// A DATA frame begins; `padding` is the byte behind its head, if that says how much of it
    /// there is.
    pub(super) fn on_data(
        &mut self,
        frame: FrameHead,
        padding: Option<u8>,
    ) -> Result<Option<Event>, Refusal> {
        let is_padded = frame.has(PADDED);
        let padding = padding.filter(|_| is_padded).map_or(0, usize::from);
        let overhead = usize::from(is_padded) + padding;
        // The padding must leave room for its own length.
        if overhead > frame.len || (is_padded && frame.len == 0) {
            return Err(if frame.len == 0 { refusal::FRAME_SIZE } else { refusal::PADDING });
        }
        let (left, end) = (frame.len - overhead, frame.has(END_STREAM));
        self.guard.on_frame(left == 0 && !end)?;
        if !self.receive_window.receive(frame.len) {
            return Err(refusal::WINDOW_EXCEEDED);
        }
        match self.check_data(frame, left as u64, end) {
            Ok(true) => {
                self.consume(frame.stream, overhead);
                self.reading = Reading::Data { stream: frame.stream, left, padding, end };
                if left == 0 && !end {
                    self.reading = Reading::Skip(padding);
                }
                Ok(None)
            }
            Ok(false) => {
                self.drop_data(frame.len, frame.len - usize::from(is_padded));
                Ok(None)
            }
            Err(refusal) => {
                self.drop_data(frame.len, frame.len - usize::from(is_padded));
                self.refuse(frame.stream, refusal)
            }
        }
    }

    /// Skips what is left of a frame whose bytes nobody wants; the connection's window gets all of
    /// them back.
    fn drop_data(&mut self, credit: usize, left: usize) {
        self.consume(0, credit);
        self.reading = Reading::Skip(left);
    }

    /// Whether the stream takes so many bytes. False: they are ignored.
    fn check_data(&mut self, frame: FrameHead, left: u64, end: bool) -> Result<bool, Refusal> {
        let Some(stream) = self.streams.get_mut(frame.stream) else {
            return self.check_closed(frame.stream).map(|()| false);
        };
        match stream.theirs {
            Side::Head => return Err(refusal::DATA_BEFORE_HEAD),
            Side::Done => return Err(refusal::STREAM_CLOSED),
            Side::Body => {}
        }
        if !stream.receive.receive(frame.len) {
            return Err(refusal::WINDOW_EXCEEDED);
        }
        if let Some(length) = stream.left {
            let after = length.checked_sub(left).ok_or(refusal::CONTENT_LENGTH_DIFFERS)?;
            if end && after > 0 {
                return Err(refusal::CONTENT_LENGTH_DIFFERS);
            }
            stream.left = Some(after);
        }
        Ok(true)
    }

    /// What a frame on a stream that is not open means: nothing if we have reset it, else an error.
    pub(super) fn check_closed(&self, id: u32) -> Result<(), Refusal> {
        if self.is_idle(id) {
            return Err(refusal::STREAM_IDLE);
        }
        let is_ignored = self.going_away.is_some_and(|last| id > last);
        if is_ignored || self.resets.has(id) {
            return Ok(());
        }
        Err(match (self.ends.has(id), self.resets.is_full(), self.ends.is_full()) {
            (true, _, _) => refusal::STREAM_CLOSED,
            // We may have reset it and forgotten that.
            (false, true, _) => refusal::STREAM_CLOSED_LONG_AGO,
            (false, false, true) => refusal::STREAM_CLOSED,
            // It was passed over: it never was (RFC 9113, 5.1.1).
            (false, false, false) => refusal::STREAM_ID,
        })
    }

    /// Hands on the bytes of a DATA frame that are there. `None`: there are none, or nobody wants
    /// them any more.
    pub(super) fn data(&mut self, rest: &mut &[u8]) -> Option<(usize, Event)> {
        let Reading::Data { stream: id, left, padding, end } = self.reading else {
            return None;
        };
        let Some(stream) = self.streams.get_mut(id) else {
            // It was reset in the middle.
            self.drop_data(left, left + padding);
            return None;
        };
        let taken = left.min(rest.len());
        if taken == 0 && left > 0 {
            return None;
        }
        *rest = rest.get(taken..).unwrap_or_default();
        let (handle, is_last) = (Handle { id, user: stream.user }, taken == left);
        self.reading = match is_last {
            true => Reading::Skip(padding),
            false => Reading::Data { stream: id, left: left - taken, padding, end },
        };
        let end = end && is_last;
        if end {
            stream.theirs = Side::Done;
            self.settle(id);
        }
        Some((taken, Event::Data { stream: handle, end }))
    }

    /// So many bytes of a body that came are done with; the peer may send as many more.
    ///
    /// To be told of every byte once, also if the stream is no longer open: the connection's window
    /// is shared by all.
    pub fn consumed(&mut self, id: u32, bytes: usize) {
        if self.failed.is_none() {
            self.consume(id, bytes);
        }
    }

    /// The same of a stream's window alone, for who has told of the bytes as no stream's (0) as
    /// they came: a stream that stops then stops no others.
    pub fn stream_consumed(&mut self, id: u32, bytes: usize) {
        if self.failed.is_none() {
            self.consume_of_stream(id, bytes);
        }
    }

    fn consume(&mut self, id: u32, bytes: usize) {
        if let Some(increment) = self.receive_window.consume(bytes) {
            frame::put_window_update(0, increment, &mut self.out);
        }
        self.consume_of_stream(id, bytes);
    }

    fn consume_of_stream(&mut self, id: u32, bytes: usize) {
        // What sends no more needs no window.
        let stream = self.streams.get_mut(id).filter(|stream| stream.theirs != Side::Done);
        if let Some(increment) = stream.and_then(|stream| stream.receive.consume(bytes)) {
            frame::put_window_update(id, increment, &mut self.out);
        }
    }
}
