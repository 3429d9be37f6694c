//! HAProxy with one thread.

use super::{Front, Peer, text, write};
use crate::{Outcome, place::Place};

pub(super) fn start(peer: &mut Peer, front: Front, place: &Place) -> Outcome<()> {
    let (mode, upstream) = match front {
        Front::Http | Front::Http2 => ("mode http\n  http-reuse always", place.origin.http),
        Front::Tcp => ("mode tcp", place.origin.tcp),
        Front::Bulk => ("mode tcp\n  option splice-auto", place.origin.http),
        Front::Routes | Front::Pair | Front::Redirected => {
            return Err("HAProxy takes no part in this".into());
        }
    };
    // It speaks HTTP/2 without TLS where it is told to.
    let proto = if front == Front::Http2 { " proto h2" } else { "" };
    let config = format!(
        "global\n  nbthread 1\n  maxconn 11000\n  no strict-limits\n\
         defaults\n  {mode}\n  timeout connect 10s\n  timeout client 600s\n  timeout server 600s\n\
         frontend in\n  bind {}{proto}\n  default_backend out\n\
         backend out\n  server origin {upstream}{proto}\n",
        peer.target
    );
    let path = write(place, "haproxy.cfg", &config)?;
    let program = place.programs.haproxy.as_deref().map(text).unwrap_or_default();
    peer.spawn(place, [program.as_str(), "-db", "-f", &path].map(str::to_owned).to_vec())
}
