//! What the AuthorizationPolicy and STRICT let through, and what not.

use std::{io, net::SocketAddr};

use super::{
    super::{
        cast::{self, REVIEWS, REVIEWS_PORT},
        http::{Connection, Question},
        mesh::Mesh,
        report::{Case, Report},
    },
    traffic::ALLOWED,
};
use crate::failure::{Context, Failure};

/// The word for a connection that ended before any answer.
const REFUSED: &str = "refused";

/// Who asks what, and what must come back.
const CASES: [(&str, &str, &str, &str); 4] = [
    ("productpage", "GET", "/api/reviews/1", "200"),
    ("productpage", "POST", "/api/reviews/1", "403"),
    ("productpage", "GET", "/admin", "403"),
    ("ratings", "GET", "/api/reviews/1", "403"),
];

/// Asks all of it.
pub(super) fn play(mesh: &Mesh, report: &mut Report) -> Result<(), Failure> {
    let service: SocketAddr = REVIEWS.parse().context(|| REVIEWS.into())?;
    for (caller, method, path, expected) in CASES {
        let question = Question { method, path, ..ALLOWED };
        let got = mesh.namespace(caller)?.drive(move || ask(service, question))?;
        let case = format!("{method} {path} as sa/{caller}");
        report.policy.push(Case { case, expected: expected.into(), got });
    }
    // No proxy, so no service address either: straight to the pod.
    let pod = cast::find("reviews-v1").ok_or_else(|| Failure::new("there is no reviews-v1"))?;
    let pod = SocketAddr::new(pod.ip.into(), REVIEWS_PORT);
    let got = mesh.namespace("legacy")?.drive(move || ask(pod, ALLOWED))?;
    let case = "GET /api/reviews/1 in plaintext, without a proxy (STRICT)".into();
    report.policy.push(Case { case, expected: REFUSED.into(), got });
    Ok(())
}

async fn ask(address: SocketAddr, question: Question<'static>) -> String {
    let asked = async { Connection::open(address).await?.ask(question).await };
    match asked.await {
        Ok(answer) => answer.status.to_string(),
        Err(error) if is_refusal(&error) => REFUSED.into(),
        Err(error) => error.to_string(),
    }
}

/// Closed or reset by the other side; a timeout is none, it may have been a lost packet.
fn is_refusal(error: &io::Error) -> bool {
    use io::ErrorKind::{
        BrokenPipe, ConnectionAborted, ConnectionRefused, ConnectionReset, UnexpectedEof,
    };
    matches!(
        error.kind(),
        BrokenPipe | ConnectionAborted | ConnectionRefused | ConnectionReset | UnexpectedEof
    )
}
