//! Connections past TCP, on this kernel: bytes, their order and end, memory, tables.
//!
//! Goal: whoever uses such a connection cannot tell it from TCP by what is delivered; a reader
//! that does not read holds its sender up; nothing stays in the tables when sockets are gone.
//! Method: a namespace of its own for each test, an application's listener in it, a bypass that
//! takes this process for the sidecar, connections from the one to the other. That bytes really
//! went past TCP is read from the loopback interface, which nobody else uses there. Where the
//! kernel or the rights forbid it, each test says that it is skipped.

#![allow(missing_docs)]

mod bytes;
mod ends;
mod stage;
mod stalled;
mod tables;
