//! One question to one name server, by UDP and, where the answer is too long for that, by TCP.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use bytes::Bytes;
use config::dns::Resolver;
use domain::base::iana::{Class, Rcode};
use domain::base::{Message, MessageBuilder, Name, Rtype};
use domain::net::client::protocol::{TcpConnect, UdpConnect};
use domain::net::client::request::{RequestMessage, SendRequest};
use domain::net::client::{dgram, dgram_stream, multi_stream, stream};
use domain::rdata::{A, Aaaa, Cname};

use super::resolve::{Found, Kind, NotFound};

type Request = RequestMessage<Vec<u8>>;

/// Asks for the addresses of a name that is complete. No such name, or no such address, is an
/// answer.
pub(super) async fn ask(
    server: SocketAddr,
    name: &str,
    kind: Kind,
    how: &Resolver,
) -> Result<Found, NotFound> {
    let request = request(name, kind)?;
    let answer = tokio::time::timeout(how.timeout, send(server, request, how));
    let answer = answer.await.map_err(|_| NotFound(format!("{server} does not answer")))??;
    match answer.header().rcode() {
        Rcode::NOERROR => read(&answer, kind),
        Rcode::NXDOMAIN => Ok(Found::default()),
        code => Err(NotFound(format!("{server} answers {code}"))),
    }
}

fn request(name: &str, kind: Kind) -> Result<Request, NotFound> {
    let bad = |error: String| NotFound(format!("`{name}` cannot be asked for: {error}"));
    let name: Name<Vec<u8>> = name.parse().map_err(|error| bad(format!("{error}")))?;
    let mut builder = MessageBuilder::new_vec();
    builder.header_mut().set_rd(true);
    let mut question = builder.question();
    let of = match kind {
        Kind::V4 => Rtype::A,
        Kind::V6 => Rtype::AAAA,
    };
    question.push((name, of, Class::IN)).map_err(|error| bad(error.to_string()))?;
    Request::new(question.into_message()).map_err(|error| bad(error.to_string()))
}

async fn send(
    server: SocketAddr,
    request: Request,
    how: &Resolver,
) -> Result<Message<Bytes>, NotFound> {
    let failed =
        |error: domain::net::client::request::Error| NotFound(format!("{server}: {error}"));
    let mut by_stream = stream::Config::new();
    by_stream.set_response_timeout(how.timeout);
    if how.tcp {
        let by_stream = multi_stream::Config::from(by_stream);
        let (connection, transport) =
            multi_stream::Connection::with_config(TcpConnect::new(server), by_stream);
        let mut answer = connection.send_request(request);
        return tokio::select! {
            answer = answer.get_response() => answer.map_err(failed),
            () = transport.run() => Err(NotFound(format!("{server}: the connection has ended"))),
        };
    }
    let mut by_datagram = dgram::Config::new();
    by_datagram.set_read_timeout(how.timeout);
    by_datagram.set_max_retries(0);
    by_datagram.set_udp_payload_size(Some(how.udp_payload));
    by_datagram.set_recv_size(usize::from(how.udp_payload));
    let config = dgram_stream::Config::from_parts(by_datagram, by_stream.into());
    let (udp, tcp) = (UdpConnect::new(server), TcpConnect::new(server));
    let (connection, transport) = dgram_stream::Connection::with_config(udp, tcp, config);
    let mut answer = connection.send_request(request);
    tokio::select! {
        answer = answer.get_response() => answer.map_err(failed),
        () = transport.run() => Err(NotFound(format!("{server}: the connection has ended"))),
    }
}

/// The addresses of the name that the question's leads to; they live as long as the shortest part
/// of the chain.
fn read(answer: &Message<Bytes>, kind: Kind) -> Result<Found, NotFound> {
    let broken = |_| NotFound("the answer is broken".to_owned());
    let loops = || NotFound("the answer's names lead in circles".to_owned());
    let owner = answer.canonical_name().ok_or_else(loops)?;
    let records = answer.answer().map_err(broken)?;
    let mut ttl: Option<Duration> = None;
    let mut shorten = |by: Duration| ttl = Some(ttl.map_or(by, |ttl| ttl.min(by)));
    for alias in records.limit_to::<Cname<_>>().flatten() {
        shorten(alias.ttl().into_duration());
    }
    let mut addresses: Vec<IpAddr> = Vec::new();
    match kind {
        Kind::V4 => {
            let found = records.limit_to::<A>().flatten().filter(|one| *one.owner() == owner);
            found.for_each(|one| {
                shorten(one.ttl().into_duration());
                addresses.push(one.data().addr().into());
            });
        }
        Kind::V6 => {
            let found = records.limit_to::<Aaaa>().flatten().filter(|one| *one.owner() == owner);
            found.for_each(|one| {
                shorten(one.ttl().into_duration());
                addresses.push(one.data().addr().into());
            });
        }
    }
    addresses.truncate(config::limits::MAX_ADDRESSES);
    Ok(Found { addresses, ttl })
}
