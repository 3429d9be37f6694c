//! A resource ready to be sent, its version, and where a stream gets them from.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use aws_lc_rs::digest::{Context, SHA256};
use envoy_types::pb::google::protobuf::Any;

use super::Kind;

/// One encoded resource. Its version is a hash of its bytes, so equal bytes are never sent twice.
#[derive(Clone, Debug, PartialEq)]
pub struct Resource {
    /// The name under which clients subscribe to it.
    pub name: Arc<str>,
    /// 128 bits of SHA-256 over the encoded body, as hexadecimal text.
    pub version: Arc<str>,
    /// The body as it goes on the wire.
    pub body: Any,
}

impl Resource {
    /// Wraps the encoded bytes of one resource of `kind`.
    pub fn new(kind: Kind, name: impl Into<Arc<str>>, value: Vec<u8>) -> Self {
        let mut hash = Context::new(&SHA256);
        hash.update(&value);
        let body = Any { type_url: kind.type_url().to_owned(), value };
        Self { name: name.into(), version: hex16(hash), body }
    }
}

/// What a client asked for of one type.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Names {
    /// Everything that there is for this client.
    pub wildcard: bool,
    /// These names, besides.
    pub listed: BTreeSet<String>,
}

impl Names {
    /// Everything.
    pub fn all() -> Self {
        Self { wildcard: true, listed: BTreeSet::new() }
    }

    /// Exactly these names.
    pub fn listed<S: Into<String>>(names: impl IntoIterator<Item = S>) -> Self {
        Self { wildcard: false, listed: names.into_iter().map(Into::into).collect() }
    }

    /// Whether nothing at all is asked for.
    pub fn is_empty(&self) -> bool {
        !self.wildcard && self.listed.is_empty()
    }
}

/// Everything that one client may have at one moment.
pub trait Catalogue: Send + Sync {
    /// The resources of `kind` under `names`; a name that does not exist is left out.
    fn resources(&self, kind: Kind, names: &Names) -> Vec<Arc<Resource>>;
}

/// Names with the version of each: what was sent to a client, or is to be sent.
pub type VersionMap = BTreeMap<Arc<str>, Arc<str>>;

/// One version for a whole set of resources; it changes when any of them does.
pub fn set_version<'a>(entries: impl IntoIterator<Item = (&'a str, &'a str)>) -> Arc<str> {
    let mut hash = Context::new(&SHA256);
    for (name, version) in entries {
        hash.update(&(name.len() as u64).to_be_bytes());
        hash.update(name.as_bytes());
        hash.update(&(version.len() as u64).to_be_bytes());
        hash.update(version.as_bytes());
    }
    hex16(hash)
}

fn hex16(hash: Context) -> Arc<str> {
    let digest = hash.finish();
    digest.as_ref().iter().take(16).map(|byte| format!("{byte:02x}")).collect::<String>().into()
}
