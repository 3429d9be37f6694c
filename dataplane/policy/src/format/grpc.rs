//! How a call by gRPC has ended.

use config::snapshot::GrpcForm;
use wire::head::Head;

use super::{Facts, number};
use crate::reply;

/// The statuses in order, in the two spellings (Envoy writes `Canceled` with one `l` and
/// `CANCELLED` with two).
const NAMES: [(&str, &str); 17] = [
    ("OK", "OK"),
    ("Canceled", "CANCELLED"),
    ("Unknown", "UNKNOWN"),
    ("InvalidArgument", "INVALID_ARGUMENT"),
    ("DeadlineExceeded", "DEADLINE_EXCEEDED"),
    ("NotFound", "NOT_FOUND"),
    ("AlreadyExists", "ALREADY_EXISTS"),
    ("PermissionDenied", "PERMISSION_DENIED"),
    ("ResourceExhausted", "RESOURCE_EXHAUSTED"),
    ("FailedPrecondition", "FAILED_PRECONDITION"),
    ("Aborted", "ABORTED"),
    ("OutOfRange", "OUT_OF_RANGE"),
    ("Unimplemented", "UNIMPLEMENTED"),
    ("Internal", "INTERNAL"),
    ("Unavailable", "UNAVAILABLE"),
    ("DataLoss", "DATA_LOSS"),
    ("Unauthenticated", "UNAUTHENTICATED"),
];

/// Writes the status of a call; of a request that is none, nothing.
pub(super) fn status(facts: &Facts<'_>, form: GrpcForm, out: &mut Vec<u8>) -> bool {
    if !facts.request.is_some_and(reply::is_grpc) {
        return false;
    }
    let Some(status) = any(facts) else { return false };
    let names = usize::try_from(status).ok().and_then(|at| NAMES.get(at));
    match (form, names) {
        (GrpcForm::Number, _) | (_, None) => number(status, out),
        (GrpcForm::Camel, Some((camel, _))) => super::bytes(camel.as_bytes(), out),
        (GrpcForm::Snake, Some((_, snake))) => super::bytes(snake.as_bytes(), out),
    }
}

/// The status, whether it is a call or not: in the trailers, else in the head, else what the status
/// of HTTP means.
pub(crate) fn any(facts: &Facts<'_>) -> Option<u64> {
    let said = |head: Option<&Head>| {
        let value = head?.values(b"grpc-status").next()?;
        std::str::from_utf8(value).ok()?.parse::<u64>().ok()
    };
    let meant = || match facts.course.status {
        0 => None,
        status => Some(reply::grpc_status(status).into()),
    };
    said(facts.trailers).or_else(|| said(facts.response)).or_else(meant)
}
