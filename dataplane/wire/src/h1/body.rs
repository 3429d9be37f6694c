//! Message bodies: how many of the bytes at hand are framing and how many are the body.

use super::refusal::{self, Refusal};
use super::request::is_token_byte;
use crate::head::Framing;

/// The longest size line of a chunk, extensions and line end included.
pub const CHUNK_LINE_BYTES_MAX: u32 = 4096;

/// The most bytes of a body's trailers. They are checked and dropped, as Envoy does unless
/// `enable_trailers` is set.
pub const TRAILER_BYTES_MAX: u32 = 60 * 1024;

/// A body's decoder. It holds no bytes: it tells the caller which of the bytes at hand to skip
/// and which to pass on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Body {
    state: State,
    /// The length so far of the size line, or of all trailers.
    line_bytes: u32,
}

/// What to do with the front of the input: leave out `skip` bytes, then take `data` bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Step {
    /// Framing bytes, to be dropped.
    pub skip: usize,
    /// Body bytes that follow them.
    pub data: usize,
    /// The body is whole: what follows these bytes is the next message.
    pub done: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Length(u64),
    UntilClose,
    /// Before the first digit of a chunk's size.
    SizeStart,
    Size(u64),
    /// White space after the size, which only an extension may follow (RFC 9112, 7.1.1).
    SizeSpace(u64),
    Extension(u64),
    SizeEnd(u64),
    Data(u64),
    DataCr,
    DataLf,
    TrailerStart,
    TrailerName,
    TrailerValue,
    TrailerEnd,
    LastLf,
    Done,
    Refused(&'static Refusal),
}

impl Body {
    /// The decoder of a body framed so.
    pub fn new(framing: Framing) -> Self {
        let state = match framing {
            Framing::None | Framing::Length(0) => State::Done,
            Framing::Length(length) => State::Length(length),
            Framing::Chunked => State::SizeStart,
            Framing::UntilClose => State::UntilClose,
        };
        Self { state, line_bytes: 0 }
    }

    /// Looks at the front of the input. Call again with what is left after `skip + data` bytes,
    /// until `done`; a step of nothing that is not done asks for more input. What is refused once
    /// stays refused.
    pub fn step(&mut self, input: &[u8]) -> Result<Step, Refusal> {
        let mut skip = 0;
        for byte in input {
            if self.is_data() || self.is_done() {
                break;
            }
            self.state = match self.frame(*byte) {
                Ok(state) => state,
                Err(refusal) => {
                    self.state = State::Refused(refusal);
                    return Err(*refusal);
                }
            };
            skip += 1;
        }
        if let State::Refused(refusal) = self.state {
            return Err(*refusal);
        }
        let data = self.take(input.len() - skip);
        Ok(Step { skip, data, done: self.is_done() })
    }

    /// The body has come whole.
    pub fn is_done(&self) -> bool {
        self.state == State::Done
    }

    /// Bytes that are to come of a body framed by its length; 0 of any other, and of a whole one.
    pub fn length_left(&self) -> u64 {
        match self.state {
            State::Length(left) => left,
            _ => 0,
        }
    }

    /// So many bytes of a body framed by its length have gone their way without being looked at.
    pub fn passed(&mut self, bytes: u64) {
        if let State::Length(left) = self.state {
            self.state = match left.saturating_sub(bytes) {
                0 => State::Done,
                left => State::Length(left),
            };
        }
    }

    /// The peer has closed its side: whether that ends the body properly.
    pub fn eof(&mut self) -> Result<(), Refusal> {
        match self.state {
            State::Done | State::UntilClose => {
                self.state = State::Done;
                Ok(())
            }
            State::Refused(refusal) => Err(*refusal),
            _ => Err(refusal::INCOMPLETE),
        }
    }

    fn is_data(&self) -> bool {
        matches!(self.state, State::Length(_) | State::UntilClose | State::Data(_))
    }

    /// How many of the bytes at hand are the body's.
    fn take(&mut self, len: usize) -> usize {
        let (State::Length(left) | State::Data(left)) = self.state else {
            return if self.state == State::UntilClose { len } else { 0 };
        };
        let taken = usize::try_from(left).unwrap_or(usize::MAX).min(len);
        let left = left - taken as u64;
        self.state = match self.state {
            State::Data(_) if left == 0 => State::DataCr,
            State::Data(_) => State::Data(left),
            _ if left == 0 => State::Done,
            _ => State::Length(left),
        };
        taken
    }

    /// The state after one byte of chunked framing.
    fn frame(&mut self, byte: u8) -> Result<State, &'static Refusal> {
        match self.state {
            State::DataCr if byte == b'\r' => Ok(State::DataLf),
            State::DataLf if byte == b'\n' => Ok(State::SizeStart),
            State::DataCr | State::DataLf => Err(&refusal::CHUNK_END),
            State::SizeStart
            | State::Size(_)
            | State::SizeSpace(_)
            | State::Extension(_)
            | State::SizeEnd(_) => self.size_line(byte),
            State::Refused(refusal) => Err(refusal),
            _ => self.trailer(byte),
        }
    }

    fn size_line(&mut self, byte: u8) -> Result<State, &'static Refusal> {
        self.count(CHUNK_LINE_BYTES_MAX, &refusal::CHUNK_LINE_TOO_LONG)?;
        match (self.state, byte) {
            (State::SizeEnd(size), b'\n') => {
                self.line_bytes = 0;
                Ok(if size == 0 { State::TrailerStart } else { State::Data(size) })
            }
            (State::SizeEnd(_), _) => Err(&refusal::LINE_END),
            (State::Size(size) | State::Extension(size), b'\r') => Ok(State::SizeEnd(size)),
            (State::Size(size) | State::SizeSpace(size), b';') => Ok(State::Extension(size)),
            (State::Size(size) | State::SizeSpace(size), b' ' | b'\t') => {
                Ok(State::SizeSpace(size))
            }
            (State::Extension(size), b'\t' | b' '..=b'~' | 0x80..) => Ok(State::Extension(size)),
            (State::Extension(_), _) => Err(&refusal::CHUNK_EXTENSION),
            (State::SizeStart, digit) => add_digit(0, digit).map(State::Size),
            (State::Size(size), digit) => add_digit(size, digit).map(State::Size),
            _ => Err(&refusal::CHUNK_SIZE),
        }
    }

    fn trailer(&mut self, byte: u8) -> Result<State, &'static Refusal> {
        self.count(TRAILER_BYTES_MAX, &refusal::TOO_LARGE)?;
        match (self.state, byte) {
            (State::TrailerStart, b'\r') => Ok(State::LastLf),
            (State::LastLf, b'\n') => Ok(State::Done),
            (State::TrailerName, b':') => Ok(State::TrailerValue),
            (State::TrailerStart | State::TrailerName, _) if is_token_byte(byte) => {
                Ok(State::TrailerName)
            }
            (State::TrailerValue, b'\r') => Ok(State::TrailerEnd),
            (State::TrailerValue, b'\t' | b' '..=b'~' | 0x80..) => Ok(State::TrailerValue),
            (State::TrailerEnd, b'\n') => Ok(State::TrailerStart),
            _ => Err(&refusal::TRAILER),
        }
    }

    fn count(&mut self, max: u32, refusal: &'static Refusal) -> Result<(), &'static Refusal> {
        self.line_bytes += 1;
        if self.line_bytes > max { Err(refusal) } else { Ok(()) }
    }
}

fn add_digit(size: u64, digit: u8) -> Result<u64, &'static Refusal> {
    let value = char::from(digit).to_digit(16).ok_or(&refusal::CHUNK_SIZE)?;
    let shifted = size.checked_mul(16).ok_or(&refusal::CHUNK_SIZE)?;
    Ok(shifted | u64::from(value))
}
