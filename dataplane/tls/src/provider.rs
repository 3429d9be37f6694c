//! Where the cryptography comes from.

use std::sync::{Arc, OnceLock};

use rustls::CipherSuite;
use rustls::crypto::{CryptoProvider, aws_lc_rs};

use crate::choice::choice;

/// The one provider of this crate: key exchange, signatures and cipher suites of AWS-LC. Built
/// explicitly, so that no other crate's choice of a process default reaches into it.
///
/// Of TLS 1.3's suites the cheapest on this machine comes first, as BoringSSL and so Envoy have it:
/// AES-128-GCM, or ChaCha20-Poly1305 where AES is slow.
pub fn provider() -> Arc<CryptoProvider> {
    static PROVIDER: OnceLock<Arc<CryptoProvider>> = OnceLock::new();
    PROVIDER
        .get_or_init(|| {
            let mut provider = aws_lc_rs::default_provider();
            let prefers_aes = choice().prefers_aes;
            // A stable sort: TLS 1.2's suites stay among themselves as they are.
            provider.cipher_suites.sort_by_key(|suite| rank(suite.suite(), prefers_aes));
            Arc::new(provider)
        })
        .clone()
}

fn rank(suite: CipherSuite, prefers_aes: bool) -> u8 {
    match suite {
        CipherSuite::TLS13_CHACHA20_POLY1305_SHA256 if !prefers_aes => 0,
        CipherSuite::TLS13_AES_128_GCM_SHA256 => 1,
        CipherSuite::TLS13_AES_256_GCM_SHA384 => 2,
        CipherSuite::TLS13_CHACHA20_POLY1305_SHA256 => 3,
        _ => 4,
    }
}
