//! The steps of a request, each with the instructions that it may take.

use std::hint::black_box;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use config::snapshot::{Snapshot, Transport};
use config::swap::Published;
use policy::facts::{ConnectionFacts, Protocols, RequestFacts};
use policy::headers::{self, Attempt, RequestContext};
use policy::{chain, rbac, route};
use ring::{Nanos, Slab, Wheel};
use tls::session::Peer;
use upstream::Clusters;
use wire::h1::{self, Limits, ResponseTo};
use wire::head::{Framing, Head};

use crate::calls::Calls;
use crate::mesh;
use crate::proxied::Proxied;

/// Something that is measured.
pub struct Step {
    /// What it is.
    pub name: &'static str,
    /// The instructions that one time may take: about a tenth more than it took when this was last
    /// set, on x86-64 with AVX2 in the release profile.
    pub budget: u64,
    /// How often it is done to be counted; fewer for what takes long.
    pub times: u64,
    /// Makes ready; what comes out does it so many times.
    pub prepare: fn() -> Run,
}

/// Does a step so many times.
pub type Run = Box<dyn FnMut(u64)>;

const fn step(name: &'static str, budget: u64, times: u64, prepare: fn() -> Run) -> Step {
    Step { name, budget, times, prepare }
}

/// All steps in the order of a request's way, the whole of it last.
pub const STEPS: &[Step] = &[
    step("learn that no snapshot is new", 10, 5_000, changed),
    step("load a snapshot", 92, 5_000, load),
    step("match one of 2 filter chains", 550, 2_000, || chains(1)),
    step("match one of 100 filter chains", 14_150, 500, || chains(50)),
    step("parse a request of 10 fields", 5_950, 2_000, parse_request),
    step("parse an answer of 4 fields", 2_600, 2_000, parse_answer),
    step("parse a request and prepare its headers", 7_650, 2_000, change_request),
    step("parse an answer and finish its headers", 4_400, 2_000, change_answer),
    step("encode a request of 10 fields", 1_290, 2_000, encode),
    step("pass on an HTTP/2 call with its trailers", 17_400, 2_000, call),
    step("find the route among 1", 902, 2_000, || routes(1, 1)),
    step("find the route among 100", 1_415, 1_000, || routes(1, 100)),
    step("find the route among 10,000", 1_745, 2_000, || routes(1, 10_000)),
    step("find the route among 2,000 hosts", 902, 20_000, || routes(2_000, 1)),
    step("judge by 1 policy", 690, 2_000, || judge(1)),
    step("judge by 100 policies", 50_000, 500, || judge(100)),
    step("pick one of 50 endpoints in turn", 351, 5_000, || pick("ROUND_ROBIN")),
    step("pick the less busy of 50 endpoints", 379, 5_000, || pick("LEAST_REQUEST")),
    step("arm and cancel a timer", 150, 5_000, timer),
    step("put in and take out of a slab", 56, 5_000, slab),
    step("forward 64 bytes each way by TCP", 4_050, 2_000, tcp),
    step("proxy a request", 23_900, 2_000, || whole(&mesh::plain_http())),
    step("proxy a request past 100 routes and 10 policies", 29_300, 1_000, || {
        whole(&mesh::busy_http())
    }),
];

/// A step that is the same each time.
fn again<T>(mut once: impl FnMut() -> T + 'static) -> Run {
    Box::new(move |times| (0..times).for_each(|_| drop(black_box(once()))))
}

fn request() -> Head {
    let mut head = Head::default();
    let parsed = h1::parse_request(mesh::REQUEST, &Limits::default(), &mut head);
    assert!(parsed.is_ok(), "{parsed:?}");
    head
}

fn changed() -> Run {
    let published = Published::new(Snapshot::default());
    let reader = published.reader();
    let _ = reader.load();
    again(move || black_box(&reader).changed())
}

fn load() -> Run {
    let published = Published::new(Snapshot::default());
    let reader = published.reader();
    again(move || black_box(&reader).load().generation)
}

fn facts() -> ConnectionFacts<'static> {
    ConnectionFacts {
        destination: SocketAddr::from(([10, 0, 0, 1], 9001)),
        source: SocketAddr::from(([10, 1, 2, 3], 40_000)),
        direct: None,
        transport: Transport::Tls,
        sni: "outbound_.9080_._.reviews.default.svc.cluster.local",
        alpn: Protocols::NONE,
    }
}

fn chains(ports: u16) -> Run {
    let (snapshot, _) = mesh::compile(&mesh::chains(ports));
    let listener = Arc::clone(&snapshot.listeners[0]);
    let facts = facts();
    assert_eq!(chain::select(&listener, &facts).map(|chain| &*chain.name), Some("9001-tls"));
    again(move || chain::select(black_box(&listener), &facts).is_some())
}

fn parse_request() -> Run {
    let (limits, mut head) = (Limits::default(), request());
    again(move || h1::parse_request(black_box(mesh::REQUEST), &limits, &mut head).is_ok())
}

fn parse_answer() -> Run {
    let (limits, to, mut head) = (Limits::default(), ResponseTo::default(), Head::default());
    again(move || h1::parse_response(black_box(mesh::ANSWER_HEAD), to, &limits, &mut head).is_ok())
}

/// What a sidecar does to the headers between reading and routing, and before sending.
fn change_request() -> Run {
    let (snapshot, _) = mesh::compile(&mesh::plain_http());
    let (manager, table) = (mesh::manager(&snapshot), mesh::table(1, 1));
    let (limits, mut head) = (Limits::default(), Head::default());
    again(move || {
        let parsed = h1::parse_request(black_box(mesh::REQUEST), &limits, &mut head);
        let context = RequestContext {
            manager: &manager,
            source: SocketAddr::from(([10, 1, 2, 3], 40_000)),
            local: SocketAddr::from((Ipv4Addr::LOCALHOST, 80)),
            peer: None,
            local_uri: "",
            request_id: 7,
        };
        let remote = headers::request(&mut head, &context).expect("it may pass");
        let found = route::find(&table, &head, 7).expect("a route");
        let timeout = Some(Duration::from_secs(15));
        let attempt = Attempt {
            manager: &manager,
            table: &table,
            found: &found,
            attempt: 1,
            timeout,
            facts: None,
        };
        headers::forward(&mut head, &attempt);
        (parsed.is_ok(), remote)
    })
}

/// What a sidecar does to the headers of an answer.
fn change_answer() -> Run {
    let (snapshot, _) = mesh::compile(&mesh::plain_http());
    let (manager, table, asked) = (mesh::manager(&snapshot), mesh::table(1, 1), request());
    let (limits, to, mut head) = (Limits::default(), ResponseTo::default(), Head::default());
    again(move || {
        let parsed = h1::parse_response(black_box(mesh::ANSWER_HEAD), to, &limits, &mut head);
        let found = route::find(&table, &asked, 7).expect("a route");
        let timeout = Some(Duration::from_secs(15));
        let attempt = Attempt {
            manager: &manager,
            table: &table,
            found: &found,
            attempt: 1,
            timeout,
            facts: None,
        };
        headers::returned(&mut head, &attempt, Some(Duration::from_millis(3)));
        headers::response(&mut head, &manager, b"Thu, 01 Jan 2026 00:00:00 GMT");
        parsed.is_ok()
    })
}

fn encode() -> Run {
    let (head, mut out) = (request(), Vec::with_capacity(1024));
    again(move || {
        out.clear();
        h1::encode_request(black_box(&head), Framing::None, &mut out)
    })
}

/// Both sides' part: two heads, two bodies and trailers, read and written.
fn call() -> Run {
    let mut calls = Calls::new();
    again(move || calls.call())
}

fn routes(hosts: usize, routes: usize) -> Run {
    let (table, head) = (mesh::table(hosts, routes), request());
    assert!(route::find(&table, &head, 7).is_ok(), "there is a route");
    again(move || route::find(black_box(&table), &head, 7).is_ok())
}

fn judge(policies: usize) -> Run {
    let (snapshot, _) = mesh::compile(&mesh::policies(policies));
    let (manager, head) = (mesh::manager(&snapshot), request());
    let uris = vec![mesh::identity(policies)];
    let peer = Peer { uris, verified: true, ..Peer::default() };
    again(move || {
        let connection = facts();
        let remote = connection.source.ip();
        let head = Some(&head);
        let facts = RequestFacts { head, connection: &connection, peer: Some(&peer), remote };
        let policies = manager.filters.policies().expect("policies alone");
        let filter = policies.first().expect("an RBAC filter");
        let rules = filter.rules.as_ref().expect("rules");
        assert!(rbac::http(black_box(rules), &facts).allowed, "refused");
    })
}

fn pick(policy: &str) -> Run {
    let (snapshot, compiler) = mesh::compile(&mesh::balanced(policy, 50));
    let id = compiler.cluster_id("c").expect("the cluster");
    let mut clusters: Clusters<u64> = Clusters::new(0, 1, Arc::default());
    clusters.update(&Arc::new(snapshot), &mut Vec::new());
    let mut random = 7_u64;
    again(move || {
        random = random.wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(17);
        let picked = clusters.pick(black_box(id), None, random).expect("a host");
        let request = clusters.begin(picked.host).expect("room");
        clusters.end(request);
    })
}

fn timer() -> Run {
    let mut wheel = Wheel::new();
    for at in 1..1_000_u64 {
        wheel.arm(Nanos(at * 10_000_000), at);
    }
    again(move || {
        let timer = wheel.arm(black_box(Nanos(15_000_000_000)), 0);
        wheel.cancel(timer)
    })
}

fn slab() -> Run {
    let mut slab = Slab::new(4096);
    for at in 0..1_000_u64 {
        let _ = slab.insert([at; 8]);
    }
    again(move || {
        let key = slab.insert(black_box([7; 8])).expect("room");
        slab.remove(key).is_some()
    })
}

fn tcp() -> Run {
    let mut proxied = Proxied::tcp();
    Box::new(move |times| proxied.serve(times))
}

fn whole(yaml: &str) -> Run {
    let mut proxied = Proxied::http(yaml);
    Box::new(move |times| proxied.serve(times))
}
