//! HTTP/2 and gRPC over the same codec that the proxy is made of.
//!
//! A slot is a request at a time, and so a stream at a time; a connection has as many slots as
//! streams were asked for. What has become of slots is gathered as [`Outcome`]s while bytes are
//! read, because one read may end many streams.

mod answer;
mod grpc;
mod question;

use std::{collections::VecDeque, sync::Arc};

use wire::{
    h2::{Config, Connection, ErrorCode, Event, Handle, Refusal, Role, Unsent},
    head::Head,
};

use super::super::{Counts, error::Failure};
use answer::Answer;
pub(in super::super) use question::Question;

/// What the server may send before it hears from us. What comes is read at once, so that windows
/// bound no memory; small ones would only make the server wait for frames that open them.
const WINDOW_BYTES: u32 = 1 << 20;
const CONNECTION_WINDOW_BYTES: u32 = 16 << 20;
/// Output that is moved on, so that the connection's own room for it never grows and shrinks.
const OUTPUT_BYTES: usize = 2 * 1024;

/// The connections and streams of one thread.
pub(in super::super) struct Codec {
    question: Arc<Question>,
    lines: Vec<Line>,
    answers: Vec<Answer>,
    outcomes: Vec<Outcome>,
    /// What is to be sent on the connection that is being looked after.
    out: Vec<u8>,
    head: Head,
    largest: u64,
}

/// What has become of a slot's request.
pub(in super::super) struct Outcome {
    pub(in super::super) slot: usize,
    pub(in super::super) result: Result<(), Failure>,
}

/// Bytes of the body that go next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) struct Piece {
    pub(in super::super) offset: u64,
    pub(in super::super) len: usize,
}

/// A connection.
struct Line {
    connection: Connection,
    /// Slots whose requests wait: for the connection, or for the server to allow more streams.
    waiting: VecDeque<usize>,
    /// Slots, and their streams, whose bodies have not left whole.
    sending: VecDeque<(usize, u32)>,
    /// Slots that have nothing to do until there is a new connection.
    parked: Vec<usize>,
    /// It takes no new streams, and why.
    leaving: Option<ErrorCode>,
}

impl Codec {
    pub(super) fn new(question: &Arc<Question>, connections: usize, streams: usize) -> Self {
        let slots = connections * streams;
        Self {
            question: Arc::clone(question),
            lines: (0..connections).map(|_| Line::new(streams)).collect(),
            answers: (0..slots).map(|_| Answer::default()).collect(),
            outcomes: Vec::with_capacity(slots),
            out: Vec::new(),
            head: Head::default(),
            largest: question.answer_bytes(),
        }
    }

    /// A new connection begins. What waited for one still does.
    pub(in super::super) fn open(&mut self, link: usize) {
        if let Some(line) = self.lines.get_mut(link) {
            line.connection = connection();
        }
    }

    /// The connection is gone. Says why its server went away, if it said so.
    pub(in super::super) fn close(&mut self, link: usize) -> Option<ErrorCode> {
        let line = self.lines.get_mut(link)?;
        line.sending.clear();
        line.leaving.take()
    }

    /// A slot's request is to be sent.
    pub(in super::super) fn ask(&mut self, link: usize, slot: usize) {
        if let Some(line) = self.lines.get_mut(link) {
            line.waiting.push_back(slot);
        }
        if let Some(answer) = self.answers.get_mut(slot) {
            answer.id = 0;
        }
    }

    /// Nobody asks any more: all that waited have failed.
    pub(in super::super) fn forget(&mut self, link: usize) {
        if let Some(line) = self.lines.get_mut(link) {
            line.waiting.clear();
        }
    }

    /// Gives a slot's request up, wherever it is.
    pub(in super::super) fn give_up(&mut self, link: usize, slot: usize) {
        let Some(line) = self.lines.get_mut(link) else { return };
        let Some(answer) = self.answers.get_mut(slot) else { return };
        let id = std::mem::take(&mut answer.id);
        if !line.connection.reset(id, ErrorCode::Cancel) {
            line.waiting.retain(|waits| *waits != slot);
        }
    }

    /// Begins the requests that wait, as far as the server allows.
    pub(in super::super) fn start(&mut self, link: usize) {
        let Some(line) = self.lines.get_mut(link) else { return };
        let question = &*self.question;
        let has_body = question.text.len > 0;
        while let Some(slot) = line.waiting.front().copied() {
            match line.connection.send_request(&question.head, !has_body, slot as u64) {
                Ok(id) => {
                    line.waiting.pop_front();
                    if let Some(answer) = self.answers.get_mut(slot) {
                        answer.begin(id);
                    }
                    if has_body {
                        line.sending.push_back((slot, id));
                    }
                }
                Err(Unsent::TooManyStreams) => break,
                Err(_) => {
                    line.leaving.get_or_insert(ErrorCode::NoError);
                    break;
                }
            }
            if line.connection.output().len() >= OUTPUT_BYTES {
                line.gather(&mut self.out);
            }
        }
        line.gather(&mut self.out);
    }

    /// The next piece of a body, a frame at most, from each stream in turn. Its bytes must follow
    /// what [`out`](Self::out) holds.
    pub(in super::super) fn piece(&mut self, link: usize) -> Option<Piece> {
        let line = self.lines.get_mut(link)?;
        for _ in 0..line.sending.len() {
            let (slot, id) = line.sending.pop_front()?;
            let Some(answer) = self.answers.get_mut(slot).filter(|answer| answer.id == id) else {
                continue;
            };
            let left = self.question.text.len.saturating_sub(answer.sent);
            let left = usize::try_from(left).unwrap_or(usize::MAX);
            let Ok(sent) = line.connection.send_data(id, left, true) else { continue };
            if !sent.end {
                line.sending.push_back((slot, id));
            }
            if sent.bytes > 0 {
                let piece = Piece { offset: answer.sent, len: sent.bytes };
                answer.sent += sent.bytes as u64;
                line.gather(&mut self.out);
                return Some(piece);
            }
        }
        None
    }

    /// What is to be sent, to be emptied by whoever sends it.
    pub(in super::super) fn out(&mut self) -> &mut Vec<u8> {
        &mut self.out
    }

    /// Whether requests wait to be begun.
    pub(in super::super) fn has_waiting(&self, link: usize) -> bool {
        self.lines.get(link).is_some_and(|line| !line.waiting.is_empty())
    }

    /// Whether requests are on their way.
    pub(in super::super) fn is_busy(&self, link: usize) -> bool {
        self.lines.get(link).is_some_and(|line| line.connection.open_streams() > 0)
    }

    /// Whether the connection takes no new requests.
    pub(in super::super) fn is_leaving(&self, link: usize) -> bool {
        self.lines.get(link).is_some_and(|line| line.leaving.is_some())
    }

    /// Whether the connection is of no more use, and nobody uses it.
    pub(in super::super) fn is_drained(&self, link: usize) -> bool {
        self.is_leaving(link) && !self.is_busy(link)
    }

    /// Keeps a slot for the next connection.
    pub(in super::super) fn park(&mut self, link: usize, slot: usize) {
        if let Some(line) = self.lines.get_mut(link) {
            line.parked.push(slot);
        }
    }

    /// A slot that was kept.
    pub(in super::super) fn unpark(&mut self, link: usize) -> Option<usize> {
        self.lines.get_mut(link)?.parked.pop()
    }

    /// What has been found out since the last time.
    pub(in super::super) fn outcome(&mut self) -> Option<Outcome> {
        self.outcomes.pop()
    }

    /// Reads what has come. An error is the connection's.
    pub(super) fn read(&mut self, link: usize, mut bytes: &[u8]) -> Result<(), Failure> {
        loop {
            let Some(line) = self.lines.get_mut(link) else { return Err(Failure::Unasked) };
            let step = line.connection.receive(bytes, &mut self.head).map_err(refused)?;
            let Some(event) = step.event else { return Ok(()) };
            let rest = bytes.get(step.skip..).unwrap_or_default();
            let (data, rest) = rest.split_at_checked(step.data).unwrap_or((rest, &[]));
            bytes = rest;
            self.hear(link, event, data);
        }
    }

    fn hear(&mut self, link: usize, event: Event, data: &[u8]) {
        match event {
            Event::Head { stream, end } => {
                self.judge(link, stream, |answer, head, question| answer.head(head, end, question));
            }
            Event::Data { stream, end } => {
                if let Some(line) = self.lines.get_mut(link) {
                    line.connection.consumed(stream.id, data.len());
                }
                self.judge(link, stream, |answer, _, question| answer.data(data, end, question));
            }
            Event::Trailers { stream } => {
                self.judge(link, stream, |answer, head, question| answer.trailers(head, question));
            }
            Event::Reset { stream, error } => {
                let left = self.lines.get(link).and_then(|line| line.leaving);
                let failure = match left {
                    Some(why) if error == ErrorCode::RefusedStream => Failure::GoneAway(why),
                    _ => Failure::Reset(error),
                };
                self.judge(link, stream, |_, _, _| Err(failure));
            }
            Event::Refused { stream, refusal } => {
                self.judge(link, stream, |_, _, _| Err(refused(refusal)));
            }
            Event::GoAway { error, .. } => {
                if let Some(line) = self.lines.get_mut(link) {
                    line.leaving = Some(error);
                }
            }
            // Whatever may go on does so when the connection is looked after at the turn's end.
            _ => {}
        }
    }

    /// Has a stream's answer look at what has come, and ends the stream once that is clear.
    fn judge(
        &mut self,
        link: usize,
        stream: Handle,
        look: impl FnOnce(&mut Answer, &Head, &Question) -> Result<bool, Failure>,
    ) {
        let slot = stream.user as usize;
        let Some(line) = self.lines.get_mut(link) else { return };
        let found = self.answers.get_mut(slot).filter(|answer| answer.id == stream.id);
        let Some(answer) = found else { return };
        let result = match look(answer, &self.head, &self.question) {
            Ok(false) => return,
            Ok(true) => Ok(()),
            Err(failure) => Err(failure),
        };
        answer.id = 0;
        // What is still open has more to come than anyone wants, or a body that need not leave.
        let why = if result.is_ok() { ErrorCode::NoError } else { ErrorCode::Cancel };
        line.connection.reset(stream.id, why);
        self.largest = self.largest.max(answer.seen as u64);
        self.outcomes.push(Outcome { slot, result });
    }

    pub(super) fn count(&self, slot: usize, counts: &mut Counts) {
        if let Some(answer) = self.answers.get(slot) {
            answer.count(&self.question, counts);
        }
    }

    /// What may come at once: an answer for each stream.
    pub(super) fn answer_bytes(&self) -> u64 {
        self.largest.saturating_mul((self.answers.len() / self.lines.len().max(1)) as u64)
    }
}

impl Line {
    fn new(streams: usize) -> Self {
        Self {
            connection: connection(),
            waiting: VecDeque::with_capacity(streams),
            sending: VecDeque::new(),
            parked: Vec::with_capacity(streams),
            leaving: None,
        }
    }

    fn gather(&mut self, out: &mut Vec<u8>) {
        let output = self.connection.output();
        if !output.is_empty() {
            out.extend_from_slice(output);
            self.connection.clear_output();
        }
    }
}

fn connection() -> Connection {
    let config = Config {
        stream_window_bytes: WINDOW_BYTES,
        connection_window_bytes: CONNECTION_WINDOW_BYTES,
        ..Config::default()
    };
    Connection::new(Role::Client, &config)
}

fn refused(refusal: Refusal) -> Failure {
    Failure::Refused(refusal.code)
}
