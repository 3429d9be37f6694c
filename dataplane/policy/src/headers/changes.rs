//! `request_headers_to_add` and its sisters, level by level.

use config::snapshot::{HeaderChange, HeaderChanges, RouteTable};
use wire::head::Head;

use crate::route::Found;

/// Which of a level's two lists is meant.
pub(super) type Side = fn(&HeaderChanges) -> &[HeaderChange];

/// Applies the changes of the three levels: route, virtual host, table, so that the table has the
/// last word; the other way round under `most_specific_header_mutations_wins`.
pub(super) fn apply(head: &mut Head, table: &RouteTable, found: &Found<'_>, side: Side) {
    let levels = [&found.route.headers, &found.host.headers, &table.headers];
    if table.most_specific_wins {
        levels.iter().rev().for_each(|level| level_of(head, side(level)));
    } else {
        levels.iter().for_each(|level| level_of(head, side(level)));
    }
}

/// The changes of one level. Whatever the order of the list, Envoy removes first.
fn level_of(head: &mut Head, changes: &[HeaderChange]) {
    for change in changes {
        if let HeaderChange::Remove(name) = change {
            head.remove(name);
        }
    }
    for change in changes {
        let there = |head: &Head, name: &[u8]| head.iter().any(|(found, _)| found == name);
        match change {
            HeaderChange::Append(name, value) => {
                head.append(name, value);
            }
            HeaderChange::AddIfAbsent(name, value) if !there(head, name) => {
                head.append(name, value);
            }
            HeaderChange::OverwriteIfExists(name, value) if there(head, name) => {
                head.set(name, value);
            }
            HeaderChange::Overwrite(name, value) => {
                head.set(name, value);
            }
            _ => {}
        }
    }
}
