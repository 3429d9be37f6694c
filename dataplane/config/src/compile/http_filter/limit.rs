//! `envoy.filters.http.local_ratelimit`, of a chain and of a route alike, and the `rate_limits`
//! that describe requests to it.

use std::time::Duration;

use api::envoy::local_ratelimit::LocalRateLimit;
use api::envoy::ratelimit_common::{
    LocalRateLimitDescriptor, VhRateLimitsOptions, XRateLimitHeadersRfcVersion,
};
use api::envoy::route::RateLimit;
use api::envoy::route::rate_limit::action::ActionSpecifier as Specifier;
use api::envoy::route::rate_limit::{Action, action};
use api::envoy::types::{HttpStatus, TokenBucket};

use super::runtime_share;
use crate::compile::at::{At, Fault, decide};
use crate::compile::{headers, matcher, value};
use crate::limits::{MAX_DESCRIPTORS, MAX_RATE_LIMITS};
use crate::snapshot::{
    self, Bucket, HostLimits, LimitAction, LimitDescriptor, Share, ValueOf, Wanted,
};

/// Envoy's: a bucket that is filled more often is refused.
const FILL_MIN: Duration = Duration::from_millis(50);

/// `of_route`: it has to have a bucket then.
pub(super) fn compile(
    at: &At<'_>,
    limit: &LocalRateLimit,
    of_route: bool,
) -> Result<snapshot::LocalRateLimit, Fault> {
    decide!(at, limit => LocalRateLimit {
        used: status, token_bucket, filter_enabled, filter_enforced, response_headers_to_add,
            request_headers_to_add_when_not_enforced, descriptors, stage,
            enable_x_ratelimit_headers, vh_rate_limits, always_consume_default_token_bucket,
            rate_limited_as_resource_exhausted, rate_limits, enable_retry_after_header;
        refused: local_rate_limit_per_downstream_connection, local_cluster_rate_limit;
        // The number of buckets for values that are left open, which are refused.
        without_effect: stat_prefix, max_dynamic_descriptors;
    });
    let place = at.field("token_bucket");
    let bucket = token_bucket.as_ref().map(|given| bucket(&place, given)).transpose()?;
    if of_route && bucket.is_none() {
        return Err(place.missing("a route's own limit needs a bucket"));
    }
    let share = |name: &str, given| match given {
        Some(given) => runtime_share(&at.field(name), given),
        None => Ok(Share::NONE),
    };
    let place = at.field("enable_x_ratelimit_headers");
    let tells = match value::enumeration(&place, *enable_x_ratelimit_headers)? {
        XRateLimitHeadersRfcVersion::Off => false,
        XRateLimitHeadersRfcVersion::DraftVersion03 => true,
    };
    let of_host = match value::enumeration(&at.field("vh_rate_limits"), *vh_rate_limits)? {
        VhRateLimitsOptions::Override => HostLimits::Override,
        VhRateLimitsOptions::Include => HostLimits::Include,
        VhRateLimitsOptions::Ignore => HostLimits::Ignore,
    };
    let request = at.field("request_headers_to_add_when_not_enforced");
    let response = at.field("response_headers_to_add");
    Ok(snapshot::LocalRateLimit {
        status: self::status(status.as_ref()),
        bucket,
        enabled: share("filter_enabled", filter_enabled.as_ref())?,
        enforced: share("filter_enforced", filter_enforced.as_ref())?,
        response: headers::additions(&response, response_headers_to_add)?,
        request: headers::additions(&request, request_headers_to_add_when_not_enforced)?,
        descriptors: self::descriptors(&at.field("descriptors"), descriptors)?,
        rate_limits: self::rate_limits(&at.field("rate_limits"), rate_limits)?,
        stage: self::stage(&at.field("stage"), *stage)?,
        of_host,
        always_takes: value::bool_or(always_consume_default_token_bucket, true),
        tells,
        says_when: *enable_retry_after_header,
        exhausts: *rate_limited_as_resource_exhausted,
    })
}

/// As in Envoy, what is no error becomes 429.
fn status(given: Option<&HttpStatus>) -> u16 {
    let code = given.and_then(|status| u16::try_from(status.code).ok());
    code.filter(|code| (400..600).contains(code)).unwrap_or(429)
}

pub(crate) fn bucket(at: &At<'_>, given: &TokenBucket) -> Result<Bucket, Fault> {
    let TokenBucket { max_tokens, tokens_per_fill, fill_interval } = given;
    let fill = value::u32_or(tokens_per_fill, 1);
    if fill == 0 {
        return Err(at.field("tokens_per_fill").invalid("at least 1"));
    }
    let place = at.field("fill_interval");
    let every = value::duration(&place, fill_interval)?;
    let every = every.ok_or_else(|| place.missing("it has to be given"))?;
    match every < FILL_MIN {
        true => Err(place.invalid("at least 50 ms")),
        false => Ok(Bucket::new(*max_tokens, fill, every)),
    }
}

fn descriptors(
    at: &At<'_>,
    given: &[LocalRateLimitDescriptor],
) -> Result<Vec<LimitDescriptor>, Fault> {
    at.at_most(MAX_DESCRIPTORS, given.len())?;
    let each = given.iter().enumerate().map(|(index, one)| descriptor(&at.item(index), one));
    let mut all = each.collect::<Result<Vec<_>, _>>()?;
    for (index, one) in all.iter().enumerate() {
        if all.iter().take(index).any(|other| other.entries == one.entries) {
            return Err(at.item(index).invalid("the same entries are there twice"));
        }
    }
    // As in Envoy: who is refused by the strictest has not taken from the others.
    all.sort_by_key(|one| one.bucket.per_second());
    Ok(all)
}

fn descriptor(at: &At<'_>, given: &LocalRateLimitDescriptor) -> Result<LimitDescriptor, Fault> {
    decide!(at, given => LocalRateLimitDescriptor {
        used: entries, token_bucket;
        refused: shadow_mode;
    });
    let place = at.field("entries");
    if entries.is_empty() {
        return Err(place.missing("at least one"));
    }
    let entries = entries.iter().enumerate().map(|(index, entry)| {
        let at = place.item(index);
        match (entry.key.as_bytes(), entry.value.as_bytes()) {
            (b"", _) => Err(at.field("key").missing("it may not be empty")),
            (_, b"") => Err(at.field("value").unsupported("a value has to be given")),
            (key, value) => Ok((key.into(), value.into())),
        }
    });
    let place = at.field("token_bucket");
    let Some(given) = token_bucket else { return Err(place.missing("it has to be given")) };
    Ok(LimitDescriptor {
        entries: entries.collect::<Result<_, _>>()?,
        bucket: bucket(&place, given)?,
    })
}

/// The `rate_limits` of a route, a virtual host or a filter.
pub(crate) fn rate_limits(
    at: &At<'_>,
    given: &[RateLimit],
) -> Result<Vec<snapshot::RateLimit>, Fault> {
    at.at_most(MAX_RATE_LIMITS, given.len())?;
    let each = given.iter().enumerate();
    each.map(|(index, one)| rate_limit(&at.item(index), one)).collect()
}

fn rate_limit(at: &At<'_>, given: &RateLimit) -> Result<snapshot::RateLimit, Fault> {
    decide!(at, given => RateLimit {
        used: stage, disable_key, actions;
        refused: limit, hits_addend, apply_on_stream_done, x_ratelimit_option;
    });
    let place = at.field("actions");
    if actions.is_empty() {
        return Err(place.missing("at least one"));
    }
    place.at_most(MAX_RATE_LIMITS, actions.len())?;
    let actions = actions.iter().enumerate();
    let actions = actions.map(|(index, one)| self::action(&place.item(index), one));
    Ok(snapshot::RateLimit {
        stage: self::stage(&at.field("stage"), value::u32_or(stage, 0))?,
        // A key of a runtime that is not there; Envoy goes by its being named.
        is_off: !disable_key.is_empty(),
        actions: actions.collect::<Result<_, _>>()?,
    })
}

fn stage(at: &At<'_>, stage: u32) -> Result<u32, Fault> {
    Some(stage).filter(|stage| *stage <= 10).ok_or_else(|| at.invalid("between 0 and 10"))
}

fn action(at: &At<'_>, given: &Action) -> Result<LimitAction, Fault> {
    let unsupported =
        |name: &str| Err(at.field(name).unsupported("this way to describe is not supported"));
    #[allow(deprecated)]
    match &given.action_specifier {
        Some(Specifier::DestinationCluster(_)) => Ok(LimitAction::DestinationCluster),
        Some(Specifier::RequestHeaders(given)) => {
            let at = at.field("request_headers");
            let name = matcher::header_name(&at.field("header_name"), &given.header_name)?;
            let key = key(&at, &given.descriptor_key, b"")?;
            Ok(LimitAction::Value { of: ValueOf::Header(name), key, skips: given.skip_if_absent })
        }
        Some(Specifier::QueryParameters(given)) => {
            let at = at.field("query_parameters");
            let name = given.query_parameter_name.as_bytes();
            if name.is_empty() {
                return Err(at.field("query_parameter_name").missing("it may not be empty"));
            }
            let (of, key) = (ValueOf::Query(name.into()), key(&at, &given.descriptor_key, b"")?);
            Ok(LimitAction::Value { of, key, skips: given.skip_if_absent })
        }
        Some(Specifier::RemoteAddress(_)) => Ok(LimitAction::RemoteAddress),
        Some(Specifier::MaskedRemoteAddress(given)) => masked(at, given),
        Some(Specifier::GenericKey(given)) => {
            let at = at.field("generic_key");
            let key = key(&at, &given.descriptor_key, b"generic_key")?;
            let value = value_of(&at, &given.descriptor_value)?;
            Ok(LimitAction::Fixed { when: None, key, value })
        }
        Some(Specifier::HeaderValueMatch(given)) => {
            let at = at.field("header_value_match");
            let place = at.field("headers");
            let all = given.headers.iter().enumerate();
            let all = all.map(|(index, one)| matcher::header(&place.item(index), one));
            let wanted = Wanted::Headers(all.collect::<Result<_, _>>()?);
            Ok(LimitAction::Fixed {
                when: Some((wanted, value::bool_or(&given.expect_match, true))),
                key: key(&at, &given.descriptor_key, b"header_match")?,
                value: value_of(&at, &given.descriptor_value)?,
            })
        }
        Some(Specifier::QueryParameterValueMatch(given)) => {
            let at = at.field("query_parameter_value_match");
            let place = at.field("query_parameters");
            let all = given.query_parameters.iter().enumerate();
            let all = all.map(|(index, one)| matcher::query(&place.item(index), one));
            let wanted = Wanted::Query(all.collect::<Result<_, _>>()?);
            Ok(LimitAction::Fixed {
                when: Some((wanted, value::bool_or(&given.expect_match, true))),
                key: key(&at, &given.descriptor_key, b"query_match")?,
                value: value_of(&at, &given.descriptor_value)?,
            })
        }
        Some(Specifier::SourceCluster(_)) => unsupported("source_cluster"),
        Some(Specifier::DynamicMetadata(_)) => unsupported("dynamic_metadata"),
        Some(Specifier::Metadata(_)) => unsupported("metadata"),
        Some(Specifier::Extension(_)) => unsupported("extension"),
        Some(Specifier::RemoteAddressMatch(_)) => unsupported("remote_address_match"),
        None => Err(at.missing("nothing is said of how to describe a request")),
    }
}

fn masked(at: &At<'_>, given: &action::MaskedRemoteAddress) -> Result<LimitAction, Fault> {
    let at = at.field("masked_remote_address");
    let length = |name: &str, given, most: u8| {
        let length = u8::try_from(value::u32_or(given, most.into())).ok();
        let length = length.filter(|length| *length <= most);
        length.ok_or_else(|| at.field(name).invalid(format!("{most} at most")))
    };
    let v4 = length("v4_prefix_mask_len", &given.v4_prefix_mask_len, 32)?;
    let v6 = length("v6_prefix_mask_len", &given.v6_prefix_mask_len, 128)?;
    Ok(LimitAction::MaskedRemoteAddress(v4, v6))
}

fn key(at: &At<'_>, given: &str, default: &[u8]) -> Result<Box<[u8]>, Fault> {
    match (given.as_bytes(), default) {
        (b"", b"") => Err(at.field("descriptor_key").missing("it may not be empty")),
        (b"", default) => Ok(default.into()),
        (given, _) => Ok(given.into()),
    }
}

fn value_of(at: &At<'_>, given: &str) -> Result<Box<[u8]>, Fault> {
    let at = at.field("descriptor_value");
    match given {
        "" => Err(at.missing("it may not be empty")),
        given if given.contains('%') => {
            Err(at.unsupported("command operators (%…%) are not supported"))
        }
        given => Ok(given.as_bytes().into()),
    }
}
