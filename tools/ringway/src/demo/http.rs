//! A small HTTP/1.1 client: enough to ask one question and see exactly what came back.

use std::{io, net::SocketAddr, time::Duration};

use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::TcpStream,
    time::timeout,
};

/// How long a connection and an answer may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// Limits on what a server may send.
const LINE_MAX: usize = 16 << 10;
const HEADERS_MAX: usize = 100;
const BODY_MAX: usize = 1 << 20;

/// What to ask.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Question<'a> {
    pub(crate) method: &'a str,
    pub(crate) host: &'a str,
    pub(crate) path: &'a str,
}

/// What came back.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

/// One connection, used for one request after the other.
pub(crate) struct Connection {
    stream: BufReader<TcpStream>,
}

impl Answer {
    /// The first header of this name.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str())
    }

    fn asks_to_close(&self) -> bool {
        self.header("connection").is_some_and(|value| value.eq_ignore_ascii_case("close"))
    }
}

impl Connection {
    pub(crate) async fn open(address: SocketAddr) -> io::Result<Self> {
        let stream = timeout(PATIENCE, TcpStream::connect(address)).await??;
        stream.set_nodelay(true)?;
        Ok(Self { stream: BufReader::new(stream) })
    }

    /// Asks and reads the whole answer. An error before the first byte of it means that the
    /// connection was refused, reset or closed.
    pub(crate) async fn ask(&mut self, question: Question<'_>) -> io::Result<Answer> {
        timeout(PATIENCE, self.exchange(question)).await?
    }

    async fn exchange(&mut self, question: Question<'_>) -> io::Result<Answer> {
        let Question { method, host, path } = question;
        let length = if method == "POST" { "content-length: 0\r\n" } else { "" };
        let head = format!("{method} {path} HTTP/1.1\r\nhost: {host}\r\n{length}\r\n");
        self.stream.get_mut().write_all(head.as_bytes()).await?;
        let status_line = self.line().await?;
        let status = status_line.split(' ').nth(1).and_then(|word| word.parse().ok());
        let status = status.ok_or_else(|| invalid("its first line has no status"))?;
        let headers = self.headers().await?;
        let mut answer = Answer { status, headers, body: Vec::new() };
        answer.body = self.body(&answer).await?;
        Ok(answer)
    }

    async fn headers(&mut self) -> io::Result<Vec<(String, String)>> {
        let mut headers = Vec::new();
        loop {
            let line = self.line().await?;
            if line.is_empty() {
                return Ok(headers);
            }
            let (name, value) = line.split_once(':').ok_or_else(|| invalid("a torn header"))?;
            headers.push((name.to_owned(), value.trim().to_owned()));
            if headers.len() > HEADERS_MAX {
                return Err(invalid("more than 100 headers"));
            }
        }
    }

    async fn body(&mut self, answer: &Answer) -> io::Result<Vec<u8>> {
        if matches!(answer.status, 204 | 304) {
            return Ok(Vec::new());
        }
        if answer.header("transfer-encoding").is_some_and(|value| value.contains("chunked")) {
            return self.chunks().await;
        }
        match answer.header("content-length") {
            Some(length) => {
                let length = length.parse().map_err(|_| invalid("a content-length"))?;
                self.exactly(length).await
            }
            None if answer.asks_to_close() => {
                let mut body = Vec::new();
                let limited = (&mut self.stream).take(BODY_MAX as u64);
                { limited }.read_to_end(&mut body).await?;
                Ok(body)
            }
            None => Ok(Vec::new()),
        }
    }

    async fn chunks(&mut self) -> io::Result<Vec<u8>> {
        let mut body = Vec::new();
        loop {
            let line = self.line().await?;
            let size = line.split(';').next().unwrap_or_default().trim();
            let size = usize::from_str_radix(size, 16).map_err(|_| invalid("a chunk's size"))?;
            if size == 0 {
                while !self.line().await?.is_empty() {}
                return Ok(body);
            }
            body.extend(self.exactly(size).await?);
            self.line().await?;
            if body.len() > BODY_MAX {
                return Err(invalid("a body over 1 MiB"));
            }
        }
    }

    async fn exactly(&mut self, length: usize) -> io::Result<Vec<u8>> {
        if length > BODY_MAX {
            return Err(invalid("a body over 1 MiB"));
        }
        let mut body = vec![0; length];
        self.stream.read_exact(&mut body).await?;
        Ok(body)
    }

    async fn line(&mut self) -> io::Result<String> {
        let mut line = Vec::new();
        let mut limited = (&mut self.stream).take(LINE_MAX as u64);
        limited.read_until(b'\n', &mut line).await?;
        match line.pop() {
            Some(b'\n') => {}
            Some(_) => return Err(invalid("a line over 16 KiB")),
            None => return Err(io::ErrorKind::UnexpectedEof.into()),
        }
        if line.last() == Some(&b'\r') {
            line.pop();
        }
        String::from_utf8(line).map_err(|_| invalid("a header that is no text"))
    }
}

fn invalid(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("the answer has {what}"))
}
