//! The proxy with its listeners, upstreams, certificates, and where programs are found.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::OnceLock;

pub(crate) use crate::common::running::Running;
use crate::common::{free_address, running, skip};

/// Starts a program and waits until it listens on all these addresses.
pub(crate) fn start(name: &str, command: &mut Command, addresses: &[SocketAddr]) -> Running {
    let log = folder().join(format!("{name}-{}.log", addresses[0].port()));
    running::start(command.stdin(Stdio::null()).stdout(Stdio::null()), addresses, &log)
}

/// What a program does within its time, in seconds: none may run for ever.
pub(crate) fn run(time_s: u32, program: &Path, words: &[&str]) -> Output {
    let mut command = Command::new("timeout");
    command.arg(time_s.to_string()).arg(program).args(words).stdin(Stdio::null());
    command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"))
}

/// Where this run keeps its files.
pub(crate) fn folder() -> &'static Path {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    FOLDER.get_or_init(|| running::fresh_folder("clients"))
}

/// A certificate for `localhost`, its key and its authority, as files of PEM.
pub(crate) struct Papers {
    pub(crate) authority: PathBuf,
    pub(crate) certificate: PathBuf,
    pub(crate) key: PathBuf,
}

/// Those of this run.
pub(crate) fn papers() -> &'static Papers {
    static PAPERS: OnceLock<Papers> = OnceLock::new();
    PAPERS.get_or_init(|| {
        use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, SanType};
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().expect("a key"));
        let authority = authority.expect("a root");
        let mut params = CertificateParams::new(["localhost".to_owned()]).expect("a name");
        // A certificate of its authority's name would be taken for its own authority.
        params.distinguished_name.push(rcgen::DnType::CommonName, "localhost");
        params.subject_alt_names.push(SanType::IpAddress([127, 0, 0, 1].into()));
        let key = KeyPair::generate().expect("a key");
        let certificate = params.signed_by(&key, &authority).expect("a certificate");
        let write = |name: &str, text: String| {
            let path = folder().join(name);
            fs::write(&path, text).expect("written");
            path
        };
        Papers {
            authority: write("authority.pem", authority.pem()),
            certificate: write("certificate.pem", certificate.pem()),
            key: write("key.pem", key.serialize_pem()),
        }
    })
}

/// A program that `cargo xtask setup` puts below `clients` in the target directory, or Debian has.
pub(crate) fn program(test: &str, name: &str) -> Option<PathBuf> {
    let target = Path::new(env!("CARGO_BIN_EXE_ringway-proxy")).ancestors().nth(2);
    let installed = target.map(|target| target.join("clients/bin").join(name));
    let folders = ["/usr/bin", "/usr/sbin", "/usr/local/bin"];
    let debian = folders.into_iter().map(|folder| Path::new(folder).join(name));
    let found = installed.into_iter().chain(debian).find(|path| path.exists());
    if found.is_none() {
        skip(test, &format!("no {name}: run `cargo xtask setup`"));
    }
    found
}

/// The Python that has h2 and grpcio.
pub(crate) fn python(test: &str) -> Option<PathBuf> {
    let target = Path::new(env!("CARGO_BIN_EXE_ringway-proxy")).ancestors().nth(2)?;
    let found = Some(target.join("clients/bin/python")).filter(|path| path.exists());
    if found.is_none() {
        skip(test, "no h2 and grpcio for Python: run `cargo xtask setup`");
    }
    found
}

/// A script of ours beside this file.
pub(crate) fn script(name: &str) -> String {
    format!("{}/tests/clients/{name}", env!("CARGO_MANIFEST_DIR"))
}

/// An upstream that requests with `x-to: NAME` go to.
#[derive(Clone, Copy)]
pub(crate) struct Upstream {
    pub(crate) name: &'static str,
    pub(crate) address: SocketAddr,
    pub(crate) http2: bool,
    pub(crate) tls: bool,
}

impl Upstream {
    /// On a port that is free.
    pub(crate) fn new(name: &'static str, http2: bool, tls: bool) -> Self {
        Self { name, address: free_address(), http2, tls }
    }

    /// The files that a server by TLS is given as arguments.
    pub(crate) fn files(&self) -> Vec<&'static Path> {
        let Papers { certificate, key, .. } = papers();
        if self.tls { vec![certificate, key] } else { Vec::new() }
    }

    fn cluster(&self) -> String {
        let Self { name, .. } = self;
        let mut text = format!(
            "  - name: {name}\n    connect_timeout: 2s\n    load_assignment:\n      cluster_name: \
             {name}\n      endpoints: [{{ lb_endpoints: [{{ endpoint: {{ address: {} }} }}] }}]\n",
            socket_address(self.address),
        );
        if self.http2 {
            text.push_str(HTTP2);
        }
        if self.tls {
            let alpn = if self.http2 { "h2" } else { "http/1.1" };
            let authority = papers().authority.display().to_string();
            text.push_str(&UPSTREAM_TLS.replace("@ALPN@", alpn).replace("@CA@", &authority));
        }
        text
    }

    fn route(&self) -> String {
        let Self { name, .. } = self;
        format!(
            "              - match: {{ prefix: /, headers: [{{ name: x-to, string_match: {{ exact: \
             {name} }} }}] }}\n                route: {{ cluster: {name}, timeout: 0s }}\n"
        )
    }
}

const HTTP2: &str = r#"    typed_extension_protocol_options:
      envoy.extensions.upstreams.http.v3.HttpProtocolOptions:
        "@type": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions
        explicit_http_config: { http2_protocol_options: {} }
"#;

const UPSTREAM_TLS: &str = r#"    transport_socket:
      name: envoy.transport_sockets.tls
      typed_config:
        "@type": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext
        sni: localhost
        common_tls_context:
          alpn_protocols: [@ALPN@]
          validation_context: { trusted_ca: { filename: @CA@ } }
"#;

const DOWNSTREAM_TLS: &str = r#"
      transport_socket:
        name: envoy.transport_sockets.tls
        typed_config:
          "@type": @TLS_TYPE@
          common_tls_context:
            alpn_protocols: [h2, http/1.1]
            tls_certificates:
            - certificate_chain: { filename: @CERTIFICATE@ }
              private_key: { filename: @KEY@ }"#;

const TLS_TYPE: &str = concat!(
    "type.googleapis.com/envoy.extensions.transport_sockets.",
    "tls.v3.DownstreamTlsContext"
);

const LISTENER: &str = r#"  - name: @NAME@
    address: @ADDRESS@
    filter_chains:
    - filters:
      - name: envoy.filters.network.http_connection_manager
        typed_config:
          "@type": @HCM@
          stat_prefix: @NAME@
          http_protocol_options: { accept_http_10: true }
          http_filters:
          - name: envoy.filters.http.router
            typed_config:
              "@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router
          route_config:
            name: @NAME@
            virtual_hosts:
            - name: all
              domains: ["*"]
              routes:
@ROUTES@              - match: { prefix: /direct }
                direct_response: { status: 200, body: { inline_string: direct } }@TLS@
"#;

const HCM: &str = concat!(
    "type.googleapis.com/envoy.extensions.filters.network.",
    "http_connection_manager.v3.HttpConnectionManager"
);

fn socket_address(address: SocketAddr) -> String {
    let (ip, port) = (address.ip(), address.port());
    format!("{{ socket_address: {{ address: {ip}, port_value: {port} }} }}")
}

/// A proxy with a clear listener and one by TLS, both for HTTP/1 and HTTP/2.
pub(crate) struct Proxy {
    pub(crate) clear: SocketAddr,
    pub(crate) tls: SocketAddr,
    _running: Running,
}

impl Proxy {
    /// Ringway.
    pub(crate) fn start(name: &str, upstreams: &[Upstream]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_ringway-proxy"));
        command.args(["--concurrency", "2"]);
        Self::of(name, upstreams, command)
    }

    /// The real Envoy.
    pub(crate) fn envoy(name: &str, envoy: &Path) -> Self {
        let mut command = Command::new(envoy);
        command.args(["--concurrency", "1", "--use-dynamic-base-id", "-l", "error"]);
        Self::of(name, &[], command)
    }

    fn of(name: &str, upstreams: &[Upstream], mut command: Command) -> Self {
        let (clear, tls) = (free_address(), free_address());
        let routes: String = upstreams.iter().map(Upstream::route).collect();
        let listener = |name: &str, address, tls: &str| {
            let text = LISTENER.replace("@NAME@", name).replace("@HCM@", HCM);
            let text = text.replace("@ADDRESS@", &socket_address(address));
            text.replace("@ROUTES@", &routes).replace("@TLS@", tls)
        };
        let Papers { certificate, key, .. } = papers();
        let secure = DOWNSTREAM_TLS
            .replace("@TLS_TYPE@", TLS_TYPE)
            .replace("@CERTIFICATE@", &certificate.display().to_string())
            .replace("@KEY@", &key.display().to_string());
        let mut text = "static_resources:\n  listeners:\n".to_owned();
        text += &listener("clear", clear, "");
        text += &listener("tls", tls, &secure);
        text += "  clusters:\n";
        upstreams.iter().for_each(|upstream| text += &upstream.cluster());
        if upstreams.is_empty() {
            text = text.replace("  clusters:\n", "");
        }
        let file = folder().join(format!("{name}.yaml"));
        fs::write(&file, text).expect("the bootstrap");
        let running = start(name, command.arg("-c").arg(&file), &[clear, tls]);
        Self { clear, tls, _running: running }
    }

    /// Where to ask over TLS, or without.
    pub(crate) fn address(&self, tls: bool) -> SocketAddr {
        if tls { self.tls } else { self.clear }
    }

    /// The same as the beginning of a URL.
    pub(crate) fn url(&self, tls: bool) -> String {
        let scheme = if tls { "https" } else { "http" };
        format!("{scheme}://localhost:{}", self.address(tls).port())
    }
}

/// The servers of `http_server.py`, one a protocol and transport.
pub(crate) fn http_servers(python: &Path) -> ([Upstream; 4], Vec<Running>) {
    let upstreams = [
        Upstream::new("h1", false, false),
        Upstream::new("h1-tls", false, true),
        Upstream::new("h2", true, false),
        Upstream::new("h2-tls", true, true),
    ];
    let started = upstreams.iter().map(|upstream| {
        let (protocol, port) = (&upstream.name[..2], upstream.address.port().to_string());
        let mut command = Command::new(python);
        command.arg(script("http_server.py")).args([protocol, &port]).args(upstream.files());
        start(upstream.name, &mut command, &[upstream.address])
    });
    let started = started.collect();
    (upstreams, started)
}

/// A body that no two places of are alike for long, and its SHA-256, which Debian computes.
pub(crate) fn upload(name: &str, len: usize) -> (PathBuf, String) {
    let path = folder().join(name);
    let bytes: Vec<u8> = (0..len).map(|at| (at % 253) as u8 ^ (at / 4096) as u8).collect();
    fs::write(&path, bytes).expect("written");
    let sum = sha256(&path);
    (path, sum)
}

/// The SHA-256 of a file, in hexadecimal.
pub(crate) fn sha256(path: &Path) -> String {
    let output = Command::new("sha256sum").arg(path).output().expect("coreutils");
    String::from_utf8_lossy(&output.stdout).split(' ').next().unwrap_or_default().to_owned()
}
