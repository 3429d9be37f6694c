//! How messages are adapted to what a manager or a cluster asks of HTTP/1.1.

use std::sync::Arc;

use config::snapshot::{Forward, Http1, HttpManager, NameForm as Names, SchemeChange};
use policy::headers;
use ring::driver::Driver;
use wire::h1::{Limits, Refusal};
use wire::head::{Head, Known, NameForm, Version};

use crate::serving::Asker;
use crate::stream::Stream;
use crate::tunnel::Tunnel;
use crate::worker::Worker;

/// A request has a name with an underscore where those are refused.
pub(crate) const UNDERSCORE: Refusal = Refusal {
    code: "http.unexpected_underscore",
    status: 400,
    details: "http1.unexpected_underscore",
};

/// How a request is written, now and for another attempt.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct RequestForm {
    names: NameForm,
    absolute: Option<&'static str>,
    /// What the manager says of the scheme.
    pub(crate) scheme: Option<SchemeChange>,
}

impl RequestForm {
    fn of(head: &Head, manager: &HttpManager, up: Names, is_absolute: bool) -> Self {
        let kept = kept(manager.http1.names).filter(|_| head.version != Version::Http2);
        let names = names(kept, up);
        let absolute = is_absolute.then(|| scheme(head));
        let scheme = manager.origin.as_ref().and_then(|origin| origin.scheme);
        Self { names, absolute, scheme }
    }

    /// The same for a copy that goes to a cluster of this form.
    pub(crate) fn towards(self, head: &Head, (up, is_absolute): (Names, bool)) -> Self {
        let kept = Some(self.names).filter(|_| self.keeps_names());
        Self { names: names(kept, up), absolute: is_absolute.then(|| scheme(head)), ..self }
    }

    pub(crate) fn put_on(self, head: &mut Head) {
        (head.name_form, head.absolute) = (self.names, self.absolute);
    }

    /// What the head must be read with that was written so.
    pub(crate) fn limits(self) -> Limits {
        Limits {
            head_bytes_max: wire::h1::HEAD_BYTES_MAX,
            fields_max: wire::h1::FIELDS_MAX,
            custom_methods: true,
            keeps_names: self.keeps_names(),
            ..Limits::default()
        }
    }

    fn keeps_names(self) -> bool {
        matches!(self.names, NameForm::Kept | NameForm::KeptOrProper)
    }
}

impl Stream {
    /// Takes what manager, route and cluster make of the request's head. `up`: how the cluster has
    /// names written, and whether it wants whole targets.
    pub(crate) fn take_form(
        &mut self,
        head: &mut Head,
        manager: &HttpManager,
        forward: &Forward,
        up: (Names, bool),
    ) {
        self.form = RequestForm::of(head, manager, up.0, up.1);
        if let Some(SchemeChange::To(scheme)) = self.form.scheme {
            self.scheme = Some(scheme);
        }
        self.form.put_on(head);
        self.tunnel = Tunnel::of(head, forward.terminates_connect);
    }
}

/// Names that came as they are kept go on so; else the cluster says how they are written.
fn names(kept: Option<NameForm>, up: Names) -> NameForm {
    kept.unwrap_or(if up == Names::Proper { NameForm::Proper } else { NameForm::Lower })
}

/// A client by HTTP/2 says its scheme itself.
fn scheme(head: &Head) -> &'static str {
    let told = match head.get(head.scheme) {
        told if head.version == Version::Http2 && !told.is_empty() => told,
        _ => head.value(Known::XForwardedProto).unwrap_or_default(),
    };
    if told == b"https" { "https" } else { "http" }
}

/// How names are written that were kept; `None`: they were not.
pub(crate) fn kept(names: Names) -> Option<NameForm> {
    match names {
        Names::Lower | Names::Proper => None,
        Names::Kept { proper_others: false } => Some(NameForm::Kept),
        Names::Kept { proper_others: true } => Some(NameForm::KeptOrProper),
    }
}

/// The limits of a codec for HTTP/1.1 that speaks so.
pub(crate) fn of_http1(http1: &Http1) -> Limits {
    Limits {
        custom_methods: http1.custom_methods,
        no_host_in_10: http1.default_host.is_some(),
        chunked_with_length: http1.chunked_with_length,
        keeps_names: kept(http1.names).is_some(),
        ..Limits::default()
    }
}

/// What a manager changes on a request by HTTP/1.1 before anything looks at it. False: it is
/// refused.
pub(crate) fn adapt(head: &mut Head, manager: &HttpManager) -> bool {
    if let Some(host) = &manager.http1.default_host
        && head.version == Version::Http10
        && head.authority().is_empty()
    {
        head.authority = head.add_bytes(host.as_bytes());
    }
    if !manager.http1.ignored_upgrades.is_empty() {
        headers::ignore_upgrade(head, &manager.http1.ignored_upgrades);
    }
    headers::underscores(head, manager.underscores)
}

impl<D: Driver> Worker<D> {
    /// Keeps the id of the request in `io.head`, where its answer is to have it.
    pub(crate) fn keep_request_id(&mut self, to: Asker) {
        let manager = self.downs.get(to.down).and_then(|down| down.manager());
        // As in Envoy also where somebody inside asks for a trace.
        let head = &self.io.head;
        let is_traced = || head.values(b"x-envoy-force-trace").next().is_some();
        let is_wanted = |manager: &Arc<HttpManager>| {
            manager.request_id_in_response || (manager.origin.is_some() && is_traced())
        };
        if !manager.is_some_and(is_wanted) {
            return;
        }
        let Some(id) = self.io.head.value(Known::XRequestId) else { return };
        let Some(mut kept) = self.io.driver.pool().take(id.len()) else { return };
        kept.extend(id);
        if let Some(stream) = to.stream.and_then(|stream| self.streams.get_mut(stream)) {
            stream.request_id = kept.freeze();
        }
    }
}
