//! Answers on their way back through the filters.

use std::cell::Cell;
use std::rc::Rc;

use config::snapshot::{
    Compressor, CompressorOverride, FilterKind, HttpFilter, LocalRateLimit, OverrideKind,
};
use policy::filter::cors::{self, Policies};
use policy::filter::grpc_web::{self, Answered, Form};
use policy::filter::limit;
use policy::filter::{Levels, compress, health, mutation};
use ring::driver::Nanos;
use wire::grpc_web::TextWriter;
use wire::head::{Framing, Head, Known};

use super::bodies::{Bodies, Stage};
use super::squeezed::Squeezed;
use super::{Filtering, Told};

/// What there is to know of an answer besides its head.
pub(crate) struct Way<'w> {
    pub(crate) now: Nanos,
    /// A body follows.
    pub(crate) has_body: bool,
    /// Memory that compressors of this worker use.
    pub(crate) squeezing: &'w Rc<Cell<usize>>,
}

/// An answer's head on its way back: through all filters in reverse, as in Envoy those too that its
/// request has not come to. False: one keeps it back.
pub(crate) fn on_response(filtering: &mut Filtering, head: &mut Head, way: &Way<'_>) -> bool {
    let all = filtering.passage.as_ref().map_or(0, |passage| passage.manager.filters.all().len());
    on_response_from(filtering, head, way, all)
}

/// The same through those before this place.
pub(super) fn on_response_from(
    filtering: &mut Filtering,
    head: &mut Head,
    way: &Way<'_>,
    end: usize,
) -> bool {
    let Filtering { passage, bodies, told, .. } = filtering;
    let Some(passage) = &*passage else { return true };
    let told = &*told;
    let levels = passage.levels();
    let filters = passage.manager.filters.all();
    for (at, filter) in filters.iter().enumerate().take(end).rev() {
        if !levels.is_on(filter) {
            continue;
        }
        match &filter.kind {
            FilterKind::Cors if told.origin_of == at && !told.origin.is_empty() => {
                cors::allow(Policies::of(levels, &filter.name), head, &told.origin);
            }
            FilterKind::LocalRateLimit(limit) => {
                tell_bucket(limit, (levels, filter), told, (at, way.now), head);
            }
            FilterKind::HeaderMutation(changes) => {
                mutation::response(changes, levels, &filter.name, head);
            }
            FilterKind::HealthCheck(check) if told.checked == Some(at) => health::tell(check, head),
            FilterKind::GrpcWeb => {
                if let Some((of, form)) = told.web
                    && of == at
                    && !answer_browser(form, bodies, head, way.has_body, at)
                {
                    return false;
                }
            }
            FilterKind::Compressor(compressor) => {
                let chain = Chain { filters, levels, filter };
                compress(compressor, &chain, told.accepted(at), bodies, head, way);
            }
            FilterKind::Cors
            | FilterKind::Rbac(_)
            | FilterKind::Fault(_)
            | FilterKind::HealthCheck(_)
            | FilterKind::Buffer(_) => {}
        }
    }
    true
}
/// An answer to a browser. False: its head waits for its body.
fn answer_browser(
    form: Form,
    bodies: &mut Bodies,
    head: &mut Head,
    has_body: bool,
    at: usize,
) -> bool {
    match (grpc_web::response(form, head, has_body), has_body) {
        (Answered::Changed, true) => {
            // How long it becomes is not known: trailers may follow.
            head.remove_known(Known::ContentLength);
            head.framing = Framing::Chunked;
            bodies.add(match form.wants_text {
                true => Stage::WebText(TextWriter::default()),
                false => Stage::Web,
            });
        }
        (_, false) => {}
        (Answered::Other, true) => {
            bodies.withhold(head, at);
            return false;
        }
    }
    true
}

fn tell_bucket(
    limit: &LocalRateLimit,
    (levels, filter): (Levels<'_>, &HttpFilter),
    told: &Told,
    (at, now): (usize, Nanos),
    head: &mut Head,
) {
    let limit = match levels.own(&filter.name) {
        Some(OverrideKind::LocalRateLimit(own)) => own,
        _ => limit,
    };
    if let Some((of, which)) = told.counted
        && of == at
        && let Some(bucket) = which.of(limit)
    {
        limit::tell(head, bucket, now.0);
    }
}

/// A filter among the others.
struct Chain<'c> {
    filters: &'c [HttpFilter],
    levels: Levels<'c>,
    filter: &'c HttpFilter,
}

/// What a level says of a compressor.
pub(super) fn own_of<'c>(
    levels: Levels<'c>,
    filter: &HttpFilter,
) -> Option<&'c CompressorOverride> {
    match levels.own(&filter.name) {
        Some(OverrideKind::Compressor(own)) => Some(own),
        _ => None,
    }
}

/// `envoy.filters.http.compressor`. `accepted`: what the client understands, if it says so.
fn compress(
    compressor: &Compressor,
    chain: &Chain<'_>,
    accepted: Option<&[u8]>,
    bodies: &mut Bodies,
    head: &mut Head,
    way: &Way<'_>,
) {
    let Chain { filters, levels, filter } = *chain;
    let is_on = compress::is_on(compressor, own_of(levels, filter));
    if !is_on || !compress::is_fit(compressor, head) {
        return;
    }
    let offered = filters.iter().filter_map(|other| match &other.kind {
        FilterKind::Compressor(offered)
            if levels.is_on(other) && compress::is_of_type(offered, head) =>
        {
            Some(offered.compression.name())
        }
        _ => None,
    });
    let chosen = accepted.and_then(|accepted| compress::choose(accepted, offered));
    if way.has_body
        && chosen == Some(compressor.compression.name())
        && let Some(squeezed) = Squeezed::new(&compressor.compression, way.squeezing)
    {
        bodies.add(Stage::Squeezed(Box::new(squeezed)));
        compress::tell(compressor, head);
    }
    compress::vary(head);
}
