//! The command line.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};

/// The control plane of Ringway.
#[derive(Debug, Parser)]
#[command(name = "ringwayd", version, args_conflicts_with_subcommands = true)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) verb: Option<Verb>,
    #[command(flatten)]
    pub(crate) serve: ServeArgs,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Mint a join token for a workload and print it.
    Token(TokenArgs),
    /// Read a folder of YAML, say what is wrong with it, and end with 1 if anything is.
    Validate(ValidateArgs),
    /// Print the version.
    Version,
}

/// Without a verb: serve.
#[derive(Debug, Args)]
pub(crate) struct ServeArgs {
    /// The folder of YAML that describes the mesh; it is watched.
    #[arg(long, value_name = "DIR")]
    pub(crate) config_dir: Option<PathBuf>,
    /// Where to serve xDS without TLS and without secrets.
    #[arg(long, value_name = "ADDRESS", default_value = "0.0.0.0:15010")]
    pub(crate) xds_address: SocketAddr,
    /// Where to serve xDS, secrets and certificates over TLS.
    #[arg(long, value_name = "ADDRESS", default_value = "0.0.0.0:15012")]
    pub(crate) secure_address: SocketAddr,
    /// Where to serve /ready, /version, /metrics and /debug/syncz.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:15014")]
    pub(crate) monitoring_address: SocketAddr,
    /// The folder of the root certificate and the keys; made if it is not there.
    #[arg(long, value_name = "DIR", default_value = "/var/lib/ringway/ca")]
    pub(crate) ca_dir: PathBuf,
    /// The first part of every SPIFFE id.
    #[arg(long, value_name = "NAME", default_value = "cluster.local")]
    pub(crate) trust_domain: String,
    /// The end of every service's name.
    #[arg(long, value_name = "NAME", default_value = "cluster.local")]
    pub(crate) cluster_domain: String,
    /// A further DNS name or address in the server's own certificate; may be repeated.
    #[arg(long, value_name = "NAME")]
    pub(crate) san: Vec<String>,
    /// The life of certificates that are served as secrets, such as 24h; at most 90 days.
    #[arg(long, value_name = "TIME", default_value = "24h", value_parser = duration)]
    pub(crate) workload_ttl: Duration,
    /// A push waits until nothing has changed for this long, in milliseconds.
    #[arg(long, value_name = "MS", default_value_t = 100)]
    pub(crate) debounce_ms: u64,
    /// A push waits at most this long, in milliseconds.
    #[arg(long, value_name = "MS", default_value_t = 10_000)]
    pub(crate) debounce_max_ms: u64,
    /// error, warn, info, debug, trace, or such as `ringwayd=debug,info`.
    #[arg(long, value_name = "LEVEL", default_value = "info")]
    pub(crate) log_level: String,
}

#[derive(Debug, Args)]
pub(crate) struct TokenArgs {
    /// The workload's namespace.
    #[arg(long, value_name = "NAME")]
    pub(crate) namespace: String,
    /// The workload's service account.
    #[arg(long, value_name = "NAME")]
    pub(crate) service_account: String,
    /// How long the token is good, such as 90s, 15m, 1h or 7d.
    #[arg(long, value_name = "TIME", default_value = "1h", value_parser = duration)]
    pub(crate) ttl: Duration,
    /// The folder that ringwayd was started with as --ca-dir.
    #[arg(
        long,
        visible_alias = "ca-dir",
        value_name = "DIR",
        default_value = "/var/lib/ringway/ca"
    )]
    pub(crate) dir: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct ValidateArgs {
    /// The folder of YAML.
    #[arg(long, value_name = "DIR")]
    pub(crate) config_dir: PathBuf,
}

/// The names in the server's own certificate: those that clients of Istio expect, and more.
pub(crate) fn server_names(san: &[String], listens_on: IpAddr) -> ringwayd::ca::ServerNames {
    let mut names = ringwayd::ca::ServerNames {
        dns: ["istiod.istio-system.svc", "ringwayd", "localhost"].map(str::to_owned).to_vec(),
        ips: vec![IpAddr::from([127, 0, 0, 1]), std::net::Ipv6Addr::LOCALHOST.into()],
    };
    if !listens_on.is_unspecified() && !listens_on.is_loopback() {
        names.ips.push(listens_on);
    }
    for name in san {
        match name.parse() {
            Ok(ip) => names.ips.push(ip),
            Err(_) => names.dns.push(name.clone()),
        }
    }
    names
}

/// A whole number and one of s, m, h, d.
fn duration(text: &str) -> Result<Duration, String> {
    let refuse = || format!("`{text}` is not a time such as 90s, 15m, 1h or 7d");
    let unit = text.chars().last().ok_or_else(refuse)?;
    let seconds = match unit {
        's' => 1,
        'm' => 60,
        'h' => 3600,
        'd' => 24 * 3600,
        _ => return Err(refuse()),
    };
    let count = text.strip_suffix(unit).ok_or_else(refuse)?;
    if !count.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(refuse());
    }
    let count: u64 = count.parse().map_err(|_| refuse())?;
    count.checked_mul(seconds).map(Duration::from_secs).ok_or_else(refuse)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read() {
        let hour = Duration::from_secs(3600);
        assert_eq!(duration("1h"), Ok(hour));
        assert_eq!(duration("90s"), Ok(Duration::from_secs(90)));
        assert_eq!(duration("2d"), Ok(48 * hour));
        for bad in ["", "1", "h", "1hh", "-1h", "+1h", "1.5h", "99999999999999999999d", "1 h"] {
            assert!(duration(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn the_certificate_holds_what_clients_dial() {
        let names =
            server_names(&["mesh.example".into(), "10.0.0.9".into()], [10, 244, 0, 1].into());
        let dns = ["istiod.istio-system.svc", "ringwayd", "localhost", "mesh.example"];
        assert_eq!(names.dns, dns);
        let ips =
            ["127.0.0.1", "::1", "10.244.0.1", "10.0.0.9"].map(|ip| ip.parse::<IpAddr>().unwrap());
        assert_eq!(names.ips, ips);
        assert_eq!(server_names(&[], [0, 0, 0, 0].into()).ips.len(), 2);
    }
}
