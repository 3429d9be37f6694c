//! What of a request says which host of a hashing cluster serves it: Envoy's hash policies.
//!
//! The hash is Envoy's own, xxHash with 64 bits, so that both send a request to the same host.

use std::borrow::Cow;
use std::io::Write;
use std::net::{IpAddr, SocketAddr};

use config::snapshot::{HashMethod, HashPolicy, Substitution};
use wire::head::Head;
use xxhash_rust::xxh64::xxh64;

use crate::{cookie, matcher, scratch};

/// Where a request comes from.
#[derive(Clone, Copy, Debug)]
pub struct Origin {
    /// The client, as it counts for policies.
    pub client: IpAddr,
    /// The other end of the connection.
    pub peer: SocketAddr,
    /// Where the connection was going.
    pub local: SocketAddr,
}

/// The hash of a request in the form in which it goes up. `None`: it has nothing of what the
/// policies look at, and any host will do. A cookie that is made for the client is handed to
/// `set_cookie`, as the value of a `set-cookie` header.
pub fn request(
    policies: &[HashPolicy],
    head: &Head,
    origin: &Origin,
    mut set_cookie: impl FnMut(Vec<u8>),
) -> Option<u64> {
    let mut hash: Option<u64> = None;
    for policy in policies {
        let found = match &policy.method {
            HashMethod::Header { name, rewrite } => header(head, name, rewrite.as_ref()),
            HashMethod::Cookie { name, generate } => match cookie(head, name) {
                Some(value) => Some(xxh64(value, 0)),
                None => generate.as_ref().map(|behind| {
                    let value = made(origin);
                    set_cookie([name, &b"=\""[..], &value, b"\"", behind].concat());
                    xxh64(&value, 0)
                }),
            },
            HashMethod::SourceIp => Some(address(origin.client)),
            HashMethod::QueryParameter(name) => {
                matcher::parameter(name, head.path()).map(|value| xxh64(value, 0))
            }
        };
        if let Some(found) = found {
            // Turned, so that two policies that find the same do not cancel each other out.
            hash = Some(hash.map_or(0, |before| before.rotate_left(1)) ^ found);
        }
        if policy.terminal && hash.is_some() {
            break;
        }
    }
    hash
}

/// The hash of an address alone.
pub fn address(client: IpAddr) -> u64 {
    scratch::with(|text| {
        // Writing to memory cannot fail.
        let _ = write!(text, "{client}");
        xxh64(text, 0)
    })
}

/// The values of a header, whatever order its lines are in.
fn header(head: &Head, name: &[u8], rewrite: Option<&Substitution>) -> Option<u64> {
    let (mut count, mut hash) = (0_usize, None);
    matcher::each_value(head, name, |value| {
        count += 1;
        hash = Some(xxh64(&rewritten(value, rewrite), 0));
    });
    if count < 2 {
        return hash;
    }
    // Few requests have several: they may cost an allocation.
    let mut values = Vec::with_capacity(count);
    matcher::each_value(head, name, |value| values.push(rewritten(value, rewrite).into_owned()));
    values.sort_unstable();
    Some(values.iter().fold(0, |hash, value| xxh64(value, hash)))
}

fn rewritten<'v>(value: &'v [u8], rewrite: Option<&Substitution>) -> Cow<'v, [u8]> {
    match rewrite {
        None => Cow::Borrowed(value),
        Some(rewrite) => {
            let mut out = Vec::with_capacity(value.len());
            rewrite.replace_all(value, &mut out);
            Cow::Owned(out)
        }
    }
}

/// The value of a cookie. An empty one counts as none.
fn cookie<'h>(head: &'h Head, name: &[u8]) -> Option<&'h [u8]> {
    cookie::value(head, name).filter(|value| !value.is_empty())
}

/// The value of a new cookie: the same for every request of a connection.
fn made(origin: &Origin) -> [u8; 16] {
    let hash = scratch::with(|text| {
        // Writing to memory cannot fail.
        let _ = write!(text, "{}{}", origin.peer, origin.local);
        xxh64(text, 0)
    });
    const HEX: &[u8; 16] = b"0123456789abcdef";
    std::array::from_fn(|at| {
        let digit = (hash >> (60 - 4 * at)) & 0xf;
        HEX.get(digit as usize).copied().unwrap_or(b'0')
    })
}

#[cfg(test)]
mod tests;
