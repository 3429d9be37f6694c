//! One connection of the generator.

use ring::{Nanos, Socket};

use super::super::secure::Secure;

/// A connection, or the place for one.
#[derive(Default)]
pub(super) struct Link {
    pub(super) state: State,
    pub(super) socket: Option<Socket>,
    pub(super) secure: Option<Box<Secure>>,
    /// Bytes of the request that were handed over to the driver.
    pub(super) sent: u64,
    /// When it began what it does now; an errand that takes too long is given up. Of an open
    /// connection with streams: when something came over it.
    pub(super) since: Nanos,
    /// It is among those that are looked after before the thread waits.
    pub(super) is_marked: bool,
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
    /// Nothing: it can take a request, or with streams many.
    Ready,
    /// A request is on its way, or its answer.
    Busy,
}

/// A request on its way, or waiting for its connection.
#[derive(Clone, Copy, Debug)]
pub(super) struct Flight {
    /// When it was handed to its connection.
    pub(super) since: Nanos,
    /// From when its latency counts.
    pub(super) begun: Nanos,
    /// The phase in which it was sent.
    pub(super) phase: usize,
}
