//! Choosing a driver, and how much it may use.

use std::str::FromStr;

pub use crate::uring::probe::{Features, probe};

/// Which driver to use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Which {
    /// io_uring where it works, else epoll.
    #[default]
    Auto,
    /// io_uring or nothing.
    Uring,
    /// epoll.
    Epoll,
}

impl Which {
    /// What `Auto` means on this machine, with the reason where it could not be io_uring (for one
    /// warning in the log). `Uring` is refused with that reason.
    pub fn resolve(self) -> Result<(Self, Option<String>), String> {
        match self {
            Self::Epoll => Ok((Self::Epoll, None)),
            Self::Uring => probe().map(|_| (Self::Uring, None)),
            Self::Auto => match probe() {
                Ok(_) => Ok((Self::Uring, None)),
                Err(reason) => Ok((Self::Epoll, Some(reason))),
            },
        }
    }
}

impl FromStr for Which {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "auto" => Ok(Self::Auto),
            "uring" | "io_uring" => Ok(Self::Uring),
            "epoll" => Ok(Self::Epoll),
            other => Err(format!("driver \"{other}\" is unknown; try auto, uring or epoll")),
        }
    }
}

/// How much one driver may use. All memory is reserved as addresses at start and becomes resident
/// only when touched; buffers are handed out last-in first-out, so that what is resident stays
/// near what is used at once, and [`crate::Pool::trim`] gives back what a peak has left behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Sockets, listeners included. The table grows as they come. At most 2^24 - 1.
    pub sockets: usize,
    /// Receive buffers of 4 KiB. At most 32,768; what is above is not made.
    pub small_buffers: usize,
    /// Receive buffers of 64 KiB. At most 32,768; what is above is not made.
    pub large_buffers: usize,
    /// Bytes of scratch buffers ([`crate::Pool::take`]) in use at once.
    pub scratch_bytes: usize,
    /// Pipes for relays. Each holds up to 1 MiB of kernel memory while it carries data. Where they
    /// run out a relay ends as [`crate::RelayEnd::Drained`] and the caller copies. 0: every relay
    /// is refused.
    pub pipes: usize,
    /// Polls for up to 50 µs before sleeping where that has paid off lately. Not where another busy
    /// thread has the same CPU: it would wait meanwhile.
    pub spin: bool,
}

impl Default for Limits {
    /// Sized for one worker of a sidecar: 32,768 sockets, 8,192 small buffers (32 MiB), 512 large
    /// ones (32 MiB), 64 MiB of scratch, 64 pipes (64 MiB of kernel memory). None of it is resident
    /// at start but io_uring's list of what is lent to it: 16 bytes a receive buffer, 136 KiB.
    fn default() -> Self {
        Self {
            sockets: 32_768,
            small_buffers: 8_192,
            large_buffers: 512,
            scratch_bytes: 64 << 20,
            pipes: 64,
            spin: true,
        }
    }
}

#[cfg(test)]
mod tests;
