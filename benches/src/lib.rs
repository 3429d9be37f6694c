//! What a request costs in user space, step by step and as a whole.
//!
//! In: nothing. Out: [`STEPS`], which `benches/hot_path.rs` measures in time and
//! `benches/instructions.rs` in instructions, against the budget that stands beside each. What the
//! steps work on is made by the compiler of configuration, out of files that Envoy reads as well;
//! a whole request runs through a real worker on a driver that plays a script ([`script`]).

pub mod calls;
pub mod mesh;
pub mod proxied;
pub mod script;
pub mod steps;

pub use steps::{STEPS, Step};
