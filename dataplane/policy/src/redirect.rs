//! Where a client is sent instead of being served.

use config::snapshot::{PathMatch, Redirect, RedirectPath};
use wire::head::{Head, Known};

use crate::reply::Reason;
use crate::{matcher, rewrite};

/// Writes the absolute URL that a redirect sends the request in this head to.
pub fn location(head: &Head, redirect: &Redirect, asked: &PathMatch, out: &mut Vec<u8>) {
    let scheme = redirect.scheme.as_deref().unwrap_or_else(|| matcher::scheme(head));
    out.extend_from_slice(scheme);
    out.extend_from_slice(b"://");
    match &redirect.host {
        Some(host) => out.extend_from_slice(host),
        None => out.extend_from_slice(host_of(head, scheme, redirect.port.is_some())),
    }
    out.extend_from_slice(redirect.port.as_deref().unwrap_or_default());
    path(head.path(), redirect, asked, out);
}

/// Writes where the request was going: what a direct response of some statuses says.
pub fn origin(head: &Head, out: &mut Vec<u8>) {
    let (same, any) = (Redirect::default(), PathMatch::Prefix(Box::default()));
    location(head, &same, &any, out);
}

/// Writes where the client is to come again to after such a refusal. False: it is not to.
pub fn of_refusal(reason: Reason, head: &Head, out: &mut Vec<u8>) -> bool {
    match reason {
        Reason::TlsRequired => {
            out.extend_from_slice(b"https://");
            out.extend_from_slice(head.authority());
        }
        Reason::PathRedirect => {}
        _ => return false,
    }
    out.extend_from_slice(head.path());
    true
}

/// The request's host: without its port where the redirect names another one, or where it is the
/// usual one of a scheme that the redirect leaves.
fn host_of<'h>(head: &'h Head, scheme: &[u8], has_port: bool) -> &'h [u8] {
    let authority = head.authority();
    let Some((host, port)) = matcher::split_port(authority) else { return authority };
    let came = head.value(Known::XForwardedProto).unwrap_or_default();
    let is_usual = matches!((came, port), (b"https", b"443") | (b"http", b"80"));
    if has_port || (scheme != came && is_usual) { host } else { authority }
}

fn path(path: &[u8], redirect: &Redirect, asked: &PathMatch, out: &mut Vec<u8>) {
    let start = out.len();
    match &redirect.path {
        RedirectPath::Same => out.extend_from_slice(path),
        RedirectPath::WithQuery(new) => out.extend_from_slice(new),
        RedirectPath::Whole(new) => {
            out.extend_from_slice(new);
            out.extend_from_slice(path.get(matcher::bare(path).len()..).unwrap_or_default());
        }
        RedirectPath::Rewritten(rewrite) => {
            if !rewrite::rewritten(path, rewrite, asked, out) {
                out.extend_from_slice(path);
            }
        }
    }
    if out.get(start) != Some(&b'/') {
        out.insert(start, b'/');
    }
    // The query that a redirect names is never taken off.
    if redirect.strip_query && !matches!(redirect.path, RedirectPath::WithQuery(_)) {
        let bare = matcher::bare(out.get(start..).unwrap_or_default()).len();
        out.truncate(start + bare);
    }
}

#[cfg(test)]
mod tests;
