//! The versions of resources that the compiler keeps: the one in force and the one that waits.

use std::collections::{BTreeMap, HashSet};
use std::net::SocketAddr;
use std::sync::Arc;

use super::answers::Answers;
use super::endpoint::{Assignment, in_turns};
use super::scope::Fingerprint;
use super::verdicts::{Verdicts, combined};
use super::{cluster, listener};
use crate::dns::Question;
use crate::health::{CheckKind, Probe};
use crate::snapshot::{self, Bound, Endpoints, Health};
use crate::update::Origin;

/// A resource by name: what is in force, and what takes its place once it is warm.
#[derive(Debug)]
pub(crate) struct Entry<V> {
    pub(crate) origin: Origin,
    pub(crate) live: Option<V>,
    pub(crate) next: Option<V>,
}

/// A version of a resource knows what it was made from.
pub(crate) trait Version {
    fn print(&self) -> Fingerprint;
}

impl<V: Version> Entry<V> {
    pub(crate) fn new(origin: Origin) -> Self {
        Self { origin, live: None, next: None }
    }

    /// The newest version, in force or not.
    pub(crate) fn newest(&self) -> Option<&V> {
        self.next.as_ref().or(self.live.as_ref())
    }

    /// All versions.
    pub(crate) fn versions(&self) -> impl Iterator<Item = &V> {
        self.live.iter().chain(self.next.iter())
    }

    /// The resource has gone back to what is in force, or has not changed: nothing to compile.
    pub(crate) fn settle(&mut self, print: Fingerprint) -> bool {
        if self.live.as_ref().is_some_and(|live| live.print() == print) {
            self.next = None;
            return true;
        }
        self.next.as_ref().is_some_and(|next| next.print() == print)
    }

    /// Puts the waiting version in force if it is warm.
    pub(crate) fn promote(&mut self, is_warm: impl FnOnce(&V) -> bool) {
        if self.next.as_ref().is_some_and(is_warm) {
            self.live = self.next.take();
        }
    }
}

/// Resources of one type in the order of their names.
pub(crate) type Entries<V> = BTreeMap<Arc<str>, Entry<V>>;

/// Removes what `removed` names and, if `kept` is given, what it does not have. What stands in the
/// file stays.
pub(crate) fn remove<V>(
    entries: &mut Entries<V>,
    origin: Origin,
    removed: &[String],
    kept: Option<&std::collections::HashSet<&str>>,
) {
    let named: std::collections::HashSet<_> = removed.iter().map(String::as_str).collect();
    if named.is_empty() && kept.is_none() {
        return;
    }
    entries.retain(|name, entry| {
        let gone = named.contains(&**name) || kept.is_some_and(|kept| !kept.contains(&**name));
        entry.origin != origin || !gone
    });
}

/// A version of a cluster.
#[derive(Debug)]
pub(crate) struct ClusterVersion {
    pub(crate) print: Fingerprint,
    pub(crate) compiled: cluster::Compiled,
    /// With its endpoints, and the fingerprint of the assignment that they came from.
    pub(crate) built: Option<(Fingerprint, Arc<snapshot::Cluster>)>,
}

impl Version for ClusterVersion {
    fn print(&self) -> Fingerprint {
        self.print
    }
}

impl ClusterVersion {
    /// The names that have to be looked up.
    pub(crate) fn questions(&self) -> impl Iterator<Item = Question> {
        let lookup = self.compiled.lookup.iter();
        let all = lookup
            .zip(&self.compiled.assignment)
            .flat_map(|(lookup, assignment)| assignment.names().map(move |name| (lookup, name)));
        all.map(|(lookup, name)| Question { name: Arc::clone(name), lookup: Arc::clone(lookup) })
    }

    /// One of its names has been asked for, as in Envoy, or it does not wait for that.
    pub(crate) fn is_found(&self, answers: &Answers) -> bool {
        let mut questions = self.questions().peekable();
        !self.compiled.waits
            || questions.peek().is_none()
            || questions.any(|question| answers.has(&question.lookup, &question.name))
    }

    /// The addresses of the hosts that are checked: none without a check.
    pub(crate) fn checked_addresses<'v>(
        &'v self,
        assignment: &'v Assignment,
        answers: &'v Answers,
    ) -> impl Iterator<Item = SocketAddr> + 'v {
        let lookup = self.compiled.lookup.as_ref();
        let found = move |name: &Arc<str>| lookup.map_or(&[][..], |by| answers.of(by, name));
        let checked = self.compiled.check.iter();
        checked.flat_map(move |_| assignment.checked_addresses(found))
    }

    /// How the hosts are checked: none without a check.
    pub(crate) fn probes(&self, assignment: &Assignment, answers: &Answers) -> Vec<Probe> {
        let Some(check) = &self.compiled.check else { return Vec::new() };
        let cluster = &self.compiled.cluster;
        let lookup = self.compiled.lookup.as_ref();
        let found = |name: &Arc<str>| lookup.map_or(&[][..], |lookup| answers.of(lookup, name));
        let matches = &cluster.transport_matches;
        let given = match &check.kind {
            CheckKind::Http(check) => check.host.as_str(),
            CheckKind::Grpc(check) => check.authority.as_str(),
            CheckKind::Tcp(_) => "",
        };
        let usual: Arc<str> =
            if given.is_empty() { Arc::clone(&cluster.name) } else { given.into() };
        let hosts = assignment.checked(matches, check.criteria.as_deref(), found);
        let probes = hosts.into_iter().map(|checked| Probe {
            cluster: Arc::clone(&cluster.name),
            host: checked.host,
            target: checked.target,
            authority: checked.hostname.unwrap_or_else(|| Arc::clone(&usual)),
            transport: checked
                .transport
                .and_then(|index| matches.get(index))
                .map_or(&cluster.transport, |matched| &matched.transport)
                .clone(),
            bind: cluster.bind,
            check: Arc::clone(check),
        });
        probes.collect()
    }

    /// All hosts that are checked have been so once, or it does not wait for that.
    pub(crate) fn is_checked(
        &self,
        assignment: &Assignment,
        answers: &Answers,
        verdicts: &Verdicts,
    ) -> bool {
        let cluster = &self.compiled.cluster.name;
        let mut hosts = self.checked_addresses(assignment, answers);
        !self.compiled.waits || hosts.all(|host| verdicts.of(cluster, host).is_some())
    }

    /// Changes with what its names stand for.
    pub(crate) fn found(&self, answers: &Answers) -> Fingerprint {
        match (&self.compiled.lookup, &self.compiled.assignment) {
            (Some(lookup), Some(assignment)) => answers.print(lookup, assignment.names()),
            _ => 0,
        }
    }

    /// The host of a logical cluster has all the addresses of its name.
    fn add_others(&self, assignment: &Assignment, answers: &Answers, to: &mut Endpoints) {
        let name = assignment.names().next();
        if let (Some(lookup), Some(name)) = (&self.compiled.lookup, name)
            && let Some(host) = to.hosts.first_mut()
            && let others @ [_, ..] = answers.others(lookup, name)
        {
            let port = host.address.port();
            let others = others.iter().map(|ip| SocketAddr::new(*ip, port));
            host.others = Some(in_turns(host.address, &others.collect::<Vec<_>>()));
        }
    }

    /// The cluster with the hosts of `assignment`. Hosts that are the same stay the same object.
    pub(crate) fn build(
        &mut self,
        print: Fingerprint,
        assignment: &Assignment,
        (answers, verdicts): (&Answers, &Verdicts),
        version: &mut u64,
        before: Option<&Arc<Endpoints>>,
    ) -> Arc<snapshot::Cluster> {
        if let Some((known, built)) = &self.built
            && *known == print
        {
            return Arc::clone(built);
        }
        let lookup = self.compiled.lookup.as_ref();
        let found = |name: &Arc<str>| lookup.map_or(&[][..], |lookup| answers.of(lookup, name));
        let compiled = &self.compiled;
        let matches = &compiled.cluster.transport_matches;
        let subsets = compiled.cluster.subsets.as_deref();
        let mut endpoints = assignment.resolve(matches, subsets, compiled.use_hostname, found);
        self.add_others(assignment, answers, &mut endpoints);
        let checked: HashSet<_> = self.checked_addresses(assignment, answers).collect();
        for host in endpoints.hosts.iter_mut().filter(|host| checked.contains(&host.address)) {
            let verdict = verdicts.of(&compiled.cluster.name, host.address);
            host.health = combined(host.health, verdict);
            host.checked = Some(verdict.unwrap_or(Health::Unhealthy));
        }
        let endpoints = match before {
            Some(before) if before.is_same(&endpoints) => Arc::clone(before),
            _ => {
                *version += 1;
                endpoints.version = *version;
                Arc::new(endpoints)
            }
        };
        let cluster = snapshot::Cluster { endpoints, ..self.compiled.cluster.clone() };
        let cluster = Arc::new(cluster);
        self.built = Some((print, Arc::clone(&cluster)));
        cluster
    }
}

/// A version of a listener.
#[derive(Debug)]
pub(crate) struct ListenerVersion {
    pub(crate) print: Fingerprint,
    pub(crate) options: Option<listener::ListenerOptions>,
    pub(crate) compiled: ListenerParts,
    pub(crate) listener: Arc<snapshot::Listener>,
    /// The address that was asked for; a port of 0 becomes another when it is bound.
    pub(crate) asked: std::net::SocketAddr,
}

/// What stays of a listener's compilation besides the listener.
#[derive(Debug)]
pub(crate) struct ListenerParts {
    pub(crate) needs: super::scope::Needs,
    pub(crate) chains: std::collections::HashMap<Fingerprint, super::scope::KnownChain>,
}

impl Version for ListenerVersion {
    fn print(&self) -> Fingerprint {
        self.print
    }
}

impl ListenerVersion {
    /// The sockets, if they are for that address and made the same way.
    pub(crate) fn sockets(
        &self,
        asked: std::net::SocketAddr,
        options: listener::ListenerOptions,
    ) -> Option<Arc<Bound>> {
        let same = self.asked == asked && self.options == Some(options);
        self.listener.bound.as_ref().filter(|_| same).map(Arc::clone)
    }
}
