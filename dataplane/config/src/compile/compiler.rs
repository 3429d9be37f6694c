//! The compiler: keeps the last good version of every resource and assembles snapshots.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use api::envoy::cluster::Cluster;
use api::envoy::endpoint::ClusterLoadAssignment;
use api::envoy::listener::Listener;
use api::envoy::route::RouteConfiguration;
use api::envoy::tls::Secret;

use super::answers::Answers;
use super::at::{At, Fault};
use super::endpoint::{self, Assignment};
use super::listener::{self, ListenerOptions};
use super::scope::{Fingerprint, Interner, Needs, Scope};
use super::secret::{Filler, Secrets};
use super::store::{self, ClusterVersion, Entries, Entry, ListenerParts, ListenerVersion, Version};
use super::verdicts::Verdicts;
use super::{cluster, route};
use crate::dns::{Question, Resolver};
use crate::health::{Probe, Verdict};
use crate::limits::{MAX_CLUSTERS, MAX_LISTENERS, MAX_NAME, MAX_ROUTE_TABLES};
use crate::refused::{Code, Kind, Refused};
use crate::snapshot::{Bound, ClusterId, RouteTable, Snapshot};
use crate::update::{Change, Origin, Update};

/// Makes the listening sockets of an address, one a worker.
pub type Binder<'b> = dyn FnMut(SocketAddr, &ListenerOptions) -> std::io::Result<Arc<Bound>> + 'b;

/// The names of resources that have to be asked for, sorted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Needed {
    /// EDS.
    pub endpoints: Vec<Arc<str>>,
    /// RDS.
    pub routes: Vec<Arc<str>>,
    /// SDS over ADS.
    pub secrets: Vec<Arc<str>>,
}

/// Turns updates into snapshots. Owned by the agent's thread.
///
/// A resource that is refused leaves the version before it in force. A new version of a cluster
/// waits for its endpoints and secrets, one of a listener for its routes and secrets; until then
/// the old one serves.
#[derive(Debug, Default)]
pub struct Compiler {
    names: Interner,
    secrets: Secrets,
    filled: HashMap<(Filler, String), Fingerprint>,
    clusters: Entries<ClusterVersion>,
    assignments: HashMap<Arc<str>, (Fingerprint, Arc<Assignment>)>,
    listeners: Entries<ListenerVersion>,
    routes: HashMap<Arc<str>, (Fingerprint, Arc<RouteTable>)>,
    generation: u64,
    endpoints_version: u64,
    answers: Answers,
    verdicts: Verdicts,
    /// What looks up names where a cluster does not say.
    resolver: Arc<Resolver>,
    /// What the proxy's own service is called.
    service_cluster: Arc<str>,
}

impl Compiler {
    /// Knows nothing yet but the agent's two secret slots.
    pub fn new() -> Self {
        Self::default()
    }

    /// The named secrets. The agent fills `default` and `ROOTCA` ([`Filler::Agent`]).
    pub fn slots(&mut self) -> &mut Secrets {
        &mut self.secrets
    }

    /// The id of a cluster's name, if any resource has named it so far.
    pub fn cluster_id(&self, name: &str) -> Option<ClusterId> {
        self.names.known(name)
    }

    /// Takes what is good of an update and says what is not. `bind` is called for the addresses
    /// that listeners bind to and that are new.
    pub fn apply(&mut self, update: Update, bind: &mut Binder<'_>) -> Vec<Refused> {
        let Update { origin, clusters, endpoints, listeners, routes, secrets, .. } = update;
        let mut refused = Vec::new();
        if let Some(resolver) = update.resolver {
            self.resolver = Arc::new(resolver);
        }
        if let Some(name) = update.service_cluster {
            self.service_cluster = name.into();
        }
        self.apply_secrets(origin, secrets, &mut refused);
        self.apply_clusters(origin, clusters, &mut refused);
        self.apply_endpoints(endpoints, &mut refused);
        self.apply_routes(routes, &mut refused);
        self.apply_listeners(origin, listeners, bind, &mut refused);
        refused
    }

    /// What has to be asked for, by what is in force and by what waits.
    pub fn needed_names(&self) -> Needed {
        let clusters = self.clusters.values().flat_map(Entry::versions);
        let endpoints = clusters.filter_map(|version| version.compiled.eds.clone());
        let sorted = |names: BTreeSet<Arc<str>>| names.into_iter().collect();
        Needed {
            endpoints: sorted(endpoints.collect()),
            routes: sorted(self.route_names()),
            secrets: self.secrets.needed(),
        }
    }

    /// The names that have to be looked up, by what is in force and by what waits, each once.
    pub fn questions(&self) -> HashSet<Question> {
        let clusters = self.clusters.values().flat_map(Entry::versions);
        clusters.flat_map(ClusterVersion::questions).collect()
    }

    /// Takes what a name was found to stand for; `None`: it could not be found out, and the answer
    /// before stands. Says whether another snapshot comes of it.
    pub fn answered(&mut self, question: &Question, found: Option<Vec<IpAddr>>) -> bool {
        self.answers.take(question, found)
    }

    /// The hosts that have to be checked, by what is in force and by what waits; of two versions of
    /// a cluster the newer says how.
    pub fn probes(&self) -> Vec<Probe> {
        let mut seen = HashSet::new();
        let mut probes = Vec::new();
        for entry in self.clusters.values() {
            for version in entry.next.iter().chain(&entry.live) {
                let Some(assignment) = self.assignment(version) else { continue };
                let all = version.probes(assignment, &self.answers);
                probes.extend(
                    all.into_iter()
                        .filter(|probe| seen.insert((Arc::clone(&probe.cluster), probe.host))),
                );
            }
        }
        probes
    }

    /// The hosts that [`Self::probes`] has, by their clusters.
    fn checked_hosts(&self) -> HashSet<(Arc<str>, SocketAddr)> {
        let mut hosts = HashSet::new();
        let versions = self.clusters.values().flat_map(Entry::versions);
        for version in versions.filter(|version| version.compiled.check.is_some()) {
            let Some(assignment) = self.assignment(version) else { continue };
            let cluster = &version.compiled.cluster.name;
            let addresses = version.checked_addresses(assignment, &self.answers);
            hosts.extend(addresses.map(|address| (Arc::clone(cluster), address)));
        }
        hosts
    }

    /// Takes what a check has found out. Says whether another snapshot comes of it.
    pub fn checked(&mut self, verdict: &Verdict) -> bool {
        self.verdicts.take(verdict)
    }

    /// The assignment of a version, once it is there.
    fn assignment<'c>(&'c self, version: &'c ClusterVersion) -> Option<&'c Assignment> {
        match (&version.compiled.assignment, &version.compiled.eds) {
            (Some(own), _) => Some(&**own),
            (None, Some(name)) => self.assignments.get(name).map(|(_, assignment)| &**assignment),
            (None, None) => None,
        }
    }

    /// Compiles something that is not kept here, with the names and secrets of all that is.
    pub(crate) fn scoped<T>(
        &mut self,
        compile: impl FnOnce(&mut Scope<'_>) -> Result<T, Fault>,
    ) -> Result<T, Fault> {
        let (names, secrets, resolver) = (&mut self.names, &mut self.secrets, &self.resolver);
        let service_cluster = &self.service_cluster;
        let (needs, chains) = (Needs::default(), None);
        compile(&mut Scope { names, secrets, needs, chains, resolver, service_cluster })
    }

    /// Names of clusters and listeners whose newest version still waits for something.
    pub fn cold(&self) -> Vec<(Kind, Arc<str>)> {
        let clusters = self.clusters.iter().filter(|(_, entry)| entry.next.is_some());
        let clusters = clusters.map(|(name, _)| (Kind::Cluster, Arc::clone(name)));
        let listeners = self.listeners.iter().filter(|(_, entry)| entry.next.is_some());
        let listeners = listeners.map(|(name, _)| (Kind::Listener, Arc::clone(name)));
        clusters.chain(listeners).collect()
    }

    /// Assembles a snapshot of all that is warm. Parts that have not changed are shared with the
    /// snapshot before.
    pub fn build(&mut self) -> Snapshot {
        let mut clusters = Vec::new();
        clusters.resize_with(self.names.len(), || None);
        self.build_clusters(&mut clusters);
        let wait = [Origin::File, Origin::Control].map(|origin| self.must_wait(origin));
        let routes = &self.routes;
        for entry in self.listeners.values_mut() {
            let [by_file, by_control] = wait;
            let must_wait = if entry.origin == Origin::File { by_file } else { by_control };
            entry.promote(|next| is_warm(&next.compiled.needs, routes) && !must_wait);
        }
        let live = self.listeners.values().filter_map(|entry| entry.live.as_ref());
        let listeners = live.map(|version| Arc::clone(&version.listener)).collect();
        self.forget();
        self.generation += 1;
        let routes = self.routes.iter();
        Snapshot {
            generation: self.generation,
            listeners,
            clusters,
            routes: routes
                .map(|(name, (_, table))| (Arc::clone(name), Arc::clone(table)))
                .collect(),
        }
    }

    /// The first listeners wait until it is known once where the clusters beside them lead to, so
    /// that they do not begin with refusing what comes; as in Envoy.
    fn must_wait(&self, origin: Origin) -> bool {
        let mut listeners = self.listeners.values().filter(|entry| entry.origin == origin);
        let mut clusters = self.clusters.values().filter(|entry| entry.origin == origin);
        let is_unfound = |entry: &Entry<ClusterVersion>| match (&entry.live, &entry.next) {
            (None, Some(next)) => !next.is_found(&self.answers) || self.is_unchecked(next),
            _ => false,
        };
        listeners.all(|entry| entry.live.is_none()) && clusters.any(is_unfound)
    }

    fn is_unchecked(&self, version: &ClusterVersion) -> bool {
        let assignment = self.assignment(version);
        assignment.is_some_and(|assignment| {
            !version.is_checked(assignment, &self.answers, &self.verdicts)
        })
    }

    fn build_clusters(&mut self, to: &mut [Option<Arc<crate::snapshot::Cluster>>]) {
        for entry in self.clusters.values_mut() {
            let assigned = |version: &ClusterVersion| match &version.compiled.eds {
                Some(name) => self.assignments.get(name).cloned(),
                None => Some((0, version.compiled.assignment.clone().unwrap_or_default())),
            };
            let before = entry.live.as_ref().and_then(|live| live.built.as_ref());
            let before = before.map(|(_, cluster)| Arc::clone(&cluster.endpoints));
            entry.promote(|next| {
                let Some((_, assignment)) = assigned(next) else { return false };
                next.compiled.needs.secrets_there()
                    && next.is_found(&self.answers)
                    && next.is_checked(&assignment, &self.answers, &self.verdicts)
            });
            let Some(live) = &mut entry.live else { continue };
            let (print, assignment) = assigned(live).unwrap_or_default();
            let checked = self.verdicts.print(&live.compiled.cluster.name);
            let print = print ^ live.found(&self.answers) ^ checked;
            let version = &mut self.endpoints_version;
            let cluster = live.build(
                print,
                &assignment,
                (&self.answers, &self.verdicts),
                version,
                before.as_ref(),
            );
            if let Some(slot) = to.get_mut(cluster.id.0 as usize) {
                *slot = Some(cluster);
            }
        }
    }

    /// Forgets routes, endpoints and secrets that nothing refers to any more.
    fn forget(&mut self) {
        let routes = self.route_names();
        self.routes.retain(|name, _| routes.contains(name));
        let clusters = self.clusters.values().flat_map(Entry::versions);
        let endpoints: HashSet<_> =
            clusters.filter_map(|version| version.compiled.eds.clone()).collect();
        self.assignments.retain(|name, _| endpoints.contains(name));
        self.answers.retain(&self.questions());
        self.verdicts.retain(&self.checked_hosts());
        self.secrets.sweep();
        let secrets = &self.secrets;
        self.filled.retain(|(filler, name), _| secrets.has(*filler, name));
    }

    fn route_names(&self) -> BTreeSet<Arc<str>> {
        let listeners = self.listeners.values().flat_map(Entry::versions);
        listeners.flat_map(|version| version.compiled.needs.routes.iter().cloned()).collect()
    }

    fn apply_secrets(
        &mut self,
        origin: Origin,
        change: Change<Secret>,
        refused: &mut Vec<Refused>,
    ) {
        let filler = match origin {
            Origin::File => Filler::File,
            Origin::Control => Filler::Ads,
        };
        for (secret, print) in &change.set {
            let key = (filler, secret.name.clone());
            if self.filled.get(&key) == Some(print) && self.secrets.has(filler, &secret.name) {
                continue;
            }
            let filled =
                named(&secret.name).and_then(|()| self.secrets.fill(&At::root(), filler, secret));
            match filled {
                Ok(()) => drop(self.filled.insert(key, *print)),
                Err(fault) => refused.push(fault.of(Kind::Secret, &secret.name)),
            }
        }
    }

    fn apply_clusters(
        &mut self,
        origin: Origin,
        change: Change<Cluster>,
        refused: &mut Vec<Refused>,
    ) {
        let kept: HashSet<_> = change.set.iter().map(|(one, _)| one.name.as_str()).collect();
        let kept = change.whole.then_some(&kept);
        store::remove(&mut self.clusters, origin, &change.removed, kept);
        let mut seen = HashSet::new();
        for (message, print) in &change.set {
            let name = message.name.as_str();
            let taken = accepts(&self.clusters, origin, name, MAX_CLUSTERS, &mut seen)
                .and_then(|()| self.take_cluster(origin, message, *print));
            refused.extend(taken.err().map(|fault| fault.of(Kind::Cluster, name)));
        }
    }

    fn take_cluster(
        &mut self,
        origin: Origin,
        message: &Cluster,
        print: Fingerprint,
    ) -> Result<(), Fault> {
        let name = message.name.as_str();
        if self.clusters.get_mut(name).is_some_and(|entry| entry.settle(print)) {
            return Ok(());
        }
        let compiled = self.scoped(|scope| cluster::compile(&At::root(), message, scope))?;
        let entry = self.clusters.entry(name.into()).or_insert_with(|| Entry::new(origin));
        entry.next = Some(ClusterVersion { print, compiled, built: None });
        Ok(())
    }

    fn apply_endpoints(
        &mut self,
        change: Change<ClusterLoadAssignment>,
        refused: &mut Vec<Refused>,
    ) {
        for (message, print) in &change.set {
            let name = message.cluster_name.as_str();
            if self.assignments.get(name).is_some_and(|(known, _)| known == print) {
                continue;
            }
            let compiled =
                named(name).and_then(|()| endpoint::compile(&At::root(), message, false));
            match compiled {
                Ok(assignment) => {
                    self.assignments.insert(name.into(), (*print, Arc::new(assignment)));
                }
                Err(fault) => {
                    // As in Envoy the cluster goes on, without hosts, so that what is sent to it
                    // is answered 503 and does not wait for ever.
                    self.assignments.entry(name.into()).or_default();
                    refused.push(fault.of(Kind::Endpoints, name));
                }
            }
        }
    }

    fn apply_routes(&mut self, change: Change<RouteConfiguration>, refused: &mut Vec<Refused>) {
        for (message, print) in &change.set {
            let name = message.name.as_str();
            if self.routes.get(name).is_some_and(|(known, _)| known == print) {
                continue;
            }
            match self.take_routes(message) {
                Ok(table) => drop(self.routes.insert(name.into(), (*print, Arc::new(table)))),
                Err(fault) => {
                    // As in Envoy the listener goes on, without routes: its requests are answered
                    // 404 instead of passing by it to wherever they were going.
                    let empty = || RouteTable { name: name.into(), ..RouteTable::default() };
                    let entry = self.routes.entry(name.into());
                    entry.or_insert_with(|| (0, Arc::new(empty())));
                    refused.push(fault.of(Kind::Routes, name));
                }
            }
        }
    }

    fn take_routes(&mut self, message: &RouteConfiguration) -> Result<RouteTable, Fault> {
        named(&message.name)?;
        At::root().at_most(MAX_ROUTE_TABLES, self.routes.len())?;
        let (table, needs) = self.scoped(|scope| {
            let table = route::compile(&At::root(), message, false, scope)?;
            Ok((table, std::mem::take(&mut scope.needs)))
        })?;
        self.must_exist(&needs)?;
        Ok(table)
    }

    fn must_exist(&self, needs: &Needs) -> Result<(), Fault> {
        match needs.clusters.iter().find(|(_, name)| !self.clusters.contains_key(name)) {
            None => Ok(()),
            Some((field, name)) => Err(Fault {
                field: field.clone(),
                code: Code::Unknown,
                reason: format!("there is no cluster `{name}`"),
            }),
        }
    }

    fn apply_listeners(
        &mut self,
        origin: Origin,
        change: Change<Listener>,
        bind: &mut Binder<'_>,
        refused: &mut Vec<Refused>,
    ) {
        let names: Vec<_> = change.set.iter().map(|(one, _)| listener_name(one)).collect();
        let kept: HashSet<_> = names.iter().map(String::as_str).collect();
        let kept = change.whole.then_some(&kept);
        store::remove(&mut self.listeners, origin, &change.removed, kept);
        let mut seen = HashSet::new();
        for ((message, print), name) in change.set.iter().zip(&names) {
            let taken = accepts(&self.listeners, origin, name, MAX_LISTENERS, &mut seen)
                .and_then(|()| self.take_listener(origin, name, message, *print, bind));
            refused.extend(taken.err().map(|fault| fault.of(Kind::Listener, name)));
        }
    }

    fn take_listener(
        &mut self,
        origin: Origin,
        name: &str,
        message: &Listener,
        print: Fingerprint,
        bind: &mut Binder<'_>,
    ) -> Result<(), Fault> {
        if self.listeners.get_mut(name).is_some_and(|entry| entry.settle(print)) {
            return Ok(());
        }
        let before = self.listeners.get(name).and_then(Entry::newest);
        let mut scope = Scope {
            names: &mut self.names,
            secrets: &mut self.secrets,
            needs: Needs::default(),
            chains: before.map(|version| &version.compiled.chains),
            resolver: &self.resolver,
            service_cluster: &self.service_cluster,
        };
        let compiled = listener::compile(&At::root(), name, message, &mut scope)?;
        self.must_exist(&compiled.needs)?;
        let version = self.bound(name, print, compiled, bind)?;
        let entry = self.listeners.entry(name.into()).or_insert_with(|| Entry::new(origin));
        entry.next = Some(version);
        Ok(())
    }

    /// Gives a listener its sockets: those it has if the address is the same, else new ones.
    fn bound(
        &self,
        name: &str,
        print: Fingerprint,
        compiled: listener::Compiled,
        bind: &mut Binder<'_>,
    ) -> Result<ListenerVersion, Fault> {
        let listener::Compiled { mut listener, options, needs, chains } = compiled;
        let root = At::root();
        let at = root.field("address");
        let asked = listener.address;
        if let Some(other) = self.at_address(name, asked) {
            return Err(at.invalid(format!("the listener `{other}` has the address {asked}")));
        }
        if let Some(options) = options {
            let versions = self.listeners.get(name).into_iter().flat_map(Entry::versions);
            let known = versions.filter_map(|version| version.sockets(asked, options)).next();
            let bound = known.map_or_else(|| bind(asked, &options), Ok).map_err(|error| {
                at.fault(Code::Bind, format!("cannot listen on {asked}: {error}"))
            })?;
            let local = bound.sockets.first().and_then(|socket| socket.local_addr().ok());
            listener.address = local.filter(|_| asked.port() == 0).unwrap_or(asked);
            listener.bound = Some(bound);
        }
        let compiled = ListenerParts { needs, chains };
        Ok(ListenerVersion { print, options, compiled, listener: Arc::new(listener), asked })
    }

    /// Another listener that has that address, in force or waiting.
    fn at_address(&self, name: &str, address: SocketAddr) -> Option<&Arc<str>> {
        if address.port() == 0 {
            return None;
        }
        let others = self.listeners.iter().filter(|(other, _)| &***other != name);
        let mut same = others
            .filter(|(_, entry)| entry.newest().is_some_and(|version| version.asked == address));
        same.next().map(|(other, _)| other)
    }
}

fn is_warm(needs: &Needs, routes: &HashMap<Arc<str>, (Fingerprint, Arc<RouteTable>)>) -> bool {
    needs.secrets_there() && needs.routes.iter().all(|name| routes.contains_key(name))
}

/// A listener without a name goes by its address, as a static one may.
fn listener_name(listener: &Listener) -> String {
    if !listener.name.is_empty() {
        return listener.name.clone();
    }
    let root = At::root();
    let at = root.field("address");
    super::value::socket(&at, &listener.address).map_or(String::new(), |a| a.to_string())
}

fn named(name: &str) -> Result<(), Fault> {
    let root = At::root();
    let at = root.field("name");
    match name.len() {
        0 => Err(at.missing("a resource has to be named")),
        length => at.at_most(MAX_NAME, length),
    }
}

/// The name may be set by that origin, and once in an update.
fn accepts<'n, V: Version>(
    entries: &Entries<V>,
    origin: Origin,
    name: &'n str,
    most: usize,
    seen: &mut HashSet<&'n str>,
) -> Result<(), Fault> {
    named(name)?;
    let root = At::root();
    let at = root.field("name");
    if !seen.insert(name) {
        return Err(at.invalid("the name is there twice"));
    }
    match entries.get(name) {
        Some(entry) if entry.origin != origin => {
            Err(at.invalid("it stands in the bootstrap file and is not changed from outside"))
        }
        Some(_) => Ok(()),
        None => root.at_most(most, entries.len() + 1),
    }
}
