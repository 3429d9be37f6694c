//! From rustls' errors to our reason codes.

use rustls::{
    AlertDescription, CertificateError, Error, InvalidMessage, OtherError, PeerIncompatible,
};

use crate::session::TlsError;

/// The peer's certificate has none of the names that are asked for.
#[derive(Debug, thiserror::Error)]
#[error("none of the certificate's names ({presented}) is accepted here ({wanted})")]
pub(crate) struct SanMismatch {
    /// What the certificate has.
    pub(crate) presented: String,
    /// What the list has.
    pub(crate) wanted: String,
}

/// What a peer has done wrong after the handshake, and what it is told.
#[derive(Debug)]
pub(crate) struct Breach {
    /// `None`: nothing is said about it.
    pub(crate) alert: Option<AlertDescription>,
    pub(crate) error: Error,
}

impl Breach {
    pub(crate) const fn new(alert: AlertDescription, error: Error) -> Self {
        Self { alert: Some(alert), error }
    }

    /// The peer has ended it by itself.
    pub(crate) fn silent(error: Error) -> Self {
        Self { alert: None, error }
    }

    /// The fault is ours.
    pub(crate) fn internal(error: Error) -> Self {
        Self::new(AlertDescription::InternalError, error)
    }

    /// A message that does not end where it should.
    pub(crate) fn malformed(what: &'static str) -> Self {
        let error = InvalidMessage::MissingData(what).into();
        Self::new(AlertDescription::DecodeError, error)
    }

    /// A record without content of a kind that must have some (RFC 8446 section 5.1).
    pub(crate) fn empty() -> Self {
        let error = InvalidMessage::InvalidEmptyPayload.into();
        Self::new(AlertDescription::UnexpectedMessage, error)
    }

    /// What rustls says of a ticket.
    pub(crate) fn of_ticket(error: Error) -> Self {
        match error {
            Error::InvalidMessage(_) => Self::new(AlertDescription::DecodeError, error),
            _ => Self::internal(error),
        }
    }
}

/// The secret of that name has not arrived.
pub(crate) fn secret_missing(name: &str) -> TlsError {
    TlsError {
        code: "tls.secret_missing",
        detail: format!("the secret \"{name}\" has not arrived yet; no handshake without it"),
    }
}

/// A context that cannot be built.
pub(crate) fn bad_context(detail: String) -> TlsError {
    TlsError { code: "tls.bad_context", detail }
}

/// A session that has ended is used again.
pub(crate) fn ended() -> TlsError {
    TlsError { code: "tls.ended", detail: "the session has ended".to_owned() }
}

/// A handshake that wants more memory than is granted.
pub(crate) fn too_large(limit: usize) -> TlsError {
    TlsError {
        code: "tls.handshake_too_large",
        detail: format!("the peer's handshake needs more than {limit} bytes at once"),
    }
}

/// Why the connection cannot go on, in our terms.
pub(crate) fn refusal(error: &Error) -> TlsError {
    TlsError { code: code(error), detail: error.to_string() }
}

fn code(error: &Error) -> &'static str {
    match error {
        Error::InvalidCertificate(error) => certificate_code(error),
        Error::NoCertificatesPresented => "tls.no_certificate",
        Error::NoApplicationProtocol => "tls.no_application_protocol",
        Error::AlertReceived(alert) => alert_code(*alert),
        Error::PeerIncompatible(
            PeerIncompatible::ServerDoesNotSupportTls12Or13
            | PeerIncompatible::ServerTlsVersionIsDisabledByOurConfig
            // What a client of TLS 1.1 and older lacks first of all.
            | PeerIncompatible::SignatureAlgorithmsExtensionRequired
            | PeerIncompatible::SupportedVersionsExtensionRequired
            | PeerIncompatible::Tls12NotOffered
            | PeerIncompatible::Tls12NotOfferedOrEnabled,
        ) => "tls.version",
        Error::PeerIncompatible(_) => "tls.incompatible",
        Error::PeerMisbehaved(_) => "tls.misbehaved",
        Error::InvalidMessage(_)
        | Error::InappropriateMessage { .. }
        | Error::InappropriateHandshakeMessage { .. }
        | Error::PeerSentOversizedRecord => "tls.bad_message",
        Error::DecryptError => "tls.bad_record",
        _ => "tls.failed",
    }
}

fn certificate_code(error: &CertificateError) -> &'static str {
    match error {
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => "tls.expired",
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            "tls.not_yet_valid"
        }
        CertificateError::UnknownIssuer => "tls.unknown_ca",
        CertificateError::Revoked => "tls.revoked",
        CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => {
            "tls.wrong_purpose"
        }
        CertificateError::Other(OtherError(inner)) if inner.is::<SanMismatch>() => {
            "tls.san_mismatch"
        }
        _ => "tls.bad_certificate",
    }
}

/// What the other side says of us. The codes say `peer_`, because the remedy lies elsewhere.
fn alert_code(alert: AlertDescription) -> &'static str {
    match alert {
        AlertDescription::UnknownCA => "tls.peer_unknown_ca",
        AlertDescription::CertificateExpired => "tls.peer_certificate_expired",
        AlertDescription::CertificateRequired | AlertDescription::NoCertificate => {
            "tls.peer_requires_certificate"
        }
        AlertDescription::BadCertificate
        | AlertDescription::CertificateUnknown
        | AlertDescription::CertificateRevoked
        | AlertDescription::AccessDenied
        | AlertDescription::UnsupportedCertificate => "tls.peer_rejects_certificate",
        AlertDescription::ProtocolVersion => "tls.peer_version",
        AlertDescription::NoApplicationProtocol => "tls.peer_no_application_protocol",
        _ => "tls.peer_alert",
    }
}
