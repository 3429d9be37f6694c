//! HTTP/2.
mod code;
mod hpack;
mod refusal;
pub use code::ErrorCode;
pub use refusal::{Refusal, Scope};
