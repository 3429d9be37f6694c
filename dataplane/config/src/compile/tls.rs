//! `DownstreamTlsContext` and `UpstreamTlsContext`.

use std::sync::Arc;

use api::envoy::matcher::{StringMatcher, string_matcher::MatchPattern};
use api::envoy::tls::common_tls_context::{
    CombinedCertificateValidationContext, ValidationContextType,
};
use api::envoy::tls::subject_alt_name_matcher::SanType;
use api::envoy::tls::tls_parameters::TlsProtocol;
use api::envoy::tls::{
    CertificateValidationContext, CommonTlsContext, DownstreamTlsContext, SubjectAltNameMatcher,
    TlsParameters, UpstreamTlsContext, downstream_tls_context::SessionTicketKeysType,
};
use tls::{
    ClientContext, ClientSpec, Identity, Parameters, SanKind, SanMatch, SanPattern, ServerContext,
    ServerSpec, Slot, TlsError, Trust, Version, Versions,
};

use super::at::{At, Fault, decide};
use super::scope::Scope;
use super::{matcher, secret, value};
use crate::refused::Code;

/// A listener's side. `only_http1`: the chain speaks nothing else, so `h2` is not offered.
pub(crate) fn server(
    at: &At<'_>,
    context: &DownstreamTlsContext,
    only_http1: bool,
    scope: &mut Scope<'_>,
) -> Result<Arc<ServerContext>, Fault> {
    decide!(at, context => DownstreamTlsContext {
        used: common_tls_context, require_client_certificate, session_ticket_keys_type;
        refused: session_timeout, ocsp_staple_policy, prefer_client_ciphers;
        refused_if_true: require_sni;
        // Sessions are never kept here; their tickets are not meant by it.
        without_effect: full_scan_certs_on_sni_mismatch, disable_stateful_session_resumption;
    });
    let stateless = stateless_resumption(at, session_ticket_keys_type)?;
    let place = at.field("common_tls_context");
    let mut common = common(&place, common_tls_context, scope)?;
    common.parameters.resumption = stateless;
    if only_http1 {
        common.alpn.retain(|protocol| protocol != b"h2");
    }
    let identity = common.identity.ok_or_else(|| {
        place.missing("a server needs a certificate: tls_certificates or their SDS configs")
    })?;
    let spec = ServerSpec {
        identity,
        trust: common.trust,
        require_client_certificate: value::bool_or(require_client_certificate, false),
        san: common.san,
        alpn: common.alpn,
        parameters: common.parameters,
    };
    ServerContext::new(spec).map(Arc::new).map_err(|error| refused(at, error))
}

/// A cluster's side.
pub(crate) fn client(
    at: &At<'_>,
    context: &UpstreamTlsContext,
    scope: &mut Scope<'_>,
) -> Result<Arc<ClientContext>, Fault> {
    let spec = client_spec(at, context, scope)?;
    ClientContext::new(spec).map(Arc::new).map_err(|error| refused(at, error))
}

/// A cluster's side before it is built, for those who speak TLS by other means.
pub(crate) fn client_spec(
    at: &At<'_>,
    context: &UpstreamTlsContext,
    scope: &mut Scope<'_>,
) -> Result<ClientSpec, Fault> {
    decide!(at, context => UpstreamTlsContext {
        used: common_tls_context, sni, max_session_keys;
        refused: auto_host_sni, auto_sni_san_validation, allow_renegotiation;
        without_effect: enforce_rsa_key_usage;
    });
    let mut common = common(&at.field("common_tls_context"), common_tls_context, scope)?;
    common.parameters.resumption = value::u32_or(max_session_keys, 1) > 0;
    Ok(ClientSpec {
        identity: common.identity,
        trust: common.trust,
        san: common.san,
        sni: Some(sni.clone()).filter(|sni| !sni.is_empty()),
        alpn: common.alpn,
        parameters: common.parameters,
    })
}

fn refused(at: &At<'_>, error: TlsError) -> Fault {
    at.invalid(error.detail)
}

fn stateless_resumption(at: &At<'_>, keys: &Option<SessionTicketKeysType>) -> Result<bool, Fault> {
    match keys {
        None => Ok(true),
        Some(SessionTicketKeysType::DisableStatelessSessionResumption(off)) => Ok(!off),
        Some(_) => {
            Err(at.field("session_ticket_keys").unsupported("shared keys are not supported"))
        }
    }
}

struct Common {
    identity: Option<Arc<Slot<Identity>>>,
    trust: Option<Arc<Slot<Trust>>>,
    san: Vec<SanMatch>,
    alpn: Vec<Vec<u8>>,
    parameters: Parameters,
}

fn common(
    at: &At<'_>,
    context: &Option<CommonTlsContext>,
    scope: &mut Scope<'_>,
) -> Result<Common, Fault> {
    let Some(context) = context else { return Err(at.missing("it has to be given")) };
    decide!(at, context => CommonTlsContext {
        used: tls_params, tls_certificates, tls_certificate_sds_secret_configs, alpn_protocols,
            validation_context_type;
        refused: tls_certificate_provider_instance, custom_tls_certificate_selector,
            tls_certificate_certificate_provider, tls_certificate_certificate_provider_instance,
            custom_handshaker, key_log;
    });
    let identity =
        match (tls_certificates.as_slice(), tls_certificate_sds_secret_configs.as_slice()) {
            ([], []) => None,
            ([certificate], []) => {
                let at = at.field("tls_certificates");
                let identity = secret::identity(&at.item(0), certificate)?;
                Some(Arc::new(Slot::filled("inline", Arc::new(identity))))
            }
            ([], [config]) => {
                let at = at.field("tls_certificate_sds_secret_configs");
                Some(scope.secrets.identity_of(&at.item(0), config)?)
            }
            _ => return Err(at.unsupported("more than one certificate is not supported")),
        };
    let (trust, san) = validation(at, validation_context_type.as_ref(), scope)?;
    scope.needs.identities.extend(identity.clone());
    scope.needs.trusts.extend(trust.clone());
    Ok(Common {
        identity,
        trust,
        san,
        alpn: alpn_protocols.iter().map(|protocol| protocol.clone().into_bytes()).collect(),
        parameters: parameters(&at.field("tls_params"), tls_params)?,
    })
}

type Validation = (Option<Arc<Slot<Trust>>>, Vec<SanMatch>);

fn validation(
    at: &At<'_>,
    context: Option<&ValidationContextType>,
    scope: &mut Scope<'_>,
) -> Result<Validation, Fault> {
    #[allow(deprecated)]
    match context {
        None => Ok((None, Vec::new())),
        Some(ValidationContextType::ValidationContext(context)) => {
            inline(&at.field("validation_context"), context)
        }
        Some(ValidationContextType::ValidationContextSdsSecretConfig(config)) => {
            let at = at.field("validation_context_sds_secret_config");
            Ok((Some(scope.secrets.trust_of(&at, config)?), Vec::new()))
        }
        Some(ValidationContextType::CombinedValidationContext(context)) => {
            combined(&at.field("combined_validation_context"), context, scope)
        }
        Some(
            ValidationContextType::ValidationContextCertificateProvider(_)
            | ValidationContextType::ValidationContextCertificateProviderInstance(_),
        ) => Err(at.unsupported("certificate providers are not supported")),
    }
}

fn inline(at: &At<'_>, context: &CertificateValidationContext) -> Result<Validation, Fault> {
    let trust = secret::trust(at, context)?;
    let san = names(at, context)?;
    if trust.is_none() && !san.is_empty() {
        return Err(at.missing("names are checked only together with `trusted_ca`"));
    }
    Ok((trust.map(|trust| Arc::new(Slot::filled("inline", Arc::new(trust)))), san))
}

fn combined(
    at: &At<'_>,
    context: &CombinedCertificateValidationContext,
    scope: &mut Scope<'_>,
) -> Result<Validation, Fault> {
    decide!(at, context => CombinedCertificateValidationContext {
        used: default_validation_context, validation_context_sds_secret_config;
        refused: validation_context_certificate_provider,
            validation_context_certificate_provider_instance;
    });
    let mut san = Vec::new();
    if let Some(default) = default_validation_context {
        let at = at.field("default_validation_context");
        san = names(&at, default)?;
        // What the secret brings replaces it, so that only the rest of the message is looked at.
        secret::trust(&at, default)?;
    }
    let at = at.field("validation_context_sds_secret_config");
    let Some(config) = validation_context_sds_secret_config else {
        return Err(at.missing("it has to be given"));
    };
    Ok((Some(scope.secrets.trust_of(&at, config)?), san))
}

#[allow(deprecated)]
fn names(at: &At<'_>, context: &CertificateValidationContext) -> Result<Vec<SanMatch>, Fault> {
    let mut names = Vec::new();
    let place = at.field("match_typed_subject_alt_names");
    for (index, name) in context.match_typed_subject_alt_names.iter().enumerate() {
        names.push(typed_name(&place.item(index), name)?);
    }
    let place = at.field("match_subject_alt_names");
    for (index, name) in context.match_subject_alt_names.iter().enumerate() {
        names.push(san(&place.item(index), SanKind::Any, name)?);
    }
    Ok(names)
}

fn typed_name(at: &At<'_>, name: &SubjectAltNameMatcher) -> Result<SanMatch, Fault> {
    decide!(at, name => SubjectAltNameMatcher {
        used: san_type, matcher;
        refused: oid;
    });
    let place = at.field("san_type");
    let kind = match value::enumeration(&place, *san_type)? {
        SanType::Uri => SanKind::Uri,
        SanType::Dns => SanKind::Dns,
        _ => return Err(place.unsupported("only URI and DNS names are supported")),
    };
    let at = at.field("matcher");
    match matcher {
        Some(matcher) => san(&at, kind, matcher),
        None => Err(at.missing("it has to be given")),
    }
}

fn san(at: &At<'_>, kind: SanKind, matcher: &StringMatcher) -> Result<SanMatch, Fault> {
    let StringMatcher { ignore_case, match_pattern } = matcher;
    let pattern = match match_pattern {
        Some(MatchPattern::Exact(text)) => SanPattern::Exact(text.clone()),
        Some(MatchPattern::Prefix(text)) => SanPattern::Prefix(text.clone()),
        Some(MatchPattern::Suffix(text)) => SanPattern::Suffix(text.clone()),
        Some(MatchPattern::Contains(text)) => SanPattern::Contains(text.clone()),
        Some(MatchPattern::SafeRegex(pattern)) => {
            let regex = matcher::regex(&at.field("safe_regex"), pattern)?;
            let matches = move |name: &str| regex.is_match(name.as_bytes());
            SanPattern::Custom(pattern.regex.clone(), Arc::new(matches))
        }
        Some(MatchPattern::Custom(_)) => {
            return Err(at.field("custom").unsupported("custom matchers are not supported"));
        }
        None => return Err(at.missing("nothing is said of what to compare with")),
    };
    Ok(SanMatch { kind, pattern, ignore_case: *ignore_case })
}

fn parameters(at: &At<'_>, given: &Option<TlsParameters>) -> Result<Parameters, Fault> {
    let Some(given) = given else { return Ok(Parameters::default()) };
    decide!(at, given => TlsParameters {
        used: tls_minimum_protocol_version, tls_maximum_protocol_version, cipher_suites;
        refused: ecdh_curves, signature_algorithms, compliance_policies;
    });
    let default = Versions::default();
    let min = &at.field("tls_minimum_protocol_version");
    let max = &at.field("tls_maximum_protocol_version");
    Ok(Parameters {
        versions: Versions {
            min: version(min, *tls_minimum_protocol_version, default.min)?,
            max: version(max, *tls_maximum_protocol_version, default.max)?,
        },
        cipher_suites: cipher_suites.clone(),
        resumption: false,
    })
}

fn version(at: &At<'_>, number: i32, default: Version) -> Result<Version, Fault> {
    match value::enumeration(at, number)? {
        TlsProtocol::TlsAuto => Ok(default),
        TlsProtocol::TlSv12 => Ok(Version::Tls12),
        TlsProtocol::TlSv13 => Ok(Version::Tls13),
        TlsProtocol::TlSv10 | TlsProtocol::TlSv11 => {
            Err(at.fault(Code::Unsupported, "TLS below 1.2 is not spoken"))
        }
    }
}
