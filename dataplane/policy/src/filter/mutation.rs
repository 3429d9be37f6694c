//! `envoy.filters.http.header_mutation`: changes to heads, in the order in which they are listed.

use config::snapshot::{HeaderMutationFilter, HeaderMutations, Mutation, OverrideKind};
use wire::head::Head;

use super::Levels;
use crate::{headers, matcher};

/// Which of the two lists is meant.
type Side = fn(&HeaderMutations) -> &[Mutation];

/// Changes a request's head.
pub fn request(filter: &HeaderMutationFilter, levels: Levels<'_>, name: &str, head: &mut Head) {
    apply(filter, levels, name, head, |mutations| &mutations.request);
}

/// Changes a response's head.
pub fn response(filter: &HeaderMutationFilter, levels: Levels<'_>, name: &str, head: &mut Head) {
    apply(filter, levels, name, head, |mutations| &mutations.response);
}

/// The chain's own changes first, then those of all levels: the table's last, or the most specific
/// one's under `most_specific_header_mutations_wins`.
fn apply(
    filter: &HeaderMutationFilter,
    levels: Levels<'_>,
    name: &str,
    head: &mut Head,
    side: Side,
) {
    list(side(&filter.mutations), head);
    let of = |kind: &'_ OverrideKind, head: &mut Head| {
        if let OverrideKind::HeaderMutation(mutations) = kind {
            list(side(mutations), head);
        }
    };
    match filter.most_specific_wins {
        false => levels.all(name).for_each(|kind| of(kind, head)),
        true => levels.all_from_the_table(name).for_each(|kind| of(kind, head)),
    }
}

/// Makes these changes.
pub(crate) fn list(mutations: &[Mutation], head: &mut Head) {
    for mutation in mutations {
        match mutation {
            Mutation::Change(change) => headers::change(head, std::slice::from_ref(change)),
            Mutation::RemoveMatching(asked) => {
                head.remove_where(|head, field| matcher::string(asked, head.get(field.name)))
            }
        }
    }
}
