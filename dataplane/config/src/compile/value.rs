//! Wrappers, durations, addresses and data sources.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use api::envoy::core::{self, CidrRange, DataSource, address, data_source, socket_address};
use api::envoy::protobuf::{self, BoolValue, UInt32Value};
use ipnet::IpNet;

use super::at::{At, Fault, decide};
use crate::limits::MAX_DATA_SOURCE;
use crate::refused::Code;

/// The value of a wrapper, or what its absence means.
pub(crate) fn bool_or(value: &Option<BoolValue>, default: bool) -> bool {
    value.as_ref().map_or(default, |value| value.value)
}

/// The value of a wrapper, or what its absence means.
pub(crate) fn u32_or(value: &Option<UInt32Value>, default: u32) -> u32 {
    value.as_ref().map_or(default, |value| value.value)
}

/// A duration that is not negative.
pub(crate) fn duration(
    at: &At<'_>,
    value: &Option<protobuf::Duration>,
) -> Result<Option<Duration>, Fault> {
    let Some(protobuf::Duration { seconds, nanos }) = value else { return Ok(None) };
    let parts = u64::try_from(*seconds).ok().zip(u32::try_from(*nanos).ok());
    match parts.filter(|(_, nanos)| *nanos < 1_000_000_000) {
        Some((seconds, nanos)) => Ok(Some(Duration::new(seconds, nanos))),
        None => Err(at.invalid("a duration may not be negative")),
    }
}

/// A time-out: absent is the default, zero is never.
pub(crate) fn timeout(
    at: &At<'_>,
    value: &Option<protobuf::Duration>,
    default: Option<Duration>,
) -> Result<Option<Duration>, Fault> {
    match duration(at, value)? {
        None => Ok(default),
        Some(Duration::ZERO) => Ok(None),
        some => Ok(some),
    }
}

/// The enum value of a number.
pub(crate) fn enumeration<E: TryFrom<i32>>(at: &At<'_>, number: i32) -> Result<E, Fault> {
    E::try_from(number).map_err(|_| at.invalid(format!("{number} is no value of this enum")))
}

/// An address that is an IP address and a TCP port.
pub(crate) fn socket(at: &At<'_>, address: &Option<core::Address>) -> Result<SocketAddr, Fault> {
    let Some(core::Address { address: Some(address) }) = address else {
        return Err(at.missing("an address has to be given"));
    };
    match address {
        address::Address::SocketAddress(address) => {
            socket_address(&at.field("socket_address"), address)
        }
        address::Address::Pipe(_) => {
            Err(at.field("pipe").unsupported("Unix sockets are not supported here"))
        }
        address::Address::EnvoyInternalAddress(_) => Err(at
            .field("envoy_internal_address")
            .unsupported("internal listeners are not supported")),
    }
}

/// A `SocketAddress` that is an IP address and a TCP port.
pub(crate) fn socket_address(
    at: &At<'_>,
    address: &core::SocketAddress,
) -> Result<SocketAddr, Fault> {
    decide!(at, address => core::SocketAddress {
        used: address, port_specifier;
        refused: protocol, resolver_name, ipv4_compat, network_namespace_filepath;
    });
    let ip = ip(&at.field("address"), address)?;
    let at = at.field("port_value");
    match port_specifier {
        Some(socket_address::PortSpecifier::PortValue(port)) => {
            Ok(SocketAddr::new(ip, self::port(&at, *port)?))
        }
        Some(socket_address::PortSpecifier::NamedPort(_)) => {
            Err(at.unsupported("named ports are not supported"))
        }
        None => Err(at.missing("a port has to be given")),
    }
}

/// An IP address.
pub(crate) fn ip(at: &At<'_>, text: &str) -> Result<IpAddr, Fault> {
    text.parse().map_err(|_| at.invalid(format!("`{text}` is no IP address")))
}

/// A port, 0 allowed.
pub(crate) fn port(at: &At<'_>, value: u32) -> Result<u16, Fault> {
    u16::try_from(value).map_err(|_| at.invalid(format!("{value} is more than 65535")))
}

/// An address range; a missing length means 0, as in Envoy. Host bits are cut off.
pub(crate) fn cidr(at: &At<'_>, range: &CidrRange) -> Result<IpNet, Fault> {
    decide!(at, range => CidrRange {
        used: address_prefix, prefix_len;
    });
    let ip = ip(&at.field("address_prefix"), address_prefix)?;
    let length = u32_or(prefix_len, 0);
    let net = u8::try_from(length).ok().and_then(|length| IpNet::new(ip, length).ok());
    let net = net.ok_or_else(|| {
        at.field("prefix_len").invalid(format!("{length} is too long for {address_prefix}"))
    })?;
    Ok(net.trunc())
}

/// All address ranges of a list.
pub(crate) fn cidrs(at: &At<'_>, ranges: &[CidrRange]) -> Result<Vec<IpNet>, Fault> {
    ranges.iter().enumerate().map(|(index, range)| cidr(&at.item(index), range)).collect()
}

/// The bytes that a `DataSource` stands for.
pub(crate) fn data(at: &At<'_>, source: &DataSource) -> Result<Vec<u8>, Fault> {
    decide!(at, source => DataSource {
        used: specifier;
        refused: watched_directory;
    });
    use data_source::Specifier;
    let bytes = match specifier {
        Some(Specifier::Filename(path)) => file(&at.field("filename"), path)?,
        Some(Specifier::InlineBytes(bytes)) => bytes.clone(),
        Some(Specifier::InlineString(text)) => text.clone().into_bytes(),
        Some(Specifier::EnvironmentVariable(name)) => match std::env::var(name) {
            Ok(value) => value.into_bytes(),
            Err(error) => {
                let reason = format!("`{name}` cannot be read: {error}");
                return Err(at.field("environment_variable").fault(Code::Secret, reason));
            }
        },
        None => return Err(at.missing("it has no content")),
    };
    at.at_most(MAX_DATA_SOURCE, bytes.len())?;
    Ok(bytes)
}

fn file(at: &At<'_>, path: &str) -> Result<Vec<u8>, Fault> {
    use std::io::Read;
    let cannot = |error: std::io::Error| {
        at.fault(Code::Secret, format!("the file `{path}` cannot be read: {error}"))
    };
    let mut bytes = Vec::new();
    let open = std::fs::File::open(path).map_err(cannot)?;
    // One byte more than allowed shows that it is too long without reading all of it.
    open.take(MAX_DATA_SOURCE as u64 + 1).read_to_end(&mut bytes).map_err(cannot)?;
    Ok(bytes)
}
