//! Copies of requests, sent to somebody whose answer nobody waits for.

use std::net::IpAddr;

use config::snapshot::Mirror;
use wire::head::Head;

use crate::filter::mutation;
use crate::headers::text;
use crate::{matcher, scratch};

/// Makes a copy of a request that is ready to be sent: its upstream can tell it by its host and by
/// `x-envoy-internal`. `local`: an address of this host.
pub fn prepare(head: &mut Head, mirror: &Mirror, local: IpAddr) {
    match &mirror.host {
        Some(host) => head.authority = head.add_bytes(host),
        None if !mirror.keeps_host => shadow(head),
        None => {}
    }
    mutation::list(&mirror.changes, head);
    head.set(b"x-envoy-internal", b"true");
    text::join(head, b"x-forwarded-for", b",", |out| text::write(out, local.to_canonical()));
}

/// `-shadow` behind the host, before a port.
fn shadow(head: &mut Head) {
    head.authority = scratch::with(|out| {
        let authority = head.authority();
        let host = matcher::split_port(authority).map_or(authority, |(host, _)| host);
        let (host, port) = authority.split_at_checked(host.len()).unwrap_or((authority, &[]));
        out.extend_from_slice(host);
        out.extend_from_slice(b"-shadow");
        out.extend_from_slice(port);
        head.add_bytes(out)
    });
}

#[cfg(test)]
mod tests {
    use config::snapshot::{ClusterId, HeaderChange, Mirror, Mutation, Share};

    use super::prepare;
    use crate::fixture::{head, lines};

    fn mirror() -> Mirror {
        Mirror {
            cluster: ClusterId(0),
            named_by: None,
            share: Share::ALL,
            keeps_host: false,
            host: None,
            changes: Vec::new(),
        }
    }

    #[test]
    fn a_copy_is_told_by_its_host() {
        let kept = || Mirror { keeps_host: true, ..mirror() };
        let other = || Mirror { host: Some(b"b:1".as_slice().into()), ..mirror() };
        for (mirror, host, expected) in [
            (mirror(), "a", "a-shadow"),
            (mirror(), "a:80", "a-shadow:80"),
            (mirror(), "[::1]", "[::1]-shadow"),
            (mirror(), "[::1]:80", "[::1]-shadow:80"),
            (kept(), "a:80", "a:80"),
            (other(), "a:80", "b:1"),
        ] {
            let mut copy = head(&format!("GET / HTTP/1.1\nhost: {host}"));
            prepare(&mut copy, &mirror, [10, 0, 0, 1].into());
            assert_eq!(copy.authority(), expected.as_bytes(), "{host}");
        }
    }

    #[test]
    fn a_copy_says_where_it_comes_from() {
        let gone = Mutation::Change(HeaderChange::Remove(b"x-a".as_slice().into()));
        let mirror = Mirror { changes: vec![gone], ..mirror() };
        let mut copy = head("GET / HTTP/1.1\nhost: a\nx-a: 1\nx-forwarded-for: 1.2.3.4");
        prepare(&mut copy, &mirror, [10, 0, 0, 1].into());
        let expected = ["x-envoy-internal: true", "x-forwarded-for: 1.2.3.4,10.0.0.1"];
        assert_eq!(lines(&copy), expected);
    }
}
