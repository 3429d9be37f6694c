//! One connection of the generator.

use ring::{Nanos, Socket};

use super::super::secure::Secure;

/// A connection, or the place for one.
#[derive(Default)]
pub(super) struct Link {
    pub(super) state: State,
    pub(super) socket: Option<Socket>,
    pub(super) secure: Option<Box<Secure>>,
    /// The request that it has to make, or is making.
    pub(super) flight: Option<Flight>,
    /// Bytes of the request that were handed over to the driver.
    pub(super) sent: u64,
    /// When it began what it does now; an errand that takes too long is given up.
    pub(super) since: Nanos,
}

/// What a connection does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum State {
    /// There is none.
    #[default]
    Closed,
    /// TCP is on its way.
    Connecting,
    /// TLS is on its way.
    Securing,
    /// Nothing: it can take a request.
    Ready,
    /// A request is on its way, or its answer.
    Busy,
}

/// A request on its way.
#[derive(Clone, Copy, Debug)]
pub(super) struct Flight {
    /// From when its latency counts.
    pub(super) begun: Nanos,
    /// The phase in which it was sent.
    pub(super) phase: usize,
}
