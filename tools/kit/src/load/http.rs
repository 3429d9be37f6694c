//! One HTTP/1.1 connection of the generator, over the same codec that the proxy is made of.

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use wire::{
    h1::{self, Body, Limits, Parsed, Refusal, ResponseTo},
    head::{Framing, Head},
};

use super::{Error, LoadSpec, error::Failure};

/// How much is read at once.
const READ_BYTES: usize = 64 * 1024;

/// The request of a run, written once.
pub(super) struct Request {
    bytes: Vec<u8>,
    to: ResponseTo,
    keep_alive: bool,
    expected_body: Option<Vec<u8>>,
}

impl Request {
    pub(super) fn new(spec: &LoadSpec) -> Result<Self, Error> {
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
        let to = ResponseTo { upgrade: false, ..ResponseTo::of(&head) };
        let expected_body = spec.expected_body.clone();
        Ok(Self { bytes, to, keep_alive: spec.keep_alive, expected_body })
    }
}

/// A connection and what has been read from it.
pub(super) struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
    /// The head of the last answer.
    pub(super) head: Head,
}

impl Connection {
    pub(super) fn new(stream: TcpStream) -> Self {
        Self { stream, buffer: Vec::with_capacity(READ_BYTES), head: Head::default() }
    }

    /// Sends the request and reads the whole answer. Says whether the connection can be used
    /// again.
    pub(super) async fn exchange(&mut self, request: &Request) -> Result<bool, Failure> {
        let (mut read, mut write) = self.stream.split();
        let send = async {
            write.write_all(&request.bytes).await?;
            Ok(())
        };
        let mut answer = Answer { read: &mut read, buffer: &mut self.buffer, head: &mut self.head };
        let receive = async {
            answer.head(request.to).await?;
            answer.body(request.expected_body.as_deref()).await
        };
        tokio::try_join!(send, receive)?;
        Ok(self.head.keep_alive && request.keep_alive)
    }
}

struct Answer<'a, 's> {
    read: &'a mut tokio::net::tcp::ReadHalf<'s>,
    buffer: &'a mut Vec<u8>,
    head: &'a mut Head,
}

impl Answer<'_, '_> {
    /// The final head; interim ones are passed over.
    async fn head(&mut self, to: ResponseTo) -> Result<(), Failure> {
        let limits = Limits::default();
        loop {
            let parsed = h1::parse_response(self.buffer, to, &limits, self.head);
            match parsed.map_err(refused)? {
                Parsed::Partial => self.more().await?,
                Parsed::Complete { consumed } => {
                    self.buffer.drain(..consumed);
                    if self.head.status >= 200 {
                        return Ok(());
                    }
                }
            }
        }
    }

    async fn body(&mut self, expected: Option<&[u8]>) -> Result<(), Failure> {
        let mut body = Body::new(self.head.framing);
        let mut seen = 0;
        loop {
            let step = body.step(self.buffer).map_err(refused)?;
            let data = self.buffer.get(step.skip..step.skip + step.data).unwrap_or_default();
            if expected.is_some_and(|all| all.get(seen..seen + data.len()) != Some(data)) {
                return Err(Failure::BodyDiffers);
            }
            seen += data.len();
            let used = step.skip + step.data;
            self.buffer.drain(..used);
            if step.done {
                break;
            }
            if used == 0 {
                match self.more().await {
                    Err(Failure::Closed) if body.eof().is_ok() => break,
                    more => more?,
                }
            }
        }
        match expected {
            Some(all) if all.len() != seen => Err(Failure::BodyDiffers),
            _ if !self.buffer.is_empty() => Err(Failure::BytesBehind),
            _ => Ok(()),
        }
    }

    async fn more(&mut self) -> Result<(), Failure> {
        self.buffer.reserve(READ_BYTES);
        match self.read.read_buf(self.buffer).await? {
            0 => Err(Failure::Closed),
            _ => Ok(()),
        }
    }
}

fn refused(refusal: Refusal) -> Failure {
    Failure::Refused(refusal.code)
}
