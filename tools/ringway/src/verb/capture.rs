//! `ringway capture`: Istio's redirect rules, with the flags of `istio-iptables`.

use std::process::ExitCode;

use ipnet::IpNet;
use kit::capture::{self, ApplyError, Family, Options, Ports, Ranges, Rules, Via};

use crate::failure::Failure;

/// Installs the redirect rules in the network namespace that this command runs in.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Print the rules as iptables-restore text and change nothing.
    #[arg(long, visible_alias = "dry-run")]
    print: bool,
    /// With --print: as a script for `nft -f`.
    #[arg(long, requires = "print")]
    nft: bool,
    /// Remove the rules.
    #[arg(long, conflicts_with = "print", visible_alias = "cleanup-only")]
    cleanup: bool,
    /// How the rules reach the kernel: auto, iptables, nft or netlink (which needs no program).
    #[arg(long, default_value = "auto")]
    via: Via,
    /// Port of the proxy for outbound connections.
    #[arg(short = 'p', long, default_value_t = 15001)]
    envoy_port: u16,
    /// Port of the proxy for inbound connections.
    #[arg(short = 'z', long, default_value_t = 15006)]
    inbound_capture_port: u16,
    /// Port of HBONE tunnels, which is not captured.
    #[arg(short = 'e', long, default_value_t = 15008)]
    inbound_tunnel_port: u16,
    /// Users whose connections are the proxy's.
    #[arg(short = 'u', long, value_delimiter = ',', default_value = "1337")]
    proxy_uid: Vec<u32>,
    /// Groups whose connections are the proxy's.
    #[arg(short = 'g', long, value_delimiter = ',', default_value = "1337")]
    proxy_gid: Vec<u32>,
    /// How connections are handed over; only REDIRECT is built.
    #[arg(short = 'm', long, default_value = "REDIRECT")]
    istio_inbound_interception_mode: String,
    /// Inbound ports to capture: a list, or `*`.
    #[arg(short = 'b', long, default_value = "*")]
    istio_inbound_ports: Ports,
    /// Inbound ports to leave alone when all others are captured.
    #[arg(short = 'd', long, default_value = "15090,15021,15020")]
    istio_local_exclude_ports: Ports,
    /// Outbound ranges to capture: a list, or `*`.
    #[arg(short = 'i', long, default_value = "*")]
    istio_service_cidr: Ranges,
    /// Outbound ranges to leave alone.
    #[arg(short = 'x', long, default_value = "")]
    istio_service_exclude_cidr: Ranges,
    /// Outbound ports to capture whatever the address.
    #[arg(short = 'q', long, default_value = "")]
    istio_outbound_ports: Ports,
    /// Outbound ports to leave alone.
    #[arg(short = 'o', long, default_value = "")]
    istio_local_outbound_ports_exclude: Ports,
    /// Links that are not captured at all.
    #[arg(short = 'c', long, value_delimiter = ',')]
    istio_exclude_interfaces: Vec<String>,
    /// Links of virtual machines whose traffic counts as outbound.
    #[arg(short = 'k', long, value_delimiter = ',')]
    kube_virt_interfaces: Vec<String>,
    /// Leave IPv6 alone.
    #[arg(long)]
    no_ipv6: bool,
}

pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode, Failure> {
    if arguments.cleanup {
        capture::remove(arguments.via).map_err(refused)?;
        return Ok(ExitCode::SUCCESS);
    }
    let rules = Rules::new(&options(arguments)?);
    if arguments.print {
        print(&rules, arguments.nft);
    } else {
        capture::apply(&rules, arguments.via).map_err(refused)?;
    }
    Ok(ExitCode::SUCCESS)
}

fn print(rules: &Rules, nft: bool) {
    if nft {
        print!("{}", rules.to_nft());
    } else {
        for family in rules.families() {
            let program = match family {
                Family::V4 => "iptables-restore",
                Family::V6 => "ip6tables-restore",
            };
            print!("# {program} --noflush\n{}", rules.to_iptables_restore(family));
        }
    }
}

fn options(arguments: &Arguments) -> Result<Options, Failure> {
    let mode = &arguments.istio_inbound_interception_mode;
    if mode != "REDIRECT" {
        return Err(Failure::new(format!("interception mode {mode} is not built"))
            .hint("leave -m out, or give -m REDIRECT"));
    }
    let has_v6 = std::path::Path::new("/proc/net/if_inet6").exists();
    Ok(Options {
        outbound_port: arguments.envoy_port,
        inbound_port: arguments.inbound_capture_port,
        tunnel_port: arguments.inbound_tunnel_port,
        uids: arguments.proxy_uid.clone(),
        gids: arguments.proxy_gid.clone(),
        inbound_include: arguments.istio_inbound_ports.clone(),
        inbound_exclude: listed("-d", &arguments.istio_local_exclude_ports)?,
        outbound_include: arguments.istio_service_cidr.clone(),
        outbound_exclude: listed_ranges("-x", &arguments.istio_service_exclude_cidr)?,
        outbound_ports_include: listed("-q", &arguments.istio_outbound_ports)?,
        outbound_ports_exclude: listed("-o", &arguments.istio_local_outbound_ports_exclude)?,
        exclude_interfaces: arguments.istio_exclude_interfaces.clone(),
        virtual_interfaces: arguments.kube_virt_interfaces.clone(),
        ipv6: has_v6 && !arguments.no_ipv6,
    })
}

/// `*` has no meaning where ports are added to or taken from a set.
fn listed(flag: &str, ports: &Ports) -> Result<Vec<u16>, Failure> {
    match ports {
        Ports::These(ports) => Ok(ports.clone()),
        Ports::All => Err(Failure::new(format!("{flag} takes a list of ports, not *"))),
    }
}

fn listed_ranges(flag: &str, ranges: &Ranges) -> Result<Vec<IpNet>, Failure> {
    match ranges {
        Ranges::These(ranges) => Ok(ranges.clone()),
        Ranges::All => Err(Failure::new(format!("{flag} takes a list of ranges, not *"))),
    }
}

fn refused(error: ApplyError) -> Failure {
    let hint = match &error {
        ApplyError::Missing(_) => "leave --via out, or give --via netlink, which needs no program",
        ApplyError::Kernel(source) if source.raw_os_error() == Some(nix::libc::EPERM) => {
            "run it as root, or with CAP_NET_ADMIN in this network namespace"
        }
        ApplyError::Kernel(_) => "--via iptables, if the kernel was built without nf_tables",
        ApplyError::Refused { .. } | ApplyError::Run { .. } => {
            "run it as root, or with --via netlink"
        }
    };
    Failure::new(format!("the redirect rules were not changed: {error}")).hint(hint)
}
