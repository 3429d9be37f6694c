//! `envoy.filters.http.header_mutation`, of a chain and of a route alike.

use api::envoy::header_mutation::Mutations;
use api::envoy::mutation_rules::HeaderMutation;
use api::envoy::mutation_rules::header_mutation::Action;

use crate::compile::at::{At, Fault, decide};
use crate::compile::{headers, matcher};
use crate::snapshot::{HeaderChange, HeaderMutations, Mutation};

pub(super) fn compile(at: &At<'_>, given: Option<&Mutations>) -> Result<HeaderMutations, Fault> {
    let Some(given) = given else { return Ok(HeaderMutations::default()) };
    let at = at.field("mutations");
    decide!(at, given => Mutations {
        used: request_mutations, response_mutations;
        refused: query_parameter_mutations, response_trailers_mutations,
            request_trailers_mutations;
    });
    Ok(HeaderMutations {
        request: list(&at.field("request_mutations"), request_mutations)?,
        response: list(&at.field("response_mutations"), response_mutations)?,
    })
}

pub(crate) fn list(at: &At<'_>, given: &[HeaderMutation]) -> Result<Vec<Mutation>, Fault> {
    let each = given.iter().enumerate().map(|(index, one)| mutation(&at.item(index), one));
    each.filter_map(Result::transpose).collect()
}

/// `None`: it adds nothing.
fn mutation(at: &At<'_>, given: &HeaderMutation) -> Result<Option<Mutation>, Fault> {
    let HeaderMutation { action } = given;
    Ok(match action {
        Some(Action::Remove(name)) => {
            let name = headers::name(&at.field("remove"), name)?;
            Some(Mutation::Change(HeaderChange::Remove(name)))
        }
        Some(Action::Append(option)) => {
            headers::literal(&at.field("append"), option)?.map(Mutation::Change)
        }
        Some(Action::RemoveOnMatch(rule)) => {
            let at = at.field("remove_on_match");
            let at = at.field("key_matcher");
            let Some(asked) = &rule.key_matcher else {
                return Err(at.missing("it has to be given"));
            };
            Some(Mutation::RemoveMatching(matcher::string(&at, asked)?))
        }
        None => return Err(at.missing("`remove`, `append` or `remove_on_match` is needed")),
    })
}
