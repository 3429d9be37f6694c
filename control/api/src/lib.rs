//! What the two halves of the mesh share: messages, names and the reading of text into messages.
//!
//! In: Envoy's API types from `envoy-types`, and the few messages that it lacks ([`ca`],
//! [`typed_struct`]). Out: the same under short names ([`envoy`]), type URLs and `Any` handling
//! ([`any`]), the names and ports of Istio's contract ([`names`]), and YAML or JSON turned into
//! messages and back ([`text`]).
//!
//! Invariants: nothing here thinks or does I/O; a text field that no message has is an error with
//! its place; the table behind [`text`] is read-only data of the binary and takes no heap.

pub mod any;
pub mod ca;
pub mod envoy;
pub mod names;
pub mod text;
pub mod typed_struct;

pub use any::{AnyError, pack, type_url_of, unpack};
