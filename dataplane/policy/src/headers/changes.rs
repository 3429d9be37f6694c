//! `request_headers_to_add` and its sisters, level by level.

use config::snapshot::{Format, HeaderChange, HeaderChanges, HeaderValue, RouteTable};
use wire::head::Head;

use crate::format::{self, Facts};
use crate::route::Found;
use crate::scratch;

/// Which of a level's two lists is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    Request,
    Response,
}

/// Whether any of these changes is made of what is known of the request: then `Facts` are needed.
pub fn need_facts(table: &RouteTable, found: &Found<'_>) -> bool {
    levels(table, found).iter().any(|level| level.has_formats)
}

/// Innermost level first. (A route whose clusters' own changes have formats says that it has some.)
fn levels<'t>(table: &'t RouteTable, found: &Found<'t>) -> [&'t HeaderChanges; 3] {
    [&found.route.headers, &found.host.headers, &table.headers]
}

/// Applies the changes of the chosen cluster, then those of the three levels: route, virtual host,
/// table, so that the table has the last word; these three the other way round under
/// `most_specific_header_mutations_wins`, and the cluster's still come first, as in Envoy. Without
/// facts a format sees the head alone.
pub(super) fn apply(
    head: &mut Head,
    table: &RouteTable,
    found: &Found<'_>,
    side: Side,
    facts: Option<&Facts<'_>>,
) {
    if let Some(own) = found.cluster.and_then(|cluster| cluster.own.as_deref()) {
        level_of(head, &own.headers, side, facts);
        if let Some(host) = own.host.as_ref().filter(|_| side == Side::Request) {
            // Nobody is told what it was, as in Envoy.
            head.authority = head.add_bytes(host);
        }
    }
    let levels = levels(table, found);
    if table.most_specific_wins {
        levels.iter().rev().for_each(|level| level_of(head, level, side, facts));
    } else {
        levels.iter().for_each(|level| level_of(head, level, side, facts));
    }
}

/// The changes of one level.
fn level_of(head: &mut Head, level: &HeaderChanges, side: Side, facts: Option<&Facts<'_>>) {
    let changes = match side {
        Side::Request => &level.request,
        Side::Response => &level.response,
    };
    list(head, changes, side, facts);
}

/// The changes of a filter, whose values are as they stand.
pub fn change(head: &mut Head, changes: &[HeaderChange]) {
    list(head, changes, Side::Response, None);
}

/// Changes to an answer of our own, whose values may ask for these facts.
pub fn change_by(head: &mut Head, changes: &[HeaderChange], facts: &Facts<'_>) {
    list(head, changes, Side::Response, Some(facts));
}

/// Whatever the order of the list, Envoy removes first; then all values and conditions are judged;
/// then it overwrites, and then it adds.
fn list(head: &mut Head, changes: &[HeaderChange], side: Side, facts: Option<&Facts<'_>>) {
    if changes.is_empty() {
        return;
    }
    for change in changes {
        if let HeaderChange::Remove(name) = change {
            head.remove(name);
        }
    }
    scratch::with(|judged| {
        judge(head, changes, side, facts, judged);
        carry_out(head, changes, judged, true);
        carry_out(head, changes, judged, false);
    });
}

/// A change that takes place, and the bytes of its value if they were made for it: how many, and
/// these. `NOT` says that it does not take place.
const NOT: [u8; 4] = [0xff; 4];

fn judge(
    head: &Head,
    changes: &[HeaderChange],
    side: Side,
    facts: Option<&Facts<'_>>,
    out: &mut Vec<u8>,
) {
    let facts = facts.copied().unwrap_or_default();
    let facts = match side {
        Side::Request => Facts { request: Some(head), ..facts },
        Side::Response => Facts { response: Some(head), ..facts },
    };
    let there = |name: &[u8]| head.iter().any(|(found, _)| found == name);
    for change in changes {
        let (value, goes) = match change {
            HeaderChange::Remove(_) => continue,
            HeaderChange::Append(_, value) | HeaderChange::Overwrite(_, value) => (value, true),
            HeaderChange::AddIfAbsent(name, value) => (value, !there(name)),
            HeaderChange::OverwriteIfExists(name, value) => (value, there(name)),
        };
        match (goes, value) {
            (false, _) => out.extend_from_slice(&NOT),
            (true, HeaderValue::Text(_)) => out.extend_from_slice(&[0; 4]),
            (true, HeaderValue::Format(format)) => written(format, &facts, false, out),
            (true, HeaderValue::FormatOrEmpty(format)) => written(format, &facts, true, out),
        }
    }
}

fn written(format: &Format, facts: &Facts<'_>, keeps_empty: bool, out: &mut Vec<u8>) {
    let start = out.len();
    out.extend_from_slice(&[0; 4]);
    format::write(format, facts, b"", out);
    let bytes = u32::try_from(out.len() - start - 4).unwrap_or(0);
    let says = if bytes == 0 && !keeps_empty { NOT } else { bytes.to_le_bytes() };
    if let Some(room) = out.get_mut(start..start + 4) {
        room.copy_from_slice(&says);
    }
}

/// Does what was judged to take place: either the replacing, or the adding.
fn carry_out(head: &mut Head, changes: &[HeaderChange], mut judged: &[u8], replaces: bool) {
    for change in changes {
        let (name, value, is_replacing) = match change {
            HeaderChange::Remove(_) => continue,
            HeaderChange::Append(name, value) | HeaderChange::AddIfAbsent(name, value) => {
                (name, value, false)
            }
            HeaderChange::Overwrite(name, value) | HeaderChange::OverwriteIfExists(name, value) => {
                (name, value, true)
            }
        };
        let Some((says, rest)) = judged.split_first_chunk() else { return };
        judged = rest;
        if *says == NOT {
            continue;
        }
        let (made, rest) =
            judged.split_at_checked(u32::from_le_bytes(*says) as usize).unwrap_or_default();
        judged = rest;
        let value = match value {
            HeaderValue::Text(text) => text,
            HeaderValue::Format(_) | HeaderValue::FormatOrEmpty(_) => made,
        };
        match (is_replacing == replaces, is_replacing) {
            (false, _) => {}
            (true, true) => drop(head.set(name, value)),
            (true, false) => drop(head.append(name, value)),
        }
    }
}
