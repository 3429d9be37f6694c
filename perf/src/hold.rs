//! What connections cost that do nothing: memory.

use std::{
    io::{Read, Write},
    net::TcpStream,
    thread,
    time::Duration,
};

use crate::{
    Outcome,
    figures::{Metric, Results, Table},
    peer::{Front, Make, Peer},
    place::Place,
    scenario::Effort,
};

/// How long memory has to settle after the last request.
const SETTLE: Duration = Duration::from_millis(500);
/// Connections that have asked before the count begins, so that what is made once is made.
const FIRST: usize = 64;

/// Opens connections, makes one request on each, leaves them open and looks at the memory.
pub(crate) fn run(
    scenario: &'static str,
    makes: &[Make],
    place: &Place,
    effort: &Effort,
    results: &mut Results,
) -> Outcome<()> {
    let table = Table { scenario, load: format!("{} connections", effort.idle_connections) };
    for make in place.present(makes) {
        place.say(scenario, format!("{}: {} connections", make.name(), effort.idle_connections));
        let peer = Peer::start(make, Front::Http, place)?;
        let mut held = Vec::with_capacity(effort.idle_connections + FIRST);
        hold(&peer, FIRST, &mut held)?;
        thread::sleep(SETTLE);
        let before = peer.resident_kib();
        hold(&peer, effort.idle_connections, &mut held)?;
        thread::sleep(SETTLE);
        let after = peer.resident_kib();
        let added = after.saturating_sub(before) as f64;
        let each = added / effort.idle_connections as f64;
        results.add(&table, make, Metric::KibPerConnection, each);
        results.add(&table, make, Metric::Resident, after as f64 / 1024.0);
    }
    Ok(())
}

/// A request on each, one after the other: a proxy needs no more than one connection behind it.
fn hold(peer: &Peer, count: usize, held: &mut Vec<TcpStream>) -> Outcome<()> {
    const REQUEST: &[u8] = b"GET /16 HTTP/1.1\r\nhost: origin.perf\r\n\r\n";
    let failed = |error: std::io::Error| format!("{}: a connection: {error}", peer.make.name());
    let mut answer = [0; 4096];
    for _ in 0..count {
        let mut stream = TcpStream::connect(peer.target).map_err(failed)?;
        stream.set_read_timeout(Some(Duration::from_secs(10))).map_err(failed)?;
        stream.write_all(REQUEST).map_err(failed)?;
        let mut len = 0;
        while !answer.get(..len).is_some_and(|all| all.ends_with(b"abcdefghijklmnop")) {
            let room = answer.get_mut(len..).unwrap_or_default();
            match stream.read(room).map_err(failed)? {
                0 => return Err(format!("{} has closed a connection", peer.make.name())),
                more => len += more,
            }
        }
        held.push(stream);
    }
    Ok(())
}
