//! Fields that belong to one connection and are not passed on (RFC 9110, 7.6.1).

use super::fields::list;
use crate::head::{Head, Known, Names};

/// Names that may have to go.
const OF_THE_HOP: Names = Names::of(&[
    Known::Connection,
    Known::Http2Settings,
    Known::KeepAlive,
    Known::ProxyConnection,
    Known::Te,
    Known::TransferEncoding,
    Known::Upgrade,
]);

/// Removes the fields that belong to the connection the message came by.
///
/// These are `connection` and what it lists, and those that Envoy removes besides. `te` stays if
/// it asks for trailers. `head.upgrade` decides whether `upgrade` stays, with a `connection` of
/// our own: set it to `None` first where the upgrade is not allowed.
pub fn strip_hop_by_hop(head: &mut Head) {
    if !head.may_have(OF_THE_HOP) {
        return;
    }
    let trailers = asks_for_trailers(head);
    if lists_others(head) {
        remove_listed(head);
    }
    let switches = head.upgrade.is_some();
    let option = switches.then(|| upgrade_option(head));
    head.retain(|field| match field.known {
        Known::Connection
        | Known::Http2Settings
        | Known::KeepAlive
        | Known::ProxyConnection
        | Known::Te
        | Known::TransferEncoding => false,
        Known::Upgrade => switches,
        _ => true,
    });
    if trailers {
        head.append(b"te", b"trailers");
    }
    if let Some(option) = option {
        head.append(b"connection", &option);
    }
}

/// The option that asks for an upgrade, in the case that it came in, as Envoy passes it on.
fn upgrade_option(head: &Head) -> [u8; 7] {
    let mut options = head.values(b"connection").flat_map(list);
    let found = options.find(|option| option.eq_ignore_ascii_case(b"upgrade"));
    found.and_then(|option| option.first_chunk()).copied().unwrap_or(*b"upgrade")
}

fn asks_for_trailers(head: &Head) -> bool {
    head.may_have(Names::of(&[Known::Te]))
        && head.values(b"te").flat_map(list).any(|coding| coding.eq_ignore_ascii_case(b"trailers"))
}

/// `connection` lists something besides what goes in any case.
fn lists_others(head: &Head) -> bool {
    const GO: [&[u8]; 4] = [b"keep-alive", b"upgrade", b"te", b"http2-settings"];
    head.may_have(Names::of(&[Known::Connection]))
        && head
            .values(b"connection")
            .flat_map(list)
            .any(|option| !GO.iter().any(|name| option.eq_ignore_ascii_case(name)))
}

/// Removes the fields that `connection` lists. The codec has refused lists that name what decides
/// framing or route.
fn remove_listed(head: &mut Head) {
    let keeps_upgrade = head.upgrade.is_some();
    head.remove_where(|head, field| {
        let name = head.get(field.name);
        let fixed = matches!(field.known, Known::Connection | Known::ContentLength)
            || (keeps_upgrade && field.known == Known::Upgrade);
        !fixed
            && head
                .values(b"connection")
                .flat_map(list)
                .any(|option| option.eq_ignore_ascii_case(name))
    });
}
