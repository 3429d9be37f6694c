//! What is in force but will hardly do what was meant.

use std::collections::BTreeMap;

use source::kinds::networking::{Destination, VirtualService};
use source::{Object, ObjectKey, Spec};

use super::Model;
use super::build::Sorted;
use crate::diagnostic::{Diagnostic, Report};
use crate::resolve_host;

pub(super) fn find(model: &Model, sorted: &Sorted<'_>) -> Vec<Diagnostic> {
    let mut said = Vec::new();
    let mut ruled: BTreeMap<String, ObjectKey> = BTreeMap::new();
    for object in &sorted.routes {
        let Spec::VirtualService(service) = &object.spec else { continue };
        let mut report = Report::new(object);
        routes(model, object, service, &mut report);
        hosts(model, object, service, &mut ruled, &mut report);
        said.append(&mut report.said);
    }
    for object in &sorted.rules {
        let Spec::DestinationRule(rule) = &object.spec else { continue };
        let host = resolve_host(&model.mesh, &rule.host, &object.meta.namespace);
        if !host.starts_with('*') && !model.services.contains_key(&host) {
            let mut report = Report::new(object);
            report.unknown_service("spec.host", &host);
            said.append(&mut report.said);
        }
    }
    said
}

fn routes(model: &Model, object: &Object, service: &VirtualService, report: &mut Report<'_>) {
    for (number, http) in service.http.iter().enumerate() {
        for (index, route) in http.route.iter().enumerate() {
            let at = format!("spec.http[{number}].route[{index}].destination");
            destination(model, object, &route.destination, &at, report);
        }
    }
}

fn destination(
    model: &Model,
    object: &Object,
    to: &Destination,
    at: &str,
    report: &mut Report<'_>,
) {
    let namespace = &object.meta.namespace;
    let host = resolve_host(&model.mesh, &to.host, namespace);
    let Some(service) = model.services.get(&host) else {
        return report.unknown_service(&format!("{at}.host"), &host);
    };
    let subsets = model.destinations(service, namespace).subsets;
    if !to.subset.is_empty() && !subsets.iter().any(|subset| subset.name == to.subset) {
        report.unknown_subset(&format!("{at}.subset"), &to.subset, &host);
    }
    match &to.port {
        Some(port) if service.port(port.number).is_none() => {
            report.unknown_port(&format!("{at}.port.number"), port.number, &host);
        }
        _ => {}
    }
}

fn hosts(
    model: &Model,
    object: &Object,
    service: &VirtualService,
    ruled: &mut BTreeMap<String, ObjectKey>,
    report: &mut Report<'_>,
) {
    for (index, host) in service.hosts.iter().enumerate() {
        let host = resolve_host(&model.mesh, host, &object.meta.namespace);
        let field = format!("spec.hosts[{index}]");
        if let Some(older) = ruled.get(&host) {
            report.older_holds(&field, &host, older);
        } else {
            ruled.insert(host, object.key());
        }
    }
}
