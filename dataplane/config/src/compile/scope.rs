//! What the compilation of one resource shares with the rest: interned names, secret slots, and the
//! list of what the resource needs before it can be used.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use tls::{Identity, Slot, Trust};

use super::at::{At, Fault};
use super::secret::Secrets;
use crate::dns::Resolver;
use crate::limits::MAX_CLUSTER_NAMES;
use crate::refused::Code;
use crate::snapshot::{ClusterId, FilterChain, LogCollector};

/// 128 bits over the bytes of a message.
pub(crate) type Fingerprint = u128;

/// See the module.
pub(crate) struct Scope<'c> {
    pub(crate) names: &'c mut Interner,
    pub(crate) secrets: &'c mut Secrets,
    pub(crate) needs: Needs,
    /// The chains of the version before, to be shared where they have not changed.
    pub(crate) chains: Option<&'c HashMap<Fingerprint, KnownChain>>,
    /// What looks up names where a cluster does not say.
    pub(crate) resolver: &'c Arc<Resolver>,
    /// What the proxy's own service is called.
    pub(crate) service_cluster: &'c Arc<str>,
}

/// A compiled chain and what it needs.
#[derive(Clone, Debug)]
pub(crate) struct KnownChain {
    pub(crate) chain: Arc<FilterChain>,
    pub(crate) needs: Needs,
}

/// What a resource waits for.
#[derive(Clone, Debug, Default)]
pub(crate) struct Needs {
    /// Route configurations by name.
    pub(crate) routes: Vec<Arc<str>>,
    /// Its own certificates.
    pub(crate) identities: Vec<Arc<Slot<Identity>>>,
    /// Roots.
    pub(crate) trusts: Vec<Arc<Slot<Trust>>>,
    /// Clusters that have to exist (`validate_clusters`), with the field that names them.
    pub(crate) clusters: Vec<(String, Arc<str>)>,
}

impl Needs {
    pub(crate) fn extend(&mut self, other: &Self) {
        self.routes.extend(other.routes.iter().cloned());
        self.identities.extend(other.identities.iter().cloned());
        self.trusts.extend(other.trusts.iter().cloned());
        self.clusters.extend(other.clusters.iter().cloned());
    }

    /// The first secret that is not there yet.
    pub(crate) fn secrets_there(&self) -> bool {
        self.identities.iter().all(|slot| slot.is_filled())
            && self.trusts.iter().all(|slot| slot.is_filled())
    }
}

/// Cluster names to ids. A name keeps its id while the process lives.
#[derive(Debug, Default)]
pub(crate) struct Interner {
    ids: HashMap<Arc<str>, ClusterId>,
    collectors: HashSet<Arc<LogCollector>>,
}

impl Interner {
    /// The id of a name, old or new.
    pub(crate) fn id(&mut self, at: &At<'_>, name: &str) -> Result<(Arc<str>, ClusterId), Fault> {
        if name.is_empty() {
            return Err(at.missing("a cluster has to be named"));
        }
        if let Some((name, id)) = self.ids.get_key_value(name) {
            return Ok((Arc::clone(name), *id));
        }
        let next = self.ids.len();
        let id = u32::try_from(next).ok().filter(|_| next < MAX_CLUSTER_NAMES).map(ClusterId);
        let Some(id) = id else {
            let reason = format!("more than {MAX_CLUSTER_NAMES} cluster names since the start");
            return Err(at.fault(Code::Limit, reason));
        };
        let name: Arc<str> = name.into();
        self.ids.insert(Arc::clone(&name), id);
        Ok((name, id))
    }

    /// The id of a name that is known.
    pub(crate) fn known(&self, name: &str) -> Option<ClusterId> {
        self.ids.get(name).copied()
    }

    /// The object that stands for such a collector: as a rule all listeners log to the same one.
    pub(crate) fn collector(&mut self, collector: LogCollector) -> Arc<LogCollector> {
        if let Some(known) = self.collectors.get(&collector) {
            return Arc::clone(known);
        }
        self.collectors.retain(|known| Arc::strong_count(known) > 1);
        let new = Arc::new(collector);
        self.collectors.insert(Arc::clone(&new));
        new
    }

    /// How many ids there are.
    pub(crate) fn len(&self) -> usize {
        self.ids.len()
    }
}

/// Two seeds make accidental equality as good as impossible.
pub(crate) fn fingerprint(bytes: &[u8]) -> Fingerprint {
    let half = |seed| u128::from(xxhash_rust::xxh64::xxh64(bytes, seed));
    half(0) << 64 | half(0x5269_6e67_7761_7901)
}
