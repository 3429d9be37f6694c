//! Routes of all kinds: the one that is found is the first that matches, looked for one by one.

use std::sync::{Arc, OnceLock};

use config::snapshot::{Bound, Routes, Snapshot, Terminal};
use config::{Bootstrap, Compiler};
use regex::bytes::Regex;
use wire::head::Head;

/// What stands in a route's match. The names are Envoy's.
const ROUTES: [(&str, &str, &str); 22] = [
    ("path", "/exact", ""),
    ("path", "/exact/", ""),
    ("prefix", "/pre/fix", "x-k"),
    ("prefix", "/pre/", ""),
    ("path_separated_prefix", "/sep/arated", ""),
    ("path_separated_prefix", "/sep", "x-k"),
    ("regex", "/re/[0-9]+", ""),
    ("regex", "/re/.*x", "x-k"),
    ("folded prefix", "/CASE", ""),
    ("folded path", "/Exact", ""),
    ("path", "/a", ""),
    ("path", "/a/b", ""),
    ("path", "/a/b/c", "x-k"),
    ("prefix", "/a/b", ""),
    ("prefix", "/a", "x-k"),
    ("path_separated_prefix", "/a", ""),
    ("prefix", "/b", ""),
    ("path", "/b", ""),
    ("prefix", "/b/c", ""),
    ("regex", "/[bc]", ""),
    ("folded path_separated_prefix", "/SEP/x", ""),
    ("prefix", "/z", "x-k"),
];

/// A listener with these options of its manager, and a virtual host `any`.
pub(crate) fn compiled(options: &str, routes: &str) -> Snapshot {
    let text = format!(
        r#"static_resources:
  listeners:
  - name: main
    address: {{ socket_address: {{ address: 127.0.0.1, port_value: 1 }} }}
    filter_chains:
    - filters:
      - name: envoy.filters.network.http_connection_manager
        typed_config: {{
          "@type": {HCM},
          stat_prefix: main, {options}
          http_filters: [
          {{ name: envoy.filters.http.router, typed_config: {{ "@type": {ROUTER} }} }}],
          route_config: {{ name: main, virtual_hosts: [{{ name: any, domains: ["*"], routes: [
{routes}          ] }}] }} }}
"#
    );
    let mut bootstrap = Bootstrap::parse(&text).expect("a bootstrap");
    let mut compiler = Compiler::new();
    let mut bind = |_, _: &_| Ok(Arc::new(Bound::default()));
    let refused = compiler.apply(bootstrap.take_resources(), &mut bind);
    assert!(refused.is_empty(), "{refused:?}");
    compiler.build()
}

const HCM: &str = concat!(
    "type.googleapis.com/envoy.extensions.filters.network.",
    "http_connection_manager.v3.HttpConnectionManager"
);
const ROUTER: &str = "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router";

fn table() -> &'static (Snapshot, Vec<Regex>) {
    static TABLE: OnceLock<(Snapshot, Vec<Regex>)> = OnceLock::new();
    TABLE.get_or_init(|| {
        let lines = ROUTES.iter().enumerate().map(|(at, (kind, text, header))| {
            let (fold, kind) = match kind.strip_prefix("folded ") {
                Some(kind) => (", case_sensitive: false", kind),
                None => ("", *kind),
            };
            let path = match kind {
                "regex" => format!("safe_regex: {{ regex: \"{text}\" }}"),
                _ => format!("{kind}: \"{text}\""),
            };
            let header = match *header {
                "" => String::new(),
                name => format!(", headers: [{{ name: {name}, string_match: {{ exact: v }} }}]"),
            };
            let status = 200 + at;
            format!(
                "{{ match: {{ {path}{fold}{header} }}, \
                 direct_response: {{ status: {status} }} }},\n"
            )
        });
        let regexes = ROUTES.iter().map(|(_, text, _)| Regex::new(&format!("^(?:{text})$")));
        (compiled("", &lines.collect::<String>()), regexes.map(|r| r.expect("a regex")).collect())
    })
}

/// Whether a route matches, in the plainest words.
fn matches(at: usize, path: &[u8], has_header: bool) -> bool {
    let (kind, text, header) = ROUTES[at];
    if !header.is_empty() && !has_header {
        return false;
    }
    let fold = kind.starts_with("folded ");
    let lower = |bytes: &[u8]| if fold { bytes.to_ascii_lowercase() } else { bytes.to_vec() };
    let (path, text) = (lower(path), lower(text.as_bytes()));
    match kind.strip_prefix("folded ").unwrap_or(kind) {
        "path" => path == text,
        "prefix" => path.starts_with(&text),
        "path_separated_prefix" => {
            path.starts_with(&text) && path.get(text.len()).is_none_or(|byte| *byte == b'/')
        }
        _ => table().1[at].is_match(&path),
    }
}

pub(crate) fn find(input: &[u8]) {
    let ([choice], path) = crate::choose(input);
    let mut head = Head::default();
    head.method = head.add_bytes(b"GET");
    head.authority = head.add_bytes(b"a");
    head.path = head.add_bytes(path);
    let has_header = choice % 3 == 1;
    if has_header {
        head.append(b"x-k", b"v");
    }
    if choice % 3 == 2 {
        head.append(b"x-k", b"w");
    }
    let Terminal::Http(manager) = &table().0.listeners[0].chains[0].terminal else {
        panic!("the chain ends in HTTP");
    };
    let Routes::Inline(routes) = &manager.routes else { panic!("the routes stand in it") };
    let found =
        policy::route::find(routes, &head, u64::from(choice)).ok().map(|found| found.at.route);
    let end = path.iter().position(|byte| matches!(byte, b'?' | b'#')).unwrap_or(path.len());
    let expected = (0..ROUTES.len()).find(|at| matches(*at, &path[..end], has_header));
    assert_eq!(found, expected, "{}", path.escape_ascii());
}
