//! Services and their slices.

use std::net::IpAddr;

use source::kinds::core::{EndpointSlice, Service};

use crate::diagnostic::Report;

pub(super) fn service(service: &Service, report: &mut Report<'_>) {
    if service.kind == "ExternalName" {
        let instead = "leave the service out, and requests go where their host name leads";
        report.not_built_value("spec.type", "ExternalName", instead);
    }
    for (index, port) in service.ports.iter().enumerate() {
        let field = format!("spec.ports[{index}]");
        if port.port == 0 {
            report.bad_port(&format!("{field}.port"), "0");
        }
        let earlier = service.ports.iter().take(index);
        if earlier.clone().any(|other| other.name == port.name) {
            report.twice(&format!("{field}.name"), &port.name);
        }
    }
    let none = |text: &str| text.is_empty() || text == "None";
    if !none(&service.cluster_ip) && service.cluster_ip.parse::<IpAddr>().is_err() {
        report.bad_address("spec.clusterIP", &service.cluster_ip);
    }
    for (index, address) in service.cluster_ips.iter().enumerate() {
        if !none(address) && address.parse::<IpAddr>().is_err() {
            report.bad_address(&format!("spec.clusterIPs[{index}]"), address);
        }
    }
}

pub(super) fn slice(slice: &EndpointSlice, report: &mut Report<'_>) {
    if slice.address_type == "FQDN" {
        let instead = "list addresses and use `IPv4` or `IPv6`";
        return report.not_built_value("addressType", "FQDN", instead);
    }
    for (index, endpoint) in slice.endpoints.iter().enumerate() {
        for (number, address) in endpoint.addresses.iter().enumerate() {
            if address.parse::<IpAddr>().is_err() {
                let field = format!("endpoints[{index}].addresses[{number}]");
                report.bad_address(&field, address);
            }
        }
    }
    for (index, port) in slice.ports.iter().enumerate() {
        if port.port == 0 {
            report.bad_port(&format!("ports[{index}].port"), "0");
        }
    }
}
