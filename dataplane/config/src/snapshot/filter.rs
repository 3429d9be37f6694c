//! The HTTP filters of a connection manager, and what routes say of them.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use super::{
    Compressor, CompressorOverride, HeaderChange, HeaderMatch, HealthCheckFilter, HttpRbac,
    LocalRateLimit, RateLimit, StringMatch,
};

/// The filters of a connection manager before its router, in order.
#[derive(Debug)]
pub struct HttpFilters {
    all: Vec<HttpFilter>,
    changes_answers: bool,
    policies: Option<Vec<Arc<HttpRbac>>>,
}

impl HttpFilters {
    /// All of them, those that are off among them.
    pub fn all(&self) -> &[HttpFilter] {
        &self.all
    }

    /// A filter changes answers that its request never came to.
    pub fn changes_answers(&self) -> bool {
        self.changes_answers
    }

    /// The policies in order, if nothing else is done where no route says otherwise: then there is
    /// no chain to be gone through.
    pub fn policies(&self) -> Option<&[Arc<HttpRbac>]> {
        self.policies.as_deref()
    }
}

impl From<Vec<HttpFilter>> for HttpFilters {
    fn from(all: Vec<HttpFilter>) -> Self {
        let acting = || all.iter().filter(|filter| !filter.is_idle());
        let policies = acting().map(|filter| match &filter.kind {
            FilterKind::Rbac(rbac) => Some(Arc::clone(rbac)),
            _ => None,
        });
        let policies = policies.collect();
        let changes = |filter: &HttpFilter| {
            matches!(filter.kind, FilterKind::HeaderMutation(_) | FilterKind::Compressor(_))
        };
        let changes_answers = all.iter().any(changes);
        Self { all, changes_answers, policies }
    }
}

impl Default for HttpFilters {
    fn default() -> Self {
        Self::from(Vec::new())
    }
}

/// A filter at its place.
#[derive(Debug)]
pub struct HttpFilter {
    /// Its name, by which routes speak of it.
    pub name: Arc<str>,
    /// It is off where no route turns it on (`disabled`).
    pub is_off: bool,
    /// What it does.
    pub kind: FilterKind,
}

impl HttpFilter {
    /// A filter that is on.
    pub fn new(name: &str, kind: FilterKind) -> Self {
        Self { name: name.into(), is_off: false, kind }
    }

    /// It does nothing where no route says otherwise.
    fn is_idle(&self) -> bool {
        self.is_off
            || match &self.kind {
                FilterKind::Rbac(rbac) => rbac.rules.is_none(),
                FilterKind::Fault(fault) => {
                    fault.delay.is_none() && fault.abort.is_none() && fault.rate.is_none()
                }
                FilterKind::LocalRateLimit(limit) => limit.enabled.some == 0,
                FilterKind::HeaderMutation(filter) => filter.mutations.is_empty(),
                // All that it does a route asks it to do.
                FilterKind::Cors => true,
                FilterKind::HealthCheck(_) | FilterKind::Buffer(_) | FilterKind::GrpcWeb => false,
                FilterKind::Compressor(compressor) => !compressor.is_on,
            }
    }
}

/// What a filter does. A closed set: any other is refused when the configuration is read.
#[derive(Debug)]
pub enum FilterKind {
    /// `envoy.filters.http.rbac`
    Rbac(Arc<HttpRbac>),
    /// `envoy.filters.http.fault`
    Fault(Arc<HttpFault>),
    /// `envoy.filters.http.cors`
    Cors,
    /// `envoy.filters.http.local_ratelimit`
    LocalRateLimit(Arc<LocalRateLimit>),
    /// `envoy.filters.http.header_mutation`
    HeaderMutation(Arc<HeaderMutationFilter>),
    /// `envoy.filters.http.health_check`
    HealthCheck(Arc<HealthCheckFilter>),
    /// `envoy.filters.http.buffer`: a request goes on when its body, of so many bytes at most, has
    /// come whole.
    Buffer(u32),
    /// `envoy.filters.http.grpc_web`
    GrpcWeb,
    /// `envoy.filters.http.compressor`
    Compressor(Arc<Compressor>),
}

/// `typed_per_filter_config` of one level: what is said of filters by their names.
#[derive(Clone, Debug, Default)]
pub struct Overrides {
    said: Vec<(Arc<str>, Override)>,
    /// `rate_limits` of a route or virtual host.
    pub rate_limits: Vec<RateLimit>,
    /// Those of the virtual host hold besides (`include_vh_rate_limits`).
    pub includes_host_limits: bool,
}

impl Overrides {
    /// What is said of the filter of that name.
    pub fn get(&self, name: &str) -> Option<&Override> {
        self.said.iter().find(|(found, _)| **found == *name).map(|(_, said)| said)
    }

    /// Nothing is said of any.
    pub fn is_empty(&self) -> bool {
        self.said.is_empty()
    }
}

impl FromIterator<(Arc<str>, Override)> for Overrides {
    fn from_iter<I: IntoIterator<Item = (Arc<str>, Override)>>(all: I) -> Self {
        Self { said: all.into_iter().collect(), ..Self::default() }
    }
}

/// What a level says of one filter.
#[derive(Clone, Debug)]
pub enum Override {
    /// It is off (`FilterConfig.disabled`).
    Off,
    /// It is on, with the configuration that it has otherwise.
    On,
    /// It is on with this configuration.
    With(OverrideKind),
}

impl Override {
    /// What it brings along.
    pub fn kind(&self) -> Option<&OverrideKind> {
        match self {
            Self::With(kind) => Some(kind),
            Self::Off | Self::On => None,
        }
    }
}

/// A filter's own configuration of a level.
#[derive(Clone, Debug)]
pub enum OverrideKind {
    /// `RBACPerRoute`
    Rbac(Arc<HttpRbac>),
    /// `HTTPFault`
    Fault(Arc<HttpFault>),
    /// `CorsPolicy`
    Cors(Arc<CorsPolicy>),
    /// `LocalRateLimit`
    LocalRateLimit(Arc<LocalRateLimit>),
    /// `HeaderMutationPerRoute`
    HeaderMutation(Arc<HeaderMutations>),
    /// `BufferPerRoute`; `None`: `disabled`.
    Buffer(Option<u32>),
    /// `CompressorPerRoute`
    Compressor(CompressorOverride),
}

/// `FractionalPercent`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Share {
    /// So many of `of` requests.
    pub some: u32,
    /// 100, 10,000 or 1,000,000.
    pub of: u32,
}

impl Share {
    /// Nobody.
    pub const NONE: Self = Self { some: 0, of: 100 };
    /// Everybody.
    pub const ALL: Self = Self { some: 100, of: 100 };

    /// Whether a request with this random number is among them.
    pub fn takes(self, random: u64) -> bool {
        random.checked_rem(self.of.into()).is_some_and(|rest| rest < self.some.into())
    }
}

/// `HTTPFault`, compiled.
#[derive(Debug, Default)]
pub struct HttpFault {
    /// The request waits.
    pub delay: Option<FaultDelay>,
    /// The request is answered here, after the delay if there is one.
    pub abort: Option<FaultAbort>,
    /// The answer leaves slowly.
    pub rate: Option<FaultRate>,
    /// Only requests to this cluster.
    pub upstream_cluster: Option<Arc<str>>,
    /// Only requests with these headers.
    pub headers: Vec<HeaderMatch>,
    /// Only requests of these nodes (`x-envoy-downstream-service-node`); empty: of all.
    pub downstream_nodes: Vec<Box<[u8]>>,
    /// So many requests at once may suffer.
    pub max_active: Option<u32>,
    /// How many do. A chain's filter counts, whatever a route says besides.
    pub active: Arc<ActiveFaults>,
}

/// `FaultDelay`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FaultDelay {
    /// How long; `None`: as `x-envoy-fault-delay-request` says, in milliseconds.
    pub fixed: Option<Duration>,
    /// How many requests.
    pub share: Share,
}

/// `FaultRateLimit`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FaultRate {
    /// KiB a second; `None`: as `x-envoy-fault-throughput-response` says.
    pub fixed_kib: Option<u64>,
    /// How many requests.
    pub share: Share,
}

/// `FaultAbort`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FaultAbort {
    /// What is answered.
    pub answer: AbortAnswer,
    /// How many requests.
    pub share: Share,
    /// The answer's body, unless it is empty.
    pub body: Box<str>,
}

/// `FaultAbort.error_type`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AbortAnswer {
    /// A status of HTTP.
    Http(u16),
    /// A status of gRPC, over 200.
    Grpc(u32),
    /// What `x-envoy-fault-abort-request` says, or `x-envoy-fault-abort-grpc-request`.
    Header,
}

/// How many requests suffer from a fault filter now, in the whole process. Touched only where a
/// fault is put into a request.
#[derive(Debug, Default)]
pub struct ActiveFaults(AtomicU32);

/// One of them, until it is dropped.
#[derive(Debug)]
pub struct ActiveFault(Arc<ActiveFaults>);

impl ActiveFaults {
    /// Counts one more, if there are fewer than so many. The limit is never exceeded, by however
    /// many threads.
    pub fn begin(self: &Arc<Self>, most: Option<u32>) -> Option<ActiveFault> {
        let more =
            |now: u32| Some(now).filter(|now| most.is_none_or(|most| *now < most))?.checked_add(1);
        self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).ok()?;
        Some(ActiveFault(Arc::clone(self)))
    }

    /// How many there are.
    pub fn count(&self) -> u32 {
        self.0.load(Ordering::Relaxed)
    }
}

impl Drop for ActiveFault {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// `HeaderMutation`, compiled.
#[derive(Debug, Default)]
pub struct HeaderMutationFilter {
    /// Its own changes, before those of routes.
    pub mutations: HeaderMutations,
    /// The most specific level has the last word.
    pub most_specific_wins: bool,
}

/// `Mutations`: changes in their order.
#[derive(Debug, Default)]
pub struct HeaderMutations {
    /// To requests.
    pub request: Vec<Mutation>,
    /// To responses.
    pub response: Vec<Mutation>,
}

impl HeaderMutations {
    fn is_empty(&self) -> bool {
        self.request.is_empty() && self.response.is_empty()
    }
}

/// One change.
#[derive(Clone, Debug)]
pub enum Mutation {
    /// To the fields of one name.
    Change(HeaderChange),
    /// Removes all fields whose names are like this.
    RemoveMatching(StringMatch),
}

/// `CorsPolicy`, compiled. What a level does not say (`None`) a less specific one may.
#[derive(Debug, Default)]
pub struct CorsPolicy {
    /// Origins that may ask; empty: not said here.
    pub origins: Vec<StringMatch>,
    /// `access-control-allow-methods`; `*`: those that were asked for.
    pub methods: Option<Box<[u8]>>,
    /// `access-control-allow-headers`; `*`: those that were asked for.
    pub headers: Option<Box<[u8]>>,
    /// `access-control-expose-headers`
    pub expose: Option<Box<[u8]>>,
    /// `access-control-max-age`
    pub max_age: Option<Box<[u8]>>,
    /// `access-control-allow-credentials`
    pub credentials: Option<bool>,
    /// The policy holds for so many requests.
    pub enabled: Option<Share>,
    /// `access-control-allow-private-network`, where it is asked for.
    pub private_network: Option<bool>,
    /// A preflight of an origin that may not ask goes to the upstream (Envoy's default: yes).
    pub forwards_others: Option<bool>,
}
