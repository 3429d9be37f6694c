//! The whole agent: a control plane, a certificate authority and the admin port, on real sockets.

use std::sync::atomic::{AtomicUsize, Ordering};

use api::envoy::cluster::Cluster;
use api::envoy::listener::Listener;
use config::snapshot::Bound;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::*;
use crate::identity::Source;
use crate::settings::Control;
use crate::tests::fixtures::{Authority, ads_server, serve, target, wait_for};
use crate::xds::{Kind, Mode};
use crate::{Applier, target::Address};

const LISTENER: &str = r#"
name: inbound
address: { socket_address: { address: 127.0.0.1, port_value: 0 } }
filter_chains:
- filters:
  - name: envoy.filters.network.tcp_proxy
    typed_config:
      "@type": type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy
      stat_prefix: tcp
      cluster: app
  transport_socket:
    name: envoy.transport_sockets.tls
    typed_config:
      "@type": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext
      require_client_certificate: true
      common_tls_context:
        tls_certificate_sds_secret_configs: [ { name: default, sds_config: &sds
          { api_config_source: { api_type: GRPC, transport_api_version: V3, grpc_services:
            [ { envoy_grpc: { cluster_name: sds-grpc } } ] } } } ]
        combined_validation_context:
          default_validation_context: {}
          validation_context_sds_secret_config: { name: ROOTCA, sds_config: *sds }
"#;

async fn ask(port: u16, request: &str) -> String {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    let head = format!("{request} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n");
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

#[tokio::test]
async fn a_sidecar_becomes_ready_once_its_certificate_is_there_and_quits_when_told() {
    let directory = tempfile::tempdir().unwrap();
    let (port, mut streams) = ads_server().await;
    // The authority refuses a few times, so that the listener has to wait for its certificate.
    let authority = Authority { refusals: 3, ..Authority::new() };
    let authority = target(serve(authority, None).await, directory.path());
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let woken = Arc::new(AtomicUsize::new(0));
    let wake = woken.clone();
    let mut applier = Applier::new(
        Box::new(|address, _| {
            let socket = std::net::TcpListener::bind(address)?;
            Ok(Arc::new(Bound { sockets: vec![socket] }))
        }),
        Box::new(move || {
            wake.fetch_add(1, Ordering::Relaxed);
        }),
        true,
    );
    let (reader, live, secrets) = (applier.reader(), applier.live(), applier.secrets());
    let mut control = target(port, directory.path());
    control.address = Address::Tcp("localhost".into(), port);
    let config = AgentConfig {
        admin: Some(free),
        control: Some(Control { target: control, mode: Mode::Delta }),
        identity: Some(Source::Authority {
            target: authority,
            spiffe_id: "spiffe://cluster.local/ns/default/sa/app".into(),
            lifetime: Duration::from_secs(86_400),
            retry_first: Duration::from_millis(60),
        }),
        ..AgentConfig::default()
    };
    let (quit, mut quitting) = watch::channel(false);
    let clusters = applier.clusters_report();
    let stats: Report = Arc::new(String::new);
    let (features, outbox, version) = (Vec::new(), Outbox::default(), "0.0.0");
    let apply = applier;
    let parts = Parts { apply, secrets, live, features, stats, clusters, outbox, quit, version };
    let agent = tokio::spawn(run_on(config, parts));

    let mut stream = streams.recv().await.unwrap();
    assert_eq!(stream.hear().await.kind, Some(Kind::Cluster));
    let cluster: Cluster =
        api::text::parse("{ name: app, type: STATIC, connect_timeout: 1s }").unwrap();
    stream.push_bodies(Kind::Cluster, "1", vec![("app".into(), Some(api::pack(&cluster)))]).await;
    assert_eq!(stream.hear().await.error, "");
    assert_eq!(stream.hear().await.kind, Some(Kind::Listener));
    let listener: Listener = api::text::parse(LISTENER).unwrap();
    let listener = vec![("inbound".into(), Some(api::pack(&listener)))];
    stream.push_bodies(Kind::Listener, "2", listener).await;
    assert_eq!(stream.hear().await.error, "");
    assert!(ask(free.port(), "GET /ready").await.starts_with("HTTP/1.1 503 "));
    assert!(reader.load().listeners.is_empty(), "a listener without its certificate");

    wait_for(|| !reader.load().listeners.is_empty()).await;
    assert!(ask(free.port(), "GET /ready").await.starts_with("HTTP/1.1 200 "));
    assert!(woken.load(Ordering::Relaxed) >= 3);
    assert!(ask(free.port(), "POST /quitquitquit").await.ends_with("OK\n"));
    quitting.wait_for(|quit| *quit).await.unwrap();
    agent.await.unwrap().unwrap();
}

#[test]
fn an_admin_address_in_use_is_an_error_of_the_start() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let admin = Some(taken.local_addr().unwrap());
    let mut apply =
        Applier::new(Box::new(|_, _| Err(std::io::Error::other("none"))), Box::new(|| {}), false);
    let (live, secrets, clusters) = (apply.live(), apply.secrets(), apply.clusters_report());
    let (quit, _) = watch::channel(false);
    let stats: Report = Arc::new(String::new);
    let (features, outbox, version) = (Vec::new(), Outbox::default(), "0");
    let parts = Parts { apply, secrets, live, features, stats, clusters, outbox, quit, version };
    let error = run(AgentConfig { admin, ..AgentConfig::default() }, parts).unwrap_err();
    assert_eq!(error.code, "agent.admin_address");
}
