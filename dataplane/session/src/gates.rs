//! Network filters that count connections, as these come.

use std::collections::HashMap;
use std::time::Duration;

use config::snapshot::{FilterChain, Gate, OpenConnection};
use ring::Key;
use ring::driver::Driver;

use crate::counters::Counter;
use crate::down::DownState;
use crate::held::Held;
use crate::keys::Alarm;
use crate::worker::Worker;

/// The places that connections have taken, by their keys, until these are gone: few chains count,
/// and what they need is no part of every connection.
pub(crate) type Places = HashMap<u64, Vec<OpenConnection>>;

impl<D: Driver> Worker<D> {
    /// Counts the connection. False: it is one too many, and ends.
    pub(crate) fn comes_in(&mut self, key: Key, chain: &FilterChain) -> bool {
        if chain.gates.is_empty() {
            return true;
        }
        let now = self.io.driver.now();
        let mut places = Vec::new();
        let mut dismissed = None;
        for gate in &chain.gates {
            match gate {
                Gate::Limit(limit) => {
                    let (place, is_within) = limit.begin();
                    places.push(place);
                    if !is_within {
                        dismissed = Some((Counter::ConnectionsLimited, limit.delay));
                        break;
                    }
                }
                Gate::Rate(bucket) => {
                    if !bucket.take(now.0) {
                        dismissed = Some((Counter::ConnectionsRateLimited, None));
                        break;
                    }
                }
            }
        }
        if !places.is_empty() {
            self.places.insert(key.pack(), places);
        }
        let Some((counter, delay)) = dismissed else { return true };
        self.io.counters.count(counter);
        self.dismiss(key, delay);
        false
    }

    /// Nobody reads what a connection says that ends soon.
    pub(crate) fn drop_held(&mut self, key: Key) {
        if let Some(down) = self.downs.get_mut(key) {
            down.held = Held::default();
        }
    }

    /// Ends a connection that nobody serves. Meanwhile what it says is dropped.
    fn dismiss(&mut self, key: Key, after: Option<Duration>) {
        let Some(after) = after else { return self.close_down(key) };
        let at = self.io.driver.now().after(after);
        let Some(down) = self.downs.get_mut(key) else { return };
        (down.state, down.held) = (DownState::Dismissed, Held::default());
        self.io.rearm(&mut down.timer, Some(at), Alarm::Down(key));
        self.rearm_down(key);
    }
}
