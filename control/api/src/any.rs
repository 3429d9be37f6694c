//! `google.protobuf.Any` and the type URLs that travel on xDS streams.

use envoy_types::pb::google::protobuf::Any;
use prost::{Message, Name};

/// What every type URL begins with.
pub const TYPE_URL_PREFIX: &str = "type.googleapis.com/";

/// `envoy.config.cluster.v3.Cluster` (CDS).
pub const CLUSTER: &str = "type.googleapis.com/envoy.config.cluster.v3.Cluster";
/// `envoy.config.endpoint.v3.ClusterLoadAssignment` (EDS).
pub const ENDPOINTS: &str = "type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment";
/// `envoy.config.listener.v3.Listener` (LDS).
pub const LISTENER: &str = "type.googleapis.com/envoy.config.listener.v3.Listener";
/// `envoy.config.route.v3.RouteConfiguration` (RDS).
pub const ROUTES: &str = "type.googleapis.com/envoy.config.route.v3.RouteConfiguration";
/// `envoy.extensions.transport_sockets.tls.v3.Secret` (SDS).
pub const SECRET: &str = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret";

/// Why an `Any` could not be read as the message that was wanted.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum AnyError {
    /// It holds something else.
    #[error("holds `{found}`, wanted `{wanted}`")]
    OtherType {
        /// The full name that was asked for.
        wanted: String,
        /// The type URL that it has.
        found: String,
    },
    /// Its bytes are not that message.
    #[error("`{name}` cannot be decoded: {reason}")]
    Malformed {
        /// The full name that was asked for.
        name: String,
        /// What prost says.
        reason: String,
    },
}

/// Packs a message with its type URL.
pub fn pack<M: Message + Name>(message: &M) -> Any {
    Any { type_url: type_url_of::<M>(), value: message.encode_to_vec() }
}

/// Reads the message that `any` holds, if it is an `M`.
pub fn unpack<M: Message + Name + Default>(any: &Any) -> Result<M, AnyError> {
    let wanted = M::full_name();
    if full_name(&any.type_url) != wanted {
        return Err(AnyError::OtherType { wanted, found: any.type_url.clone() });
    }
    M::decode(any.value.as_slice())
        .map_err(|error| AnyError::Malformed { name: wanted, reason: error.to_string() })
}

/// The type URL of a message, with its prefix.
pub fn type_url_of<M: Name>() -> String {
    format!("{TYPE_URL_PREFIX}{}", M::full_name())
}

/// What stands behind the last slash of a type URL.
pub fn full_name(type_url: &str) -> &str {
    type_url.rsplit('/').next().unwrap_or(type_url)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::envoy::{cluster::Cluster, listener::Listener};

    #[test]
    fn what_is_packed_unpacks() {
        let cluster = Cluster { name: "reviews".into(), ..Default::default() };
        let any = pack(&cluster);
        assert_eq!(any.type_url, CLUSTER);
        assert_eq!(unpack::<Cluster>(&any), Ok(cluster));
        let error = unpack::<Listener>(&any).unwrap_err();
        let wanted = "envoy.config.listener.v3.Listener".to_owned();
        assert_eq!(error, AnyError::OtherType { wanted, found: CLUSTER.to_owned() });
    }

    #[test]
    fn bytes_that_are_no_message_are_an_error() {
        let any = Any { type_url: CLUSTER.to_owned(), value: vec![0x0a, 0xff] };
        assert!(matches!(unpack::<Cluster>(&any), Err(AnyError::Malformed { .. })));
    }

    #[test]
    fn constants_are_the_names_of_their_messages() {
        use crate::envoy::{
            endpoint::ClusterLoadAssignment, route::RouteConfiguration, tls::Secret,
        };
        assert_eq!(type_url_of::<Cluster>(), CLUSTER);
        assert_eq!(type_url_of::<ClusterLoadAssignment>(), ENDPOINTS);
        assert_eq!(type_url_of::<Listener>(), LISTENER);
        assert_eq!(type_url_of::<RouteConfiguration>(), ROUTES);
        assert_eq!(type_url_of::<Secret>(), SECRET);
    }
}
