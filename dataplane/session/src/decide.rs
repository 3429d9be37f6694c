//! What becomes of a request: the policies and the route.

use std::rc::Rc;
use std::sync::Arc;

use config::snapshot::{HttpFilter, HttpManager, RouteAction, Routes};
use policy::facts::RequestFacts;
use policy::headers::{self, RequestContext};
use policy::path;
use policy::rbac;
use policy::reply::Reason;
use policy::route::{self, Found};
use ring::Key;
use ring::driver::Driver;

use crate::counters::Counter;
use crate::view::{Table, Taken};
use crate::worker::Worker;

/// What becomes of a request.
pub(crate) enum Decision {
    /// It goes to this route's cluster.
    Forward(Taken),
    /// The route answers by itself.
    Direct(Taken),
    /// It is refused.
    Refuse(Reason),
}

impl<D: Driver> Worker<D> {
    /// The policies and the route for the request in `io.head`, which takes its final form here.
    pub(crate) fn decide(&mut self, key: Key) -> Decision {
        let Some(table) = self.table(key) else {
            return Decision::Refuse(Reason::RouteNotFound);
        };
        let request_id = self.io.random.uuid();
        let random = self.io.random.next();
        let Some(down) = self.downs.get(key) else {
            return Decision::Refuse(Reason::RouteNotFound);
        };
        let Some(http) = down.http() else { return Decision::Refuse(Reason::RouteNotFound) };
        let (head, manager) = (&mut self.io.head, &*http.manager);
        if let Err(refused) = path::normalize(head, manager) {
            return Decision::Refuse(refused.reason());
        }
        let context = RequestContext {
            manager,
            source: down.facts.source,
            local: down.facts.destination.ip(),
            peer: down.io.peer(),
            local_uri: &down.local_uri,
            request_id: &request_id,
        };
        let remote = headers::request(head, &context);
        let facts = RequestFacts {
            head: Some(head),
            connection: &down.facts.connection(),
            peer: down.io.peer(),
            remote,
        };
        if !is_allowed(manager, &facts, &self.io.counters) {
            return Decision::Refuse(Reason::RbacDenied);
        }
        match route::find(&table, head, random) {
            Err(_) => Decision::Refuse(Reason::RouteNotFound),
            Ok(Found { route, at: (host, index), .. }) => {
                let is_direct = matches!(route.action, RouteAction::Direct { .. });
                let taken = Taken { table: Rc::clone(&table), host, route: index };
                if is_direct { Decision::Direct(taken) } else { Decision::Forward(taken) }
            }
        }
    }

    /// The route table in force for this connection's manager.
    fn table(&mut self, key: Key) -> Option<Table> {
        let generation = self.view.generation();
        let http = self.downs.get_mut(key)?.http_mut()?;
        if let Some((of, table)) = &http.table
            && *of == generation
        {
            return Some(Rc::clone(table));
        }
        let table = match &http.manager.routes {
            Routes::Named(name) => Rc::clone(self.view.table(name)?),
            Routes::Inline(table) => match &http.table {
                Some((_, own)) => Rc::clone(own),
                None => Rc::new(Arc::clone(table)),
            },
        };
        http.table = Some((generation, Rc::clone(&table)));
        Some(table)
    }
}

fn is_allowed(
    manager: &HttpManager,
    facts: &RequestFacts<'_>,
    counters: &crate::counters::Counters,
) -> bool {
    for HttpFilter::Rbac(filter) in &manager.filters {
        let Some(rules) = &filter.rules else { continue };
        let verdict = rbac::http(rules, facts);
        if !verdict.allowed {
            counters.count(Counter::RbacDenied);
            let source = facts.connection.source;
            tracing::debug!(details = %verdict.details(), %source, "refused");
            return false;
        }
        counters.count(Counter::RbacAllowed);
    }
    true
}
