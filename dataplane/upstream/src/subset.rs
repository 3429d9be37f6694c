//! Hosts that requests ask for by their metadata, each set with a balancer of its own.

use config::snapshot::{Cluster, Fallback, Labels, Subsets as Rules};
use hashbrown::HashMap;

use crate::balance::{Balancer, alive};
use crate::host::Host;

/// The subsets of one cluster.
#[derive(Debug, Default)]
pub(crate) struct Subsets {
    by_labels: HashMap<Labels, usize>,
    parts: Vec<Part>,
    /// The hosts of the default subset.
    default: Part,
}

/// The hosts of one subset.
#[derive(Debug, Default)]
struct Part {
    order: Vec<u32>,
    balancer: Balancer,
}

impl Subsets {
    /// Takes the hosts in again. Subsets without a host are none.
    pub(crate) fn rebuild<K>(
        &mut self,
        rules: &Rules,
        hosts: &[Host<K>],
        order: &[u32],
        (cluster, now_ns): (&Cluster, u64),
    ) {
        self.by_labels.clear();
        self.parts.iter_mut().for_each(|part| part.order.clear());
        self.default.order.clear();
        let mut used = 0;
        for slot in order {
            let Some(host) = alive(hosts, *slot) else { continue };
            let labels = host.labels.as_deref().map_or(&[][..], |labels| labels);
            if rules.default.iter().all(|label| labels.contains(label)) {
                self.default.order.push(*slot);
            }
            for selector in &rules.selectors {
                let Some(found) = of_keys(labels, &selector.keys) else { continue };
                let at = *self.by_labels.entry(found).or_insert_with(|| {
                    used += 1;
                    used - 1
                });
                if at >= self.parts.len() {
                    self.parts.push(Part::default());
                }
                // Two selectors with the same keys find it twice.
                if let Some(part) = self.parts.get_mut(at)
                    && part.order.last() != Some(slot)
                {
                    part.order.push(*slot);
                }
            }
        }
        self.parts.truncate(used);
        for part in self.parts.iter_mut().chain([&mut self.default]) {
            part.balancer.is_flat = !rules.by_locality;
            part.balancer.rebuild(hosts, &part.order, Some(cluster), now_ns);
        }
    }

    /// The balancer for a request that asks for these labels. `None`: nobody serves it. `any`: that
    /// of all hosts.
    pub(crate) fn choose<'s>(
        &'s mut self,
        rules: &Rules,
        wanted: &Labels,
        any: &'s mut Balancer,
    ) -> Option<&'s mut Balancer> {
        if let Some(at) = self.by_labels.get(wanted) {
            return self.parts.get_mut(*at).map(|part| &mut part.balancer);
        }
        let keys = || wanted.iter().map(|(key, _)| key);
        let of_keys = rules.selectors.iter().filter(|_| !wanted.is_empty());
        let own = of_keys.filter(|selector| selector.keys.iter().eq(keys()));
        match own.filter_map(|selector| selector.fallback).next().unwrap_or(rules.fallback) {
            Fallback::Nobody => None,
            Fallback::Any => Some(any),
            Fallback::Default => Some(&mut self.default.balancer),
        }
    }
}

/// What of the labels has these keys, if it has all of them.
fn of_keys(labels: &[(Box<str>, Box<str>)], keys: &[Box<str>]) -> Option<Labels> {
    let of = |key: &str| labels.iter().find(|(found, _)| **found == *key).cloned();
    let found: Option<Vec<_>> = keys.iter().map(|key| of(key)).collect();
    found.filter(|found| !found.is_empty()).map(Into::into)
}
