//! `envoy.filters.http.buffer`, of a chain and of a route alike.

use api::envoy::buffer::buffer_per_route::Override;
use api::envoy::buffer::{Buffer, BufferPerRoute};

use crate::compile::at::{At, Fault};
use crate::limits::MAX_BUFFERED;

/// The most bytes of a request's body.
pub(super) fn compile(at: &At<'_>, buffer: &Buffer) -> Result<u32, Fault> {
    let Buffer { max_request_bytes } = buffer;
    let at = at.field("max_request_bytes");
    match max_request_bytes.as_ref().map(|most| most.value) {
        None => Err(at.missing("it has to be given")),
        Some(0) => Err(at.invalid("at least 1")),
        Some(most) if most > MAX_BUFFERED => {
            Err(at.unsupported(format!("bodies are kept in memory: {MAX_BUFFERED} at most")))
        }
        Some(most) => Ok(most),
    }
}

/// `None`: nothing is kept back here.
pub(super) fn of_route(at: &At<'_>, said: &BufferPerRoute) -> Result<Option<u32>, Fault> {
    let BufferPerRoute { r#override } = said;
    match r#override {
        Some(Override::Disabled(true)) => Ok(None),
        Some(Override::Disabled(false)) => Err(at.field("disabled").invalid("only `true`")),
        Some(Override::Buffer(buffer)) => compile(&at.field("buffer"), buffer).map(Some),
        None => Err(at.missing("`disabled` or `buffer` has to be given")),
    }
}
