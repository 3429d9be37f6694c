//! Listener filters: what the first bytes of a connection say.

use config::snapshot::Transport;
use ring::Key;
use ring::driver::Driver;
use wire::detect::{self, Detected, Http};
use wire::proxy_protocol::{self, Header, Heard};

use crate::accept::runs_on;
use crate::counters::Counter;
use crate::down::Down;
use crate::limits::INSPECT_MAX;
use crate::worker::Worker;

impl<D: Driver> Worker<D> {
    /// Looks at what has come so far; goes on when it is enough to choose a chain.
    pub(crate) fn inspect(&mut self, key: Key) {
        if !self.hear_proxy(key) {
            return;
        }
        let Some(down) = self.downs.get_mut(key) else { return };
        let gathered = &mut self.io.gathered;
        gathered.clear();
        down.held.copy_to(gathered);
        let is_full = gathered.len() >= INSPECT_MAX;
        match look(down, gathered, &mut self.io.hello) {
            Look::Done => self.choose_chain(key),
            // As Envoy: an endless ClientHello is refused, and what is not HTTP by now never is.
            Look::Tls if is_full => self.abort_down(key),
            Look::Http if is_full => self.choose_chain(key),
            Look::Tls | Look::Http => self.rearm_down(key),
        }
    }

    /// Takes in what a proxy in front tells of the client. False: the client has not had its turn
    /// yet, or never will.
    fn hear_proxy(&mut self, key: Key) -> bool {
        let Some(down) = self.downs.get_mut(key).filter(|down| down.awaits_proxy) else {
            return true;
        };
        let Some(rules) = &down.listener.proxy_protocol else { return true };
        let gathered = &mut self.io.gathered;
        gathered.clear();
        down.held.copy_to(gathered);
        let allowed = proxy_protocol::Allowed { v1: rules.v1, v2: rules.v2 };
        let why = match proxy_protocol::read(gathered, allowed) {
            Heard::More if gathered.len() < INSPECT_MAX => {
                self.rearm_down(key);
                return false;
            }
            Heard::More => "it is too long",
            Heard::Absent if rules.is_optional => {
                down.awaits_proxy = false;
                return true;
            }
            Heard::Absent => "there is none",
            Heard::Malformed(why) => why,
            Heard::Header(Header { length, ends }) => {
                down.awaits_proxy = false;
                down.held.advance(length);
                down.facts.speak_for(ends);
                self.arm_head_start(key);
                return true;
            }
        };
        self.io.counters.count(Counter::ProxyProtocolError);
        tracing::debug!(source = %down.facts.source, why, "no header of the PROXY protocol");
        self.close_down(key);
        false
    }

    /// The client said nothing, or not enough, in time.
    pub(crate) fn on_inspect_timeout(&mut self, key: Key) {
        let Some(down) = self.downs.get(key) else { return };
        if down.listener.continue_on_timeout {
            self.choose_chain(key);
        } else {
            self.abort_down(key);
        }
    }
}

/// Which inspector has not seen enough.
enum Look {
    Done,
    Tls,
    Http,
}

/// Fills in the facts, as far as the inspectors have had their answer.
fn look(down: &mut Down, bytes: &[u8], scratch: &mut Vec<u8>) -> Look {
    let port = down.facts.destination.port();
    let runs = |rule: &Option<_>| rule.as_ref().is_some_and(|rule| runs_on(rule, port));
    if runs(&down.listener.tls_inspector) {
        match detect::tls(bytes, scratch) {
            Detected::More => return Look::Tls,
            Detected::Yes(hello) => {
                down.facts.transport = Transport::Tls;
                let heard = down.facts.hello.get_or_insert_default();
                heard.sni = hello.sni.unwrap_or_default().to_ascii_lowercase();
                heard.alpn.clear();
                hello.alpn.iter().for_each(|name| push_name(&mut heard.alpn, name));
                return Look::Done;
            }
            Detected::No => {}
        }
    }
    if runs(&down.listener.http_inspector) {
        match detect::http(bytes) {
            Detected::More => return Look::Http,
            Detected::Yes(http) => {
                let heard = down.facts.hello.get_or_insert_default();
                push_name(&mut heard.alpn, name_of(http));
            }
            Detected::No => {}
        }
    }
    Look::Done
}

fn push_name(list: &mut Vec<u8>, name: &[u8]) {
    if let Ok(length) = u8::try_from(name.len()) {
        list.push(length);
        list.extend_from_slice(name);
    }
}

/// What Envoy's `http_inspector` calls the versions in a chain's `application_protocols`.
fn name_of(http: Http) -> &'static [u8] {
    match http {
        Http::Http10 => b"http/1.0",
        Http::Http11 => b"http/1.1",
        Http::Http2 => b"h2c",
    }
}
