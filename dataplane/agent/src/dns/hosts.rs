//! `/etc/hosts`, and the one name that needs no file.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The addresses of a name in the text of a hosts file, in its order.
pub(super) fn addresses(text: &str, name: &str) -> Vec<IpAddr> {
    let name = name.strip_suffix('.').unwrap_or(name);
    let lines = text.lines().filter_map(|line| {
        let mut words = line.split('#').next()?.split_whitespace();
        let address = words.next()?.parse::<IpAddr>().ok()?;
        words.any(|word| word.eq_ignore_ascii_case(name)).then_some(address)
    });
    lines.collect()
}

/// The loopback addresses, for `localhost` and all below it (RFC 6761, 6.3): such names leave this
/// machine in no question.
pub(super) fn loopback(name: &str) -> Option<[IpAddr; 2]> {
    let name = name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase();
    (name == "localhost" || name.ends_with(".localhost"))
        .then_some([Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()])
}
