//! A connection that a TCP proxy makes through an HTTP proxy, which is asked for it by CONNECT
//! (`tunneling_config`).

use config::snapshot::UpstreamProtocol;
use policy::format;
use ring::driver::Driver;
use ring::{Buf, Key};
use wire::h1::{self, Parsed, Refusal, ResponseTo};

use crate::down::{Down, DownState};
use crate::partial::{Partial, Tries};
use crate::record::Teller;
use crate::tcp::TcpSide;
use crate::up::UpState;
use crate::worker::Worker;

/// What has come of the answer, and for whom.
pub(crate) struct Asking {
    pub(crate) down: Key,
    partial: Partial,
}

/// What an answer means.
enum Answered {
    /// More of it is to come.
    More,
    /// Bytes pass from here on.
    Granted,
    /// They do not.
    Refused,
}

impl<D: Driver> Worker<D> {
    /// The connection to the HTTP proxy stands, and it is asked. False: nobody is to be asked.
    pub(crate) fn ask_through(&mut self, key: Key, down_key: Key) -> bool {
        let Some(down) = self.downs.get(down_key) else { return false };
        let Some(tunnel) = down.tcp().and_then(|tcp| tcp.proxy().tunnel.as_ref()) else {
            return false;
        };
        let start =
            down.record.as_ref().map_or_else(|| self.io.driver.now(), |record| record.start);
        let teller = Teller::new(&self.io, (down_key, down), (self.index, self.workers));
        let mut host = Vec::new();
        format::write(tunnel, &teller.connection(start), b"-", &mut host);
        // What the client has a hand in is not to become another line.
        let is_host = !host.is_empty() && host.iter().all(u8::is_ascii_graphic);
        let request = [b"CONNECT ", &host[..], b" HTTP/1.1\r\nhost: ", &host, b"\r\n\r\n"].concat();
        let bytes = self.io.driver.pool().take(request.len()).map(|mut bytes| {
            bytes.extend(&request);
            bytes.freeze()
        });
        let Some(up) = self.ups.get_mut(key) else { return true };
        // CONNECT over HTTP/2 is not built: a proxy that expects that is not spoken to otherwise.
        let cluster = self.clusters.cluster(up.lease.host.cluster);
        let is_http2 = cluster.is_some_and(|to| to.protocol == UpstreamProtocol::Http2);
        up.state =
            UpState::Asking(Box::new(Asking { down: down_key, partial: Partial::default() }));
        let sent = bytes
            .filter(|_| is_host && !is_http2)
            .map(|bytes| up.io.send(&mut self.io.driver, bytes));
        match sent {
            Some(Ok(())) => up.io.arm(&mut self.io.driver),
            Some(Err(_)) | None => self.on_unasked(key),
        }
        true
    }

    /// Bytes of the answer, and what comes behind it.
    pub(crate) fn on_asked(&mut self, key: Key, plain: &mut Vec<Buf>) {
        let mut behind = Vec::new();
        for mut bytes in plain.drain(..) {
            while !bytes.is_empty() && matches!(self.asked(key), Some(UpState::Asking(_))) {
                match self.read_answer(key, &mut bytes) {
                    Ok(Answered::More) => {}
                    Ok(Answered::Granted) => self.on_granted(key),
                    Ok(Answered::Refused) | Err(_) => return self.on_unasked(key),
                }
            }
            if !bytes.is_empty() {
                behind.push(bytes);
            }
        }
        if let Some(UpState::Tcp(down)) = self.asked(key)
            && !behind.is_empty()
        {
            let down = *down;
            self.pass_down(down, &mut behind);
        }
        self.rearm_up(key);
    }

    fn asked(&self, key: Key) -> Option<&UpState> {
        self.ups.get(key).map(|up| &up.state)
    }

    fn read_answer(&mut self, key: Key, bytes: &mut Buf) -> Result<Answered, Refusal> {
        let Some(up) = self.ups.get_mut(key) else { return Ok(Answered::Refused) };
        let UpState::Asking(asking) = &mut up.state else { return Ok(Answered::Refused) };
        let limits = up.answers.limits;
        let tries = Tries { early_bytes: 0, bytes_max: limits.head_bytes_max };
        let head = &mut self.io.head;
        let to = ResponseTo { connect: true, ..ResponseTo::default() };
        let parse = |bytes: &[u8]| h1::parse_response(bytes, to, &limits, head);
        Ok(match asking.partial.read(bytes, tries, parse)? {
            Parsed::Partial => Answered::More,
            Parsed::Complete { .. } => match self.io.head.status {
                101 => Answered::Refused,
                100..=199 => Answered::More,
                200..=299 => Answered::Granted,
                _ => Answered::Refused,
            },
        })
    }

    fn on_granted(&mut self, key: Key) {
        let Some(up) = self.ups.get_mut(key) else { return };
        let UpState::Asking(asking) = &up.state else { return };
        let down = asking.down;
        up.state = UpState::Tcp(down);
        self.on_tcp_connected(key, down);
    }
}

impl Down {
    fn tcp(&self) -> Option<&TcpSide> {
        match &self.state {
            DownState::Tcp(tcp) | DownState::Ahead(tcp) => Some(tcp),
            _ => None,
        }
    }
}
