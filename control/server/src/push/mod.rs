//! From a change of configuration to every proxy: debounce, one new generation, the board of who
//! has what.

mod board;
mod counters;
mod debounce;
mod hub;

pub use board::{Board, Convergence, Registration, Row, StreamInfo};
pub use counters::{Counters, DurationSum};
pub use debounce::Debounce;
pub use hub::{Generation, Hub, World};

#[cfg(test)]
mod tests;
