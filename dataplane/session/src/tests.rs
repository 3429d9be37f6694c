//! A worker on a real driver, with real sockets on both sides, on io_uring and on epoll alike.

mod allocation;
mod balance;
mod bodies;
mod bulk;
mod chaos;
mod drain;
mod filters;
mod fixture;
mod follow;
mod h2;
mod h2_storm;
mod h2_up;
mod hostile;
mod http;
mod memory;
mod mutual_tls;
mod peer;
mod proxy;
mod retry;
mod sealed;
mod splits;
mod stalled;
mod storm;
mod tcp;
mod upgrade;
