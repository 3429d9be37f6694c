//! Secrets for workloads that have no agent to make their own: key, certificate and roots.
//!
//! The key is made here and leaves only over TLS to a caller that has shown the identity it is
//! for. A certificate is renewed at half of its life; the stream that serves it pushes the new one.

use std::collections::HashMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use api::names::{SDS_IDENTITY, SDS_ROOTS, SpiffeId};
use envoy_types::pb::envoy::config::core::v3::DataSource;
use envoy_types::pb::envoy::config::core::v3::data_source::Specifier;
use envoy_types::pb::envoy::extensions::transport_sockets::tls::v3::secret::Type;
use envoy_types::pb::envoy::extensions::transport_sockets::tls::v3::{
    CertificateValidationContext, Secret, TlsCertificate,
};
use prost::Message;
use tracing::{error, info};

use crate::ads::{Catalogue, Kind, Names, Resource};
use crate::ca::Authority;
use crate::push::Counters;

/// The most workloads whose certificates are kept; beyond it, the one nearest to its end goes.
pub const CACHE_MAX: usize = 16_384;
/// After a failure to issue, how long until the next try.
const RETRY: Duration = Duration::from_secs(10);

/// Issues secrets and keeps them until they are due for renewal, so that a client that reconnects
/// gets the one that it has.
#[derive(Debug)]
pub struct SecretIssuer {
    authority: Arc<Authority>,
    counters: Arc<Counters>,
    ttl: Duration,
    roots: Arc<Resource>,
    cache: Mutex<HashMap<(SpiffeId, String), Entry>>,
}

#[derive(Clone, Debug)]
struct Entry {
    resource: Arc<Resource>,
    renewal: Instant,
}

/// The secrets of one workload: what its stream serves.
#[derive(Debug)]
pub struct WorkloadSecrets {
    issuer: Arc<SecretIssuer>,
    key: (SpiffeId, String),
    /// When what this stream was given last is due.
    renewal: Mutex<Option<Instant>>,
}

impl SecretIssuer {
    /// Certificates live for `ttl`.
    pub fn new(authority: Arc<Authority>, counters: Arc<Counters>, ttl: Duration) -> Arc<Self> {
        let roots = Arc::new(encode(SDS_ROOTS, roots(authority.root_pem())));
        Arc::new(Self { authority, counters, ttl, roots, cache: Mutex::default() })
    }

    /// The secrets of the workload `identity` at the proxy `node_id`.
    pub fn for_workload(self: &Arc<Self>, identity: SpiffeId, node_id: &str) -> WorkloadSecrets {
        let key = (identity, node_id.to_owned());
        WorkloadSecrets { issuer: Arc::clone(self), key, renewal: Mutex::default() }
    }

    fn identity(&self, key: &(SpiffeId, String), now: Instant) -> Option<Entry> {
        if let Some(entry) = lock(&self.cache).get(key).filter(|entry| now < entry.renewal) {
            return Some(entry.clone());
        }
        let made = self.authority.issue(&key.0, SystemTime::now(), self.ttl);
        let (issued, private_key) = match made {
            Ok(made) => made,
            Err(error) => {
                error!(identity = %key.0, %error, "no certificate for a workload; trying again");
                let last = lock(&self.cache).get(key).cloned();
                return last.map(|entry| Entry { renewal: now + RETRY, ..entry });
            }
        };
        self.counters.certificates.fetch_add(1, Ordering::Relaxed);
        info!(identity = %key.0, node = key.1, "certificate issued over SDS");
        let secret = certificate(&issued.certificate_pem, &private_key);
        let left = issued.not_after.duration_since(SystemTime::now()).unwrap_or_default();
        let entry =
            Entry { resource: Arc::new(encode(SDS_IDENTITY, secret)), renewal: now + left / 2 };
        self.keep(key, entry.clone(), now);
        Some(entry)
    }

    fn keep(&self, key: &(SpiffeId, String), entry: Entry, now: Instant) {
        let mut cache = lock(&self.cache);
        if cache.len() >= CACHE_MAX {
            cache.retain(|_, entry| now < entry.renewal);
        }
        if cache.len() >= CACHE_MAX {
            let oldest = cache.iter().min_by_key(|(_, entry)| entry.renewal);
            if let Some(oldest) = oldest.map(|(key, _)| key.clone()) {
                cache.remove(&oldest);
            }
        }
        cache.insert(key.clone(), entry);
    }
}

impl WorkloadSecrets {
    /// When the stream has to ask again; `None` before it has been given a certificate.
    pub fn renewal(&self) -> Option<Instant> {
        *lock(&self.renewal)
    }

    /// The renewal is being done; asking for the certificate sets the next one.
    pub fn disarm(&self) {
        *lock(&self.renewal) = None;
    }

    fn one(&self, name: &str) -> Option<Arc<Resource>> {
        if name == SDS_ROOTS {
            return Some(Arc::clone(&self.issuer.roots));
        }
        if name != SDS_IDENTITY {
            return None;
        }
        let now = Instant::now();
        let entry = self.issuer.identity(&self.key, now);
        let due = entry.as_ref().map_or(now + RETRY, |entry| entry.renewal);
        *lock(&self.renewal) = Some(due);
        entry.map(|entry| entry.resource)
    }
}

impl Catalogue for WorkloadSecrets {
    fn resources(&self, kind: Kind, names: &Names) -> Vec<Arc<Resource>> {
        if kind != Kind::Secret {
            return Vec::new();
        }
        names.listed.iter().filter_map(|name| self.one(name)).collect()
    }
}

fn encode(name: &str, content: Type) -> Resource {
    let secret = Secret { name: name.to_owned(), r#type: Some(content) };
    Resource::new(Kind::Secret, name, secret.encode_to_vec())
}

fn certificate(chain_pem: &str, key_pem: &str) -> Type {
    Type::TlsCertificate(TlsCertificate {
        certificate_chain: inline(chain_pem),
        private_key: inline(key_pem),
        ..Default::default()
    })
}

fn roots(pem: &str) -> Type {
    Type::ValidationContext(CertificateValidationContext {
        trusted_ca: inline(pem),
        ..Default::default()
    })
}

fn inline(pem: &str) -> Option<DataSource> {
    let specifier = Some(Specifier::InlineBytes(pem.as_bytes().to_vec()));
    Some(DataSource { specifier, ..Default::default() })
}

/// Each change under these locks is complete in itself, so a panic elsewhere does not spoil them.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
