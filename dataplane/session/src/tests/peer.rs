//! Peers that speak HTTP/2 over a blocking socket, by the codec of our own.

use std::collections::BTreeMap;
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;

use wire::h2::{Config, Connection, ErrorCode, Event, Role};
use wire::head::{Framing, Head};

/// What has come on a stream.
#[derive(Clone, Debug, Default)]
pub(super) struct Message {
    /// The pseudo fields of a request.
    pub(super) line: String,
    pub(super) status: u16,
    pub(super) interim: Vec<u16>,
    pub(super) fields: Vec<(String, String)>,
    pub(super) body: Vec<u8>,
    pub(super) trailers: Vec<(String, String)>,
    pub(super) ended: bool,
    pub(super) reset: Option<ErrorCode>,
}

impl Message {
    pub(super) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub(super) fn field(&self, name: &str) -> Option<&str> {
        let mut all = self.fields.iter().chain(&self.trailers);
        all.find(|(found, _)| found == name).map(|(_, value)| &**value)
    }

    fn is_over(&self) -> bool {
        self.ended || self.reset.is_some()
    }
}

/// One side of a connection.
pub(super) struct Peer {
    pub(super) socket: TcpStream,
    pub(super) connection: Connection,
    head: Head,
    pub(super) messages: BTreeMap<u32, Message>,
    /// Bodies that come are consumed at once.
    pub(super) consumes: bool,
    /// What is to go on streams whose windows are shut, and whether it is all.
    waiting: BTreeMap<u32, (Vec<u8>, bool)>,
    pub(super) gone_away: Option<(u32, ErrorCode)>,
    pub(super) is_closed: bool,
}

impl Peer {
    pub(super) fn client(socket: TcpStream) -> Self {
        Self::new(Role::Client, socket, &Config::default())
    }

    pub(super) fn server(socket: TcpStream) -> Self {
        Self::new(Role::Server, socket, &Config::default())
    }

    pub(super) fn new(role: Role, socket: TcpStream, config: &Config) -> Self {
        // Frames are written one by one.
        socket.set_nodelay(true).expect("no delay");
        Self {
            socket,
            connection: Connection::new(role, config),
            head: Head::default(),
            messages: BTreeMap::new(),
            consumes: true,
            waiting: BTreeMap::new(),
            gone_away: None,
            is_closed: false,
        }
    }

    /// Begins a request; `body`: it goes on with these bytes, and ends with them.
    pub(super) fn ask(
        &mut self,
        method: &str,
        path: &str,
        fields: &[(&str, &str)],
        body: Option<&[u8]>,
    ) -> u32 {
        let id = self.begin(method, path, fields, body.is_none());
        if let Some(body) = body {
            self.send(id, body, true);
        }
        id
    }

    pub(super) fn begin(
        &mut self,
        method: &str,
        path: &str,
        fields: &[(&str, &str)],
        end: bool,
    ) -> u32 {
        let head = request(method, path, fields);
        let id = self.connection.send_request(&head, end, 0).expect("a stream");
        self.messages.insert(id, Message::default());
        self.flush();
        id
    }

    /// Answers a request; trailers end the answer where there are some.
    pub(super) fn answer(
        &mut self,
        id: u32,
        status: u16,
        fields: &[(&str, &str)],
        body: &[u8],
        trailers: &[(&str, &str)],
    ) {
        let head = response(status, fields);
        let is_alone = body.is_empty() && trailers.is_empty();
        if self.connection.send_response(id, &head, is_alone).is_err() || is_alone {
            return self.flush();
        }
        if !body.is_empty() {
            self.send(id, body, trailers.is_empty());
        }
        while self.waiting.contains_key(&id) && self.turn() {}
        if !trailers.is_empty() {
            let mut head = Head::default();
            trailers.iter().for_each(|(name, value)| {
                head.append(name.as_bytes(), value.as_bytes());
            });
            let _ = self.connection.send_trailers(id, &head);
        }
        self.flush();
    }

    /// Begins an answer whose body follows.
    pub(super) fn begin_answer(&mut self, id: u32, status: u16) {
        let _ = self.connection.send_response(id, &response(status, &[]), false);
        self.flush();
    }

    pub(super) fn send(&mut self, id: u32, bytes: &[u8], end: bool) {
        let waiting = self.waiting.entry(id).or_default();
        waiting.0.extend_from_slice(bytes);
        waiting.1 |= end;
        self.push(id);
    }

    /// Ends a request with these trailers.
    pub(super) fn end_with(&mut self, id: u32, trailers: &[(&str, &str)]) {
        while self.waiting.contains_key(&id) && self.turn() {}
        let mut head = Head::default();
        for (name, value) in trailers {
            head.append(name.as_bytes(), value.as_bytes());
        }
        self.connection.send_trailers(id, &head).expect("the stream is open");
        self.flush();
    }

    pub(super) fn reset(&mut self, id: u32, error: ErrorCode) {
        self.connection.reset(id, error);
        self.flush();
    }

    fn push(&mut self, id: u32) {
        while let Some((bytes, end)) = self.waiting.get(&id) {
            let Ok(sent) = self.connection.send_data(id, bytes.len(), *end) else {
                self.waiting.remove(&id);
                return;
            };
            let frame = [self.connection.output(), &bytes[..sent.bytes]].concat();
            self.connection.clear_output();
            self.is_closed |= self.socket.write_all(&frame).is_err();
            let (bytes, _) = self.waiting.get_mut(&id).expect("there");
            bytes.drain(..sent.bytes);
            if bytes.is_empty() {
                self.waiting.remove(&id);
            } else if sent.bytes == 0 {
                return;
            }
        }
    }

    pub(super) fn flush(&mut self) {
        self.is_closed |= self.socket.write_all(self.connection.output()).is_err();
        self.connection.clear_output();
    }

    /// Takes in what comes next. False: nothing more comes.
    pub(super) fn turn(&mut self) -> bool {
        self.flush();
        let mut bytes = vec![0; 64 * 1024];
        match self.socket.read(&mut bytes) {
            Ok(length @ 1..) => self.take(&bytes[..length]),
            // A ring that this thread has tried out and closed interrupts it once more.
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            _ => self.is_closed = true,
        }
        self.flush();
        !self.is_closed
    }

    fn take(&mut self, mut rest: &[u8]) {
        loop {
            let Ok(step) = self.connection.receive(rest, &mut self.head) else {
                self.is_closed = true;
                return;
            };
            let data = &rest[step.skip..][..step.data];
            rest = &rest[step.skip + step.data..];
            let Some(event) = step.event else { return };
            self.note(event, data);
        }
    }

    fn note(&mut self, event: Event, data: &[u8]) {
        match event {
            Event::Head { stream, end } => {
                let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
                let (fields, head) = (fields(&self.head), &self.head);
                let message = self.messages.entry(stream.id).or_default();
                if (100..200).contains(&head.status) && head.status != 101 {
                    return message.interim.push(head.status);
                }
                let scheme = text(head.get(head.scheme));
                let (path, authority) = (text(head.path()), text(head.authority()));
                message.line = format!("{} {scheme}://{authority}{path}", text(head.method()));
                (message.status, message.fields, message.ended) = (head.status, fields, end);
            }
            Event::Data { stream, end } => {
                let message = self.messages.entry(stream.id).or_default();
                message.body.extend_from_slice(data);
                message.ended |= end;
                if self.consumes {
                    self.connection.consumed(stream.id, data.len());
                }
            }
            Event::Trailers { stream } => {
                let trailers = fields(&self.head);
                let message = self.messages.entry(stream.id).or_default();
                (message.trailers, message.ended) = (trailers, true);
            }
            Event::Reset { stream, error } => {
                self.messages.entry(stream.id).or_default().reset = Some(error);
                // Nobody waits for it any more, whoever sends it least of all.
                self.waiting.remove(&stream.id);
            }
            Event::WindowOpened { stream } => self.push(stream.id),
            Event::WindowsOpened | Event::PeerSettings => {
                while let Some(ready) = self.connection.next_ready() {
                    self.push(ready.id);
                }
            }
            Event::GoAway { last, error } => self.gone_away = Some((last, error)),
            _ => {}
        }
    }

    /// What came on the stream, once it is over.
    pub(super) fn wait(&mut self, id: u32) -> Message {
        while !self.messages.get(&id).is_some_and(Message::is_over) {
            let goes_on = self.turn();
            let (failure, away) = (self.connection.failure(), self.gone_away);
            let message = self.messages.get(&id);
            assert!(goes_on, "stream {id} is not over: {message:?}, {failure:?}, {away:?}");
        }
        self.messages.get(&id).cloned().unwrap_or_default()
    }

    /// Goes on until that is so, or nothing more comes.
    pub(super) fn until(&mut self, is_so: impl Fn(&Self) -> bool) -> bool {
        while !is_so(self) {
            if !self.turn() {
                return is_so(self);
            }
        }
        true
    }

    /// The requests that have come whole since the last call.
    pub(super) fn whole(&self, seen: &mut Vec<u32>) -> Vec<(u32, Message)> {
        let whole = self.messages.iter().filter(|(id, m)| m.ended && !seen.contains(id));
        let whole: Vec<_> = whole.map(|(id, message)| (*id, message.clone())).collect();
        seen.extend(whole.iter().map(|(id, _)| *id));
        whole
    }
}

/// Serves every request by this function.
pub(super) fn server(
    answer: impl Fn(&mut Peer, u32, &Message) + Clone + Send + 'static,
) -> impl Fn(TcpStream) + Clone + Send + 'static {
    move |socket| {
        let (mut peer, mut seen) = (Peer::server(socket), Vec::new());
        while peer.turn() {
            // An answer that waits for its window takes in what comes behind.
            loop {
                let whole = peer.whole(&mut seen);
                if whole.is_empty() {
                    break;
                }
                whole.iter().for_each(|(id, message)| answer(&mut peer, *id, message));
            }
        }
    }
}

pub(super) fn fields(head: &Head) -> Vec<(String, String)> {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    head.iter().map(|(name, value)| (text(name), text(value))).collect()
}

pub(super) fn request(method: &str, path: &str, fields: &[(&str, &str)]) -> Head {
    let mut head = Head::default();
    head.method = head.add_bytes(method.as_bytes());
    head.path = head.add_bytes(path.as_bytes());
    head.authority = head.add_bytes(b"x");
    for (name, value) in fields {
        assert!(head.append(name.as_bytes(), value.as_bytes()));
    }
    head.framing = Framing::Chunked;
    head
}

fn response(status: u16, fields: &[(&str, &str)]) -> Head {
    let mut head = Head::default();
    head.status = status;
    for (name, value) in fields {
        assert!(head.append(name.as_bytes(), value.as_bytes()));
    }
    head.framing = Framing::Chunked;
    head
}
