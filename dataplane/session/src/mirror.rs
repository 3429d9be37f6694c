//! Copies of requests, sent to somebody whose answer nobody waits for.
//!
//! A copy is a stream like any other, without a client. It never holds up the request that it is a
//! copy of: where it cannot keep up, it is given up.

use std::rc::Rc;

use config::snapshot::{ClusterId, Mirror, RouteAction};
use policy::deadline::Limits;
use policy::{mirror, route};
use ring::Key;
use ring::driver::Driver;
use upstream::Ends;
use wire::head::Head;

use crate::counters::Counter;
use crate::encode::{self, Piece};
use crate::held::Held;
use crate::keys::NOBODY;
use crate::limits::COPIES_MAX;
use crate::share;
use crate::stream::Stream;
use crate::tunnel::Tunnel;
use crate::worker::Worker;

/// What is known of copies: by a request of those that are made of it, by a copy of its request.
#[derive(Default)]
pub(crate) struct Mirroring {
    /// It is a copy itself.
    pub(crate) copy: Option<Copied>,
    /// Those that are sent its body too.
    copies: Vec<Key>,
}

/// What a copy knows of the request that it is made of.
#[derive(Clone, Copy)]
pub(crate) struct Copied {
    /// Where the client is, and where it wanted to go.
    pub(crate) ends: Ends,
    /// The client speaks HTTP/2.
    is_http2: bool,
}

impl Stream {
    /// A copy of the request on its way to this cluster, as far as it does not depend on that. Its
    /// answer goes nowhere.
    fn copy(&self, copied: Copied, to: ClusterId) -> Self {
        let mut copy = Self::new(NOBODY, &Head::default(), self.active_at);
        let mirroring = Mirroring { copy: Some(copied), ..Mirroring::default() };
        copy.mirroring = Some(Box::new(mirroring));
        (copy.cluster, copy.to) = (to, self.to);
        (copy.request_framing, copy.is_request_done) = (self.request_framing, self.is_request_done);
        copy.limits = Limits { per_try: None, ..self.limits };
        copy.idle_limit = self.idle_limit;
        (copy.is_safe, copy.is_grpc, copy.scheme) = (self.is_safe, self.is_grpc, self.scheme);
        copy
    }

    /// It is to become a tunnel, or has become one.
    fn is_for_tunnel(&self) -> bool {
        self.to.upgrade || self.to.connect || self.tunnel != Tunnel::None
    }

    /// What it is a copy of.
    pub(crate) fn copied(&self) -> Option<Copied> {
        self.mirroring.as_ref()?.copy
    }

    /// The client speaks HTTP/2.
    pub(crate) fn came_by_http2(&self) -> bool {
        self.returning.is_some() || self.copied().is_some_and(|copied| copied.is_http2)
    }
}

impl<D: Driver> Worker<D> {
    /// Sends the request to a host of its cluster, and copies of it to others.
    pub(crate) fn send_with_copies(&mut self, key: Key) {
        // Where a filter has let it wait, a part of its body is here already.
        let early = self.streams.get(key).map(|stream| stream.waiting.again(self.io.driver.pool()));
        self.send_request(key);
        // Without memory for it nothing is copied.
        if let Some(Ok(early)) = early {
            self.mirror(key, &early);
        }
    }

    fn mirror(&mut self, key: Key, early: &Held) {
        let random = self.io.random.next();
        let Some(taken) = self.streams.get(key).and_then(|stream| stream.taken.clone()) else {
            return;
        };
        let Some(RouteAction::Forward(forward)) = taken.route().map(|route| &route.action) else {
            return;
        };
        for mirror in forward.mirrors.iter().filter(|mirror| mirror.share.takes(random)) {
            // As in Envoy nothing is copied where there is no host to ask. Nor is a tunnel.
            let is_sent = |stream: &Stream| stream.host().is_some() && !stream.is_for_tunnel();
            let is_copied = self.streams.get(key).is_some_and(is_sent);
            if is_copied && self.copies < COPIES_MAX && self.read_request_head(key).is_some() {
                self.send_copy(key, mirror, early);
            }
        }
    }

    /// Sends the request in `io.head`, which is that of this stream.
    fn send_copy(&mut self, key: Key, mirror: &Mirror, early: &Held) {
        let Some(to) = self.mirror_of(mirror) else { return };
        let view = Rc::clone(&self.view);
        let (Some(cluster), Some(stream)) = (view.snapshot.cluster(to), self.streams.get(key))
        else {
            return;
        };
        let Some(down) = self.downs.get(stream.down) else { return };
        let ends = (down.facts.source, down.facts.destination);
        let copied = Copied { ends, is_http2: stream.returning.is_some() };
        let mut copy = stream.copy(copied, to);
        let head = &mut self.io.head;
        mirror::prepare(head, mirror, ends.1.ip());
        let server = self.names.of_field(cluster, head);
        copy.server = server.or_else(|| self.names.of_authority(cluster, head));
        copy.form = stream.form.towards(head, (cluster.http1.names, cluster.http1.absolute_target));
        copy.form.put_on(head);
        let pool = self.io.driver.pool();
        let Some(bytes) = encode::request(pool, head, copy.request_framing) else { return };
        let Ok(early) = early.again(pool) else { return };
        copy.waiting_bytes = early.len();
        (copy.request_head, copy.waiting) = (bytes, early);
        let is_done = copy.is_request_done;
        let Some(copy) = self.streams.insert(copy) else { return };
        self.copies += 1;
        self.io.counters.count(Counter::UpstreamMirrored);
        if !is_done && let Some(stream) = self.streams.get_mut(key) {
            stream.mirroring.get_or_insert_default().copies.push(copy);
        }
        self.send_request(copy);
        if is_done {
            self.on_request_done(copy);
        }
    }

    /// Where the client is of the request, or of the one that it is a copy of, and where it wanted
    /// to go.
    pub(crate) fn ends_of(&self, key: Key) -> Option<Ends> {
        let stream = self.streams.get(key)?;
        match self.downs.get(stream.down) {
            Some(down) => Some((down.facts.source, down.facts.destination)),
            None => stream.copied().map(|copied| copied.ends),
        }
    }

    fn mirror_of(&self, mirror: &Mirror) -> Option<ClusterId> {
        match &mirror.named_by {
            None => Some(mirror.cluster),
            Some(header) => self.view.cluster_named(route::named(&self.io.head, header)?),
        }
    }

    /// Bytes of the body, for the copies too.
    pub(crate) fn mirror_body(&mut self, key: Key, piece: &Piece) {
        let mirroring = self.streams.get_mut(key).and_then(|stream| stream.mirroring.as_mut());
        let Some(mirroring) = mirroring else { return };
        let mut copies = std::mem::take(&mut mirroring.copies);
        copies.retain(|copy| self.mirror_piece(*copy, piece.clone()));
        let mirroring = self.streams.get_mut(key).and_then(|stream| stream.mirroring.as_mut());
        if let (Piece::Data(_), Some(mirroring)) = (piece, mirroring) {
            mirroring.copies = copies;
        }
    }

    /// False: the copy is no more.
    fn mirror_piece(&mut self, copy: Key, piece: Piece) -> bool {
        let Some(stream) = self.streams.get(copy) else { return false };
        let up = stream.up.and_then(|up| self.ups.get(up));
        let most = share::unsent_max(self.io.driver.pool());
        let is_late = stream.waiting_bytes >= most
            || up.is_some_and(|up| up.io.is_congested(&self.io.driver));
        if is_late && matches!(piece, Piece::Data(_)) {
            self.io.counters.count(Counter::UpstreamMirrorDropped);
            self.abandon(copy);
            return false;
        }
        let is_end = matches!(piece, Piece::End);
        self.send_body(copy, piece);
        if is_end {
            self.on_request_done(copy);
        }
        self.streams.get(copy).is_some()
    }

    /// The stream is gone: a copy counts no more, and what has not come whole is no request.
    pub(crate) fn end_mirroring(&mut self, mirroring: &Mirroring) {
        self.copies -= usize::from(mirroring.copy.is_some());
        for copy in &mirroring.copies {
            self.abandon(*copy);
        }
    }
}
