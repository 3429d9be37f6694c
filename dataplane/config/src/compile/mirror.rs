//! `RequestMirrorPolicy`.

use std::sync::Arc;

use api::envoy::route::route_action::RequestMirrorPolicy;

use super::action::Defaults;
use super::at::{At, Fault, decide};
use super::scope::Scope;
use super::{destination, http_filter, matcher, rewrite};
use crate::limits::MAX_MIRRORS;
use crate::snapshot::{ClusterId, Mirror, Share};

/// The mirrors of one level; where it has none, those of the level above.
pub(crate) fn compile(
    at: &At<'_>,
    policies: &[RequestMirrorPolicy],
    defaults: &Defaults,
    scope: &mut Scope<'_>,
) -> Result<Arc<[Mirror]>, Fault> {
    if policies.is_empty() {
        return Ok(Arc::clone(&defaults.mirrors));
    }
    at.at_most(MAX_MIRRORS, policies.len())?;
    let each = policies.iter().enumerate();
    each.map(|(index, policy)| mirror(&at.item(index), policy, defaults, scope)).collect()
}

fn mirror(
    at: &At<'_>,
    policy: &RequestMirrorPolicy,
    defaults: &Defaults,
    scope: &mut Scope<'_>,
) -> Result<Mirror, Fault> {
    decide!(at, policy => RequestMirrorPolicy {
        used: cluster, cluster_header, runtime_fraction, disable_shadow_host_suffix_append,
            request_headers_mutations, host_rewrite_literal;
        // Nothing is traced.
        without_effect: trace_sampled;
    });
    let (cluster, named_by) = match (cluster.as_str(), cluster_header.as_str()) {
        ("", "") => return Err(at.missing("`cluster` or `cluster_header` has to be given")),
        (name, "") => {
            let named = destination::named(&at.field("cluster"), name, 1, defaults, scope)?;
            (named.cluster, None)
        }
        ("", header) => {
            let name = matcher::header_name(&at.field("cluster_header"), header)?;
            (ClusterId::NOBODY, Some(name))
        }
        _ => return Err(at.invalid("`cluster` and `cluster_header` are both set")),
    };
    let place = at.field("runtime_fraction");
    let share = runtime_fraction.as_ref();
    let share = share.map(|given| http_filter::runtime_share(&place, given)).transpose()?;
    let place = at.field("request_headers_mutations");
    Ok(Mirror {
        cluster,
        named_by,
        share: share.unwrap_or(Share::ALL),
        keeps_host: *disable_shadow_host_suffix_append,
        host: rewrite::literal_host(&at.field("host_rewrite_literal"), host_rewrite_literal)?,
        changes: http_filter::mutations(&place, request_headers_mutations)?,
    })
}
