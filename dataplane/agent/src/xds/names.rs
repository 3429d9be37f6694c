//! The name of a resource, which in a state of the world stands only inside it.

use api::AnyError;
use api::envoy::Any;
use prost::Message;

use super::{Kind, Rejection, Resource};

/// Takes a resource of a state of the world out of its wrapper, if it has one, and names it.
pub(super) fn take(kind: Kind, any: Any, index: usize) -> Result<Resource, Rejection> {
    let mut resource = match api::unpack::<Resource>(&any) {
        Ok(resource) => resource,
        Err(AnyError::OtherType { .. }) => Resource { resource: Some(any), ..Default::default() },
        Err(error) => return Err(nameless(index, error.to_string())),
    };
    let Some(body) = &resource.resource else {
        return Err(nameless(index, "the wrapper is empty".to_owned()));
    };
    let inner = name(kind, body).map_err(|reason| nameless(index, reason))?;
    if resource.name.is_empty() {
        resource.name = inner;
    }
    if resource.name.is_empty() {
        return Err(nameless(index, "it has no name".to_owned()));
    }
    Ok(resource)
}

/// Every kind has its name in field 1, so that is all that is read here; the rest of the message is
/// read when it is compiled.
#[derive(Clone, PartialEq, Message)]
struct Named {
    #[prost(string, tag = "1")]
    name: String,
}

fn name(kind: Kind, body: &Any) -> Result<String, String> {
    if Kind::of(&body.type_url) != Some(kind) {
        return Err(format!("it is a `{}`, not a {kind}", body.type_url));
    }
    Named::decode(body.value.as_slice()).map(|named| named.name).map_err(|error| error.to_string())
}

fn nameless(index: usize, reason: String) -> Rejection {
    Rejection { name: format!("resources[{index}]"), field: String::new(), reason }
}
