//! Connections that live on while the configuration changes.
//!
//! At a request's beginning a connection is compared with the configuration in force: a policy
//! that came a moment ago judges the next request, also on a connection that is hours old. Envoy
//! lets such connections run out instead; see docs/differences-from-envoy.md. What passes as raw
//! bytes has no such boundary and lives on under the chain that it began with, as in Envoy.

use std::sync::Arc;

use config::snapshot::{FilterChain, Listener, Terminal};
use policy::chain;
use ring::Key;
use ring::driver::Driver;

use crate::counters::Counter;
use crate::down::{Down, DownState, is_admitted};
use crate::worker::Worker;

/// What the configuration in force means for a connection that is there already.
enum Standing {
    /// Nothing has changed for it.
    Same,
    /// It goes on as this chain of this listener says.
    Under(Arc<Listener>, Arc<FilterChain>),
    /// It is served once more as before, and then ends.
    Last,
    /// Such a connection would not be taken any more.
    Refused,
}

impl<D: Driver> Worker<D> {
    /// Puts a client's connection under the configuration in force, or marks it to end with the
    /// next answer where that is no longer possible. `false`: it was refused and is closed.
    pub(crate) fn follow_configuration(&mut self, key: Key) -> bool {
        let generation = self.view.generation();
        let Some(down) = self.downs.get_mut(key) else { return false };
        let Some(serving) = down.serving_mut() else { return false };
        if !serving.follow(generation) {
            return true;
        }
        let listener = self.view.listener(&down.listener.name).cloned();
        match standing(down, listener) {
            Standing::Same => true,
            Standing::Last => {
                end_soon(down);
                true
            }
            Standing::Under(listener, chain) => self.go_over(key, listener, chain),
            Standing::Refused => {
                // Closed, not reset: the client may ask again on a new connection, and be judged.
                self.io.counters.count(Counter::NoFilterChain);
                self.close_down(key);
                false
            }
        }
    }

    fn go_over(&mut self, key: Key, listener: Arc<Listener>, chain: Arc<FilterChain>) -> bool {
        let Some(down) = self.downs.get_mut(key) else { return false };
        if !is_admitted(down, &chain, &mut self.io.details) {
            self.io.counters.count(Counter::NetworkRbacDenied);
            self.abort_down(key);
            return false;
        }
        if !has_same_transport(down, &chain) {
            // The handshake was judged by the old context: others are to judge the next one.
            end_soon(down);
        }
        if let (Some(serving), Terminal::Http(manager)) = (down.serving_mut(), &chain.terminal) {
            serving.replace_manager(Arc::clone(manager));
        }
        (down.listener, down.chain) = (listener, Some(chain));
        true
    }
}

fn standing(down: &Down, listener: Option<Arc<Listener>>) -> Standing {
    // The listener is gone: its connections run out.
    let Some(listener) = listener else { return Standing::Last };
    if Arc::ptr_eq(&listener, &down.listener) {
        return Standing::Same;
    }
    let Some(chain) = chain::select(&listener, &down.facts.connection()).cloned() else {
        return Standing::Refused;
    };
    if chain.tls.is_some() != down.io.is_secure() {
        // Plaintext where TLS is asked for now, or the other way round.
        return Standing::Refused;
    }
    match &chain.terminal {
        Terminal::Http(_) => Standing::Under(listener, chain),
        Terminal::Tcp(_) => Standing::Last,
    }
}

fn has_same_transport(down: &Down, chain: &FilterChain) -> bool {
    match (&chain.tls, down.chain.as_ref().and_then(|chain| chain.tls.as_ref())) {
        (None, None) => true,
        (Some(new), Some(old)) => Arc::ptr_eq(new, old),
        _ => false,
    }
}

fn end_soon(down: &mut Down) {
    match &mut down.state {
        DownState::Http(http) => http.is_closing = true,
        DownState::Http2(two) => two.is_closing = true,
        _ => {}
    }
}
