//! The authority's files: `root-key.pem` and `token-key.pem` (mode 0600), `root-cert.pem` (0644).
//!
//! A file is written beside its place, flushed, and linked into place only if nothing is there
//! yet: two programs that start at once agree on one key, and a crash leaves no half file.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rcgen::KeyPair;
use rustls_pki_types::PrivatePkcs8KeyDer;
use rustls_pki_types::pem::PemObject;

use super::{Authority, CaError};
use crate::auth::{TokenError, TokenSigner};

const ROOT_KEY: &str = "root-key.pem";
const ROOT_CERTIFICATE: &str = "root-cert.pem";
const TOKEN_KEY: &str = "token-key.pem";
/// The most bytes of a file that is read back.
const FILE_BYTES_MAX: u64 = 64 * 1024;

/// A root key and its certificate, PEM.
#[derive(Clone)]
pub struct Material {
    /// PKCS#8.
    pub key_pem: String,
    /// Self-signed.
    pub certificate_pem: String,
}

/// Why the authority's folder cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// A file or the folder cannot be read or written.
    #[error(
        "{}: {source}; try: --ca-dir with a folder that this user can read and write",
        path.display()
    )]
    Io {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A key that others on this machine can read is not a secret.
    #[error(
        "{}: mode {mode:04o} lets others read this key; try: chmod 600 {}",
        path.display(), path.display()
    )]
    Readable {
        /// Which.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// A certificate without its key.
    #[error(
        "{}: the key that belongs to {ROOT_CERTIFICATE} is missing; try: restore it, or move \
         the certificate away to begin with a new root",
        .0.display()
    )]
    KeyMissing(PathBuf),
    /// The content is not what the name says.
    #[error("{}: {why}", path.display())]
    Content {
        /// Which.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
}

impl Material {
    /// Reads the root in `dir`; makes one if there is none.
    pub fn open_or_create(
        dir: &Path,
        trust_domain: &str,
        now: SystemTime,
    ) -> Result<Self, StoreError> {
        make_dir(dir)?;
        let (key_path, certificate_path) = (dir.join(ROOT_KEY), dir.join(ROOT_CERTIFICATE));
        let failed = |path: &Path| {
            let path = path.to_owned();
            move |error: CaError| StoreError::Content { path, why: error.to_string() }
        };
        if certificate_path.exists() && !key_path.exists() {
            return Err(StoreError::KeyMissing(key_path));
        }
        let fresh = Authority::generate_root(trust_domain, now).map_err(failed(&key_path))?;
        let key_pem = read_or_publish(&key_path, &fresh.key_pem, 0o600)?;
        let key = KeyPair::from_pem(&key_pem).map_err(CaError::from).map_err(failed(&key_path))?;
        let certificate = Authority::certify_root(trust_domain, &key, now)
            .map_err(failed(&certificate_path))?
            .certificate_pem;
        let certificate_pem = read_or_publish(&certificate_path, &certificate, 0o644)?;
        Ok(Self { key_pem, certificate_pem })
    }
}

impl std::fmt::Debug for Material {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Material").finish_non_exhaustive()
    }
}

/// Reads the token key in `dir`; makes one if there is none.
pub fn open_token_signer(dir: &Path) -> Result<TokenSigner, StoreError> {
    make_dir(dir)?;
    let path = dir.join(TOKEN_KEY);
    let content =
        |error: TokenError| StoreError::Content { path: path.clone(), why: error.to_string() };
    let (_, document) = TokenSigner::generate().map_err(content)?;
    let pem = read_or_publish(&path, &pkcs8_pem(&document), 0o600)?;
    let document =
        PrivatePkcs8KeyDer::from_pem_slice(pem.as_bytes()).map_err(|_| content(TokenError::Key))?;
    TokenSigner::from_pkcs8(document.secret_pkcs8_der()).map_err(content)
}

fn make_dir(dir: &Path) -> Result<(), StoreError> {
    let made = DirBuilder::new().recursive(true).mode(0o700).create(dir);
    made.map_err(|source| StoreError::Io { path: dir.to_owned(), source })
}

/// The content of `path`; if there is no such file yet, `fresh` becomes it.
fn read_or_publish(path: &Path, fresh: &str, mode: u32) -> Result<String, StoreError> {
    let io = |source| StoreError::Io { path: path.to_owned(), source };
    if !path.exists() {
        publish(path, fresh, mode).map_err(io)?;
    }
    let file = File::open(path).map_err(io)?;
    let found = file.metadata().map_err(io)?.mode() & 0o7777;
    if mode & 0o077 == 0 && found & 0o077 != 0 {
        return Err(StoreError::Readable { path: path.to_owned(), mode: found });
    }
    let mut text = String::new();
    file.take(FILE_BYTES_MAX).read_to_string(&mut text).map_err(io)?;
    Ok(text)
}

/// Writes a new file whole or not at all. Losing a race to another writer is fine: the caller
/// reads what is there.
fn publish(path: &Path, content: &str, mode: u32) -> io::Result<()> {
    let draft = path.with_extension(format!("{}.new", std::process::id()));
    let _ = std::fs::remove_file(&draft);
    let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(&draft)?;
    let linked = file
        .write_all(content.as_bytes())
        .and_then(|()| file.sync_all())
        .and_then(|()| std::fs::hard_link(&draft, path));
    std::fs::remove_file(&draft)?;
    match linked {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        other => other,
    }
}

fn pkcs8_pem(document: &[u8]) -> String {
    let body = STANDARD.encode(document);
    let mut pem = String::from("-----BEGIN PRIVATE KEY-----\n");
    for line in body.as_bytes().chunks(64) {
        pem.push_str(&String::from_utf8_lossy(line));
        pem.push('\n');
    }
    pem.push_str("-----END PRIVATE KEY-----\n");
    pem
}
