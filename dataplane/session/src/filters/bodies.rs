//! Bodies that filters keep back or change on their way.
//!
//! What comes of a body is copied: only exchanges whose filters ask for it pay for that, and no
//! body of another exchange comes here. What is kept back stands in the worker's buffers, as much
//! of it as its filter allows and the memory that is free.

use policy::filter::grpc_web;
use policy::reply::{Filtered, Reason};
use ring::buf::SMALL_BYTES;
use ring::driver::Driver;
use ring::{Buf, BufMut, Key, Pool};
use wire::grpc_web::{NotBase64, TextReader, TextWriter, trailer_frame};
use wire::head::Head;

use super::slow::Slowed;
use super::squeezed::Squeezed;
use super::{Filtering, Way, on_response_from};
use crate::encode::{self, Piece};
use crate::held::Held;
use crate::limits::GATHER_BYTES;
use crate::serving::Asker;
use crate::share;
use crate::worker::Worker;

/// What filters do to the bodies of one exchange.
#[derive(Default)]
pub(crate) struct Bodies {
    gathering: Option<Gathering>,
    /// The request's body is text that stands for bytes.
    reader: Option<TextReader>,
    /// What the answer's body goes through, in order.
    stages: Vec<Stage>,
    withheld: Option<Box<Withheld>>,
    /// The answer's body leaves slowly.
    pub(super) slowed: Option<Box<Slowed>>,
}

/// A request waits for its body to come whole.
struct Gathering {
    /// No more bytes may come.
    most: u64,
    bytes: u64,
    /// Nobody will read them.
    is_dropped: bool,
    /// The last of them, in a buffer that others fit into.
    tail: Option<BufMut>,
}

/// What changes the body of an answer.
pub(super) enum Stage {
    /// gRPC for browsers, as it is.
    Web,
    /// The same as text.
    WebText(TextWriter),
    /// A compressor.
    Squeezed(Box<Squeezed>),
}

/// A body could not be changed, for want of memory.
#[derive(Clone, Copy, Debug)]
pub(super) struct Unchanged;

/// An answer whose head waits for its body, which becomes a part of it.
struct Withheld {
    head: Head,
    body: Vec<u8>,
    /// The filter that keeps it back.
    at: usize,
}

impl Bodies {
    pub(crate) fn is_gathering(&self) -> bool {
        self.gathering.is_some()
    }

    pub(crate) fn takes_request(&self) -> bool {
        self.gathering.is_some() || self.reader.is_some()
    }

    pub(crate) fn takes_answer(&self) -> bool {
        !self.stages.is_empty() || self.withheld.is_some() || self.slowed.is_some()
    }

    /// Bytes of the answer that are kept back so that it leaves slowly.
    pub(crate) fn slowed_bytes(&self) -> usize {
        self.slowed.as_ref().map_or(0, |slowed| slowed.waiting_bytes())
    }

    /// The request waits for its body: for so many bytes at most, or (`None`) only for its end.
    pub(super) fn gather(&mut self, most: Option<u64>, waiting: usize) {
        self.gathering = Some(Gathering {
            most: most.unwrap_or(u64::MAX),
            bytes: waiting as u64,
            is_dropped: most.is_none(),
            tail: None,
        });
    }

    pub(super) fn read_text(&mut self) {
        self.reader = Some(TextReader::default());
    }

    /// The answer's body goes through this too.
    pub(super) fn add(&mut self, stage: Stage) {
        self.stages.push(stage);
    }

    /// The answer's head is kept back by the filter at this place.
    pub(super) fn withhold(&mut self, head: &Head, at: usize) {
        let mut kept = Head::default();
        kept.copy_from(head);
        self.withheld = Some(Box::new(Withheld { head: kept, body: Vec::new(), at }));
    }

    /// Nothing is done that needs a copy.
    fn passes_as_is(&self) -> bool {
        self.withheld.is_none() && self.stages.iter().all(|stage| matches!(stage, Stage::Web))
    }

    /// Appends what becomes of bytes of the answer.
    fn change(&mut self, bytes: &[u8], ends: bool, out: &mut Vec<u8>) -> Result<(), Unchanged> {
        run(&mut self.stages, bytes, ends, out)?;
        if ends {
            self.stages.clear();
        }
        if let Some(withheld) = &mut self.withheld {
            let room = grpc_web::MESSAGE_MAX.saturating_sub(withheld.body.len());
            withheld.body.extend(out.drain(..).take(room));
        }
        Ok(())
    }

    /// Appends what becomes of the fields behind the answer's body. False: they stay what they are.
    fn change_trailers(&mut self, trailers: &Head, out: &mut Vec<u8>) -> Result<bool, Unchanged> {
        if self.withheld.is_some() {
            return Ok(true);
        }
        let is_web = |stage: &Stage| matches!(stage, Stage::Web | Stage::WebText(_));
        let Some(at) = self.stages.iter().position(is_web) else { return Ok(false) };
        let (before, behind) = self.stages.split_at_mut_checked(at + 1).unwrap_or_default();
        let (mut frame, mut written) = (Vec::new(), Vec::new());
        trailer_frame(trailers, &mut frame);
        if let Some(Stage::WebText(writer)) = before.last_mut() {
            writer.finish(&mut written);
            writer.write(&frame, &mut written);
        } else {
            written = frame;
        }
        run(behind, &written, false, out).map(|()| true)
    }
}

/// Sends bytes through stages, one after the other.
fn run(stages: &mut [Stage], bytes: &[u8], ends: bool, out: &mut Vec<u8>) -> Result<(), Unchanged> {
    match stages {
        [] => {
            out.extend_from_slice(bytes);
            Ok(())
        }
        [only] => only.change(bytes, ends, out),
        [first, others @ ..] => {
            let mut between = Vec::new();
            first.change(bytes, ends, &mut between)?;
            run(others, &between, ends, out)
        }
    }
}

impl Stage {
    fn change(&mut self, bytes: &[u8], ends: bool, out: &mut Vec<u8>) -> Result<(), Unchanged> {
        match self {
            Self::Web => out.extend_from_slice(bytes),
            Self::WebText(writer) => {
                writer.write(bytes, out);
                if ends {
                    writer.finish(out);
                }
            }
            Self::Squeezed(squeezed) => return squeezed.change(bytes, ends, out),
        }
        Ok(())
    }
}

impl Gathering {
    /// Keeps bytes in buffers that are full, or the last.
    fn keep(&mut self, pool: &Pool, mut bytes: &[u8], to: &mut Held) -> Result<usize, Reason> {
        self.bytes = self.bytes.saturating_add(bytes.len() as u64);
        if self.bytes > self.most {
            return Err(Reason::Filtered(Filtered::PayloadTooLarge));
        }
        let mut kept = 0;
        while !self.is_dropped && !bytes.is_empty() {
            if self.tail.as_ref().is_none_or(|tail| tail.remaining() == 0) {
                kept += self.flush(pool, to)?;
                if !share::may_gather(pool) {
                    return Err(Reason::UpstreamOverflow);
                }
                // Most bodies are short.
                let room =
                    if self.bytes <= SMALL_BYTES as u64 { SMALL_BYTES } else { GATHER_BYTES };
                self.tail = Some(pool.take(room).ok_or(Reason::UpstreamOverflow)?);
            }
            let Some(tail) = &mut self.tail else { break };
            let (next, behind) = bytes.split_at_checked(tail.remaining()).unwrap_or((bytes, &[]));
            tail.extend(next);
            bytes = behind;
        }
        Ok(kept)
    }

    /// What is in the last buffer joins the others. Gives its length.
    fn flush(&mut self, pool: &Pool, to: &mut Held) -> Result<usize, Reason> {
        let Some(tail) = self.tail.take().filter(|tail| !tail.is_empty()) else { return Ok(0) };
        let full = tail.freeze();
        let length = full.len();
        to.push(pool, full).map(|()| length).map_err(|_| Reason::UpstreamOverflow)
    }
}

impl<D: Driver> Worker<D> {
    /// Bytes of the request's body.
    pub(crate) fn send_body(&mut self, key: Key, piece: Piece) {
        let Some(stream) = self.streams.get_mut(key) else { return };
        if let Piece::Data(bytes) = &piece {
            stream.note_received(bytes.len());
        }
        match stream.takes_body() {
            true => self.filter_body(key, piece),
            false => self.pass_body(key, piece),
        }
    }

    fn filter_body(&mut self, key: Key, piece: Piece) {
        let Some(read) = self.read_body_text(key, &piece) else {
            return self.keep_or_pass(key, piece);
        };
        match read {
            Ok(pieces) => {
                pieces.into_iter().for_each(|data| self.keep_or_pass(key, Piece::Data(data)));
                if matches!(piece, Piece::End) {
                    self.keep_or_pass(key, Piece::End);
                }
            }
            Err(reason) => self.fail(key, reason),
        }
    }

    /// What a piece of text stands for. `None`: it is none.
    fn read_body_text(&mut self, key: Key, piece: &Piece) -> Option<Result<Vec<Buf>, Reason>> {
        let filtering = self.streams.get_mut(key)?.filtering.as_mut()?;
        let reader = filtering.bodies.reader.as_mut()?;
        let mut out = std::mem::take(&mut self.io.gathered);
        out.clear();
        let read = match piece {
            Piece::Data(text) => reader.read(text, &mut out),
            Piece::End => reader.finish(),
        };
        let mut pieces = Vec::new();
        let read = match read {
            Err(NotBase64) => Err(Reason::Filtered(Filtered::GrpcWebInvalid)),
            Ok(()) => encode::copy(self.io.driver.pool(), &out, |piece| pieces.push(piece))
                .map_err(|_| Reason::UpstreamOverflow),
        };
        self.io.gathered = out;
        Some(read.map(|()| pieces))
    }

    fn keep_or_pass(&mut self, key: Key, piece: Piece) {
        match self.streams.get(key).is_some_and(|stream| stream.is_gathering()) {
            true => self.keep_body(key, piece),
            false => self.pass_body(key, piece),
        }
    }

    fn keep_body(&mut self, key: Key, piece: Piece) {
        let now = self.io.driver.now();
        let pool = self.io.driver.pool();
        let Some(stream) = self.streams.get_mut(key) else { return };
        stream.active_at = now;
        let Some(filtering) = &mut stream.filtering else { return };
        let Some(gathering) = &mut filtering.bodies.gathering else { return };
        let kept = match &piece {
            Piece::Data(bytes) => gathering.keep(pool, bytes, &mut stream.waiting),
            Piece::End => gathering.flush(pool, &mut stream.waiting),
        };
        match (kept, piece) {
            (Err(reason), _) => self.fail(key, reason),
            (Ok(kept), Piece::Data(_)) => stream.waiting_bytes += kept,
            (Ok(kept), Piece::End) => {
                stream.waiting_bytes += kept;
                stream.is_request_done = true;
                filtering.bodies.gathering = None;
                self.resume(key);
            }
        }
    }

    /// Reads text of a request that has waited for something else.
    pub(super) fn read_waiting(&mut self, key: Key) -> Result<(), Reason> {
        let Some(stream) = self.streams.get_mut(key) else { return Ok(()) };
        let (mut waiting, is_done) = (std::mem::take(&mut stream.waiting), stream.is_request_done);
        stream.waiting_bytes = 0;
        while let Some(text) = waiting.pop() {
            let pieces = self.read_body_text(key, &Piece::Data(text)).unwrap_or(Ok(Vec::new()))?;
            let Some(stream) = self.streams.get_mut(key) else { return Ok(()) };
            for piece in pieces {
                stream.waiting_bytes += piece.len();
                let kept = stream.waiting.push(self.io.driver.pool(), piece);
                kept.map_err(|_| Reason::UpstreamOverflow)?;
            }
        }
        match is_done {
            true => self.read_body_text(key, &Piece::End).map_or(Ok(()), |read| read.map(drop)),
            false => Ok(()),
        }
    }

    /// Bytes of the response's body to the client.
    pub(crate) fn send_down(&mut self, to: Asker, piece: Piece) {
        let key = self.stream_of_asker(to);
        let stream = key.and_then(|key| self.streams.get(key));
        match key.filter(|_| stream.is_some_and(|stream| stream.takes_answer())) {
            Some(key) => self.filter_answer(to, key, piece),
            None => self.put_down(to, piece),
        }
    }

    fn filter_answer(&mut self, to: Asker, key: Key, piece: Piece) {
        let Some(bodies) = self.bodies_of(key) else { return };
        if bodies.passes_as_is() {
            return self.put_slowly(to, key, piece);
        }
        let (bytes, ends) = match &piece {
            Piece::Data(bytes) => (&bytes[..], false),
            Piece::End => (&[][..], true),
        };
        let mut out = Vec::new();
        if bodies.change(bytes, ends, &mut out).is_err() {
            return self.fail(key, Reason::UpstreamOverflow);
        }
        if !self.put_made(to, key, &out) || !ends {
            return;
        }
        if self.bodies_of(key).is_some_and(|bodies| bodies.withheld.is_some()) {
            self.give_out(to, key);
        }
        self.put_slowly(to, key, Piece::End);
    }

    /// The fields behind the answer's body, in `io.head`, become a part of it. False: they do not.
    pub(crate) fn takes_trailers(&mut self, to: Asker) -> bool {
        let Some(key) = to.stream else { return false };
        let Some(stream) = self.streams.get_mut(key) else { return false };
        let Some(filtering) = &mut stream.filtering else { return false };
        let mut out = Vec::new();
        let taken = filtering.bodies.change_trailers(&self.io.head, &mut out);
        match taken {
            Ok(true) => drop(self.put_made(to, key, &out)),
            Ok(false) => {}
            Err(Unchanged) => self.fail(key, Reason::UpstreamOverflow),
        }
        taken.unwrap_or(true)
    }

    /// Sends bytes that were made here. False: there was no memory for them.
    fn put_made(&mut self, to: Asker, key: Key, bytes: &[u8]) -> bool {
        let mut pieces = Vec::new();
        if encode::copy(self.io.driver.pool(), bytes, |piece| pieces.push(piece)).is_err() {
            self.fail(key, Reason::UpstreamOverflow);
            return false;
        }
        pieces.into_iter().for_each(|piece| self.put_slowly(to, key, Piece::Data(piece)));
        true
    }

    /// Sends the head of an answer that was kept back, with what its body has come to.
    fn give_out(&mut self, to: Asker, key: Key) {
        let now = self.io.driver.now();
        let Some(stream) = self.streams.get_mut(key) else { return };
        let Some(filtering) = &mut stream.filtering else { return };
        let Some(withheld) = filtering.bodies.withheld.take() else { return };
        let Withheld { head, body, at } = *withheld;
        filtering.bodies.stages.clear();
        self.io.head.copy_from(&head);
        grpc_web::tell(&mut self.io.head, &body);
        let way = Way { now, has_body: false, squeezing: &self.io.squeezing };
        on_response_from(filtering, &mut self.io.head, &way, at);
        self.send_head(to);
    }

    pub(super) fn bodies_of(&mut self, key: Key) -> Option<&mut Bodies> {
        let filtering: &mut Filtering = self.streams.get_mut(key)?.filtering.as_mut()?;
        Some(&mut filtering.bodies)
    }
}
