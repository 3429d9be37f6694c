//! Signs of life by PING (`connection_keepalive`), for either side.

use config::snapshot::Keepalive as Spec;
use ring::driver::Nanos;
use wire::h2::Connection;

/// What a PING of ours carries.
const PAYLOAD: [u8; 8] = *b"keepaliv";

/// When the peer is asked, and by when it must have answered.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Keepalive {
    spec: Spec,
    next: Option<Nanos>,
    answer_by: Option<Nanos>,
}

/// What a look at the clock has come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pulse {
    /// Nothing is due.
    Fine,
    /// The peer was asked just now.
    Asked,
    /// It has not answered in time.
    Dead,
}

impl Keepalive {
    /// `random` decides on the jitter, here and below.
    pub(crate) fn new(spec: Option<Spec>, now: Nanos, random: u64) -> Option<Self> {
        let mut keepalive = Self { spec: spec?, next: None, answer_by: None };
        keepalive.plan(now, random);
        Some(keepalive)
    }

    fn plan(&mut self, now: Nanos, random: u64) {
        let jitter = u64::try_from(self.spec.jitter.as_nanos()).unwrap_or(u64::MAX);
        let added = random.checked_rem(jitter).unwrap_or(0);
        self.answer_by = None;
        self.next = self.spec.interval.map(|interval| Nanos(now.after(interval).0 + added));
    }

    /// When to look at the clock next.
    pub(crate) fn deadline(&self) -> Option<Nanos> {
        self.answer_by.or(self.next)
    }

    /// Looks at the clock, and asks where it is time to.
    pub(crate) fn look(&mut self, now: Nanos, connection: &mut Connection) -> Pulse {
        match (self.answer_by, self.next) {
            (Some(by), _) if by <= now => Pulse::Dead,
            (None, Some(next)) if next <= now => {
                self.ask(now, connection);
                Pulse::Asked
            }
            _ => Pulse::Fine,
        }
    }

    /// A request is about to go out on a connection that is idle since then.
    pub(crate) fn wake(&mut self, since: Nanos, now: Nanos, connection: &mut Connection) {
        let limit = self.spec.idle_interval;
        if self.answer_by.is_none() && limit.is_some_and(|limit| since.after(limit) <= now) {
            self.ask(now, connection);
        }
    }

    fn ask(&mut self, now: Nanos, connection: &mut Connection) {
        self.answer_by = Some(now.after(self.spec.timeout));
        connection.ping(PAYLOAD);
    }

    /// A PING is answered.
    pub(crate) fn on_pong(&mut self, payload: [u8; 8], now: Nanos, random: u64) {
        if payload == PAYLOAD && self.answer_by.is_some() {
            self.plan(now, random);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use wire::h2::{Config, Role};

    use super::*;

    const SECOND: u64 = 1_000_000_000;

    fn at(seconds: u64) -> Nanos {
        Nanos(seconds * SECOND)
    }

    fn spec(idle_interval: Option<Duration>) -> Spec {
        let seconds = Duration::from_secs;
        Spec { interval: Some(seconds(10)), jitter: seconds(2), timeout: seconds(3), idle_interval }
    }

    fn connection() -> Connection {
        let mut connection = Connection::new(Role::Client, &Config::default());
        connection.clear_output();
        connection
    }

    #[test]
    fn who_answers_is_asked_again_and_who_does_not_is_dead() {
        let mut connection = connection();
        let mut keepalive = Keepalive::new(Some(spec(None)), at(0), SECOND).expect("wanted");
        assert_eq!(keepalive.deadline(), Some(at(11)), "with a second of jitter");
        assert_eq!(keepalive.look(at(10), &mut connection), Pulse::Fine);
        assert_eq!(keepalive.look(at(11), &mut connection), Pulse::Asked);
        assert_eq!(connection.output().len(), 17, "one PING");
        assert_eq!(keepalive.deadline(), Some(at(14)));
        keepalive.on_pong(*b"answered", at(12), 0);
        assert_eq!(keepalive.deadline(), Some(at(14)), "that was another one");
        keepalive.on_pong(PAYLOAD, at(12), 0);
        assert_eq!(keepalive.deadline(), Some(at(22)));
        assert_eq!(keepalive.look(at(22), &mut connection), Pulse::Asked);
        assert_eq!(keepalive.look(at(24), &mut connection), Pulse::Fine);
        assert_eq!(keepalive.look(at(25), &mut connection), Pulse::Dead);
    }

    #[test]
    fn who_was_idle_is_asked_before_it_gets_a_request() {
        let mut connection = connection();
        let idle = Some(Duration::from_secs(5));
        let mut keepalive = Keepalive::new(Some(spec(idle)), at(0), 0).expect("wanted");
        keepalive.wake(at(0), at(4), &mut connection);
        assert!(connection.output().is_empty());
        keepalive.wake(at(0), at(5), &mut connection);
        keepalive.wake(at(0), at(6), &mut connection);
        assert_eq!(connection.output().len(), 17, "once");
        assert_eq!(keepalive.deadline(), Some(at(8)));
        assert!(Keepalive::new(None, at(0), 0).is_none());
    }
}
