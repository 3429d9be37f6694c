//! A name server by UDP and TCP that says what it is told to.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex};

use domain::base::iana::Rcode;
use domain::base::{Message, MessageBuilder, Name, Rtype, Ttl};
use domain::rdata::{A, Aaaa, Cname};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, UdpSocket};

/// What is said of a name.
#[derive(Clone, Default)]
pub(super) struct Reply {
    pub(super) addresses: Vec<IpAddr>,
    pub(super) ttl_s: u32,
    /// The addresses are of that other name; its record lives that long.
    pub(super) alias: Option<(String, u32)>,
    pub(super) fails: bool,
    pub(super) is_silent: bool,
    pub(super) by_tcp_alone: bool,
}

impl Reply {
    pub(super) fn of(addresses: &[IpAddr], ttl_s: u32) -> Self {
        Self { addresses: addresses.to_vec(), ttl_s, ..Self::default() }
    }
}

#[derive(Clone, Default)]
struct Shared {
    replies: Arc<Mutex<HashMap<String, Reply>>>,
    asked: Arc<Mutex<Vec<(String, bool)>>>,
}

pub(super) struct Server {
    pub(super) address: SocketAddr,
    shared: Shared,
}

impl Server {
    pub(super) async fn start() -> Self {
        let (udp, tcp) = loop {
            let udp = UdpSocket::bind("127.0.0.1:0").await.unwrap();
            if let Ok(tcp) = TcpListener::bind(udp.local_addr().unwrap()).await {
                break (udp, tcp);
            }
        };
        let address = udp.local_addr().unwrap();
        let shared = Shared::default();
        tokio::spawn(by_udp(udp, shared.clone()));
        tokio::spawn(by_tcp(tcp, shared.clone()));
        Self { address, shared }
    }

    pub(super) fn set(&self, name: &str, reply: Reply) {
        self.shared.replies.lock().unwrap().insert(name.to_owned(), reply);
    }

    pub(super) fn unset(&self, name: &str) {
        self.shared.replies.lock().unwrap().remove(name);
    }

    /// The names it was asked for, and whether by TCP.
    pub(super) async fn asked(&self) -> Vec<(String, bool)> {
        self.shared.asked.lock().unwrap().clone()
    }
}

async fn by_udp(socket: UdpSocket, shared: Shared) {
    let mut bytes = [0; 2048];
    loop {
        let (length, from) = socket.recv_from(&mut bytes).await.unwrap();
        if let Some(answer) = answer(&bytes[..length], &shared, false) {
            socket.send_to(&answer, from).await.unwrap();
        }
    }
}

async fn by_tcp(listener: TcpListener, shared: Shared) {
    loop {
        let (mut stream, _) = listener.accept().await.unwrap();
        let shared = shared.clone();
        tokio::spawn(async move {
            while let Ok(length) = stream.read_u16().await {
                let mut bytes = vec![0; usize::from(length)];
                stream.read_exact(&mut bytes).await.unwrap();
                let Some(answer) = answer(&bytes, &shared, true) else { continue };
                let length = u16::try_from(answer.len()).unwrap();
                stream.write_u16(length).await.unwrap();
                stream.write_all(&answer).await.unwrap();
            }
        });
    }
}

fn answer(bytes: &[u8], shared: &Shared, by_tcp: bool) -> Option<Vec<u8>> {
    let query = Message::from_octets(bytes).unwrap();
    let question = query.sole_question().unwrap();
    let name = format!("{}.", question.qname()).replace("..", ".");
    shared.asked.lock().unwrap().push((name.clone(), by_tcp));
    let reply = shared.replies.lock().unwrap().get(&name).cloned();
    if reply.as_ref().is_some_and(|reply| reply.is_silent) {
        return None;
    }
    let rcode = match &reply {
        None => Rcode::NXDOMAIN,
        Some(reply) if reply.fails => Rcode::SERVFAIL,
        Some(_) => Rcode::NOERROR,
    };
    let mut answer = MessageBuilder::new_vec().start_answer(&query, rcode).unwrap();
    let reply = reply.unwrap_or_default();
    if reply.by_tcp_alone && !by_tcp {
        answer.header_mut().set_tc(true);
        return Some(answer.finish());
    }
    let mut owner: Name<Vec<u8>> = name.parse().unwrap();
    if let Some((alias, ttl_s)) = &reply.alias {
        let alias: Name<Vec<u8>> = alias.parse().unwrap();
        answer.push((&owner, Ttl::from_secs(*ttl_s), Cname::new(&alias))).unwrap();
        owner = alias;
    }
    for address in &reply.addresses {
        let ttl = Ttl::from_secs(reply.ttl_s);
        match (address, question.qtype()) {
            (IpAddr::V4(ip), Rtype::A) => answer.push((&owner, ttl, A::new(*ip))).unwrap(),
            (IpAddr::V6(ip), Rtype::AAAA) => answer.push((&owner, ttl, Aaaa::new(*ip))).unwrap(),
            _ => {}
        }
    }
    Some(answer.finish())
}
