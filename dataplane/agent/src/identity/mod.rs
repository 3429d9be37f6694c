//! Where the workload's own certificate and the roots of the mesh come from, and their renewal.

mod authority;
mod files;
mod request;
mod schedule;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tls::{Identity, Slot, Trust};
use tokio::sync::{Notify, watch};

use crate::backoff::{Backoff, chance};
use crate::error::AgentError;
use crate::target::{Rotation, Target};

pub use authority::fetch;
pub use files::read_files;
pub use request::{Signing, signing_request};
pub use schedule::renewal;

/// How often identity files are looked at. Kubernetes replaces mounted secrets within about a
/// minute, so this adds little.
const FILES_INTERVAL: Duration = Duration::from_secs(5);

/// Where the identity comes from.
#[derive(Clone, Debug)]
pub enum Source {
    /// `istio.v1.auth.IstioCertificateService` signs a request with a fresh key.
    Authority {
        /// The certificate authority.
        target: Target,
        /// The SPIFFE id to ask for. The authority decides by the token, not by this.
        spiffe_id: String,
        /// The lifetime to ask for (Istio: 24 h).
        lifetime: Duration,
        /// The first wait before a new try after a failure.
        retry_first: Duration,
    },
    /// Somebody else writes files.
    Files {
        /// The chain in PEM, the leaf first.
        chain: PathBuf,
        /// The key in PEM.
        key: PathBuf,
        /// The roots in PEM.
        root: PathBuf,
    },
}

/// The slots that are filled: SDS names `default` and `ROOTCA`.
#[derive(Clone, Debug)]
pub struct Secrets {
    /// The workload's own certificate and key.
    pub identity: Arc<Slot<Identity>>,
    /// The roots that peers are verified with.
    pub roots: Arc<Slot<Trust>>,
    /// Told after each change: something may wait for a secret.
    pub changed: Arc<Notify>,
}

/// One certificate with its key, and the roots that came with it.
#[derive(Clone, Debug)]
pub struct Issued {
    /// The chain and the key.
    pub identity: Arc<Identity>,
    /// The roots.
    pub roots: Arc<Trust>,
}

impl Secrets {
    /// Two empty slots.
    pub fn empty() -> Self {
        Self {
            identity: Arc::new(Slot::empty(api::names::SDS_IDENTITY)),
            roots: Arc::new(Slot::empty(api::names::SDS_ROOTS)),
            changed: Arc::default(),
        }
    }

    /// The identity follows the roots, so that no handshake shows a new one while believing only
    /// old roots. Roots that have not changed stay, and with them the sessions under them.
    fn fill(&self, issued: &Issued) {
        let old = self.roots.get();
        if old.is_none_or(|old| old.certificates() != issued.roots.certificates()) {
            self.roots.set(issued.roots.clone());
        }
        self.identity.set(issued.identity.clone());
        self.changed.notify_one();
    }
}

/// Keeps the slots filled until `stop` becomes true.
pub async fn run(source: Source, secrets: Secrets, mut stop: watch::Receiver<bool>) {
    let keep = async {
        match source {
            Source::Authority { target, spiffe_id, lifetime, retry_first } => {
                let most = Duration::from_secs(30).max(retry_first);
                let mut backoff = Backoff::new(retry_first, most);
                let mut rotation = Rotation::default();
                loop {
                    let issued = fetch(&target, &mut rotation, &spiffe_id, lifetime).await;
                    if issued.is_err() {
                        rotation.advance();
                    }
                    let wait = settle(issued, &secrets, &mut backoff);
                    tokio::time::sleep(wait).await;
                }
            }
            Source::Files { chain, key, root } => {
                let mut last = None;
                loop {
                    files::follow(&chain, &key, &root, &secrets, &mut last).await;
                    tokio::time::sleep(FILES_INTERVAL).await;
                }
            }
        }
    };
    tokio::select! {
        _ = stop.wait_for(|stop| *stop) => {}
        () = keep => {}
    }
}

/// Takes over what was issued, or says what it means that nothing was. Returns the wait.
fn settle(
    issued: Result<Issued, AgentError>,
    secrets: &Secrets,
    backoff: &mut Backoff,
) -> Duration {
    match issued {
        Ok(issued) => {
            backoff.reset();
            secrets.fill(&issued);
            let (from, until) = (issued.identity.not_before(), issued.identity.not_after());
            let wait = renewal(from, until, SystemTime::now(), chance());
            let id = issued.identity.spiffe_id().unwrap_or("none");
            tracing::info!(id, renewal_in_s = wait.as_secs(), "a certificate was issued");
            wait
        }
        Err(error) => {
            let wait = backoff.wait();
            tracing::warn!(
                place = %error.place, code = error.code, reason = %error.reason, ?wait,
                "no certificate was issued; {}", time_left(secrets)
            );
            wait
        }
    }
}

/// How long the present certificate still serves, in words.
fn time_left(secrets: &Secrets) -> String {
    let Some(identity) = secrets.identity.get() else {
        return "there is none yet, so no mutual TLS is possible".to_owned();
    };
    match identity.not_after().duration_since(SystemTime::now()) {
        Ok(left) => format!("the present one is valid for {} s more", left.as_secs()),
        Err(since) => format!(
            "the present one expired {} s ago, so peers refuse us",
            since.duration().as_secs()
        ),
    }
}

#[cfg(test)]
mod tests;
