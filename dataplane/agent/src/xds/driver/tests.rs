//! The client against a small ADS server in the same process, over a real socket.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::*;
use crate::target::Address;
use crate::tests::fixtures::{Conversation, Heard, Say, ads_server};
use crate::xds::{Applied, Rejection, Wants};

/// Keeps names, refuses those that begin with `bad`, wants endpoints of each cluster and a route of
/// each listener.
#[derive(Clone, Default)]
struct Book(Arc<Mutex<BTreeMap<Kind, BTreeMap<String, String>>>>);

impl Apply for Book {
    fn apply(&mut self, push: &Push) -> Applied {
        let mut book = self.0.lock().unwrap();
        let page = book.entry(push.kind).or_default();
        let (bad, good): (Vec<_>, Vec<_>) =
            push.set.iter().partition(|resource| resource.name.starts_with("bad"));
        if push.complete {
            page.retain(|name, _| push.set.iter().any(|resource| resource.name == *name));
        }
        page.retain(|name, _| !push.removed.contains(name));
        page.extend(good.iter().map(|r| (r.name.clone(), push.nonce.clone())));
        let rejection = |name: &String| Rejection {
            name: name.clone(),
            field: "type".into(),
            reason: "no such thing".into(),
        };
        let names = |kind| book.get(&kind).into_iter().flat_map(|p| p.keys().cloned()).collect();
        let wants = Wants {
            endpoints: names(Kind::Cluster),
            routes: names(Kind::Listener),
            ..Wants::default()
        };
        Applied { rejected: bad.iter().map(|r| rejection(&r.name)).collect(), wants }
    }
}

impl Book {
    fn names(&self, kind: Kind) -> Vec<String> {
        let book = self.0.lock().unwrap();
        book.get(&kind).into_iter().flat_map(|page| page.keys().cloned()).collect()
    }
}

struct Scene {
    conversations: mpsc::Receiver<Conversation>,
    book: Book,
    stop: watch::Sender<bool>,
    client: tokio::task::JoinHandle<()>,
}

impl Scene {
    async fn new(mode: Mode, change: impl FnOnce(&mut Target)) -> Self {
        let (port, conversations) = ads_server().await;
        let mut target = Target {
            address: Address::Tcp("127.0.0.1".into(), port),
            tls: None,
            token_file: None,
            metadata: Vec::new(),
        };
        change(&mut target);
        let (book, (stop, stopped)) = (Book::default(), watch::channel(false));
        let mut options = XdsOptions::new(mode, Node::default());
        options.retry_first = Duration::from_millis(10);
        let client = tokio::spawn(XdsClient::new(target, options, book.clone()).run(stopped));
        Self { conversations, book, stop, client }
    }

    async fn stream(&mut self) -> Conversation {
        let next = tokio::time::timeout(Duration::from_secs(10), self.conversations.recv()).await;
        next.expect("no stream").unwrap()
    }

    async fn end(self) {
        self.stop.send_replace(true);
        let ended = tokio::time::timeout(Duration::from_secs(10), self.client).await;
        ended.expect("the client does not stop").unwrap();
    }
}

fn heard(kind: Kind, names: &[&str], nonce: &str) -> (Option<Kind>, Vec<String>, String, bool) {
    (Some(kind), names.iter().map(|n| (*n).to_owned()).collect(), nonce.to_owned(), true)
}

fn said(heard: Heard) -> (Option<Kind>, Vec<String>, String, bool) {
    (heard.kind, heard.names, heard.nonce, heard.error.is_empty())
}

#[tokio::test]
async fn subscriptions_follow_what_is_in_force() {
    for mode in [Mode::StateOfTheWorld, Mode::Delta] {
        let world = mode == Mode::StateOfTheWorld;
        let mut scene = Scene::new(mode, |_| {}).await;
        let mut stream = scene.stream().await;
        assert_eq!(said(stream.hear().await), heard(Kind::Cluster, &[], ""));
        stream.push(Kind::Cluster, "c1", &["a", "b"]).await;
        assert_eq!(said(stream.hear().await), heard(Kind::Cluster, &[], "c1"));
        assert_eq!(said(stream.hear().await), heard(Kind::Endpoints, &["a", "b"], ""));
        assert_eq!(said(stream.hear().await), heard(Kind::Listener, &[], ""));
        stream.push(Kind::Listener, "l1", &["80"]).await;
        assert_eq!(said(stream.hear().await), heard(Kind::Listener, &[], "l1"));
        assert_eq!(said(stream.hear().await), heard(Kind::Routes, &["80"], ""));
        // One cluster goes, one comes.
        let (next, changed): (&[&str], &[&str]) = match world {
            true => (&["b", "c"], &["b", "c"]),
            false => (&["c", "!a"], &["c", "-a"]),
        };
        stream.push(Kind::Cluster, "c2", next).await;
        assert_eq!(said(stream.hear().await), heard(Kind::Cluster, &[], "c2"));
        assert_eq!(said(stream.hear().await), heard(Kind::Endpoints, changed, ""));
        assert_eq!(scene.book.names(Kind::Cluster), ["b", "c"]);
        scene.end().await;
    }
}

#[tokio::test]
async fn a_refusal_names_the_resource_and_keeps_the_rest() {
    for mode in [Mode::StateOfTheWorld, Mode::Delta] {
        let mut scene = Scene::new(mode, |_| {}).await;
        let mut stream = scene.stream().await;
        stream.hear().await;
        stream.push(Kind::Cluster, "c1", &["bad one", "good"]).await;
        let answer = stream.hear().await;
        assert_eq!(answer.error, "cluster \"bad one\": type: no such thing");
        assert_eq!(scene.book.names(Kind::Cluster), ["good"]);
        scene.end().await;
    }
}

#[tokio::test]
async fn after_a_lost_stream_the_last_good_configuration_stays_and_is_claimed() {
    for mode in [Mode::StateOfTheWorld, Mode::Delta] {
        let mut scene = Scene::new(mode, |_| {}).await;
        let mut stream = scene.stream().await;
        stream.hear().await;
        stream.push(Kind::Cluster, "c1", &["a"]).await;
        for _ in 0..3 {
            stream.hear().await;
        }
        drop(stream);
        assert_eq!(scene.book.names(Kind::Cluster), ["a"]);
        let mut stream = scene.stream().await;
        let first = stream.hear().await;
        assert_eq!((first.kind, first.nonce.as_str()), (Some(Kind::Cluster), ""));
        let known = match mode {
            Mode::StateOfTheWorld => ("".to_owned(), "v-c1".to_owned()),
            Mode::Delta => ("a".to_owned(), "c1".to_owned()),
        };
        assert_eq!(first.known, BTreeMap::from([known]));
        assert_eq!(said(stream.hear().await), heard(Kind::Endpoints, &["a"], ""));
        assert_eq!(said(stream.hear().await), heard(Kind::Listener, &[], ""));
        // The same again is no harm.
        stream.push(Kind::Cluster, "c1", &["a"]).await;
        assert_eq!(said(stream.hear().await), heard(Kind::Cluster, &[], "c1"));
        scene.end().await;
    }
}

#[tokio::test]
async fn a_place_that_ends_streams_unanswered_is_left_and_the_one_that_answers_is_kept() {
    let (deaf_port, mut deaf) = ads_server().await;
    let mut scene = Scene::new(Mode::Delta, |target| {
        let Address::Tcp(host, port) = target.address.clone() else { panic!("one place") };
        let place = |port| config::Target::Tcp { host: host.clone(), port };
        target.address = Address::AnyOf(vec![place(deaf_port), place(port)]);
    })
    .await;
    drop(deaf.recv().await.unwrap());
    for nonce in ["c1", "c2"] {
        let mut stream = scene.stream().await;
        stream.hear().await;
        stream.push(Kind::Cluster, nonce, &["a"]).await;
        while stream.hear().await.nonce != nonce {}
    }
    assert!(deaf.try_recv().is_err(), "nobody goes back to the place that did not answer");
    scene.end().await;
}

#[tokio::test]
async fn the_token_is_read_anew_for_each_stream() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("token");
    std::fs::write(&path, "first\n").unwrap();
    let mut scene = Scene::new(Mode::Delta, |target| {
        target.token_file = Some(path.clone());
        target.metadata.push(("ClusterID".into(), "Kubernetes".into()));
    })
    .await;
    let stream = scene.stream().await;
    assert_eq!(stream.metadata.get("authorization").unwrap(), "Bearer first");
    assert_eq!(stream.metadata.get("clusterid").unwrap(), "Kubernetes");
    std::fs::write(&path, "second").unwrap();
    drop(stream);
    let stream = scene.stream().await;
    assert_eq!(stream.metadata.get("authorization").unwrap(), "Bearer second");
    scene.end().await;
}

#[tokio::test]
async fn an_unknown_type_does_not_end_the_stream() {
    let mut scene = Scene::new(Mode::Delta, |_| {}).await;
    let mut stream = scene.stream().await;
    stream.hear().await;
    let Say::Delta(say) = stream.say.clone() else { panic!("a delta stream") };
    let type_url = "type.googleapis.com/istio.networking.nds.v1.NameTable".to_owned();
    let response = DeltaDiscoveryResponse { type_url, nonce: "x".into(), ..Default::default() };
    say.send(Ok(response)).await.unwrap();
    let answer = stream.hear().await;
    assert!(answer.nonce == "x" && answer.error.contains("NameTable"));
    stream.push(Kind::Cluster, "c1", &["a"]).await;
    assert_eq!(said(stream.hear().await), heard(Kind::Cluster, &[], "c1"));
    scene.end().await;
}
