//! A worker on a real driver, with real sockets on both sides, on io_uring and on epoll alike.

mod allocation;
mod fixture;
mod http;
mod mutual_tls;
mod tcp;
