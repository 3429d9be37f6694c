//! The smallest proxy that pingora makes: one thread, one upstream, nothing changed.
//!
//! `peer-pingora --listen IP:PORT --upstream IP:PORT`, as the programs of `benches/ladder`.

use std::net::SocketAddr;
use std::sync::Arc;

use async_trait::async_trait;
use pingora_core::Result;
use pingora_core::server::Server;
use pingora_core::server::configuration::ServerConf;
use pingora_core::upstreams::peer::HttpPeer;
use pingora_proxy::{ProxyHttp, Session, http_proxy_service};

/// Sends every request to one place.
struct To(SocketAddr);

#[async_trait]
impl ProxyHttp for To {
    type CTX = ();

    fn new_ctx(&self) {}

    async fn upstream_peer(&self, _: &mut Session, (): &mut ()) -> Result<Box<HttpPeer>> {
        Ok(Box::new(HttpPeer::new(self.0, false, String::new())))
    }
}

fn main() {
    let Some((listen, upstream)) = addresses() else {
        eprintln!("usage: peer-pingora --listen IP:PORT --upstream IP:PORT");
        std::process::exit(2);
    };
    let pool = 512;
    let conf =
        ServerConf { threads: 1, upstream_keepalive_pool_size: pool, ..ServerConf::default() };
    let mut server = Server::new_with_opt_and_conf(None, conf);
    server.bootstrap();
    let mut service = http_proxy_service(&Arc::clone(&server.configuration), To(upstream));
    service.add_tcp(&listen.to_string());
    server.add_service(service);
    server.run_forever();
}

fn addresses() -> Option<(SocketAddr, SocketAddr)> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [listen, at, upstream, to] = words.as_slice() else { return None };
    let named = listen == "--listen" && upstream == "--upstream";
    named.then(|| Some((at.parse().ok()?, to.parse().ok()?)))?
}
