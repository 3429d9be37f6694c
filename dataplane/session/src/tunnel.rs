//! Upgraded connections: after 101 bytes pass as they are.

use ring::Key;
use ring::driver::Driver;

use crate::down::Down;
use crate::encode::Piece;
use crate::request::Phase;
use crate::worker::Worker;

impl<D: Driver> Worker<D> {
    /// Both sides have agreed to speak something else.
    pub(crate) fn begin_tunnel(&mut self, key: Key) {
        if let Some(http) = self.downs.get_mut(key).and_then(Down::http_mut) {
            http.phase = Phase::Tunnel;
            http.is_closing = true;
            if let Some(key) = http.stream
                && let Some(stream) = self.streams.get_mut(key)
            {
                stream.become_tunnel();
                self.set_alarm(key);
            }
        }
        self.ready.push(key);
    }

    /// The client has ended an upgraded connection: what it said last still goes up.
    pub(crate) fn end_tunnel(&mut self, key: Key) {
        let stream = self.downs.get(key).and_then(Down::http).and_then(|http| http.stream);
        let up = stream.and_then(|s| self.streams.get_mut(s)).and_then(|s| s.up.take());
        if let Some(up) = up {
            self.close_up(up);
        }
        self.close_down(key);
    }

    /// The client's bytes of an upgraded connection; true if there is more to do.
    pub(crate) fn read_tunnel(&mut self, key: Key) -> bool {
        let Some(down) = self.downs.get_mut(key) else { return false };
        let Some(stream) = down.http().and_then(|http| http.stream) else { return false };
        let Some(bytes) = down.held.pop() else { return false };
        self.send_body(stream, Piece::Data(bytes));
        true
    }
}
