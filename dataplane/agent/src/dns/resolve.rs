//! What a name stands for: the hosts file, then name servers, as c-ares goes about it.

use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use config::dns::{Family, Lookup, Resolver};
use tokio::sync::Semaphore;

use super::ask::ask;
use super::hosts;
use super::system::{Conf, System};

/// Names that are looked up at one time; others wait.
const LOOKUPS_MAX: usize = 64;

/// What a name stands for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Found {
    /// Its addresses, in the order of the answer. None: there is no such name, or it has none.
    pub(crate) addresses: Vec<IpAddr>,
    /// How long they are good for, where somebody said so.
    pub(crate) ttl: Option<Duration>,
}

/// It could not be found out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct NotFound(pub(crate) String);

/// A kind of address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    V4,
    V6,
}

impl Kind {
    fn is_of(self, address: &IpAddr) -> bool {
        address.is_ipv4() == (self == Self::V4)
    }
}

/// A stub resolver: it asks others and remembers nothing.
pub(crate) struct Stub {
    system: System,
    room: Semaphore,
    /// Counts questions, for those that begin with another server each.
    turn: AtomicUsize,
}

impl Stub {
    /// By what the system says of name servers and hosts.
    pub(crate) fn new() -> Self {
        Self::with(System::new("/etc/resolv.conf", "/etc/hosts"))
    }

    pub(crate) fn with(system: System) -> Self {
        Self { system, room: Semaphore::new(LOOKUPS_MAX), turn: AtomicUsize::new(0) }
    }

    /// The addresses of a name, of the kinds that are asked for.
    pub(crate) async fn find(&self, name: &str, lookup: &Lookup) -> Result<Found, NotFound> {
        let _room = self.room.acquire().await;
        let how = &*lookup.resolver;
        match lookup.family {
            Family::V4Only => self.of_kind(name, Kind::V4, how).await,
            Family::V6Only => self.of_kind(name, Kind::V6, how).await,
            Family::Auto => self.either(name, [Kind::V6, Kind::V4], how).await,
            Family::V4Preferred => self.either(name, [Kind::V4, Kind::V6], how).await,
            Family::All => {
                let v4 = self.of_kind(name, Kind::V4, how);
                let v6 = self.of_kind(name, Kind::V6, how);
                let (v4, v6) = tokio::join!(v4, v6);
                both(v4, v6)
            }
        }
    }

    /// The second kind only where there is nothing of the first.
    async fn either(
        &self,
        name: &str,
        [first, second]: [Kind; 2],
        how: &Resolver,
    ) -> Result<Found, NotFound> {
        let first = self.of_kind(name, first, how).await;
        match first {
            Ok(found) if !found.addresses.is_empty() => Ok(found),
            first => both(first, self.of_kind(name, second, how).await),
        }
    }

    async fn of_kind(&self, name: &str, kind: Kind, how: &Resolver) -> Result<Found, NotFound> {
        let mut local = self.system.hosts(name);
        local.retain(|address| kind.is_of(address));
        if let Some(loopback) = hosts::loopback(name)
            && local.is_empty()
        {
            local.extend(loopback.into_iter().filter(|address| kind.is_of(address)));
        }
        if !local.is_empty() {
            return Ok(Found { addresses: local, ttl: None });
        }
        let conf = self.system.conf();
        let servers = self.servers(&conf, how);
        let mut nothing = Ok(Found::default());
        for name in spellings(name, &conf, how.no_search) {
            match query(&servers, &name, kind, how).await {
                Ok(found) if found.addresses.is_empty() => {}
                Ok(found) => return Ok(found),
                Err(error) => nothing = Err(error),
            }
        }
        nothing
    }

    fn servers(&self, conf: &Conf, how: &Resolver) -> Vec<SocketAddr> {
        let by_system = how.servers.is_empty() || (how.as_fallback && conf.has_servers);
        let mut servers = if by_system { &conf.servers } else { &how.servers }.clone();
        if how.rotate && !servers.is_empty() {
            let by = self.turn.fetch_add(1, Ordering::Relaxed) % servers.len();
            servers.rotate_left(by);
        }
        servers
    }
}

/// One server after the other, and the whole list again, until one knows.
async fn query(
    servers: &[SocketAddr],
    name: &str,
    kind: Kind,
    how: &Resolver,
) -> Result<Found, NotFound> {
    let mut last = NotFound("there is no name server".to_owned());
    for _ in 0..how.tries {
        for server in servers {
            match ask(*server, name, kind, how).await {
                Ok(found) => return Ok(found),
                Err(error) => last = error,
            }
        }
    }
    Err(last)
}

fn both(one: Result<Found, NotFound>, other: Result<Found, NotFound>) -> Result<Found, NotFound> {
    match (one, other) {
        (Ok(mut one), Ok(other)) => {
            one.addresses.extend(other.addresses);
            one.ttl = one.ttl.into_iter().chain(other.ttl).min();
            Ok(one)
        }
        (Ok(one), Err(_)) | (Err(_), Ok(one)) => Ok(one),
        (Err(error), Err(_)) => Err(error),
    }
}

/// The names that one stands for, in the order in which they are tried: with few dots it is more
/// likely a short one.
pub(super) fn spellings(name: &str, conf: &Conf, no_search: bool) -> Vec<String> {
    if name.ends_with('.') || no_search {
        return vec![name.to_owned()];
    }
    let longer = conf.search.iter().map(|suffix| format!("{name}.{suffix}"));
    let as_it_is = std::iter::once(name.to_owned());
    match name.matches('.').count() >= conf.ndots {
        true => as_it_is.chain(longer).collect(),
        false => longer.chain(as_it_is).collect(),
    }
}
