//! The servers that requests name, where a cluster goes by them (`auto_sni`).

use std::collections::HashSet;
use std::net::IpAddr;
use std::rc::Rc;

use config::snapshot::{Cluster, HostNames};
use wire::head::Head;

use crate::limits::SERVER_NAMES_MAX;

/// Names that are in use, each once: a request of which the name is known allocates nothing.
#[derive(Default)]
pub(crate) struct Names {
    known: HashSet<Rc<str>>,
    /// Names that found no room since it was last looked which are still in use.
    missed: usize,
}

impl Names {
    /// The name in the field that the cluster puts before the authority. To be looked at before
    /// the route changes anything of the head, as in Envoy.
    pub(crate) fn of_field(&mut self, cluster: &Cluster, head: &Head) -> Option<Rc<str>> {
        let HostNames { field, .. } = cluster.host_names.as_ref()?;
        // As in Envoy of several lines the first counts.
        let value = head.values(field.as_deref()?).next()?;
        (!value.is_empty()).then(|| self.name(value))
    }

    /// The name in the authority, as the route has left it.
    pub(crate) fn of_authority(&mut self, cluster: &Cluster, head: &Head) -> Option<Rc<str>> {
        cluster.host_names.as_ref().map(|_| self.name(head.authority()))
    }

    fn name(&mut self, authority: &[u8]) -> Rc<str> {
        // What is no text is no name either: it is refused where it is asked for.
        let host = host_of(std::str::from_utf8(authority).unwrap_or_default());
        if let Some(known) = self.known.get(host) {
            return Rc::clone(known);
        }
        if self.known.len() >= SERVER_NAMES_MAX {
            // Clients choose the names: not every new one is to cost a look at all others.
            if self.missed == 0 {
                self.known.retain(|name| Rc::strong_count(name) > 1);
            }
            self.missed = (self.missed + 1) % SERVER_NAMES_MAX;
        }
        let name: Rc<str> = host.into();
        if self.known.len() < SERVER_NAMES_MAX {
            self.known.insert(Rc::clone(&name));
        }
        name
    }
}

/// The host of an authority as Envoy finds it: without a port, an address without brackets.
fn host_of(authority: &str) -> &str {
    let with_port = |(host, port): (&'_ str, &'_ str)| {
        let is_port = !authority.ends_with(']') && port.parse::<u16>().is_ok();
        is_port.then_some(host.len())
    };
    let end = authority.rsplit_once(':').and_then(with_port);
    let host = authority.get(..end.unwrap_or(authority.len())).unwrap_or(authority);
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    if bare.parse::<IpAddr>().is_ok() { bare } else { host }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_host_of_an_authority() {
        let cases = [
            ("a.example", "a.example"),
            ("a.example:443", "a.example"),
            ("a.example:", "a.example:"),
            ("a.example:http", "a.example:http"),
            ("a.example:65536", "a.example:65536"),
            ("10.0.0.1:80", "10.0.0.1"),
            ("[::1]:80", "::1"),
            ("[::1]", "::1"),
            ("[a]:80", "[a]"),
            ("", ""),
        ];
        for (authority, host) in cases {
            assert_eq!(host_of(authority), host, "{authority}");
        }
    }

    #[test]
    fn a_name_is_kept_while_there_is_room_or_somebody_uses_it() {
        let mut names = Names::default();
        let first = names.name(b"0.example:80");
        assert!(Rc::ptr_eq(&first, &names.name(b"0.example")));
        for number in 1..=SERVER_NAMES_MAX {
            names.name(format!("{number}.example").as_bytes());
        }
        assert!(names.known.len() <= SERVER_NAMES_MAX, "{}", names.known.len());
        assert!(Rc::ptr_eq(&first, &names.name(b"0.example")), "it is in use");
    }
}
