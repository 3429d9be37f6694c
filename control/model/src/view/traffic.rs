//! Where requests go, and how.

use source::kinds::networking::{DestinationRule, Subset, TrafficPolicy, VirtualService};

use super::{Config, Model, Service};
use crate::{is_visible, matches_host};

/// A host that a `VirtualService` rules and that is no service.
#[derive(Clone, Debug, PartialEq)]
pub struct RoutedHost<'m> {
    /// The host, with a `*` at its beginning or without.
    pub host: &'m str,
    /// What rules it.
    pub config: &'m Config<VirtualService>,
}

/// All rules for one service, as one namespace sees them, merged.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Destinations<'m> {
    /// For the service as a whole.
    pub policy: Option<&'m TrafficPolicy>,
    /// Its subsets in the order they are written; a name counts once, the oldest rule's.
    pub subsets: Vec<&'m Subset>,
}

impl Model {
    /// What rules requests to `host` (a full name) from proxies of namespace `viewer`: the most
    /// specific host, then the oldest object.
    pub fn routes_for<'m>(
        &'m self,
        host: &str,
        viewer: &'m str,
    ) -> Option<&'m Config<VirtualService>> {
        let mut best: Option<(usize, &Config<VirtualService>)> = None;
        for config in self.mesh_routes(viewer) {
            let matching = config.spec.hosts.iter().filter(|pattern| matches_host(pattern, host));
            let Some(score) = matching.map(|pattern| specificity(pattern)).max() else { continue };
            if best.is_none_or(|(held, _)| score > held) {
                best = Some((score, config));
            }
        }
        best.map(|(_, config)| config)
    }

    /// Hosts that are ruled but stand for no service, sorted; each once, by its oldest object.
    pub fn routed_hosts<'m>(&'m self, viewer: &'m str) -> Vec<RoutedHost<'m>> {
        let mut found: Vec<RoutedHost<'_>> = Vec::new();
        for config in self.mesh_routes(viewer) {
            for host in &config.spec.hosts {
                let known = self.services.get(host).is_some_and(|s| s.is_visible_to(viewer));
                if !known && !found.iter().any(|held| held.host == host) {
                    found.push(RoutedHost { host, config });
                }
            }
        }
        found.sort_by(|a, b| a.host.cmp(b.host));
        found
    }

    /// The rules for a service: of the proxy's namespace if it has any, else of the service's,
    /// else of the root's.
    pub fn destinations(&self, service: &Service, viewer: &str) -> Destinations<'_> {
        let places = [viewer, &service.namespace, &self.mesh.root_namespace];
        for place in places {
            let mut own: Vec<_> = self
                .rules
                .iter()
                .filter(|rule| rule.namespace == place && matches(rule, service, viewer))
                .collect();
            let best = own.iter().map(|rule| specificity(&rule.spec.host)).max();
            own.retain(|rule| Some(specificity(&rule.spec.host)) == best);
            if !own.is_empty() {
                return merged(&own);
            }
        }
        Destinations::default()
    }

    /// Those that rule sidecars, oldest first.
    fn mesh_routes<'m>(
        &'m self,
        viewer: &'m str,
    ) -> impl Iterator<Item = &'m Config<VirtualService>> + 'm {
        self.routes.iter().filter(move |config| {
            let gateways = &config.spec.gateways;
            (gateways.is_empty() || gateways.iter().any(|gateway| gateway == "mesh"))
                && is_visible(&config.spec.export_to, &config.namespace, viewer)
        })
    }
}

fn matches(rule: &Config<DestinationRule>, service: &Service, viewer: &str) -> bool {
    matches_host(&rule.spec.host, &service.hostname)
        && is_visible(&rule.spec.export_to, &rule.namespace, viewer)
}

/// A full name beats a pattern, a longer pattern a shorter one.
fn specificity(pattern: &str) -> usize {
    if pattern.starts_with('*') { pattern.len() } else { usize::MAX }
}

/// The oldest rule's policy counts; subsets add up.
fn merged<'m>(rules: &[&'m Config<DestinationRule>]) -> Destinations<'m> {
    let mut found = Destinations::default();
    for rule in rules {
        found.policy = found.policy.or(rule.spec.traffic_policy.as_ref());
        for subset in &rule.spec.subsets {
            if !found.subsets.iter().any(|held| held.name == subset.name) {
                found.subsets.push(subset);
            }
        }
    }
    found
}
