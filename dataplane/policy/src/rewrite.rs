//! A request's path and authority on its way up.

use config::snapshot::{HostRewrite, PathMatch, PathRewrite, Rewrite};
use wire::h1;
use wire::head::{Head, Span};

use crate::headers::join_with;
use crate::reply::Reason;
use crate::{matcher, scratch};

/// Changes the target of a request as its route says, behind all changes to its headers. The
/// endpoint's name is not known yet: see [`to_endpoint`]. `tells`: what was there before is told
/// to the upstream (`x-envoy-original-path`, `x-envoy-original-host`).
///
/// # Errors
/// [`Reason::RewriteInvalid`] where the outcome is no path or no host. (Envoy forwards what two
/// servers could read in two ways.)
pub fn apply(
    head: &mut Head,
    rewrite: &Rewrite,
    asked: &PathMatch,
    tells: bool,
) -> Result<(), Reason> {
    let name = rewrite.host.as_ref().and_then(|host| host_of(head, host));
    if let Some(name) = name {
        set_host(head, name, rewrite.append_forwarded_host, tells)?;
    }
    match &rewrite.path {
        None => Ok(()),
        Some(path) => set_path(head, path, asked, tells),
    }
}

/// The authority becomes the name of the endpoint that this attempt goes to. Each attempt tells of
/// the one before it, as in Envoy.
///
/// # Errors
/// As [`apply`].
pub fn to_endpoint(
    head: &mut Head,
    rewrite: &Rewrite,
    name: &[u8],
    tells: bool,
) -> Result<(), Reason> {
    let name = head.add_bytes(name);
    set_host(head, name, rewrite.append_forwarded_host, tells)
}

fn host_of(head: &mut Head, host: &HostRewrite) -> Option<Span> {
    match host {
        HostRewrite::Literal(name) => Some(head.add_bytes(name)),
        HostRewrite::Header(name) => matcher::first_span(head, name),
        HostRewrite::PathRegex(substitution) => Some(scratch::with(|out| {
            substitution.replace_all(matcher::bare(head.path()), out);
            head.add_bytes(out)
        })),
        // It is not chosen yet.
        HostRewrite::Endpoint => None,
    }
}

/// Sets the authority; an empty name changes nothing.
fn set_host(head: &mut Head, name: Span, forwards: bool, tells: bool) -> Result<(), Reason> {
    if head.get(name).is_empty() {
        return Ok(());
    }
    if !h1::is_authority(head.get(name)) {
        return Err(Reason::RewriteInvalid);
    }
    let before = head.authority;
    if tells {
        head.set_span(b"x-envoy-original-host", before);
    }
    if forwards && !head.authority().is_empty() && !is_last_forwarded_host(head) {
        join_with(head, b"x-forwarded-host", b",", |head, out| {
            out.extend_from_slice(head.authority());
        });
    }
    head.authority = name;
    Ok(())
}

/// `x-forwarded-host` ends in the authority already.
fn is_last_forwarded_host(head: &Head) -> bool {
    let values = head.values(b"x-forwarded-host");
    let parts = values.flat_map(|value| value.split(|byte| *byte == b','));
    parts.filter(|part| !part.is_empty()).last() == Some(head.authority())
}

/// Sets the path; an empty one changes nothing.
fn set_path(
    head: &mut Head,
    rewrite: &PathRewrite,
    asked: &PathMatch,
    tells: bool,
) -> Result<(), Reason> {
    scratch::with(|out| {
        if !rewritten(head.path(), rewrite, asked, out) {
            return Ok(());
        }
        let is_path = out.first() == Some(&b'/') && out.iter().all(u8::is_ascii_graphic);
        if !is_path {
            return Err(Reason::RewriteInvalid);
        }
        if tells {
            head.set_span(b"x-envoy-original-path", head.path);
        }
        head.path = head.add_bytes(out);
        Ok(())
    })
}

/// Writes the path in its new form, its query behind it. False: there is none.
pub(crate) fn rewritten(
    path: &[u8],
    rewrite: &PathRewrite,
    asked: &PathMatch,
    out: &mut Vec<u8>,
) -> bool {
    let (bare, start) = (matcher::bare(path), out.len());
    let replaced = match rewrite {
        PathRewrite::Prefix(prefix) => {
            out.extend_from_slice(prefix);
            match asked {
                PathMatch::Prefix(text)
                | PathMatch::Exact(text)
                | PathMatch::SeparatedPrefix(text) => text.len(),
                // It has matched all of it.
                PathMatch::Regex(_) | PathMatch::Connect => bare.len(),
            }
        }
        PathRewrite::Regex(substitution) => {
            substitution.replace_all(bare, out);
            bare.len()
        }
    };
    let is_some = out.len() > start;
    if is_some {
        out.extend_from_slice(path.get(replaced..).unwrap_or_default());
    }
    is_some
}

#[cfg(test)]
mod tests;
