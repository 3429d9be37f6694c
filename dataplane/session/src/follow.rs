//! Connections that live on while the configuration changes.
//!
//! At a request's beginning a connection is compared with the configuration in force: a policy
//! that came a moment ago judges the next request, also on a connection that is hours old. Envoy
//! lets such connections run out instead; see docs/differences-from-envoy.md.

use std::sync::Arc;

use config::snapshot::Terminal;
use policy::chain;
use ring::Key;
use ring::driver::Driver;

use crate::down::Down;
use crate::worker::Worker;

impl<D: Driver> Worker<D> {
    /// Puts a client's connection under the configuration in force, or marks it to end with the
    /// next answer where that is no longer possible.
    pub(crate) fn follow_configuration(&mut self, key: Key) {
        let generation = self.view.generation();
        let Some(down) = self.downs.get_mut(key) else { return };
        let Some(http) = down.http_mut() else { return };
        if http.generation == generation {
            return;
        }
        http.generation = generation;
        let listener = self.view.listener(&down.listener.name);
        let Some(listener) = listener.cloned() else { return end_soon(down) };
        if Arc::ptr_eq(&listener, &down.listener) {
            return;
        }
        let Some(chain) = chain::select(&listener, &down.facts.connection()).cloned() else {
            return end_soon(down);
        };
        let same_transport = match (&chain.tls, down.chain.as_ref().and_then(|c| c.tls.as_ref())) {
            (None, None) => true,
            (Some(new), Some(old)) => Arc::ptr_eq(new, old),
            _ => false,
        };
        let Terminal::Http(manager) = &chain.terminal else { return end_soon(down) };
        let manager = Arc::clone(manager);
        if !same_transport {
            end_soon(down);
        }
        if let Some(http) = down.http_mut() {
            http.replace_manager(manager);
        }
        (down.listener, down.chain) = (listener, Some(chain));
    }
}

fn end_soon(down: &mut Down) {
    if let Some(http) = down.http_mut() {
        http.is_closing = true;
    }
}
