//! What the tests of this crate share, and those that are of no one module.

pub(crate) mod fixtures;
pub(crate) mod foreign;
mod openssl;
