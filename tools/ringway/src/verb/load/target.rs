//! What to load, from a URL and flags.

use std::{
    fs,
    net::{SocketAddr, ToSocketAddrs},
    path::PathBuf,
};

use kit::{
    echo,
    load::{LoadSpec, Protocol, TlsSpec},
};

use super::Arguments;
use crate::failure::{Context, Failure};

/// The pattern of bulk round trips: its length divides no power of two, so that no two blocks
/// are the same.
const PATTERN_BYTES: usize = 65_521;

/// Where systems keep the roots that they trust.
const SYSTEM_ROOTS: [&str; 3] =
    ["/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem"];

/// Flags for https:// and tls://.
#[derive(clap::Args)]
#[command(next_help_heading = "TLS")]
pub(super) struct Tls {
    /// Our certificate chain in PEM, for servers that ask who we are.
    #[arg(long, value_name = "FILE", requires = "key")]
    cert: Option<PathBuf>,
    /// Its key in PEM.
    #[arg(long, value_name = "FILE", requires = "cert")]
    key: Option<PathBuf>,
    /// The roots in PEM that the server's certificate must lead to; else the system's.
    #[arg(long, value_name = "FILE")]
    cacert: Option<PathBuf>,
    /// Do not verify the server's certificate.
    #[arg(long, conflicts_with = "cacert")]
    insecure: bool,
    /// The name to ask for and to find in the certificate, or a SPIFFE id; else the URL's host.
    #[arg(long, value_name = "NAME")]
    server_name: Option<String>,
    /// Resume sessions instead of a full handshake for each connection.
    #[arg(long)]
    resume: bool,
}

pub(super) fn spec(arguments: &Arguments) -> Result<LoadSpec, Failure> {
    let (scheme, authority, path) = split(&arguments.url)?;
    let protocol = protocol(arguments, scheme)?;
    let target = resolve(&authority, scheme)?;
    let mut spec = match protocol {
        Protocol::Tcp => LoadSpec::tcp(target),
        Protocol::Grpc => LoadSpec::grpc(target, &authority, &path),
        _ => LoadSpec { protocol, ..LoadSpec::http(target, &authority, &path) },
    };
    if scheme.is_secure {
        spec.tls = Some(tls(&arguments.tls, &authority)?);
    }
    if let Some(method) = &arguments.method {
        spec.method.clone_from(method);
    }
    for header in &arguments.header {
        let (name, value) = header.split_once(':').ok_or_else(|| {
            Failure::new(format!("\"{header}\" is no header")).hint("-H \"name: value\"")
        })?;
        match name.eq_ignore_ascii_case("host") {
            true => spec.host = value.trim().to_owned(),
            false => spec.headers.push((name.to_owned(), value.trim().to_owned())),
        }
    }
    set_bytes(&mut spec, arguments)?;
    spec.rate = arguments.rate;
    spec.connections = arguments.connections;
    spec.streams = arguments.streams;
    spec.threads = arguments.threads;
    spec.cpus.clone_from(&arguments.cpus);
    spec.keep_alive = !arguments.no_keep_alive;
    spec.reset = arguments.reset;
    spec.duration = Some(arguments.duration);
    spec.requests = arguments.requests;
    spec.hold = arguments.hold;
    spec.timeout = arguments.timeout;
    spec.tally.clone_from(&arguments.tally);
    spec.driver = arguments.driver;
    Ok(spec)
}

/// What is spoken: the scheme says so, and flags where it leaves a choice.
fn protocol(arguments: &Arguments, scheme: Scheme) -> Result<Protocol, Failure> {
    let protocol = match scheme.protocol {
        Protocol::Tcp if arguments.http2 || arguments.grpc => {
            let url = &arguments.url;
            return Err(Failure::new(format!("{url} is bytes, neither HTTP/2 nor gRPC"))
                .hint("http://HOST/PATH or https://HOST/PATH"));
        }
        Protocol::Http if arguments.grpc => Protocol::Grpc,
        Protocol::Http if arguments.http2 => Protocol::Http2,
        protocol => protocol,
    };
    if arguments.streams > 1 && matches!(protocol, Protocol::Http | Protocol::Tcp) {
        return Err(Failure::new("--streams are HTTP/2's")
            .hint("--http2 or --grpc beside it, or more connections by -c"));
    }
    if arguments.streams > 1 && arguments.no_keep_alive {
        return Err(Failure::new("a connection for each request has one stream")
            .hint("leave out --streams or --no-keep-alive"));
    }
    match &arguments.method {
        Some(method) if protocol == Protocol::Grpc && method != "POST" => {
            Err(Failure::new(format!("gRPC knows no {method}")).hint("leave out --method"))
        }
        _ => Ok(protocol),
    }
}

fn set_bytes(spec: &mut LoadSpec, arguments: &Arguments) -> Result<(), Failure> {
    spec.trip_bytes = arguments.bytes;
    if let Some(path) = &arguments.body_file {
        spec.body = fs::read(path).context(|| path.display().to_string())?;
    } else if !arguments.body.is_empty() {
        spec.body = arguments.body.clone().into_bytes();
    } else if arguments.bytes.is_some() && spec.protocol == Protocol::Tcp {
        spec.body = echo::pattern(PATTERN_BYTES);
    }
    Ok(())
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Scheme {
    protocol: Protocol,
    is_secure: bool,
    /// The port if the URL names none.
    port: Option<u16>,
}

const SCHEMES: [(&str, Scheme); 6] = [
    ("http://", Scheme { protocol: Protocol::Http, is_secure: false, port: Some(80) }),
    ("https://", Scheme { protocol: Protocol::Http, is_secure: true, port: Some(443) }),
    ("tcp://", Scheme { protocol: Protocol::Tcp, is_secure: false, port: None }),
    ("tls://", Scheme { protocol: Protocol::Tcp, is_secure: true, port: None }),
    ("grpc://", Scheme { protocol: Protocol::Grpc, is_secure: false, port: Some(80) }),
    ("grpcs://", Scheme { protocol: Protocol::Grpc, is_secure: true, port: Some(443) }),
];

/// Scheme, host with port, and path.
fn split(url: &str) -> Result<(Scheme, String, String), Failure> {
    let known = SCHEMES.iter().find_map(|(name, scheme)| Some((scheme, url.strip_prefix(name)?)));
    let Some((scheme, rest)) = known else {
        return Err(Failure::new(format!("\"{url}\" has no scheme that is known")).hint(
            "http://HOST/PATH, https://HOST/PATH, grpc://HOST/PATH, grpcs://HOST/PATH, \
                 tcp://HOST:PORT or tls://HOST:PORT",
        ));
    };
    let at = rest.find(['/', '?']).unwrap_or(rest.len());
    let (host, path) = rest.split_at(at);
    let path = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
    Ok((*scheme, host.to_owned(), path))
}

fn resolve(authority: &str, scheme: Scheme) -> Result<SocketAddr, Failure> {
    let full = match (has_port(authority), scheme.port) {
        (true, _) => authority.to_owned(),
        (false, Some(port)) => format!("{authority}:{port}"),
        (false, None) => {
            return Err(Failure::new(format!("{authority} has no port")).hint("tcp://HOST:PORT"));
        }
    };
    let mut found = full.to_socket_addrs().context(|| format!("cannot resolve {authority}"))?;
    found.next().ok_or_else(|| Failure::new(format!("{authority} has no address")))
}

fn has_port(authority: &str) -> bool {
    authority.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok())
}

fn tls(flags: &Tls, authority: &str) -> Result<TlsSpec, Failure> {
    let read = |path: &PathBuf| fs::read(path).context(|| path.display().to_string());
    let roots = match (&flags.cacert, flags.insecure) {
        (_, true) => None,
        (Some(path), false) => Some(read(path)?),
        (None, false) => Some(system_roots()?),
    };
    let identity = match (&flags.cert, &flags.key) {
        (Some(chain), Some(key)) => Some((read(chain)?, read(key)?)),
        _ => None,
    };
    let host = if has_port(authority) { authority.rsplit_once(':') } else { None };
    let host = host.map_or(authority, |(host, _)| host);
    // An address is no name; the generator says so where one is needed.
    let is_address = host.starts_with('[') || host.parse::<std::net::IpAddr>().is_ok();
    let server_name = flags.server_name.clone();
    let server_name = server_name.or_else(|| (!is_address).then(|| host.to_owned()));
    if roots.is_some() && server_name.is_none() {
        return Err(Failure::new(format!("{host} is no name that a certificate is checked for"))
            .hint("--server-name NAME, or --insecure"));
    }
    Ok(TlsSpec { roots, identity, server_name, resume: flags.resume })
}

fn system_roots() -> Result<Vec<u8>, Failure> {
    SYSTEM_ROOTS.iter().find_map(|path| fs::read(path).ok()).ok_or_else(|| {
        Failure::new("the system's trusted roots are not found")
            .hint("--cacert FILE, or --insecure")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls() {
        for (url, host, path) in [
            ("http://a", "a", "/"),
            ("https://a:1/b?c", "a:1", "/b?c"),
            ("http://a?b", "a", "/?b"),
            ("tcp://[::1]:9", "[::1]:9", "/"),
        ] {
            let (_, found, rest) = split(url).unwrap();
            assert_eq!((found.as_str(), rest.as_str()), (host, path), "{url}");
        }
        assert!(split("ftp://a").is_err() && split("a:80").is_err());
        let (tcp, ..) = split("tcp://localhost").unwrap();
        assert!(resolve("localhost", tcp).is_err(), "which port?");
        assert!(has_port("[::1]:9") && !has_port("[::1]") && !has_port("a"));
    }
}
