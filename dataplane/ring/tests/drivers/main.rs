//! What a driver promises, tried on both drivers.

mod close;
mod flow;
mod kit;
mod limits;
mod open;
mod relay;
