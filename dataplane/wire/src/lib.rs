//! Sans-io codecs: bytes in, events out.
//!
//! [`head`] holds a message head as spans over bytes, whatever protocol it came by; [`h1`] reads
//! and writes HTTP/1.1 (RFC 9112); [`h2`] speaks HTTP/2 (RFC 9113); [`grpc_web`] is what
//! browsers make of gRPC; [`detect`] tells protocols apart from their first bytes;
//! [`proxy_protocol`] is what a proxy in front puts before them.
//!
//! Invariants: no clock, no socket, no randomness, no allocation once a head's tables have grown;
//! what two readers of the RFC could read in two ways is refused, with a reason; no input panics.

pub mod detect;
pub mod grpc_web;
pub mod h1;
pub mod h2;
pub mod head;
pub mod proxy_protocol;
