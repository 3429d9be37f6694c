//! `envoy.filters.http.local_ratelimit`: how many requests, and which.

use std::net::IpAddr;

use config::snapshot::{
    Bucket, HostLimits, LimitAction, LimitDescriptor, LocalRateLimit, RateLimit, ValueOf, Wanted,
};
use ipnet::IpNet;
use wire::head::Head;

use super::Answer;
use crate::headers::{self, text};
use crate::reply::Reason;
use crate::{matcher, scratch};

/// What a request is described by.
#[derive(Clone, Copy, Debug)]
pub struct Described<'r> {
    /// Its head.
    pub head: &'r Head,
    /// The client's address as far as it may be believed.
    pub remote: IpAddr,
    /// The cluster it goes to.
    pub cluster: Option<&'r str>,
    /// What its route says, what its virtual host says, and whether the route wants both.
    pub said: (&'r [RateLimit], &'r [RateLimit], bool),
}

/// What is said of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// It is not too many.
    pub allowed: bool,
    /// The bucket that the answer tells of.
    pub bucket: Option<Which>,
}

/// A bucket of a limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Which {
    /// That of all requests.
    Common,
    /// That of this descriptor.
    Of(usize),
}

impl Which {
    /// Finds it.
    pub fn of(self, limit: &LocalRateLimit) -> Option<&Bucket> {
        match self {
            Self::Common => limit.bucket.as_ref(),
            Self::Of(at) => limit.descriptors.get(at).map(|descriptor| &descriptor.bucket),
        }
    }
}

/// Counts a request that the filter is enabled for, at this time in nanoseconds.
pub fn count(limit: &LocalRateLimit, request: &Described<'_>, now: u64) -> Verdict {
    let mut tightest = None;
    for (at, descriptor) in limit.descriptors.iter().enumerate() {
        if !is_described(limit, descriptor, request) {
            continue;
        }
        if !descriptor.bucket.take(now) {
            return Verdict { allowed: false, bucket: Some(Which::Of(at)) };
        }
        tightest = tightest.or(Some(Which::Of(at)));
    }
    let common = limit.bucket.as_ref().filter(|_| tightest.is_none() || limit.always_takes);
    match common {
        Some(bucket) if !bucket.take(now) => {
            Verdict { allowed: false, bucket: Some(Which::Common) }
        }
        common => {
            Verdict { allowed: true, bucket: tightest.or_else(|| common.map(|_| Which::Common)) }
        }
    }
}

/// The answer to a request that is too many.
pub fn refusal(limit: &LocalRateLimit) -> Answer<'static> {
    const RESOURCE_EXHAUSTED: u32 = 8;
    let reason = Reason::LocalRateLimited;
    Answer {
        reason,
        status: limit.status,
        body: reason.reply().body,
        grpc_status: limit.exhausts.then_some(RESOURCE_EXHAUSTED),
    }
}

/// What a refusal says besides.
pub fn explain(limit: &LocalRateLimit, head: &mut Head, bucket: Option<&Bucket>, now: u64) {
    headers::change(head, &limit.response);
    if limit.says_when
        && limit.status == 429
        && let Some(bucket) = bucket
        && head.values(b"retry-after").next().is_none()
    {
        head.set_number(b"retry-after", bucket.state(now).next_s.max(1));
    }
}

/// Tells how the bucket stands.
pub fn tell(head: &mut Head, bucket: &Bucket, now: u64) {
    let state = bucket.state(now);
    for (name, value) in [
        (&b"x-ratelimit-limit"[..], state.most.into()),
        (b"x-ratelimit-remaining", state.left.into()),
        (b"x-ratelimit-reset", state.next_s),
    ] {
        // Another proxy's word on its own limit stays beside it.
        head.append_number(name, value);
    }
}

/// One of the ways in which the request is described is this one.
fn is_described(limit: &LocalRateLimit, asked: &LimitDescriptor, request: &Described<'_>) -> bool {
    if !limit.rate_limits.is_empty() {
        return limit.rate_limits.iter().any(|way| !way.is_off && is(way, asked, request));
    }
    let (of_route, of_host, wants_both) = request.said;
    let counts_host = match limit.of_host {
        _ if wants_both => true,
        HostLimits::Include => true,
        HostLimits::Ignore => false,
        HostLimits::Override => of_route.is_empty(),
    };
    let of_host = if counts_host { of_host } else { &[] };
    let mut ways = of_route.iter().chain(of_host);
    ways.any(|way| !way.is_off && way.stage == limit.stage && is(way, asked, request))
}

/// Described in this way the request is this one.
fn is(way: &RateLimit, asked: &LimitDescriptor, request: &Described<'_>) -> bool {
    let mut entries = asked.entries.iter();
    let fits = way.actions.iter().all(|action| {
        entry(action, request, |entry| match entry {
            Entry::Made(key, value) => entries
                .next()
                .is_some_and(|(wanted_key, wanted)| **wanted_key == *key && **wanted == *value),
            Entry::Skipped => true,
            Entry::Nothing => false,
        })
    });
    fits && entries.next().is_none()
}

enum Entry<'r> {
    Made(&'r [u8], &'r [u8]),
    /// The description goes on without it.
    Skipped,
    /// There is no description.
    Nothing,
}

/// What this action says of the request, judged where it stands: nothing is allocated for it.
fn entry(
    action: &LimitAction,
    request: &Described<'_>,
    judge: impl FnOnce(Entry<'_>) -> bool,
) -> bool {
    match action {
        LimitAction::DestinationCluster => judge(match request.cluster {
            Some(name) => Entry::Made(b"destination_cluster", name.as_bytes()),
            None => Entry::Nothing,
        }),
        LimitAction::Value { of, key, skips } => {
            let value = match of {
                ValueOf::Header(name) => matcher::first_value(request.head, name),
                ValueOf::Query(name) => matcher::parameter(name, request.head.path()),
            };
            judge(match value {
                Some(value) => Entry::Made(key, value),
                None if *skips => Entry::Skipped,
                None => Entry::Nothing,
            })
        }
        LimitAction::RemoteAddress => scratch::with(|out| {
            text::write(out, request.remote);
            judge(Entry::Made(b"remote_address", out))
        }),
        LimitAction::MaskedRemoteAddress(v4, v6) => {
            let length = if request.remote.is_ipv4() { *v4 } else { *v6 };
            match IpNet::new(request.remote, length) {
                Ok(net) => scratch::with(|out| {
                    text::write(out, net.trunc());
                    judge(Entry::Made(b"masked_remote_address", out))
                }),
                Err(_) => judge(Entry::Nothing),
            }
        }
        LimitAction::Fixed { when, key, value } => {
            let holds = when.as_ref().is_none_or(|(wanted, all)| asks(wanted, request) == *all);
            judge(if holds { Entry::Made(key, value) } else { Entry::Nothing })
        }
    }
}

fn asks(wanted: &Wanted, request: &Described<'_>) -> bool {
    match wanted {
        Wanted::Headers(all) => all.iter().all(|asked| matcher::header(asked, request.head)),
        Wanted::Query(all) => all.iter().all(|asked| matcher::query(asked, request.head.path())),
    }
}

#[cfg(test)]
mod tests;
