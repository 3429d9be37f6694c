//! What must hold for any bytes, one function a target: it panics where it does not hold.
//!
//! `engine/`, a workspace of its own, feeds them by libFuzzer; the test `seeds_hold` feeds them
//! what is kept in `seeds/`. See README.md.

mod configuration;
mod h1;
mod h2;
mod hpack;
mod path;
mod route;

/// A target: its name, which its folder of seeds has too, and what is fed.
pub type Target = (&'static str, fn(&[u8]));

/// All of them.
pub const TARGETS: [Target; 10] = [
    ("h1_request", h1::request),
    ("h1_response", h1::response),
    ("h1_chunks", h1::chunks),
    ("h2_server", h2::server),
    ("h2_client", h2::client),
    ("hpack", hpack::blocks),
    ("route", route::find),
    ("path", path::normalize),
    ("bootstrap", configuration::bootstrap),
    ("xds", configuration::xds),
];

/// The first bytes of an input choose how it is fed; none are as good as zeros.
fn choose<const N: usize>(input: &[u8]) -> ([u8; N], &[u8]) {
    match input.split_first_chunk() {
        Some((chosen, rest)) => (*chosen, rest),
        None => ([0; N], &[]),
    }
}
