//! `TypedStruct`: a message as a struct, for types that the sender has no descriptor of.
//!
//! Istio sends the `udpa` form; users write both. They are one message under two names.

use envoy_types::pb::google::protobuf::Struct;
use prost::{Message, Name};

/// `udpa.type.v1.TypedStruct`
#[derive(Clone, PartialEq, Message)]
pub struct UdpaTypedStruct {
    /// The type URL of the message that `value` describes.
    #[prost(string, tag = "1")]
    pub type_url: String,
    /// Its fields, as JSON would have them.
    #[prost(message, optional, tag = "2")]
    pub value: Option<Struct>,
}

impl Name for UdpaTypedStruct {
    const NAME: &'static str = "TypedStruct";
    const PACKAGE: &'static str = "udpa.type.v1";
}

/// `xds.type.v3.TypedStruct`
#[derive(Clone, PartialEq, Message)]
pub struct XdsTypedStruct {
    /// The type URL of the message that `value` describes.
    #[prost(string, tag = "1")]
    pub type_url: String,
    /// Its fields, as JSON would have them.
    #[prost(message, optional, tag = "2")]
    pub value: Option<Struct>,
}

impl Name for XdsTypedStruct {
    const NAME: &'static str = "TypedStruct";
    const PACKAGE: &'static str = "xds.type.v3";
}
