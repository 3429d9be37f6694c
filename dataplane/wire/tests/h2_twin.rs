//! Our HTTP/2 and the h2 crate's understand each other, either way round.

use std::collections::BTreeMap;

use bytes::Bytes;
use h2::{Reason, RecvStream, client, server};
use http::{HeaderMap, Request, Response, Version};
use ringway_wire::h2::{Config, Connection, ErrorCode, Event, Role};
use ringway_wire::head::{Framing, Head};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};

/// Bodies around the sizes of frames and windows.
const SIZES: [usize; 9] = [0, 1, 100, 16_384, 16_385, 65_535, 65_536, 131_073, 400_000];

fn body(size: usize) -> Vec<u8> {
    (0..size).map(|at| (at % 251) as u8).collect()
}

/// A message of ours that is being sent or gathered.
#[derive(Default)]
struct Message {
    head: String,
    body: Vec<u8>,
    trailers: String,
    is_whole: bool,
    /// How much of the body has gone.
    sent: usize,
}

/// One of our connections over a pipe.
struct Ours {
    connection: Connection,
    head: Head,
    io: DuplexStream,
    received: BTreeMap<u32, Message>,
    sending: BTreeMap<u32, Message>,
    /// What else has happened.
    log: Vec<String>,
    is_closed: bool,
}

fn text(head: &Head) -> String {
    let line = |(n, v): (&[u8], &[u8])| format!("{}: {}\n", n.escape_ascii(), v.escape_ascii());
    head.iter().map(line).collect()
}

impl Ours {
    fn new(role: Role, config: &Config, io: DuplexStream) -> Self {
        Self {
            connection: Connection::new(role, config),
            head: Head::default(),
            io,
            received: BTreeMap::new(),
            sending: BTreeMap::new(),
            log: Vec::new(),
            is_closed: false,
        }
    }

    /// Sends what may go, then waits for bytes and takes them in. What came whole is handed out.
    async fn turn(&mut self) -> Vec<u32> {
        self.send().await;
        let mut bytes = vec![0; 20_000];
        let len = self.io.read(&mut bytes).await.unwrap_or(0);
        self.is_closed = len == 0;
        let whole = self.take(&bytes[..len]);
        self.send().await;
        whole
    }

    fn take(&mut self, mut bytes: &[u8]) -> Vec<u32> {
        let mut whole = Vec::new();
        loop {
            let step = self.connection.receive(bytes, &mut self.head).expect("what h2 writes");
            let data = &bytes[step.skip..][..step.data];
            bytes = &bytes[step.skip + step.data..];
            let (id, end) = match step.event {
                None => return whole,
                Some(Event::Head { stream, end }) => {
                    let start = match self.head.status {
                        0 => format!(
                            "{} {} {}\n",
                            self.head.method().escape_ascii(),
                            self.head.authority().escape_ascii(),
                            self.head.path().escape_ascii()
                        ),
                        status => format!("{status}\n"),
                    };
                    let message = self.received.entry(stream.id).or_default();
                    message.head = start + &text(&self.head);
                    (stream.id, end)
                }
                Some(Event::Data { stream, end }) => {
                    self.connection.consumed(stream.id, data.len());
                    let message = self.received.get_mut(&stream.id).expect("a head before");
                    message.body.extend_from_slice(data);
                    (stream.id, end)
                }
                Some(Event::Trailers { stream }) => {
                    let message = self.received.get_mut(&stream.id).expect("a head before");
                    message.trailers = text(&self.head);
                    (stream.id, true)
                }
                Some(event) => {
                    self.log.push(format!("{event:?}"));
                    continue;
                }
            };
            if end {
                self.received.get_mut(&id).expect("a head before").is_whole = true;
                whole.push(id);
            }
        }
    }

    /// Writes the output, and of each body what may go.
    async fn send(&mut self) {
        for (id, message) in &mut self.sending {
            while !message.is_whole && self.connection.user(*id).is_some() {
                let rest = &message.body[message.sent..];
                let ends_here = message.trailers.is_empty();
                let sent = self.connection.send_data(*id, rest.len(), ends_here).expect("open");
                let wire = [self.connection.output(), &rest[..sent.bytes]].concat();
                self.connection.clear_output();
                let _ = self.io.write_all(&wire).await;
                message.sent += sent.bytes;
                message.is_whole = sent.end;
                if message.sent == message.body.len() && !ends_here {
                    let mut trailers = Head::default();
                    trailers.append(b"x-sum", message.trailers.as_bytes());
                    self.connection.send_trailers(*id, &trailers).expect("open");
                    message.is_whole = true;
                }
                if sent.bytes == 0 {
                    break;
                }
            }
        }
        let _ = self.io.write_all(self.connection.output()).await;
        self.connection.clear_output();
    }
}

/// Reads all of a body, giving its window back.
async fn read_all(mut stream: RecvStream) -> Result<(Vec<u8>, HeaderMap), h2::Error> {
    let mut all = Vec::new();
    while let Some(chunk) = stream.data().await {
        let chunk = chunk?;
        stream.flow_control().release_capacity(chunk.len())?;
        all.extend_from_slice(&chunk);
    }
    Ok((all, stream.trailers().await?.unwrap_or_default()))
}

/// Sends all of a body as its window opens.
async fn send_all(mut stream: h2::SendStream<Bytes>, body: Vec<u8>, trailers: Option<HeaderMap>) {
    let mut rest = Bytes::from(body);
    while !rest.is_empty() {
        stream.reserve_capacity(rest.len());
        let ready = std::future::poll_fn(|context| stream.poll_capacity(context)).await;
        let Some(Ok(capacity)) = ready else { return };
        let piece = rest.split_to(capacity.min(rest.len()));
        stream.send_data(piece, false).expect("open");
    }
    match trailers {
        Some(trailers) => stream.send_trailers(trailers).expect("open"),
        None => stream.send_data(Bytes::new(), true).expect("open"),
    }
}

/// Our server: echoes bodies, with trailers; resets what asks for it.
async fn serve(mut ours: Ours) -> Ours {
    while !ours.is_closed {
        for id in ours.turn().await {
            let message = ours.received.remove(&id).expect("it came");
            if message.head.contains(" /reset\n") {
                ours.connection.reset(id, ErrorCode::InternalError);
                continue;
            }
            let mut answer = Head::default();
            answer.status = 200;
            answer.framing = Framing::Chunked;
            for (at, line) in message.head.lines().enumerate() {
                answer.append(format!("x-echo-{at}").as_bytes(), line.as_bytes());
            }
            ours.connection.send_response(id, &answer, false).expect("open");
            let trailers = message.body.len().to_string() + &message.trailers.replace('\n', "");
            ours.sending.insert(id, Message { body: message.body, trailers, ..Message::default() });
        }
    }
    ours
}

async fn ask_our_server(builder: client::Builder, config: Config) {
    let (near, far) = tokio::io::duplex(30_000);
    let served = tokio::spawn(serve(Ours::new(Role::Server, &config, far)));
    let (mut asker, connection) = builder.handshake::<_, Bytes>(near).await.expect("a greeting");
    let driven = tokio::spawn(connection);
    let mut calls = Vec::new();
    for size in SIZES.into_iter().cycle().take(40) {
        asker = asker.ready().await.expect("room");
        let request = Request::post(format!("http://example:80/size/{size}"))
            .version(Version::HTTP_2)
            .header("x-request-id", format!("id-{}", calls.len()))
            .header("cookie", "a=b")
            .header("cookie", "c=d")
            .header("te", "trailers")
            .body(())
            .expect("a request");
        let (answer, stream) = asker.send_request(request, false).expect("room");
        let mut trailers = HeaderMap::new();
        trailers.insert("x-end", "1".parse().expect("a value"));
        let call = async move {
            let trailers = (size % 2 == 1).then_some(trailers);
            let expected = format!("{size}{}", if size % 2 == 1 { "x-end: 1" } else { "" });
            let sent = tokio::spawn(send_all(stream, body(size), trailers));
            let answer = answer.await.expect("an answer");
            let path = answer.headers()["x-echo-0"].to_str().expect("text").to_owned();
            assert_eq!(path, format!("POST example:80 /size/{size}"));
            assert!(answer.headers().values().any(|value| value == "cookie: a=b; c=d"));
            let (echoed, trailers) = read_all(answer.into_body()).await.expect("a body");
            assert!(echoed == body(size));
            assert_eq!(trailers["x-sum"], expected);
            sent.await.expect("sent");
        };
        calls.push(tokio::spawn(call));
    }
    for call in calls {
        call.await.expect("it went well");
    }
    let reset = Request::get("http://example/reset").body(()).expect("a request");
    let (answer, _) = asker.ready().await.expect("room").send_request(reset, true).expect("room");
    let error = answer.await.expect_err("it is reset");
    assert_eq!(error.reason(), Some(Reason::INTERNAL_ERROR));
    driven.abort();
    let ours = served.await.expect("it ends");
    assert_eq!(ours.connection.open_streams(), 0);
}

#[tokio::test]
async fn h2s_client_asks_our_server() {
    ask_our_server(client::Builder::new(), Config::default()).await;
    // Small windows, small tables, few streams.
    let mut builder = client::Builder::new();
    builder.initial_window_size(1_000).initial_connection_window_size(70_000);
    builder.header_table_size(100).max_header_list_size(4_000);
    let config = Config {
        stream_window_bytes: 2_000,
        connection_window_bytes: 65_535,
        streams_max: 3,
        header_table_bytes: 0,
        ..Config::default()
    };
    ask_our_server(builder, config).await;
}

/// The h2 crate's server: echoes; resets what asks for it.
async fn serve_by_h2(builder: server::Builder, io: DuplexStream) {
    let mut connection = builder.handshake::<_, Bytes>(io).await.expect("a greeting");
    while let Some(Ok((request, mut respond))) = connection.accept().await {
        tokio::spawn(async move {
            let (parts, stream) = request.into_parts();
            if parts.uri.path() == "/reset" {
                respond.send_reset(Reason::ENHANCE_YOUR_CALM);
                return;
            }
            let answer = Response::builder()
                .header("x-method", parts.method.as_str())
                .header("x-uri", parts.uri.to_string())
                .header("x-id", parts.headers["x-request-id"].clone())
                .header("x-crumbs", parts.headers.get_all("cookie").iter().count());
            let (body, trailers) = read_all(stream).await.expect("a body");
            let answer = answer.body(()).expect("an answer");
            let stream = respond.send_response(answer, false).expect("open");
            send_all(stream, body, Some(trailers).filter(|all| !all.is_empty())).await;
        });
    }
}

async fn ask_h2s_server(builder: server::Builder, config: Config) {
    let (near, far) = tokio::io::duplex(30_000);
    let served = tokio::spawn(serve_by_h2(builder, far));
    let mut ours = Ours::new(Role::Client, &config, near);
    while !ours.log.iter().any(|line| line == "PeerSettings") {
        ours.turn().await;
    }
    let (mut asked, mut sizes) = (0, BTreeMap::new());
    let mut done = 0;
    while done < 40 {
        while asked < 40 {
            let size = SIZES[asked % SIZES.len()];
            let mut head = Head::default();
            head.method = head.add_bytes(b"POST");
            head.path = head.add_bytes(format!("/size/{size}").as_bytes());
            head.authority = head.add_bytes(b"example:80");
            head.framing = Framing::Length(size as u64);
            head.append(b"x-request-id", format!("id-{asked}").as_bytes());
            head.append(b"cookie", b"a=b; c=d");
            head.append(b"connection", b"close");
            let Ok(id) = ours.connection.send_request(&head, false, 0) else { break };
            let trailers = if asked % 2 == 1 { "1".to_owned() } else { String::new() };
            ours.sending.insert(id, Message { body: body(size), trailers, ..Message::default() });
            sizes.insert(id, (size, asked));
            asked += 1;
        }
        for id in ours.turn().await {
            let (message, (size, at)) = (&ours.received[&id], sizes[&id]);
            let expected = format!(
                "200\nx-method: POST\nx-uri: http://example:80/size/{size}\nx-id: id-{at}\n\
                 x-crumbs: 1\n"
            );
            assert!(message.head.starts_with(&expected), "{}", message.head);
            assert!(message.body == body(size));
            assert_eq!(message.trailers, if at % 2 == 1 { "x-sum: 1\n" } else { "" });
            done += 1;
        }
        assert!(!ours.is_closed, "{:?}", ours.log);
    }
    let mut head = Head::default();
    head.method = head.add_bytes(b"GET");
    head.path = head.add_bytes(b"/reset");
    head.authority = head.add_bytes(b"example:80");
    ours.connection.send_request(&head, true, 9).expect("room");
    while !ours.log.iter().any(|line| line.contains("EnhanceYourCalm") && line.contains("user: 9"))
    {
        ours.turn().await;
    }
    assert_eq!(ours.connection.open_streams(), 0);
    served.abort();
}

#[tokio::test]
async fn our_client_asks_h2s_server() {
    ask_h2s_server(server::Builder::new(), Config::default()).await;
    let mut builder = server::Builder::new();
    builder.initial_window_size(1_000).initial_connection_window_size(70_000);
    builder.max_concurrent_streams(3).header_table_size(100).max_frame_size(20_000);
    let config = Config { stream_window_bytes: 2_000, header_table_bytes: 64, ..Config::default() };
    ask_h2s_server(builder, config).await;
}
