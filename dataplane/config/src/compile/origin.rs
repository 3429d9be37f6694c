//! What a connection manager says of where requests come from.

use api::envoy::core::scheme_header_transformation::Transformation;
use api::envoy::core::{SchemeHeaderTransformation, TypedExtensionConfig};
use api::envoy::custom_header_detection::CustomHeaderConfig;
use api::envoy::hcm::HttpConnectionManager;
use api::envoy::hcm::http_connection_manager::{InternalAddressConfig, StripPortMode};
use api::envoy::types::HttpStatus;
use api::envoy::xff_detection::XffConfig;
use prost::Name;

use super::at::{At, Fault, decide, typed};
use super::{http_filter, matcher, value};
use crate::limits::MAX_FILTERS;
use crate::snapshot::{Detection, HostForm, Origin, SchemeChange, StripPort};

/// `None`: the manager says nothing but perhaps `use_remote_address`.
pub(crate) fn compile(
    at: &At<'_>,
    manager: &HttpConnectionManager,
) -> Result<Option<Box<Origin>>, Fault> {
    let extensions = &manager.original_ip_detection_extensions;
    let place = at.field("original_ip_detection_extensions");
    let origin = Origin {
        trusted_hops: manager.xff_num_trusted_hops,
        skip_append: manager.skip_xff_append,
        detection: detections(&place, extensions)?,
        internal: internal(
            &at.field("internal_address_config"),
            manager.internal_address_config.as_ref(),
        )?,
        forwarded_port: manager.append_x_forwarded_port,
        scheme: scheme(
            &at.field("scheme_header_transformation"),
            manager.scheme_header_transformation.as_ref(),
        )?,
    };
    if !extensions.is_empty() {
        let (uses_peer, hops) =
            (value::bool_or(&manager.use_remote_address, false), origin.trusted_hops);
        if uses_peer || hops > 0 {
            return Err(place.invalid(
                "not together with `use_remote_address` or `xff_num_trusted_hops`, as in Envoy",
            ));
        }
    }
    let says_nothing = origin.trusted_hops == 0
        && !(origin.skip_append || origin.forwarded_port)
        && origin.detection.is_empty()
        && origin.internal.is_empty()
        && origin.scheme.is_none();
    Ok((!says_nothing).then(|| Box::new(origin)))
}

pub(crate) fn host_form(at: &At<'_>, manager: &HttpConnectionManager) -> Result<HostForm, Fault> {
    let any = matches!(manager.strip_port_mode, Some(StripPortMode::StripAnyHostPort(true)));
    let port = match (manager.strip_matching_host_port, any) {
        (true, true) => {
            return Err(at
                .field("strip_matching_host_port")
                .invalid("not together with `strip_any_host_port`, as in Envoy"));
        }
        (true, false) => StripPort::Matching,
        (false, true) => StripPort::Any,
        (false, false) => StripPort::Never,
    };
    Ok(HostForm { port, strip_dot: manager.strip_trailing_host_dot })
}

fn detections(at: &At<'_>, list: &[TypedExtensionConfig]) -> Result<Vec<Detection>, Fault> {
    at.at_most(MAX_FILTERS, list.len())?;
    list.iter().enumerate().map(|(index, one)| detection(&at.item(index), one)).collect()
}

fn detection(at: &At<'_>, extension: &TypedExtensionConfig) -> Result<Detection, Fault> {
    let TypedExtensionConfig { name, typed_config } = extension;
    let at = at.field("typed_config");
    let Some(any) = typed_config else {
        return Err(at.missing(format!("the extension `{name}`")));
    };
    let kind = http_filter::type_name(any);
    if kind == XffConfig::full_name() {
        return forwarded_for(&at, &typed(&at, any)?);
    }
    if kind != CustomHeaderConfig::full_name() {
        let reason = format!("the extension `{name}` ({kind}) is not supported");
        return Err(at.unsupported(reason));
    }
    let config: CustomHeaderConfig = typed(&at, any)?;
    decide!(at, config => CustomHeaderConfig {
        used: header_name, allow_extension_to_set_address_as_trusted, reject_with_status;
    });
    Ok(Detection::Field {
        name: matcher::header_name(&at.field("header_name"), &header_name)?,
        is_trusted: allow_extension_to_set_address_as_trusted,
        // As Envoy: what is no error is 403.
        reject: reject_with_status.map(|HttpStatus { code }| {
            let error = u16::try_from(code).ok().filter(|code| (400..600).contains(code));
            error.unwrap_or(403)
        }),
    })
}

fn forwarded_for(at: &At<'_>, config: &XffConfig) -> Result<Detection, Fault> {
    decide!(at, config => XffConfig {
        used: xff_num_trusted_hops, xff_trusted_cidrs, skip_xff_append;
    });
    let place = at.field("xff_trusted_cidrs");
    let trusted = match xff_trusted_cidrs {
        Some(list) => value::cidrs(&place.field("cidrs"), &list.cidrs)?,
        None => Vec::new(),
    };
    if *xff_num_trusted_hops > 0 && !trusted.is_empty() {
        return Err(place.invalid("not together with `xff_num_trusted_hops`, as in Envoy"));
    }
    Ok(Detection::ForwardedFor {
        trusted_hops: *xff_num_trusted_hops,
        trusted,
        appends: !value::bool_or(skip_xff_append, true),
    })
}

fn internal(
    at: &At<'_>,
    given: Option<&InternalAddressConfig>,
) -> Result<Vec<ipnet::IpNet>, Fault> {
    let Some(given) = given else { return Ok(Vec::new()) };
    decide!(at, given => InternalAddressConfig {
        used: cidr_ranges;
        // No client comes by a Unix socket.
        without_effect: unix_sockets;
    });
    value::cidrs(&at.field("cidr_ranges"), cidr_ranges)
}

fn scheme(
    at: &At<'_>,
    given: Option<&SchemeHeaderTransformation>,
) -> Result<Option<SchemeChange>, Fault> {
    let Some(given) = given else { return Ok(None) };
    decide!(at, given => SchemeHeaderTransformation {
        used: match_upstream, transformation;
    });
    match transformation {
        Some(Transformation::SchemeToOverwrite(scheme)) => match scheme.as_str() {
            "http" => Ok(Some(SchemeChange::To("http"))),
            "https" => Ok(Some(SchemeChange::To("https"))),
            _ => Err(at.field("scheme_to_overwrite").invalid("`http` or `https`")),
        },
        None => Ok(match_upstream.then_some(SchemeChange::OfUpstream)),
    }
}
