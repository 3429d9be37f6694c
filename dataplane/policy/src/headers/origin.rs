//! Where a request came from, as far as it may be believed.

use std::net::IpAddr;

use config::snapshot::{Detection, Origin};
use ipnet::IpNet;
use wire::head::{Head, Known};

use super::request::Rejected;

/// What was found of a request's origin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Found {
    /// The client's address.
    pub(super) remote: IpAddr,
    /// It comes from inside.
    pub(super) is_internal: bool,
    /// The peer is put behind those in `x-forwarded-for`.
    pub(super) appends: bool,
}

/// An address, and whether it is good enough to say that a request is internal.
type Told = (IpAddr, bool);

/// Looks where the manager says. `source` is the direct peer.
pub(super) fn find(
    head: &Head,
    origin: Option<&Origin>,
    uses_peer: bool,
    source: IpAddr,
) -> Result<Found, Rejected> {
    let Some(origin) = origin else {
        // Nobody is internal where nothing says so.
        let told = if uses_peer { None } else { last_forwarded_for(head, 0) };
        let remote = told.map_or(source, |(remote, _)| remote);
        return Ok(Found { remote, is_internal: false, appends: uses_peer });
    };
    let mut appends = uses_peer && !origin.skip_append;
    let told = if uses_peer {
        Some(of_peer(head, origin, source))
    } else if origin.detection.is_empty() {
        last_forwarded_for(head, origin.trusted_hops)
    } else {
        let mut told = None;
        for way in &origin.detection {
            told = detect(head, way, source)?;
            appends |= matches!(way, Detection::ForwardedFor { appends: true, .. });
            if told.is_some() {
                break;
            }
        }
        told
    };
    let is_internal =
        told.is_some_and(|(remote, is_trusted)| is_trusted && is_among(&origin.internal, remote));
    Ok(Found { remote: told.map_or(source, |(remote, _)| remote), is_internal, appends })
}

/// The peer's own address, or what it says where it is one of our proxies. Whoever names others is
/// not internal itself.
fn of_peer(head: &Head, origin: &Origin, source: IpAddr) -> Told {
    let is_alone = head.value(Known::XForwardedFor).is_none();
    let hops = origin.trusted_hops.checked_sub(1);
    let told = hops.and_then(|hops| last_forwarded_for(head, hops));
    (told.map_or(source, |(remote, _)| remote), is_alone)
}

fn detect(head: &Head, way: &Detection, source: IpAddr) -> Result<Option<Told>, Rejected> {
    match way {
        Detection::ForwardedFor { trusted_hops, trusted, .. } if trusted.is_empty() => {
            Ok(last_forwarded_for(head, *trusted_hops))
        }
        Detection::ForwardedFor { trusted, .. } => {
            Ok(is_among(trusted, source).then(|| last_untrusted(head, trusted)).flatten())
        }
        Detection::Field { name, is_trusted, reject } => {
            let value = head.values(name).next();
            match (value.and_then(address), reject) {
                (Some(remote), _) => Ok(Some((remote, *is_trusted))),
                (None, Some(status)) => Err(Rejected { status: *status }),
                (None, None) => Ok(None),
            }
        }
    }
}

fn is_among(nets: &[IpNet], address: IpAddr) -> bool {
    nets.iter().any(|net| net.contains(&address))
}

/// The elements of all lines of `x-forwarded-for` from the end: the nearest proxy's word first.
fn from_the_end(head: &Head) -> impl Iterator<Item = &[u8]> {
    let lines = head.fields().iter().rev().filter(|field| field.known == Known::XForwardedFor);
    lines.flat_map(|field| head.get(field.value).rsplit(|byte| *byte == b','))
}

/// The address at the end of `x-forwarded-for` behind so many trusted ones: a proxy's word on its
/// client.
fn last_forwarded_for(head: &Head, trusted_hops: u32) -> Option<Told> {
    head.value(Known::XForwardedFor)?;
    let skipped = usize::try_from(trusted_hops).ok()?;
    let mut elements = from_the_end(head).skip(skipped);
    let remote = address(elements.next()?)?;
    Some((remote, skipped == 0 && elements.next().is_none()))
}

/// The last address that is not one of these; the first one, if all are. None where something else
/// than an address stands in between, as in Envoy.
fn last_untrusted(head: &Head, trusted: &[IpNet]) -> Option<Told> {
    let (mut last, mut count) = (None, 0);
    for element in from_the_end(head).filter(|element| !element.trim_ascii().is_empty()) {
        let remote = address(element)?;
        if !is_among(trusted, remote) {
            return Some((remote, false));
        }
        last = Some(remote);
        count += 1;
    }
    last.map(|remote| (remote, count == 1))
}

fn address(text: &[u8]) -> Option<IpAddr> {
    let address: IpAddr = std::str::from_utf8(text.trim_ascii()).ok()?.parse().ok()?;
    Some(address.to_canonical())
}
