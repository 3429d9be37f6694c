//! Clusters that follow their names, through the whole agent.

use api::envoy::cluster::Cluster;
use config::Update;
use config::snapshot::{Bound, Snapshot};
use config::swap::Reader;
use tokio::sync::watch;

use super::*;
use crate::admin::Report;
use crate::tests::fixtures::wait_for;
use crate::{AgentConfig, Applier, Parts, run_on};

/// An agent without a control plane, on clusters out of a file.
struct Agent {
    reader: Reader,
    live: Arc<crate::admin::Live>,
    quit: watch::Sender<bool>,
    task: tokio::task::JoinHandle<Result<(), crate::AgentError>>,
}

impl Agent {
    fn start(clusters: &[String]) -> Self {
        let bind = |_, _: &_| Ok(Arc::new(Bound::default()));
        let mut apply = Applier::new(Box::new(bind), Box::new(|| {}), false);
        let mut update = Update { origin: config::Origin::File, ..Update::default() };
        for cluster in clusters {
            update.clusters.push(api::text::parse::<Cluster>(cluster).unwrap());
        }
        assert_eq!(apply.load_file(update), []);
        let (reader, live) = (apply.reader(), apply.live());
        let (secrets, clusters) = (apply.secrets(), apply.clusters_report());
        let (quit, _) = watch::channel(false);
        let stats: Report = Arc::new(String::new);
        let parts = Parts {
            apply,
            secrets,
            live: live.clone(),
            features: Vec::new(),
            stats,
            clusters,
            outbox: crate::Outbox::default(),
            quit: quit.clone(),
            version: "0",
        };
        let task = tokio::spawn(run_on(AgentConfig::default(), parts));
        Self { reader, live, quit, task }
    }

    async fn stop(self) {
        self.quit.send_replace(true);
        self.task.await.unwrap().unwrap();
    }

    fn hosts(&self, name: &str) -> Option<Vec<String>> {
        hosts(&self.reader.load(), name)
    }

    async fn until(&self, name: &str, expected: &[&str]) {
        wait_for(|| self.hosts(name).is_some_and(|hosts| hosts == expected)).await;
    }
}

fn hosts(snapshot: &Snapshot, name: &str) -> Option<Vec<String>> {
    let cluster = snapshot.clusters.iter().flatten().find(|cluster| &*cluster.name == name)?;
    let hosts =
        cluster.endpoints.hosts.iter().map(|host| {
            format!("{}={}", host.hostname.as_deref().unwrap_or_default(), host.address)
        });
    Some(hosts.collect())
}

fn cluster(kind: &str, server: &Server, names: &[&str], more: &str) -> String {
    let endpoints = names.iter().map(|name| {
        format!(
            "{{ endpoint: {{ address: {{ socket_address: {{ address: {name}, port_value: 80 }} }} \
             }} }}"
        )
    });
    let (endpoints, port) = (endpoints.collect::<Vec<_>>().join(", "), server.address.port());
    format!(
        "{{ name: {kind}, type: {kind}, dns_refresh_rate: 0.02s, dns_lookup_family: V4_ONLY, \
         {more} dns_resolvers: [ {{ socket_address: {{ address: 127.0.0.1, port_value: {port} }} \
         }} ], load_assignment: {{ cluster_name: x, endpoints: [ {{ lb_endpoints: [ {endpoints} ] \
         }} ] }} }}"
    )
}

fn ip(last: u8) -> IpAddr {
    IpAddr::from([10, 0, 0, last])
}

#[tokio::test]
async fn hosts_follow_their_names() {
    let server = Server::start().await;
    server.set("a.test.", Reply::of(&[ip(2), ip(1)], 1));
    server.set("b.test.", Reply::of(&[ip(2), ip(3)], 1));
    let strict = cluster("STRICT_DNS", &server, &["a.test.", "b.test.", "10.9.9.9"], "");
    let logical = cluster("LOGICAL_DNS", &server, &["a.test."], "");
    let agent = Agent::start(&[strict, logical]);
    assert_eq!(agent.hosts("STRICT_DNS"), None, "it waits for its names");
    assert!(!agent.live.get());
    let [one, two, three, fixed] =
        ["a.test.=10.0.0.1:80", "a.test.=10.0.0.2:80", "b.test.=10.0.0.3:80", "=10.9.9.9:80"];
    agent.until("STRICT_DNS", &[one, two, three, fixed]).await;
    agent.until("LOGICAL_DNS", &[two]).await;
    assert!(agent.live.get());
    let version = |agent: &Agent| {
        let snapshot = agent.reader.load();
        let found = snapshot.clusters.iter().flatten().find(|c| &*c.name == "STRICT_DNS");
        (snapshot.generation, found.unwrap().endpoints.version)
    };

    // The same addresses in another order are the same hosts, and no new snapshot.
    server.unset("b.test.");
    agent.until("STRICT_DNS", &[one, two, fixed]).await;
    agent.until("LOGICAL_DNS", &[two]).await;
    server.set("a.test.", Reply::of(&[ip(1), ip(2)], 1));
    agent.until("LOGICAL_DNS", &[one]).await;
    let before = version(&agent);
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(version(&agent), before);

    // A failure leaves everything as it is; no such name empties the strict one alone.
    server.set("a.test.", Reply { fails: true, ..Reply::default() });
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(version(&agent), before);
    server.unset("a.test.");
    agent.until("STRICT_DNS", &[fixed]).await;
    agent.until("LOGICAL_DNS", &[one]).await;
    agent.stop().await;
}

#[tokio::test]
async fn a_cluster_need_not_wait_for_its_names() {
    let server = Server::start().await;
    server.set("a.test.", Reply::of(&[ip(1)], 1));
    let strict = cluster("STRICT_DNS", &server, &["a.test."], "wait_for_warm_on_init: false,");
    let agent = Agent::start(&[strict]);
    assert_eq!(agent.hosts("STRICT_DNS"), Some(Vec::new()));
    agent.until("STRICT_DNS", &["a.test.=10.0.0.1:80"]).await;
    agent.stop().await;
}

#[tokio::test]
async fn a_name_that_cannot_be_found_keeps_nobody_waiting() {
    let server = Server::start().await;
    server.set("a.test.", Reply { fails: true, ..Reply::default() });
    let agent = Agent::start(&[cluster("STRICT_DNS", &server, &["a.test."], "")]);
    agent.until("STRICT_DNS", &[]).await;
    assert!(agent.live.get());
    server.set("a.test.", Reply::of(&[ip(1)], 1));
    agent.until("STRICT_DNS", &["a.test.=10.0.0.1:80"]).await;
    agent.stop().await;
}
