//! `envoy.filters.http.local_ratelimit`, compiled.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::{HeaderChange, HeaderMatch, QueryMatch, Share};

/// `LocalRateLimit`.
#[derive(Debug)]
pub struct LocalRateLimit {
    /// The status of a refusal (Envoy: 429).
    pub status: u16,
    /// What every request takes from; `None`: there is no such limit.
    pub bucket: Option<Bucket>,
    /// So many requests are counted.
    pub enabled: Share,
    /// Of those that are too many so many are refused.
    pub enforced: Share,
    /// Changes to a refusal.
    pub response: Vec<HeaderChange>,
    /// Changes to a request that is too many and passes nevertheless.
    pub request: Vec<HeaderChange>,
    /// Buckets for some requests, the slowest to fill first.
    pub descriptors: Vec<LimitDescriptor>,
    /// What requests are described by; empty: by what the route says.
    pub rate_limits: Vec<RateLimit>,
    /// Of what the route says only this stage counts.
    pub stage: u32,
    /// What becomes of what the virtual host says.
    pub of_host: HostLimits,
    /// Who takes from another bucket takes from the common one too.
    pub always_takes: bool,
    /// Answers say `x-ratelimit-limit` and its sisters.
    pub tells: bool,
    /// Refusals with 429 say `retry-after`.
    pub says_when: bool,
    /// A call by gRPC is refused with RESOURCE_EXHAUSTED.
    pub exhausts: bool,
}

/// A key and a value.
pub type LimitEntry = (Box<[u8]>, Box<[u8]>);

/// A bucket for requests of one description.
#[derive(Debug)]
pub struct LimitDescriptor {
    /// Keys and values, all of which have to be the request's, in this order.
    pub entries: Vec<LimitEntry>,
    /// What they take from.
    pub bucket: Bucket,
}

/// `VhRateLimitsOptions`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum HostLimits {
    /// It counts where the route says nothing.
    #[default]
    Override,
    /// It counts besides.
    Include,
    /// It does not count.
    Ignore,
}

/// `RateLimit`: how a request is described.
#[derive(Clone, Debug)]
pub struct RateLimit {
    /// For filters of this stage.
    pub stage: u32,
    /// It never counts (`disable_key`), and stands before what the virtual host says all the same.
    pub is_off: bool,
    /// Each adds a key and a value.
    pub actions: Vec<LimitAction>,
}

/// `RateLimit.Action`.
#[derive(Clone, Debug)]
pub enum LimitAction {
    /// `destination_cluster`
    DestinationCluster,
    /// `request_headers`, `query_parameters`
    Value {
        /// Where the value stands.
        of: ValueOf,
        /// The key.
        key: Box<[u8]>,
        /// Where it is not there, the request is described without it; else not at all.
        skips: bool,
    },
    /// `remote_address`
    RemoteAddress,
    /// `masked_remote_address`: prefix lengths for IPv4 and IPv6.
    MaskedRemoteAddress(u8, u8),
    /// `generic_key`, `header_value_match`, `query_parameter_value_match`
    Fixed {
        /// What has to hold, all of it or (`false`) not all of it; otherwise the request is not
        /// described.
        when: Option<(Wanted, bool)>,
        /// The key.
        key: Box<[u8]>,
        /// The value.
        value: Box<[u8]>,
    },
}

/// Where a value is taken from.
#[derive(Clone, Debug)]
pub enum ValueOf {
    /// The header of this name.
    Header(Box<[u8]>),
    /// The query parameter of this name.
    Query(Box<[u8]>),
}

/// What a request is asked for.
#[derive(Clone, Debug)]
pub enum Wanted {
    /// These headers.
    Headers(Arc<[HeaderMatch]>),
    /// These query parameters.
    Query(Arc<[QueryMatch]>),
}

/// `TokenBucket`: full at first, then filled evenly, `fill` tokens in `every`, as Envoy's is.
///
/// One for the whole process, in one word that its takers exchange: whatever the number of workers,
/// they never take more than there is, and one alone may take all. Only requests that are counted
/// touch it.
#[derive(Debug)]
pub struct Bucket {
    /// The most it holds.
    pub most: u32,
    /// Tokens that are filled in.
    pub fill: u32,
    /// How long that takes. More than 0.
    pub every: Duration,
    /// When it was empty, as far as what it holds now tells (nanoseconds, as a float's bits).
    empty_at: AtomicU64,
}

/// What a bucket says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BucketState {
    /// The most it holds.
    pub most: u32,
    /// Tokens that are in it.
    pub left: u32,
    /// Seconds until there is one; 0: there is.
    pub next_s: u64,
}

impl Bucket {
    /// A full one.
    pub fn new(most: u32, fill: u32, every: Duration) -> Self {
        let empty_at = AtomicU64::new(f64::NEG_INFINITY.to_bits());
        Self { most, fill, every, empty_at }
    }

    /// Takes a token, if there is one at this time (nanoseconds of a clock that never goes back).
    pub fn take(&self, now: u64) -> bool {
        let now = now as f64;
        let taken = |bits| {
            let held = self.held(f64::from_bits(bits), now);
            (held >= 1.0).then(|| (now - (held - 1.0) * self.token_ns()).to_bits())
        };
        self.empty_at.fetch_update(Ordering::Relaxed, Ordering::Relaxed, taken).is_ok()
    }

    /// How it stands at this time.
    pub fn state(&self, now: u64) -> BucketState {
        let empty_at = f64::from_bits(self.empty_at.load(Ordering::Relaxed));
        let held = self.held(empty_at, now as f64);
        let wait_ns = match self.most {
            0 => self.token_ns(),
            _ if held >= 1.0 => 0.0,
            _ => empty_at + self.token_ns() - now as f64,
        };
        // Both are rounded on purpose, and saturate.
        let next_s = (wait_ns / 1e9).ceil() as u64;
        BucketState { most: self.most, left: held.max(0.0) as u32, next_s }
    }

    /// Tokens per second, in whole ones: buckets are asked in this order.
    pub fn per_second(&self) -> u64 {
        u64::from(self.fill) / self.every.as_secs().max(1)
    }

    fn token_ns(&self) -> f64 {
        self.every.as_nanos() as f64 / f64::from(self.fill)
    }

    fn held(&self, empty_at: f64, now: f64) -> f64 {
        ((now - empty_at) / self.token_ns()).min(f64::from(self.most))
    }
}
