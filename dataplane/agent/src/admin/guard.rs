//! Keeps web pages away from the admin port. A page in a browser on this machine can reach loopback
//! by its own name (DNS rebinding) or by a request from another site; both show in the headers.

use hyper::HeaderMap;
use hyper::header::{HOST, ORIGIN};

/// Refuses what did not come from a program on this machine.
pub(super) fn check(headers: &HeaderMap) -> Result<(), &'static str> {
    let host = headers.get(HOST).map(|host| host.to_str().unwrap_or("?"));
    if host.is_some_and(|host| !is_loopback(host)) {
        return Err("the Host header does not name loopback; use 127.0.0.1 or localhost");
    }
    if headers.contains_key(ORIGIN) {
        return Err("requests of web pages are not answered here");
    }
    let site = headers.get("sec-fetch-site").map(|site| site.as_bytes());
    if site.is_some_and(|site| site != b"none" && site != b"same-origin") {
        return Err("requests of other sites are not answered here");
    }
    Ok(())
}

/// `localhost`, or an address of loopback, with or without a port.
fn is_loopback(host: &str) -> bool {
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => host.split(':').next().unwrap_or_default(),
    };
    name.eq_ignore_ascii_case("localhost")
        || name.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_loopback_and_only_programs_are_answered() {
        let cases: &[(&str, &str, bool)] = &[
            ("host", "127.0.0.1:15000", true),
            ("host", "localhost", true),
            ("host", "LocalHost:15000", true),
            ("host", "[::1]:15000", true),
            ("host", "evil.example:15000", false),
            ("host", "127.0.0.1.evil.example", false),
            ("host", "[::1", true),
            ("host", "", false),
            ("origin", "http://evil.example", false),
            ("origin", "null", false),
            ("sec-fetch-site", "cross-site", false),
            ("sec-fetch-site", "none", true),
            ("accept", "*/*", true),
        ];
        for (name, value, allowed) in cases {
            let mut headers = HeaderMap::new();
            headers.insert(*name, value.parse().unwrap());
            assert_eq!(check(&headers).is_ok(), *allowed, "{name}: {value}");
        }
    }
}
