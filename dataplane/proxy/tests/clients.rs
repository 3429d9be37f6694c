//! Clients and servers that are not ours, through the proxy: curl, nghttp2's programs, the h2
//! library and gRPC for Python, tonic; by HTTP/1.1 and HTTP/2, clear and over TLS. And the
//! conformance tests of h2spec, with Envoy beside us.
//!
//! What is not installed is skipped, by name; `cargo xtask setup` installs it.

mod common;
#[path = "clients/curl.rs"]
mod curl;
#[path = "clients/grpc.rs"]
mod grpc;
#[path = "clients/h2spec.rs"]
mod h2spec;
#[path = "clients/messages.rs"]
mod messages;
#[path = "clients/nghttp.rs"]
mod nghttp;
#[path = "clients/place.rs"]
mod place;
#[path = "clients/tonic_client.rs"]
mod tonic_client;
#[path = "clients/tonic_server.rs"]
mod tonic_server;
