//! HTTP/1.1 over the same codec that the proxy is made of.

use std::sync::Arc;

use wire::{
    h1::{self, Body, Limits, Parsed, Refusal, ResponseTo},
    head::{Framing, Head},
};

use super::{
    super::{Counts, Error, LoadSpec, error::Failure, source::Text},
    Read,
    values::Values,
};

/// The request of a run, written once, and what its answers must be like.
pub(in super::super) struct Question {
    pub(in super::super) text: Text,
    to: ResponseTo,
    expected_body: Option<Arc<[u8]>>,
    tally: Vec<String>,
}

impl Question {
    pub(in super::super) fn new(spec: &LoadSpec) -> Result<Self, Error> {
        let mut head = request_head(spec)?;
        let framing = match spec.body.len() {
            0 => Framing::None,
            len => Framing::Length(len as u64),
        };
        let mut bytes = Vec::new();
        let refuse = |reason: String| Err(Error::spec("request", reason));
        if !h1::encode_request(&head, framing, &mut bytes) {
            return refuse("needs a method, a path and a host without spaces".into());
        }
        // What the proxy would refuse by itself is no load but a test of its own.
        let limits = Limits { custom_methods: true, ..Limits::default() };
        if let Err(refusal) = h1::parse_request(&bytes, &limits, &mut head) {
            return refuse(format!("is not HTTP/1.1: {}", refusal.code));
        }
        bytes.extend_from_slice(&spec.body);
        Ok(Self {
            text: Text::once(bytes),
            to: ResponseTo { upgrade: false, ..ResponseTo::of(&head) },
            expected_body: spec.expected_body.as_deref().map(Arc::from),
            tally: spec.tally.iter().map(|name| name.to_ascii_lowercase()).collect(),
        })
    }

    /// The most bytes that an answer is known to have.
    fn answer_bytes(&self) -> u64 {
        self.expected_body.as_ref().map_or(0, |body| body.len() as u64)
    }
}

fn request_head(spec: &LoadSpec) -> Result<Head, Error> {
    let mut head = Head::default();
    head.method = head.add_bytes(spec.method.as_bytes());
    head.path = head.add_bytes(spec.path.as_bytes());
    head.authority = head.add_bytes(spec.host.as_bytes());
    for (name, value) in &spec.headers {
        let name = name.to_ascii_lowercase();
        let ours = matches!(name.as_str(), "host" | "content-length" | "transfer-encoding");
        if ours || !head.append(name.as_bytes(), value.as_bytes()) {
            let reason = format!("cannot have {name:?} with the value {value:?}");
            return Err(Error::spec("headers", reason));
        }
    }
    if !spec.keep_alive {
        head.append(b"connection", b"close");
    }
    Ok(head)
}

/// The reader of answers.
pub(in super::super) struct Codec {
    reader: Reader,
    expected_body: Option<Arc<[u8]>>,
    tally: Vec<String>,
    answers: Vec<Answer>,
    largest: u64,
}

/// The answer that one connection is reading.
#[derive(Default)]
struct Answer {
    stage: Stage,
    /// A head of which the end has not come.
    partial: Vec<u8>,
    /// Bytes of the body so far.
    seen: usize,
    status: u16,
    keep_alive: bool,
    /// The fields that are to be counted.
    values: Values,
}

#[derive(Clone, Copy, Default)]
enum Stage {
    #[default]
    Head,
    Body(Body),
}

impl Codec {
    pub(super) fn new(question: &Question, connections: usize) -> Self {
        Self {
            reader: Reader::new(question.to),
            expected_body: question.expected_body.clone(),
            tally: question.tally.clone(),
            answers: (0..connections).map(|_| Answer::default()).collect(),
            largest: question.answer_bytes(),
        }
    }

    pub(super) fn begin(&mut self, link: usize) {
        let Some(answer) = self.answers.get_mut(link) else { return };
        (answer.stage, answer.seen) = (Stage::Head, 0);
        answer.partial.clear();
    }

    pub(super) fn read(&mut self, link: usize, mut bytes: &[u8]) -> Result<Read, Failure> {
        let Some(answer) = self.answers.get_mut(link) else { return Err(Failure::Unasked) };
        while let Stage::Head = answer.stage {
            let Some(rest) = self.reader.head(&mut answer.partial, bytes)? else {
                return Ok(Read::Partial);
            };
            bytes = rest;
            let known = &self.reader.known;
            // Interim answers are passed over.
            if known.status >= 200 {
                answer.stage = Stage::Body(Body::new(known.framing));
                (answer.status, answer.keep_alive) = (known.status, known.keep_alive);
                if let Framing::Length(length) = known.framing {
                    self.largest = self.largest.max(length);
                }
                answer.values.note(&self.tally, &self.reader.head);
            }
        }
        answer.body(self.expected_body.as_deref(), bytes)
    }

    /// The server has closed: that ends an answer which has no other end.
    pub(super) fn end(&mut self, link: usize) -> Result<Read, Failure> {
        let Some(answer) = self.answers.get_mut(link) else { return Err(Failure::Unasked) };
        let Stage::Body(body) = &mut answer.stage else { return Err(Failure::Closed) };
        if body.eof().is_err() {
            return Err(Failure::Closed);
        }
        let expected = self.expected_body.as_ref().map(|body| body.len());
        match expected {
            Some(len) if len != answer.seen => Err(Failure::BodyDiffers),
            _ => Ok(Read::Whole { keep: false }),
        }
    }

    pub(super) fn count(&self, link: usize, counts: &mut Counts) {
        let Some(answer) = self.answers.get(link) else { return };
        counts.status(answer.status);
        answer.values.count(&self.tally, counts);
    }

    pub(super) fn answer_bytes(&self) -> u64 {
        self.largest
    }
}

impl Answer {
    fn body(&mut self, expected: Option<&[u8]>, mut bytes: &[u8]) -> Result<Read, Failure> {
        let Stage::Body(body) = &mut self.stage else { return Ok(Read::Partial) };
        loop {
            let step = body.step(bytes).map_err(refused)?;
            let data = bytes.get(step.skip..step.skip + step.data).unwrap_or_default();
            let place = self.seen..self.seen + data.len();
            if expected.is_some_and(|all| all.get(place) != Some(data)) {
                return Err(Failure::BodyDiffers);
            }
            self.seen += data.len();
            bytes = bytes.get(step.skip + step.data..).unwrap_or_default();
            if step.done {
                break;
            }
            if bytes.is_empty() {
                return Ok(Read::Partial);
            }
        }
        match expected {
            Some(all) if all.len() != self.seen => Err(Failure::BodyDiffers),
            _ if !bytes.is_empty() => Err(Failure::BytesBehind),
            _ => Ok(Read::Whole { keep: self.keep_alive }),
        }
    }
}

/// Reads heads, and remembers the last one: the next is mostly the same, byte by byte.
struct Reader {
    to: ResponseTo,
    limits: Limits,
    head: Head,
    known: Known,
}

/// A head that was read.
struct Known {
    /// As it came; empty if it is not to be recognised.
    bytes: Vec<u8>,
    status: u16,
    framing: Framing,
    keep_alive: bool,
}

impl Reader {
    fn new(to: ResponseTo) -> Self {
        let known =
            Known { bytes: Vec::new(), status: 0, framing: Framing::None, keep_alive: false };
        Self { to, limits: Limits::default(), head: Head::default(), known }
    }

    /// Reads one head and returns what follows it; `None` if its end has not come. What has come
    /// then is in `partial`, with which a head may begin.
    fn head<'a>(
        &mut self,
        partial: &mut Vec<u8>,
        bytes: &'a [u8],
    ) -> Result<Option<&'a [u8]>, Failure> {
        if partial.is_empty() {
            let consumed = self.read(bytes)?;
            if consumed.is_none() {
                partial.extend_from_slice(bytes);
            }
            return Ok(consumed.and_then(|consumed| bytes.get(consumed..)));
        }
        let before = partial.len();
        partial.extend_from_slice(bytes);
        if h1::find_end(partial, before).is_none() && partial.len() <= self.limits.head_bytes_max {
            return Ok(None);
        }
        let consumed = self.read(partial)?;
        if consumed.is_some() {
            partial.clear();
        }
        Ok(consumed.and_then(|consumed| bytes.get(consumed.saturating_sub(before)..)))
    }

    /// Reads the head at the front of `bytes` and says how long it is.
    fn read(&mut self, bytes: &[u8]) -> Result<Option<usize>, Failure> {
        // A head ends where it says, so the same bytes are the same head whatever follows.
        let known = &mut self.known;
        if !known.bytes.is_empty() && bytes.starts_with(&known.bytes) {
            return Ok(Some(known.bytes.len()));
        }
        known.bytes.clear();
        let parsed = h1::parse_response(bytes, self.to, &self.limits, &mut self.head);
        let Parsed::Complete { consumed } = parsed.map_err(refused)? else { return Ok(None) };
        known.bytes.extend_from_slice(bytes.get(..consumed).unwrap_or_default());
        (known.status, known.framing) = (self.head.status, self.head.framing);
        known.keep_alive = self.head.keep_alive;
        Ok(Some(consumed))
    }
}

fn refused(refusal: Refusal) -> Failure {
    Failure::Refused(refusal.code)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn codec(change: impl FnOnce(&mut LoadSpec)) -> Codec {
        let mut spec = LoadSpec::http(([127, 0, 0, 1], 1).into(), "a", "/");
        change(&mut spec);
        Codec::new(&Question::new(&spec).unwrap(), 1)
    }

    #[test]
    fn answers_are_read_however_they_are_cut() {
        const ANSWERS: [(&[u8], bool); 5] = [
            (b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok", true),
            (b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok", false),
            (b"HTTP/1.1 100 C\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok", true),
            (b"HTTP/1.1 103 E\r\n\r\nHTTP/1.1 100 C\r\n\r\n\
               HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok", true),
            (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\no\r\n1\r\nk\r\n0\r\n\r\n",
                true),
        ];
        let mut codec = codec(|spec| spec.expected_body = Some(b"ok".to_vec()));
        for (text, keep) in ANSWERS {
            for cut in 1..=text.len() {
                codec.begin(0);
                let mut last = Ok(Read::Partial);
                for piece in text.chunks(cut) {
                    assert_eq!(last, Ok(Read::Partial), "{} by {cut}", text.escape_ascii());
                    last = codec.read(0, piece);
                }
                assert_eq!(last, Ok(Read::Whole { keep }), "{} by {cut}", text.escape_ascii());
            }
        }
    }

    #[test]
    fn a_head_that_differs_is_read_anew() {
        let mut codec = codec(|spec| spec.tally = vec!["X-Version".into()]);
        let mut counts = Counts::default();
        for (answer, read) in [
            ("HTTP/1.1 200 OK\r\nx-version: v1\r\ncontent-length: 2\r\n\r\nok", true),
            ("HTTP/1.1 200 OK\r\nx-version: v1\r\ncontent-length: 2\r\n\r\nok", true),
            ("HTTP/1.1 200 OK\r\nx-version: v2\r\ncontent-length: 2\r\n\r\nok", true),
            ("HTTP/1.1 404 Gone\r\ncontent-length: 0\r\n\r\n", true),
            ("HTTP/1.1 200 OK\r\nx-version: v2\r\ncontent-length: 3\r\n\r\nok", false),
        ] {
            codec.begin(0);
            let met = codec.read(0, answer.as_bytes());
            assert_eq!(met == Ok(Read::Whole { keep: true }), read, "{answer:?}: {met:?}");
            codec.count(0, &mut counts);
        }
        assert_eq!(counts.header("x-version", "v1"), 2);
        assert_eq!(counts.header("x-version", "v2"), 2);
        assert_eq!(counts.header("x-version", "(none)"), 1);
        assert_eq!(counts.statuses.get(&404), Some(&1));
    }
}
