//! The wire between the pods: TLS 1.3 and nothing readable, and who speaks on it.

use std::net::{IpAddr, SocketAddr};

use kit::tap::{Tap, inspect};

use super::{
    super::{
        cast::{REVIEWS, REVIEWS_PORT, ROLES},
        http::Connection,
        mesh::Mesh,
        report::Report,
    },
    traffic::{ALLOWED, ask_many},
};
use crate::failure::{Context, Failure};

/// Enough that both versions are called and their handshakes are on the wire.
const REQUESTS: usize = 100;
/// The header in which the server's proxy tells its app who called (Envoy's XFCC).
const PEER_HEADER: &str = "x-forwarded-client-cert";

/// Watches the first requests of all: the ones with handshakes.
pub(super) fn play(mesh: &Mesh, report: &mut Report) -> Result<(), Failure> {
    let tap = Tap::start(mesh.network().bridge())?;
    let traffic = mesh.namespace("productpage")?.drive(|| ask_many(REQUESTS))?;
    let peers = peers(mesh);
    let streams = tap.stop()?;
    if traffic.samples.is_empty() {
        let why = traffic.first_failure.unwrap_or_default();
        return Err(Failure::new(format!("productpage cannot reach reviews: {why}")));
    }
    let servers: Vec<IpAddr> =
        ROLES.iter().filter(|role| role.account == "reviews").map(|role| role.ip.into()).collect();
    let seen = inspect(&streams, |end: SocketAddr| {
        end.port() == REVIEWS_PORT && servers.contains(&end.ip())
    });
    let versions: Vec<_> = seen.versions.keys().cloned().collect();
    report.tls_version = match versions.is_empty() {
        true => "plaintext".into(),
        false => versions.join(" and "),
    };
    report.page.tls_records = seen.records;
    report.page.wire_bytes = seen.bytes;
    report.page.wire_plaintext = seen.plaintext.len() + seen.not_tls.len();
    (report.client_spiffe, report.server_spiffe) = peers?;
    Ok(())
}

/// Both identities, from the header that the server's proxy makes of the verified certificates.
fn peers(mesh: &Mesh) -> Result<(String, String), Failure> {
    let address: SocketAddr = REVIEWS.parse().context(|| REVIEWS.into())?;
    let namespace = mesh.namespace("productpage")?;
    let asked = namespace
        .drive(move || async move { Connection::open(address).await?.ask(ALLOWED).await })?;
    let answer = asked.context(|| "productpage cannot reach reviews".into())?;
    let text = String::from_utf8_lossy(&answer.body).into_owned();
    let header = echoed_header(&text, PEER_HEADER).ok_or_else(|| {
        Failure::new(format!("the app was not told who called: no {PEER_HEADER} in {text:?}"))
    })?;
    let field = |name: &str| {
        let mut fields = header.split([';', ',']);
        let found = fields.find_map(|field| field.trim().strip_prefix(name)?.strip_prefix('='));
        found.map(|value| value.trim_matches('"').to_owned()).unwrap_or_default()
    };
    Ok((field("URI"), field("By")))
}

/// The header as the app saw it: the app answers with a JSON object that holds its request.
fn echoed_header(body: &str, name: &str) -> Option<String> {
    let body: serde_json::Value = serde_json::from_str(body).ok()?;
    let found = body.get("headers")?.as_object()?.iter();
    let mut found = found.filter(|(known, _)| known.eq_ignore_ascii_case(name));
    found.next()?.1.as_str().map(str::to_owned)
}
