//! Time-outs, durations and what calls by gRPC say of theirs. `/slow` answers after a second; what
//! is answered at once has seconds to do so, so that these hold on a loaded machine.

use super::{PLAIN, Setting, get, same};

const ROUTES: &str = r#"
virtual_hosts:
- name: v
  domains: ["*"]
  routes:
  - match: { prefix: "/short/" }
    route: { cluster: up, prefix_rewrite: "/", timeout: 0.2s }
  - match: { prefix: "/tries/" }
    route:
      cluster: up
      prefix_rewrite: "/"
      timeout: 9s
      retry_policy: { retry_on: "5xx", num_retries: 1, per_try_timeout: 4s }
  - match: { prefix: "/eager/" }
    route:
      cluster: up
      prefix_rewrite: "/"
      timeout: 5s
      retry_policy: { retry_on: "5xx", num_retries: 1, per_try_timeout: 0.2s }
  - match: { prefix: "/once/" }
    route:
      cluster: up
      prefix_rewrite: "/"
      timeout: 5s
      retry_policy: { per_try_timeout: 0.2s }
  - match: { prefix: "/big/" }
    route:
      cluster: up
      prefix_rewrite: "/"
      timeout: 5s
      retry_policy: { retry_on: "5xx", num_retries: 1, per_try_timeout: 9s }
  - match: { prefix: "/call/" }
    route: { cluster: up, prefix_rewrite: "/", max_grpc_timeout: 10s }
  - match: { prefix: "/call0/" }
    route: { cluster: up, prefix_rewrite: "/", max_grpc_timeout: 0s }
  - match: { prefix: "/calloffset/" }
    route:
      cluster: up
      prefix_rewrite: "/"
      max_grpc_timeout: 10s
      grpc_timeout_offset: 4s
  - match: { prefix: "/calltries/" }
    route:
      cluster: up
      prefix_rewrite: "/"
      max_grpc_timeout: 10s
      retry_policy: { retry_on: "5xx", per_try_timeout: 3s }
  - match: { prefix: "/stream/" }
    route:
      cluster: up
      prefix_rewrite: "/"
      timeout: 0.1s
      max_stream_duration: { max_stream_duration: 0.4s }
  - match: { prefix: "/longstream/" }
    route:
      cluster: up
      prefix_rewrite: "/"
      timeout: 0.1s
      max_stream_duration: { max_stream_duration: 7s }
  - match: { prefix: "/header/" }
    route:
      cluster: up
      prefix_rewrite: "/"
      max_stream_duration: { grpc_timeout_header_max: 8s }
  - match: { prefix: "/header0/" }
    route:
      cluster: up
      prefix_rewrite: "/"
      max_stream_duration: { max_stream_duration: 0s, grpc_timeout_header_max: 0s }
  - match: { prefix: "/headeroffset/" }
    route:
      cluster: up
      prefix_rewrite: "/"
      max_stream_duration: { grpc_timeout_header_max: 0s, grpc_timeout_header_offset: 2s }
  - match: { prefix: "/untimed/" }
    route: { cluster: up, prefix_rewrite: "/", timeout: 0.1s, max_stream_duration: {} }
  - match: { prefix: "/both/" }
    route:
      cluster: up
      prefix_rewrite: "/"
      max_grpc_timeout: 0.2s
      max_stream_duration: { max_stream_duration: 0s }
  - { match: { prefix: "/plain/" }, route: { cluster: up, prefix_rewrite: "/", timeout: 0s } }"#;

/// A call by gRPC, with these fields besides.
macro_rules! call {
    ($path:literal $(, $field:literal)*) => {
        get!($path, "content-type: application/grpc" $(, $field)*)
    };
}

const LIMITS: Setting = Setting {
    name: "deadlines",
    routes: ROUTES,
    cases: &[
        same(get!("/short/slow")),
        same(get!("/tries/a")),
        same(get!("/eager/slow")),
        same(get!("/once/slow")),
        same(get!("/big/a")),
        same(get!("/calltries/a")),
        same(call!("/calltries/a", "grpc-timeout: 9S")),
        same(call!("/calltries/a", "grpc-timeout: 2S")),
        same(get!("/call/a", "grpc-timeout: 5S")),
        same(call!("/call/a")),
        same(call!("/call/a", "grpc-timeout: 5S")),
        same(call!("/call/a", "grpc-timeout: 50S")),
        same(call!("/call/a", "grpc-timeout: 123456789m")),
        same(call!("/call/a", "grpc-timeout: 9123456u")),
        same(call!("/call/a", "grpc-timeout: 5x")),
        same(call!("/call/a", "grpc-timeout: m")),
        same(call!("/call/a", "grpc-timeout: 5000mm")),
        same(call!("/call/a", "grpc-timeout: 0m")),
        same(call!("/call/a", "grpc-timeout: 5S", "grpc-timeout: 6S")),
        same(call!("/call/slow", "grpc-timeout: 200m")),
        same(call!("/call0/a")),
        same(call!("/call0/a", "grpc-timeout: 5S")),
        same(call!("/call0/a", "grpc-timeout: 99999999H")),
        same(call!("/call0/a", "grpc-timeout: 200000S")),
        same(call!("/call0/a", "grpc-timeout: 0m")),
        same(call!("/calloffset/a", "grpc-timeout: 9S")),
        same(call!("/calloffset/a", "grpc-timeout: 3S")),
        same(get!("/stream/slow")),
        same(call!("/stream/slow")),
        same(get!("/longstream/slow")),
        same(call!("/longstream/a", "grpc-timeout: 100m")),
        same(call!("/header/a", "grpc-timeout: 5S")),
        same(call!("/header/a", "grpc-timeout: 50S")),
        same(call!("/header/slow", "grpc-timeout: 200m")),
        same(call!("/header/slow")),
        same(get!("/header/a", "grpc-timeout: 5S")),
        same(get!("/header/slow", "grpc-timeout: 200m")),
        same(call!("/header0/slow", "grpc-timeout: 200m")),
        same(get!("/header0/slow")),
        same(call!("/headeroffset/a", "grpc-timeout: 9S")),
        same(get!("/untimed/slow")),
        same(call!("/untimed/a", "grpc-timeout: 100m")),
        same(call!("/both/slow", "grpc-timeout: 100m")),
        same(get!("/plain/slow")),
    ],
    ..PLAIN
};

const OF_MANAGER: Setting = Setting {
    name: "deadlines-of-manager",
    options: "common_http_protocol_options: { max_stream_duration: 0.3s }",
    routes: ROUTES,
    cases: &[
        same(get!("/plain/slow")),
        same(get!("/header0/slow")),
        same(call!("/header0/a")),
        same(call!("/both/a", "grpc-timeout: 100m")),
        same(call!("/untimed/slow", "grpc-timeout: 5S")),
        same(get!("/untimed/slow")),
        same(call!("/header/slow")),
        same(call!("/call/slow", "grpc-timeout: 5S")),
        same(get!("/longstream/slow")),
    ],
    ..PLAIN
};

pub(super) const SETTINGS: &[&Setting] = &[&LIMITS, &OF_MANAGER];
