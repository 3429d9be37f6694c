//! HTTP filters and what routes say of them: one table of requests, asked by HTTP/1.1 and HTTP/2.

#[path = "filters/buffer.rs"]
mod buffer;
#[path = "filters/check.rs"]
mod check;
#[path = "filters/compressor.rs"]
mod compressor;
#[path = "filters/cors.rs"]
mod cors;
#[path = "filters/fault.rs"]
mod fault;
#[path = "filters/limit.rs"]
mod limit;
#[path = "filters/mutation.rs"]
mod mutation;
#[path = "filters/web.rs"]
mod web;

use super::cases;
use super::common;
use super::harness::{Judge, Pair};
use super::logs;

/// One configuration and what is asked of it, in order.
pub(crate) struct Setting {
    pub(crate) name: &'static str,
    /// HTTP filters before the router.
    pub(crate) filters: &'static str,
    /// Fields of the route configuration.
    pub(crate) routes: &'static str,
    pub(crate) asks: &'static [Ask],
}

/// One request.
pub(crate) struct Ask {
    method: &'static str,
    path: &'static str,
    fields: &'static [&'static str],
    body: &'static str,
    /// The words of `docs/differences-from-envoy.md` that say why this one differs.
    differs: Option<&'static str>,
}

const fn get(path: &'static str, fields: &'static [&'static str]) -> Ask {
    ask("GET", path, fields, "")
}

const fn post(path: &'static str, fields: &'static [&'static str], body: &'static str) -> Ask {
    ask("POST", path, fields, body)
}

const fn ask(
    method: &'static str,
    path: &'static str,
    fields: &'static [&'static str],
    body: &'static str,
) -> Ask {
    Ask { method, path, fields, body, differs: None }
}

/// The fields of a call by gRPC.
const GRPC: &[&str] = &["content-type: application/grpc"];

impl Ask {
    fn bytes(&self) -> String {
        let Self { method, path, fields, body, .. } = self;
        let mut text = format!("{method} {path} HTTP/1.1\r\nHost: x\r\n");
        fields.iter().for_each(|field| text.push_str(&format!("{field}\r\n")));
        if *method == "POST" {
            text.push_str(&format!("content-length: {}\r\n", body.len()));
        }
        text.push_str("\r\n");
        text.push_str(body);
        text
    }

    fn arguments(&self) -> Vec<&'static str> {
        let mut arguments = vec!["-H", "Host: x"];
        match self.method {
            "HEAD" => arguments.push("-I"),
            method => arguments.extend(["-X", method]),
        }
        self.fields.iter().for_each(|field| arguments.extend(["-H", field]));
        if self.fields.iter().any(|field| field.starts_with("accept-encoding:")) {
            arguments.push("--compressed");
        }
        if self.method == "POST" {
            arguments.extend(["--data-raw", self.body]);
        }
        arguments
    }

    /// A call that may be answered before its body is looked at: whether that is counted is a race.
    fn is_race(&self, way: &str) -> bool {
        way == "h2" && self.method == "POST" && self.fields.iter().any(|field| GRPC.contains(field))
    }

    fn judge(&self, place: &str, envoy: &str, ours: &str) -> Option<String> {
        match (envoy == ours, self.differs) {
            (true, None) | (false, Some(_)) => None,
            (true, Some(line)) => Some(format!("{place} no longer differs ({line})")),
            (false, None) => Some(format!("{place}\n  envoy {envoy}\n  ours  {ours}")),
        }
    }
}

fn settings() -> impl Iterator<Item = &'static Setting> {
    let old = [fault::SETTINGS, cors::SETTINGS, limit::SETTINGS, mutation::SETTINGS];
    let new = [check::SETTINGS, buffer::SETTINGS, web::SETTINGS, compressor::SETTINGS];
    old.into_iter().chain(new).flatten()
}

#[test]
fn filters_are_envoys() {
    let Some(judge) = Judge::find("filters_are_envoys") else { return };
    let (mut failures, mut count) = (Vec::new(), 0);
    for setting in settings() {
        for way in ["h1", "h2"] {
            // A pair each: what a filter counts begins anew.
            let name = format!("filters-{}-{way}", setting.name);
            let pair = Pair::start(&judge, &name, &bootstrap(setting));
            let mut asked = Vec::new();
            for ask in setting.asks {
                count += 1;
                let (envoy, ours) = if way == "h1" {
                    let (envoy, ours) = pair.ask(&ask.bytes());
                    (format!("{envoy:#?}"), format!("{ours:#?}"))
                } else {
                    let Some((envoy, ours)) = pair.curl(ask.path, &ask.arguments()) else {
                        common::skip("filters_are_envoys", "no curl, so not by HTTP/2");
                        break;
                    };
                    (format!("{envoy:#?}"), format!("{ours:#?}"))
                };
                let place = format!("{name}: {} {} {:?}", ask.method, ask.path, ask.fields);
                failures.extend(ask.judge(&place, &envoy, &ours));
                asked.push(pair.asked(place, ask.differs.is_none() && !ask.is_race(way)));
            }
            if !logs::is_left_out(setting.name) {
                failures.extend(pair.logs_differ(&asked));
            }
        }
    }
    println!("{count} answers of filters compared");
    assert!(failures.is_empty(), "{} of {count} differ\n{}", failures.len(), failures.join("\n"));
}

#[test]
fn differences_of_filters_are_documented() {
    let page = include_str!("../../../../docs/differences-from-envoy.md");
    for ask in settings().flat_map(|setting| setting.asks) {
        assert!(ask.differs.is_none_or(|line| page.contains(line)), "docs lack {:?}", ask.differs);
    }
}

/// A second name of the upstream, and half of one.
const CLUSTERS: &str = r#"- name: other
  connect_timeout: 1s
  load_assignment: { cluster_name: other, endpoints: [{ lb_endpoints: [{ endpoint: *up }] }] }
- name: half
  connect_timeout: 1s
  load_assignment:
    cluster_name: half
    endpoints:
    - lb_endpoints:
      - endpoint: *up
      - endpoint: { address: { socket_address: { address: 127.0.0.2, port_value: @UPSTREAM@ } } }
        health_status: UNHEALTHY"#;

const LIMIT: &str =
    "type.googleapis.com/envoy.extensions.filters.http.local_ratelimit.v3.LocalRateLimit";

const CHECK: &str = "type.googleapis.com/envoy.extensions.filters.http.health_check.v3.HealthCheck";

fn bootstrap(setting: &Setting) -> String {
    cases::bootstrap("", setting.filters, setting.routes, CLUSTERS)
        .replace("@FAULT@", "type.googleapis.com/envoy.extensions.filters.http.fault.v3.HTTPFault")
        .replace("@CORS@", "type.googleapis.com/envoy.extensions.filters.http.cors.v3")
        .replace("@RBAC@", "type.googleapis.com/envoy.extensions.filters.http.rbac.v3")
        .replace("@LIMIT@", LIMIT)
        .replace(
            "@MUTATION@",
            "type.googleapis.com/envoy.extensions.filters.http.header_mutation.v3",
        )
        .replace("@CHECK@", CHECK)
        .replace("@BUFFER@", "type.googleapis.com/envoy.extensions.filters.http.buffer.v3")
        .replace("@COMPRESSOR@", "type.googleapis.com/envoy.extensions.filters.http.compressor.v3")
        .replace("@LIBRARY@", "type.googleapis.com/envoy.extensions.compression")
        .replace("@WINS@", if setting.name.ends_with("wins") { "true" } else { "false" })
        .replace("@WRAPPED@", "type.googleapis.com/envoy.config.route.v3.FilterConfig")
}
