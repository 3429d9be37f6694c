//! Secrets and the slots that they fill.

use std::collections::HashMap;
use std::sync::Arc;

use api::envoy::core::DataSource;
use api::envoy::tls::{
    CertificateValidationContext, SdsSecretConfig, Secret, TlsCertificate, secret,
};
use tls::{Identity, Slot, Trust};

use super::at::{At, Fault, decide};
use super::source::{self, Source};
use super::value;
use crate::limits::MAX_SECRETS;
use crate::refused::Code;

/// Who fills a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Filler {
    /// The agent, with the workload's own identity (config source: the cluster `sds-grpc`).
    Agent,
    /// The control plane, over ADS.
    Ads,
    /// The bootstrap file's `static_resources.secrets`.
    File,
}

type Key = (Filler, Arc<str>);

/// All named slots. Contexts hold the same slots, so that filling one here rotates it there.
#[derive(Debug)]
pub struct Secrets {
    identities: HashMap<Key, Arc<Slot<Identity>>>,
    trusts: HashMap<Key, Arc<Slot<Trust>>>,
}

impl Default for Secrets {
    /// With the agent's two slots, still empty.
    fn default() -> Self {
        let mut secrets = Self { identities: HashMap::new(), trusts: HashMap::new() };
        secrets.identity(Filler::Agent, api::names::SDS_IDENTITY);
        secrets.trust(Filler::Agent, api::names::SDS_ROOTS);
        secrets
    }
}

impl Secrets {
    /// The slot of a certificate with its key; made if it is new.
    pub fn identity(&mut self, filler: Filler, name: &str) -> Arc<Slot<Identity>> {
        let slot = self.identities.entry((filler, name.into()));
        Arc::clone(slot.or_insert_with(|| Arc::new(Slot::empty(name))))
    }

    /// The slot of a set of roots; made if it is new.
    pub fn trust(&mut self, filler: Filler, name: &str) -> Arc<Slot<Trust>> {
        let slot = self.trusts.entry((filler, name.into()));
        Arc::clone(slot.or_insert_with(|| Arc::new(Slot::empty(name))))
    }

    /// The names that the control plane has to fill, sorted.
    pub(crate) fn needed(&self) -> Vec<Arc<str>> {
        let held = |count: usize, filler: Filler| count > 1 && filler == Filler::Ads;
        let identities = self.identities.iter();
        let identities = identities.filter(|((f, _), slot)| held(Arc::strong_count(slot), *f));
        let trusts = self.trusts.iter();
        let trusts = trusts.filter(|((f, _), slot)| held(Arc::strong_count(slot), *f));
        let names = identities.map(|(key, _)| key).chain(trusts.map(|(key, _)| key));
        let mut names: Vec<_> = names.map(|(_, name)| Arc::clone(name)).collect();
        names.sort_unstable();
        names.dedup();
        names
    }

    /// There is a slot of that name, for whichever kind.
    pub(crate) fn has(&self, filler: Filler, name: &str) -> bool {
        let key = (filler, name.into());
        self.identities.contains_key(&key) || self.trusts.contains_key(&key)
    }

    /// Forgets the slots of ADS that no context holds any more.
    pub(crate) fn sweep(&mut self) {
        self.identities.retain(|(f, _), slot| *f != Filler::Ads || Arc::strong_count(slot) > 1);
        self.trusts.retain(|(f, _), slot| *f != Filler::Ads || Arc::strong_count(slot) > 1);
    }

    /// Takes a secret into its slot.
    pub(crate) fn fill(
        &mut self,
        at: &At<'_>,
        filler: Filler,
        message: &Secret,
    ) -> Result<(), Fault> {
        decide!(at, message => Secret {
            used: name, r#type;
        });
        at.at_most(MAX_SECRETS, self.identities.len() + self.trusts.len())?;
        match r#type {
            Some(secret::Type::TlsCertificate(certificate)) => {
                let identity = identity(&at.field("tls_certificate"), certificate)?;
                self.identity(filler, name).set(Arc::new(identity));
            }
            Some(secret::Type::ValidationContext(context)) => {
                let at = at.field("validation_context");
                if !context.match_typed_subject_alt_names.is_empty() {
                    let at = at.field("match_typed_subject_alt_names");
                    return Err(at.unsupported("names stand in the TLS context, not in the secret"));
                }
                let trust = trust(&at, context)?;
                let trust = trust.ok_or_else(|| at.missing("`trusted_ca` has to be given"))?;
                self.trust(filler, name).set(Arc::new(trust));
            }
            Some(secret::Type::SessionTicketKeys(_)) => {
                return Err(at.field("session_ticket_keys").unsupported("not supported"));
            }
            Some(secret::Type::GenericSecret(_)) => {
                return Err(at.field("generic_secret").unsupported("not supported"));
            }
            None => return Err(at.missing("the secret is empty")),
        }
        Ok(())
    }

    /// The slot that an `SdsSecretConfig` for a certificate means.
    pub(crate) fn identity_of(
        &mut self,
        at: &At<'_>,
        config: &SdsSecretConfig,
    ) -> Result<Arc<Slot<Identity>>, Fault> {
        let filler = filler(at, config)?;
        self.known(at, filler, &config.name, |all, key| all.identities.contains_key(key))?;
        Ok(self.identity(filler, &config.name))
    }

    /// The slot that an `SdsSecretConfig` for roots means.
    pub(crate) fn trust_of(
        &mut self,
        at: &At<'_>,
        config: &SdsSecretConfig,
    ) -> Result<Arc<Slot<Trust>>, Fault> {
        let filler = filler(at, config)?;
        self.known(at, filler, &config.name, |all, key| all.trusts.contains_key(key))?;
        Ok(self.trust(filler, &config.name))
    }

    /// Only ADS can bring a secret that nobody knows yet.
    fn known(
        &self,
        at: &At<'_>,
        filler: Filler,
        name: &str,
        is_known: fn(&Self, &Key) -> bool,
    ) -> Result<(), Fault> {
        let at = at.field("name");
        if name.is_empty() {
            return Err(at.missing("a secret has to be named"));
        }
        let place = match filler {
            Filler::Ads => return Ok(()),
            _ if is_known(self, &(filler, name.into())) => return Ok(()),
            Filler::Agent => "in the workload's own identity",
            Filler::File => "in static_resources.secrets",
        };
        Err(at.fault(Code::Unknown, format!("there is no secret `{name}` of this kind {place}")))
    }
}

fn filler(at: &At<'_>, config: &SdsSecretConfig) -> Result<Filler, Fault> {
    let SdsSecretConfig { name: _, sds_config } = config;
    let Some(config) = sds_config else { return Ok(Filler::File) };
    let at = at.field("sds_config");
    match source::source(&at, config)? {
        Source::Ads => Ok(Filler::Ads),
        Source::Grpc(cluster) if cluster == api::names::SDS_CLUSTER => Ok(Filler::Agent),
        Source::Grpc(cluster) => Err(at.unsupported(format!(
            "secrets come over ADS or from `{}`, not from the cluster `{cluster}`",
            api::names::SDS_CLUSTER
        ))),
    }
}

/// A certificate with its key.
pub(crate) fn identity(at: &At<'_>, message: &TlsCertificate) -> Result<Identity, Fault> {
    decide!(at, message => TlsCertificate {
        used: certificate_chain, private_key;
        refused: pkcs12, watched_directory, private_key_provider, password, ocsp_staple,
            signed_certificate_timestamp, tls_params;
    });
    let chain = content(&at.field("certificate_chain"), certificate_chain)?;
    let key = content(&at.field("private_key"), private_key)?;
    Identity::from_pem(&chain, &key).map_err(|error| at.fault(Code::Secret, error.detail))
}

/// The roots of a validation context, if it has any.
pub(crate) fn trust(
    at: &At<'_>,
    message: &CertificateValidationContext,
) -> Result<Option<Trust>, Fault> {
    decide!(at, message => CertificateValidationContext {
        used: trusted_ca;
        used_elsewhere: match_typed_subject_alt_names, match_subject_alt_names;
        refused: ca_certificate_provider_instance, system_root_certs, watched_directory,
            verify_certificate_spki, verify_certificate_hash, crl, max_verify_depth,
            allow_expired_certificate, trust_chain_verification, custom_validator_config,
            only_verify_leaf_cert_crl;
        refused_if_true: require_signed_certificate_timestamp;
        without_effect: suppress_client_ca_list;
    });
    let at = at.field("trusted_ca");
    let Some(source) = trusted_ca else { return Ok(None) };
    let bundle = value::data(&at, source)?;
    Trust::from_pem(&bundle).map(Some).map_err(|error| at.fault(Code::Secret, error.detail))
}

fn content(at: &At<'_>, source: &Option<DataSource>) -> Result<Vec<u8>, Fault> {
    match source {
        Some(source) => value::data(at, source),
        None => Err(at.missing("it has to be given")),
    }
}
