//! Upgraded connections and CONNECT: once it is agreed on, bytes pass as they are.
//!
//! A tunnel is a request whose body and whose answer's body last until either side ends; what the
//! codecs make of that is theirs. By HTTP/2 a side that ends closes its half alone; a client by
//! HTTP/1.1 that closes its side ends the whole.

use ring::Key;
use ring::driver::Driver;
use wire::h1;
use wire::head::{Framing, Head, Known};

use crate::down::Down;
use crate::encode::Piece;
use crate::request::Phase;
use crate::response::Client;
use crate::serving::Asker;
use crate::up::UpState;
use crate::worker::Worker;

/// What a request is to become.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Tunnel {
    /// It is a request like any other.
    #[default]
    None,
    /// The upstream is asked for it.
    Asked,
    /// It ends here: the upstream gets the bytes alone.
    Raw,
    /// It is one.
    Open,
}

impl Tunnel {
    pub(crate) fn of(head: &Head, terminates_connect: bool) -> Self {
        match head.method() {
            b"CONNECT" if terminates_connect => Self::Raw,
            b"CONNECT" => Self::Asked,
            _ if head.upgrade.is_some() => Self::Asked,
            _ => Self::None,
        }
    }
}

/// The answer with this head turns the request into a tunnel.
pub(crate) fn opens(head: &Head, is_connect: bool) -> bool {
    head.status == 101 || (is_connect && (200..300).contains(&head.status))
}

impl<D: Driver> Worker<D> {
    /// Both sides have agreed to speak something else.
    pub(crate) fn begin_tunnel(&mut self, to: Asker) {
        if let Some(http) = self.downs.get_mut(to.down).and_then(Down::http_mut) {
            http.phase = Phase::Tunnel;
            http.is_closing = true;
        }
        if let Some(key) = to.stream
            && let Some(stream) = self.streams.get_mut(key)
        {
            stream.become_tunnel();
            self.set_alarm(key);
            self.send_waiting(key);
        }
        self.ready.push(to.down);
    }

    /// Sends what has waited for the tunnel.
    fn send_waiting(&mut self, key: Key) {
        let Some(stream) = self.streams.get_mut(key) else { return };
        let Some(up_key) = stream.up else { return };
        let Some(up) = self.ups.get_mut(up_key) else { return };
        if !matches!(up.state, UpState::Http(_)) {
            return self.list_up(up_key, key);
        }
        let down = stream.down;
        let mut sent = Ok(());
        stream.waiting_bytes = 0;
        while let Some(bytes) = stream.waiting.pop() {
            stream.is_spent = true;
            sent = sent.and_then(|()| up.io.send(&mut self.io.driver, bytes));
        }
        // A client by HTTP/1.1 ends its side by closing the connection, and has not by now.
        if stream.is_request_done && stream.returning.is_some() {
            up.io.finish(&mut self.io.driver, &mut self.io.scratch);
        }
        match sent {
            Ok(()) => self.wake(down, key),
            Err(_) => self.on_response_broken(up_key, false),
        }
    }

    /// A connection stands for a CONNECT that ends here: it is a tunnel from its first byte.
    pub(crate) fn attach_raw(&mut self, key: Key, up_key: Key) {
        let now = self.io.driver.now();
        if self.ups.get(up_key).is_some_and(|up| up.is_reused()) {
            // Requests have gone over it before: it is none for plain bytes.
            self.discard(up_key);
            return self.choose_again(key);
        }
        let Some(stream) = self.streams.get_mut(key) else { return self.release(up_key, false) };
        let Some(up) = self.ups.get_mut(up_key) else { return };
        (stream.up, stream.is_queued) = (Some(up_key), false);
        (stream.sent_at, stream.active_at, stream.has_begun) = (now, now, true);
        up.state = UpState::Http(Client::tunnel(key));
        up.attached = self.turn.wrapping_sub(1);
        let to = Asker { down: stream.down, stream: Some(key) };
        self.io.head.clear();
        (self.io.head.status, self.io.head.framing) = (200, Framing::UntilClose);
        self.return_head(key);
        self.send_head(to);
        self.begin_tunnel(to);
    }

    /// The client has ended an upgraded connection: what it said last still goes up.
    pub(crate) fn end_tunnel(&mut self, key: Key) {
        let stream = self.downs.get(key).and_then(Down::http).and_then(|http| http.stream);
        let up = stream.and_then(|s| self.streams.get(s)).and_then(|s| s.up);
        if let Some(stream) = stream
            && self.is_shared(up)
        {
            // It leaves in its turns; the upstream's end is this connection's.
            return self.send_body(stream, Piece::End);
        }
        if let Some(stream) = stream.and_then(|s| self.streams.get_mut(s)) {
            stream.up = None;
        }
        if let Some(up) = up {
            self.close_up(up);
        }
        self.close_down(key);
    }

    fn is_shared(&self, up: Option<Key>) -> bool {
        let up = up.and_then(|up| self.ups.get(up));
        up.is_some_and(|up| matches!(up.state, UpState::Http2(_)))
    }

    /// The client's bytes of an upgraded connection; true if there is more to do.
    pub(crate) fn read_tunnel(&mut self, key: Key) -> bool {
        let Some(down) = self.downs.get_mut(key) else { return false };
        let Some(stream) = down.http().and_then(|http| http.stream) else { return false };
        let pool = self.io.driver.pool();
        if self.streams.get(stream).is_some_and(|stream| stream.is_full(pool)) {
            return false;
        }
        let Some(bytes) = down.held.pop() else { return false };
        self.send_body(stream, Piece::Data(bytes));
        true
    }

    /// An extended CONNECT is agreed on: the answer in `io.head` says to what, as HTTP/1.1 does.
    pub(crate) fn name_upgrade(&mut self, key: Key) {
        let Some(stream) = self.streams.get(key) else { return };
        // Few requests are upgrades: a head of their own may cost an allocation.
        let mut asked = Head::default();
        let read = h1::parse_request(&stream.request_head, &stream.form.limits(), &mut asked);
        let name = read.ok().and(asked.upgrade).map(|name| asked.get(name));
        let head = &mut self.io.head;
        head.remove_known(Known::Upgrade);
        if let Some(name) = name
            && head.append(b"upgrade", name)
        {
            head.upgrade = head.fields().last().map(|field| field.value);
        }
    }
}
