//! What names have been found to stand for.

use std::collections::{HashMap, HashSet};
use std::net::IpAddr;
use std::sync::Arc;

use super::scope::Fingerprint;
use crate::dns::{Lookup, Question};
use crate::limits::{MAX_ADDRESSES, MAX_OTHERS};

/// The newest answer to each question.
#[derive(Debug, Default)]
pub(crate) struct Answers {
    known: HashMap<Question, Answer>,
    epoch: u64,
}

#[derive(Debug)]
struct Answer {
    addresses: Arc<[IpAddr]>,
    /// Different for each change of any answer.
    epoch: u64,
}

impl Answers {
    /// Takes an answer; `None`: there is none, and the one before stands. Says whether it makes a
    /// difference: it is another than before, or the first.
    ///
    /// An answer without addresses empties a `STRICT_DNS` cluster and leaves a `LOGICAL_DNS` one as
    /// it is, as in Envoy.
    pub(crate) fn take(&mut self, question: &Question, found: Option<Vec<IpAddr>>) -> bool {
        let logical = question.lookup.logical;
        let found = found.filter(|found| !logical || !found.is_empty());
        let addresses = match (found, self.known.get(question)) {
            (None, Some(_)) => return false,
            (None, None) => Vec::new(),
            (Some(found), _) => in_order(found, logical),
        };
        if self.known.get(question).is_some_and(|known| *known.addresses == *addresses) {
            return false;
        }
        self.epoch += 1;
        let answer = Answer { addresses: addresses.into(), epoch: self.epoch };
        self.known.insert(question.clone(), answer);
        true
    }

    /// The addresses of hosts that a name stands for.
    pub(crate) fn of(&self, lookup: &Arc<Lookup>, name: &Arc<str>) -> &[IpAddr] {
        let all = self.get(lookup, name).map_or(&[][..], |answer| &*answer.addresses);
        if lookup.logical { all.get(..1).unwrap_or(all) } else { all }
    }

    /// The other addresses of a logical cluster's host.
    pub(crate) fn others(&self, lookup: &Arc<Lookup>, name: &Arc<str>) -> &[IpAddr] {
        let answer = self.get(lookup, name).filter(|_| lookup.logical);
        answer.and_then(|answer| answer.addresses.get(1..)).unwrap_or_default()
    }

    /// It has been asked, and answered or given up.
    pub(crate) fn has(&self, lookup: &Arc<Lookup>, name: &Arc<str>) -> bool {
        self.get(lookup, name).is_some()
    }

    /// Changes with each change of the answers to these names.
    pub(crate) fn print<'n>(
        &self,
        lookup: &Arc<Lookup>,
        names: impl Iterator<Item = &'n Arc<str>>,
    ) -> Fingerprint {
        let epochs = names.filter_map(|name| self.get(lookup, name)).map(|answer| answer.epoch);
        epochs.fold(0, |all, epoch| all.wrapping_add(Fingerprint::from(epoch)))
    }

    /// Forgets what nobody asks any more.
    pub(crate) fn retain(&mut self, asked: &HashSet<Question>) {
        self.known.retain(|question, _| asked.contains(question));
    }

    fn get(&self, lookup: &Arc<Lookup>, name: &Arc<str>) -> Option<&Answer> {
        let question = Question { name: Arc::clone(name), lookup: Arc::clone(lookup) };
        self.known.get(&question)
    }
}

/// Name servers turn their answers around from one to the next. The first address is a logical
/// cluster's host; of a strict one the order says nothing, and is made to stay the same.
fn in_order(mut found: Vec<IpAddr>, logical: bool) -> Vec<IpAddr> {
    if logical {
        // The others stand by; their order says nothing either.
        found.truncate(1 + MAX_OTHERS);
        if let Some((first, others)) = found.split_first_mut() {
            let first = *first;
            others.sort_unstable();
            found.dedup();
            let mut is_first = true;
            found.retain(|one| std::mem::take(&mut is_first) || *one != first);
        }
        return found;
    }
    found.sort_unstable();
    found.dedup();
    found.truncate(MAX_ADDRESSES);
    found
}
