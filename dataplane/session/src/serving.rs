//! What a client's HTTP connection is served by, whichever codec it speaks.

use std::rc::Rc;
use std::sync::Arc;

use config::snapshot::{HttpManager, Routes};
use ring::Key;
use ring::driver::Nanos;

use crate::down::{Down, DownState};
use crate::view::Table;

/// A manager as requests hold it: counted by one worker alone.
pub(crate) type Shared = Rc<Arc<HttpManager>>;

/// A manager and its routes.
pub(crate) struct Serving {
    pub(crate) manager: Arc<HttpManager>,
    /// The generation that the filter chain was last compared with.
    generation: u64,
    /// The route table, once a request of that generation has asked for it.
    pub(crate) table: Option<Table>,
    /// The manager as requests hold it that go through filters.
    shared: Option<Shared>,
    /// The requests so far.
    requests: u32,
    /// From then on the connection takes no more requests. [`NEVER`]: no such time.
    ends_at: Nanos,
}

const NEVER: Nanos = Nanos(u64::MAX);

/// Whom an answer goes to. A connection by HTTP/1.1 has one request at a time; by HTTP/2 the
/// stream tells which.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Asker {
    pub(crate) down: Key,
    pub(crate) stream: Option<Key>,
}

impl Asker {
    /// The one request of this connection, or whoever sent what could not become one.
    pub(crate) fn of(down: Key) -> Self {
        Self { down, stream: None }
    }
}

impl Serving {
    /// `share` of 1 decides on the jitter of how long the connection may last.
    pub(crate) fn new(manager: Arc<HttpManager>, generation: u64, now: Nanos, share: f64) -> Self {
        let spans = &manager.spans;
        let ends_at = spans.connection.map_or(NEVER, |span| {
            now.after(span.mul_f64(1.0 + share * spans.jitter_percent / 100.0))
        });
        Self { manager, generation, table: None, shared: None, requests: 0, ends_at }
    }

    /// When the connection ends by its age.
    pub(crate) fn ends_at(&self) -> Option<Nanos> {
        (self.ends_at != NEVER).then_some(self.ends_at)
    }

    /// Its age has been seen to.
    pub(crate) fn has_aged(&mut self) {
        self.ends_at = NEVER;
    }

    /// A snapshot of this generation is in force. Says whether that is news.
    pub(crate) fn follow(&mut self, generation: u64) -> bool {
        let is_news = std::mem::replace(&mut self.generation, generation) != generation;
        if is_news && matches!(self.manager.routes, Routes::Named(_)) {
            self.table = None;
        }
        is_news
    }

    /// Counts a request. Says whether it is the last that the connection takes.
    pub(crate) fn is_last_request(&mut self) -> bool {
        self.requests = self.requests.saturating_add(1);
        let most = self.manager.spans.requests;
        most > 0 && self.requests >= most
    }

    /// Serves from here on as this manager says.
    pub(crate) fn replace_manager(&mut self, manager: Arc<HttpManager>) {
        (self.manager, self.table, self.shared) = (manager, None, None);
    }

    /// The manager, counted by this worker alone.
    pub(crate) fn shared(&mut self) -> Shared {
        let Self { manager, shared, .. } = self;
        Rc::clone(shared.get_or_insert_with(|| Rc::new(Arc::clone(manager))))
    }
}

impl Down {
    pub(crate) fn serving(&self) -> Option<&Serving> {
        match &self.state {
            DownState::Http(http) => Some(&http.serving),
            DownState::Http2(two) => Some(&two.serving),
            _ => None,
        }
    }

    pub(crate) fn serving_mut(&mut self) -> Option<&mut Serving> {
        match &mut self.state {
            DownState::Http(http) => Some(&mut http.serving),
            DownState::Http2(two) => Some(&mut two.serving),
            _ => None,
        }
    }

    pub(crate) fn manager(&self) -> Option<&Arc<HttpManager>> {
        self.serving().map(|serving| &serving.manager)
    }
}
