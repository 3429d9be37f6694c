//! What a format may ask for.

use std::net::SocketAddr;

use config::snapshot::{AccessLogType, Flags, Moment, Point, Side};
use tls::session::Peer;
use wire::head::{Head, Version};

/// What is known when a format is written. Cheap to copy; borrows everything. An empty text means
/// that there is none.
#[derive(Clone, Copy, Debug, Default)]
pub struct Facts<'c> {
    /// The request's head as it stands.
    pub request: Option<&'c Head>,
    /// The response's head as it stands.
    pub response: Option<&'c Head>,
    /// The fields behind the response's body.
    pub trailers: Option<&'c Head>,
    /// The client and its connection.
    pub client: Client<'c>,
    /// The upstream and the connection to it.
    pub upstream: Upstream<'c>,
    /// What has come of the request, or of a connection without requests.
    pub course: Course<'c>,
}

/// The client and its connection.
#[derive(Clone, Copy, Debug, Default)]
pub struct Client<'c> {
    /// The connection's number.
    pub id: u64,
    /// The client as far as it may be believed; port 0 where a header has told it.
    pub remote: Option<SocketAddr>,
    /// The direct peer.
    pub source: Option<SocketAddr>,
    /// Where the client meant to go.
    pub local: Option<SocketAddr>,
    /// Where its connection has arrived.
    pub direct_local: Option<SocketAddr>,
    /// The server name of its ClientHello.
    pub sni: &'c str,
    /// The other side of TLS; `None`: plaintext.
    pub peer: Option<&'c Peer>,
    /// The URI SAN of our own certificate.
    pub local_uri: &'c str,
    /// The name of the filter chain.
    pub chain: &'c str,
    /// Why its TLS has failed.
    pub failure: &'c str,
}

/// The upstream and the connection to it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Upstream<'c> {
    /// The cluster's name.
    pub cluster: &'c str,
    /// The host that was chosen last.
    pub host: Option<SocketAddr>,
    /// Its name, if it has one.
    pub host_name: &'c str,
    /// Our own address on the connection to it.
    pub local: Option<SocketAddr>,
    /// What is spoken to it.
    pub protocol: Option<Version>,
    /// The other side of TLS; `None`: plaintext.
    pub peer: Option<&'c Peer>,
    /// Why the connection to it has failed.
    pub failure: &'c str,
    /// Attempts that were made.
    pub attempts: u32,
}

/// What has come of it so far.
#[derive(Clone, Copy, Debug, Default)]
pub struct Course<'c> {
    /// When it began, in nanoseconds since 1970 (UTC).
    pub start: u64,
    /// When the points were reached, in nanoseconds since the start.
    pub points: [Option<u64>; Point::COUNT],
    /// The version that the client speaks; `None`: no HTTP.
    pub protocol: Option<Version>,
    /// Bytes of the request's body, or of the connection.
    pub bytes_received: u64,
    /// Bytes of the response's body, or of the connection.
    pub bytes_sent: u64,
    /// The status that was answered; 0: none.
    pub status: u16,
    /// Response flags.
    pub flags: Flags,
    /// Response code details.
    pub details: &'c str,
    /// Why a connection was ended.
    pub termination: &'c str,
    /// Who has spoken first on a connection, `server` or `client`, where that was waited for.
    pub first: &'c str,
    /// The route's name.
    pub route: &'c str,
    /// The body of our own answer.
    pub body: &'c [u8],
    /// An identifier, where there is no head that has one.
    pub id: &'c [u8],
    /// A health check filter took it for one.
    pub is_health_check: bool,
    /// Which moment the line is of.
    pub kind: AccessLogType,
}

impl Facts<'_> {
    pub(super) fn address(&self, side: Side) -> Option<SocketAddr> {
        match side {
            Side::Client => self.client.remote,
            Side::DirectClient => self.client.source,
            Side::Local => self.client.local,
            Side::DirectLocal => self.client.direct_local,
            Side::Upstream => self.upstream.host,
            Side::UpstreamLocal => self.upstream.local,
        }
    }
}

impl Course<'_> {
    /// When a point was reached, in nanoseconds since the start.
    pub fn point(&self, point: Point) -> Option<u64> {
        match point {
            Point::RequestBegin => Some(0),
            _ => self.points.get(point as usize).copied().flatten(),
        }
    }

    /// A moment in nanoseconds since 1970.
    pub(super) fn at(&self, moment: Moment) -> u64 {
        let since = match moment {
            Moment::Start => 0,
            Moment::Emit => self.point(Point::Over).unwrap_or(0),
        };
        self.start.saturating_add(since)
    }
}
