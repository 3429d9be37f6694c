//! What of a request says which host it goes to.

use super::Substitution;

/// `RouteAction.HashPolicy`.
#[derive(Debug)]
pub struct HashPolicy {
    /// What is hashed.
    pub method: HashMethod,
    /// When there is a hash by now, the policies behind this one are not looked at.
    pub terminal: bool,
}

/// What of a request is hashed.
#[derive(Debug)]
pub enum HashMethod {
    /// The values of a header.
    Header {
        /// Its name in lower case; `:path` and its kin too.
        name: Box<[u8]>,
        /// What each value becomes first (`regex_rewrite`).
        rewrite: Option<Substitution>,
    },
    /// The value of a cookie.
    Cookie {
        /// Its name.
        name: Box<[u8]>,
        /// Where the client has none, one is made for it: this stands behind its value in
        /// `set-cookie`, such as `; Max-Age=60; Path=/; HttpOnly`.
        generate: Option<Box<[u8]>>,
    },
    /// The client's address.
    SourceIp,
    /// The first value of a query parameter.
    QueryParameter(Box<[u8]>),
}
