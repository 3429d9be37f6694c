//! The most that one configuration may hold. What is beyond is refused by name.

/// Cluster names that one process ever interns; ids are never used again.
pub const MAX_CLUSTER_NAMES: usize = 262_144;
/// Clusters at one time.
pub const MAX_CLUSTERS: usize = 100_000;
/// Endpoints of one cluster.
pub const MAX_ENDPOINTS: usize = 100_000;
/// Transport matches of one cluster.
pub const MAX_TRANSPORT_MATCHES: usize = 64;
/// Addresses of one host that are tried one after the other, besides the first.
pub const MAX_OTHERS: usize = 16;
/// Lists of keys that one cluster tells its hosts apart by, and keys in one.
pub const MAX_SELECTORS: usize = 32;
/// See above.
pub const MAX_SELECTOR_KEYS: usize = 16;
/// Name servers of one resolver.
pub const MAX_NAME_SERVERS: usize = 32;
/// Names that one cluster looks up.
pub const MAX_NAMES: usize = 1_024;
/// Addresses of one name; what a name server sends beyond is left out.
pub const MAX_ADDRESSES: usize = 1_024;
/// Bytes of a name (RFC 1035, 2.3.4, as text).
pub const MAX_DNS_NAME: usize = 254;
/// Header fields, statuses or payloads of one health check.
pub const MAX_CHECK_FIELDS: usize = 1_000;
/// Bytes of one payload of a health check.
pub const MAX_PAYLOAD: usize = 64 << 10;
/// Listeners at one time.
pub const MAX_LISTENERS: usize = 10_000;
/// Filter chains of one listener.
pub const MAX_CHAINS: usize = 10_000;
/// Filters in one chain, network or HTTP.
pub const MAX_FILTERS: usize = 64;
/// Route configurations at one time.
pub const MAX_ROUTE_TABLES: usize = 10_000;
/// Virtual hosts of one route configuration.
pub const MAX_VIRTUAL_HOSTS: usize = 100_000;
/// Routes of one route configuration.
pub const MAX_ROUTES: usize = 200_000;
/// Clusters that one route or TCP proxy divides its traffic over.
pub const MAX_WEIGHTED: usize = 1_024;
/// Statuses, and headers, of one retry policy.
pub const MAX_RETRIABLE: usize = 1_024;
/// Copies that one route makes of a request.
pub const MAX_MIRRORS: usize = 16;
/// Bytes of the name of a cookie that a route asks for, as in Envoy.
pub const MAX_COOKIE_NAME: usize = 1_024;
/// Policies of one RBAC filter.
pub const MAX_POLICIES: usize = 10_000;
/// Descriptors of one local rate limit.
pub const MAX_DESCRIPTORS: usize = 1_000;
/// Rate limits of one route, virtual host or filter, and the actions of each.
pub const MAX_RATE_LIMITS: usize = 100;
/// Clusters that one health check looks at.
pub const MAX_CHECKED_CLUSTERS: usize = 1_000;
/// Mappers of one `local_reply_config`.
pub const MAX_REPLY_MAPPERS: usize = 1_000;
/// Content types of one compressor.
pub const MAX_CONTENT_TYPES: usize = 1_000;
/// The most that `max_request_bytes` of a buffer may ask for: a quarter of the memory that a worker
/// has for bytes on their way.
pub const MAX_BUFFERED: u32 = 16 << 20;
/// Permissions and principals of one RBAC filter, nested ones included.
pub const MAX_RULES: usize = 200_000;
/// Secrets at one time.
pub const MAX_SECRETS: usize = 10_000;
/// Bytes of one secret, file or environment variable.
pub const MAX_DATA_SOURCE: usize = 1 << 20;
/// Bytes of a direct response's body, unless the route configuration says otherwise (Envoy: 4 KiB).
pub const MAX_DIRECT_BODY: u32 = 4 << 10;
/// Bytes that one compiled regular expression may take.
pub const MAX_REGEX: usize = 1 << 20;
/// Bytes of a resource's name.
pub const MAX_NAME: usize = 4_096;
/// Bytes of a substitution format string.
pub const MAX_FORMAT: usize = 64 << 10;
/// Hash policies of one route.
pub const MAX_HASH_POLICIES: usize = 64;
/// The last priority that endpoints may have.
pub const MAX_PRIORITY: u32 = 128;
/// Objects and lists within each other in a JSON format.
pub const MAX_FORMAT_DEPTH: usize = 32;
/// Access logs of one listener or filter.
pub const MAX_ACCESS_LOGS: usize = 64;
/// Filters of an access log within each other, and in one list.
pub const MAX_LOG_FILTERS: usize = 64;
/// Attributes of a log record, or of its resource, and values of one list in it.
pub const MAX_LOG_ATTRIBUTES: usize = 1_000;
/// Bytes of one attribute of a resource.
pub const MAX_LOG_ATTRIBUTE: usize = 64 << 10;
/// Metadata of a call.
pub const MAX_METADATA: usize = 100;
