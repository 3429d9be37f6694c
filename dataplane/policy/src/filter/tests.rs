//! The filters as tables.

use std::sync::Arc;
use std::time::Duration;

use config::snapshot::{
    AbortAnswer, CorsPolicy, FaultAbort, FaultDelay, FilterKind, HeaderChange,
    HeaderMutationFilter, HeaderMutations, HttpFault, HttpFilter, Mutation, Override, OverrideKind,
    Overrides, PathMatch, RouteTable, Share, StringKind, Weighted,
};

use super::cors::{Policies, Verdict};
use super::*;
use crate::fixture::{self, exact, get, head, lines};
use crate::route::find;

fn overrides(said: Option<Override>) -> Overrides {
    said.map(|said| (Arc::from("f"), said)).into_iter().collect()
}

fn with(status: u16) -> Override {
    let abort =
        FaultAbort { answer: AbortAnswer::Http(status), share: Share::ALL, body: "".into() };
    let fault = HttpFault { abort: Some(abort), ..HttpFault::default() };
    Override::With(OverrideKind::Fault(Arc::new(fault)))
}

/// What the filter `f` is told where the levels say this, from the table to the cluster.
fn told(said: [Option<Override>; 4], is_off: bool) -> (bool, Option<u16>) {
    let [table, host, route, cluster] = said.map(overrides);
    let mut on_route = fixture::route("r", PathMatch::Prefix((*b"/").into()));
    on_route.overrides = route;
    let mut on_host = fixture::virtual_host("v", vec![on_route]);
    Arc::get_mut(&mut on_host).unwrap().overrides = host;
    let table = RouteTable {
        hosts: vec![on_host],
        any: Some(0),
        overrides: table,
        ..RouteTable::default()
    };
    let plain = Weighted::plain("c".into(), config::snapshot::ClusterId(0), 1);
    let weighted = Weighted { overrides: cluster, ..plain };
    let found = find(&table, &get("/"), 0).unwrap();
    let levels = Levels::of(&table, &found, Some(&weighted));
    let filter = HttpFilter { is_off, ..HttpFilter::new("f", FilterKind::Cors) };
    let status = levels.own("f").map(|kind| match kind {
        OverrideKind::Fault(fault) => match fault.abort.as_ref().unwrap().answer {
            AbortAnswer::Http(status) => status,
            _ => 0,
        },
        _ => 0,
    });
    (levels.is_on(&filter), status)
}

#[test]
fn the_most_specific_level_wins() {
    use Override::{Off, On};
    assert_eq!(told([None, None, None, None], false), (true, None));
    assert_eq!(told([None, None, None, None], true), (false, None));
    assert_eq!(told([Some(with(1)), None, None, None], true), (true, Some(1)));
    assert_eq!(told([Some(with(1)), Some(with(2)), None, None], false), (true, Some(2)));
    assert_eq!(
        told([Some(with(1)), Some(with(2)), Some(with(3)), Some(with(4))], false),
        (true, Some(4))
    );
    assert_eq!(told([None, None, Some(with(3)), Some(Off)], false), (false, Some(3)));
    assert_eq!(told([Some(Off), Some(On), None, None], true), (true, None));
    assert_eq!(told([Some(with(1)), Some(Off), Some(On), None], false), (true, Some(1)));
}

#[test]
fn a_share_is_what_its_denominator_says() {
    let half = Share { some: 5_000, of: 10_000 };
    assert_eq!((0..10_000).filter(|random| half.takes(*random)).count(), 5_000);
    assert!((0..1_000).all(|random| Share::ALL.takes(random) && !Share::NONE.takes(random)));
    assert!(Share { some: 200, of: 100 }.takes(99));
}

fn fault(delay: Option<Option<Duration>>, answer: Option<AbortAnswer>) -> HttpFault {
    let share = Share { some: 50, of: 100 };
    HttpFault {
        delay: delay.map(|fixed| FaultDelay { fixed, share }),
        abort: answer.map(|answer| FaultAbort { answer, share, body: "".into() }),
        ..HttpFault::default()
    }
}

#[test]
fn faults_fall_on_their_share() {
    let second = Duration::from_secs(1);
    let fixed = fault(Some(Some(second)), Some(AbortAnswer::Http(418)));
    let plain = get("/");
    assert_eq!(fault::delay(&fixed, &plain, 49), Some(second));
    assert_eq!(fault::delay(&fixed, &plain, 50), None);
    assert_eq!(fault::abort(&fixed, &plain, 50), None);
    let answer = fault::abort(&fixed, &plain, 149).unwrap_or_else(|| panic!("49 of 50"));
    assert_eq!((answer.status, answer.body), (418, "fault filter abort"));
    let nothing = fault(None, None);
    assert_eq!(fault::delay(&nothing, &plain, 0), None);
    assert_eq!(fault::abort(&nothing, &plain, 0), None);
}

#[test]
fn a_client_may_ask_for_less_than_it_would_get() {
    let asked = fault(Some(None), Some(AbortAnswer::Header));
    let with = |fields: &str| head(&format!("GET / HTTP/1.1\nhost: a\n{fields}"));
    let delay = |fields: &str, random| {
        fault::delay(&asked, &with(fields), random).map(|time| time.as_millis())
    };
    assert_eq!(delay("x-envoy-fault-delay-request: 70", 49), Some(70));
    assert_eq!(delay("x-envoy-fault-delay-request: 0", 0), None);
    assert_eq!(delay("x-envoy-fault-delay-request: seven", 0), None);
    assert_eq!(delay("x-other: 7", 0), None);
    let percent = "x-envoy-fault-delay-request: 70\nx-envoy-fault-delay-request-percentage";
    assert_eq!(delay(&format!("{percent}: 10"), 9), Some(70));
    assert_eq!(delay(&format!("{percent}: 10"), 10), None);
    assert_eq!(delay(&format!("{percent}: 90"), 50), None, "never for more");
    let abort = |fields: &str| {
        fault::abort(&asked, &with(fields), 0).map(|answer| (answer.status, answer.grpc_status))
    };
    assert_eq!(abort("x-envoy-fault-abort-request: 404"), Some((404, None)));
    assert_eq!(abort("x-envoy-fault-abort-request: 199"), None);
    assert_eq!(abort("x-envoy-fault-abort-request: 600"), None);
    assert_eq!(abort("x-envoy-fault-abort-grpc-request: 5"), Some((200, Some(5))));
    assert_eq!(abort("x-a: 1"), None);
}

#[test]
fn a_fault_is_for_those_it_names() {
    let named = HttpFault {
        upstream_cluster: Some("c".into()),
        downstream_nodes: vec![(*b"n1").into(), (*b"n2").into()],
        ..HttpFault::default()
    };
    let of = |node: &str| {
        head(&format!("GET / HTTP/1.1\nhost: a\nx-envoy-downstream-service-node: {node}"))
    };
    assert!(fault::concerns(&named, &of("n2"), Some("c")));
    assert!(!fault::concerns(&named, &of("n3"), Some("c")));
    assert!(!fault::concerns(&named, &get("/"), Some("c")));
    assert!(!fault::concerns(&named, &of("n1"), Some("d")));
    assert!(!fault::concerns(&named, &of("n1"), None));
}

#[test]
fn faults_under_way_never_exceed_their_limit() {
    let fault = HttpFault::default();
    let first = fault.active.begin(Some(2)).unwrap();
    let _second = fault.active.begin(Some(2)).unwrap();
    assert!(fault.active.begin(Some(2)).is_none());
    drop(first);
    let _third = fault.active.begin(Some(2)).unwrap();
    assert_eq!(fault.active.count(), 2);
    let taken: usize = std::thread::scope(|scope| {
        let begin = || (0..1_000).filter_map(|_| fault.active.begin(Some(500))).collect::<Vec<_>>();
        let all: Vec<_> = (0..4).map(|_| scope.spawn(begin)).collect();
        let held: Vec<_> = all.into_iter().map(|one| one.join().unwrap()).collect();
        held.iter().map(Vec::len).sum()
    });
    assert_eq!((taken, fault.active.count()), (498, 2));
}

fn cors(policy: CorsPolicy) -> Overrides {
    overrides(Some(Override::With(OverrideKind::Cors(Arc::new(policy)))))
}

fn policy() -> CorsPolicy {
    CorsPolicy {
        origins: vec![exact("http://a")],
        methods: Some((*b"GET,PUT").into()),
        headers: Some((*b"*").into()),
        expose: Some((*b"x-e").into()),
        max_age: Some((*b"60").into()),
        credentials: Some(true),
        private_network: Some(true),
        ..CorsPolicy::default()
    }
}

const ASKS: &str = "access-control-request-method: PUT\naccess-control-request-headers: x-b\n\
                    access-control-request-private-network: true";

#[test]
fn origins_are_judged_as_in_envoy() {
    let others = CorsPolicy { forwards_others: Some(false), ..policy() };
    let off = CorsPolicy { enabled: Some(Share::NONE), ..policy() };
    let (own, others, off) = (cors(policy()), cors(others), cors(off));
    let judge = |said: &Overrides, text: &str| {
        let levels = Levels { route: Some(said), ..Levels::default() };
        let head = head(&format!("{text}\nhost: a"));
        cors::judge(Policies::of(levels, "f"), &head, 0)
    };
    let goes = |allowed| Verdict::Goes { allowed };
    assert_eq!(judge(&own, "GET / HTTP/1.1"), Verdict::Other);
    assert_eq!(judge(&own, "GET / HTTP/1.1\norigin: http://a"), goes(true));
    assert_eq!(judge(&own, "GET / HTTP/1.1\norigin: http://b"), goes(false));
    assert_eq!(judge(&own, "OPTIONS / HTTP/1.1\norigin: http://a"), goes(true));
    let asks = |origin: &str| format!("OPTIONS / HTTP/1.1\norigin: {origin}\n{ASKS}");
    assert_eq!(judge(&own, &asks("http://a")), Verdict::Preflight { allowed: true });
    assert_eq!(judge(&own, &asks("http://b")), goes(false));
    assert_eq!(judge(&others, &asks("http://b")), Verdict::Preflight { allowed: false });
    assert_eq!(judge(&off, &asks("http://a")), Verdict::Other);
    assert_eq!(judge(&Overrides::default(), &asks("http://a")), Verdict::Other);
}

#[test]
fn what_a_level_leaves_unsaid_the_next_one_says() {
    let route = cors(CorsPolicy { max_age: Some((*b"5").into()), ..CorsPolicy::default() });
    let host = cors(policy());
    let levels = Levels { route: Some(&route), host: Some(&host), ..Levels::default() };
    let policies = Policies::of(levels, "f");
    let mut asked = head(&format!("OPTIONS / HTTP/1.1\nhost: a\norigin: http://a\n{ASKS}"));
    assert_eq!(cors::judge(policies, &asked, 0), Verdict::Preflight { allowed: true });
    cors::preflight(policies, &mut asked, true);
    assert_eq!(
        lines(&asked),
        [
            "access-control-allow-origin: http://a",
            "access-control-allow-credentials: true",
            "access-control-allow-methods: GET,PUT",
            "access-control-allow-headers: x-b",
            "access-control-max-age: 5",
            "access-control-allow-private-network: true",
        ]
    );
    let mut answer = config_free_answer();
    cors::allow(policies, &mut answer, b"http://a");
    assert_eq!(
        lines(&answer),
        [
            "access-control-allow-origin: http://a",
            "access-control-allow-credentials: true",
            "access-control-expose-headers: x-e",
        ]
    );
}

/// An answer whose upstream has an opinion of its own.
fn config_free_answer() -> wire::head::Head {
    let mut head = wire::head::Head::default();
    crate::headers::local(&mut head, 200, b"");
    head.append(b"access-control-allow-origin", b"*");
    head
}

fn mutations(tag: &str) -> HeaderMutations {
    let name = |name: &str| -> Box<[u8]> { name.as_bytes().into() };
    let order = HeaderChange::Append(name("x-order"), tag.into());
    let last = HeaderChange::Overwrite(name("x-last"), tag.into());
    let list = vec![Mutation::Change(order), Mutation::Change(last)];
    HeaderMutations { request: list.clone(), response: list }
}

#[test]
fn mutations_run_level_by_level() {
    let level = |tag: &str| {
        let mutations = Arc::new(mutations(tag));
        overrides(Some(Override::With(OverrideKind::HeaderMutation(mutations))))
    };
    let (route, host, table) = (level("route"), level("host"), level("table"));
    let levels =
        Levels { route: Some(&route), host: Some(&host), table: Some(&table), ..Levels::default() };
    for (most_specific_wins, order) in
        [(false, ["own", "route", "host", "table"]), (true, ["own", "table", "host", "route"])]
    {
        let filter = HeaderMutationFilter { mutations: mutations("own"), most_specific_wins };
        let mut asked = get("/");
        mutation::request(&filter, levels, "f", &mut asked);
        let found: Vec<_> = asked.values(b"x-order").collect();
        assert_eq!(found, order.map(str::as_bytes));
        assert_eq!(asked.values(b"x-last").collect::<Vec<_>>(), [order[3].as_bytes()]);
        let mut answer = config_free_answer();
        mutation::response(&filter, levels, "nobody", &mut answer);
        assert_eq!(answer.values(b"x-order").collect::<Vec<_>>(), [b"own"]);
    }
}

#[test]
fn what_is_listed_later_is_done_later() {
    let name = |name: &str| -> Box<[u8]> { name.as_bytes().into() };
    let prefix = fixture::string(StringKind::Prefix(name("x-s")));
    let request = vec![
        Mutation::Change(HeaderChange::Append(name("x-a"), "1".into())),
        Mutation::Change(HeaderChange::Remove(name("x-a"))),
        Mutation::RemoveMatching(prefix),
        Mutation::Change(HeaderChange::Append(name("x-s"), "2".into())),
    ];
    let mutations = HeaderMutations { request, ..HeaderMutations::default() };
    let filter = HeaderMutationFilter { mutations, ..HeaderMutationFilter::default() };
    let mut asked = head("GET / HTTP/1.1\nhost: a\nx-secret: 1\nx-s: 1\nx-t: 1");
    mutation::request(&filter, Levels::default(), "f", &mut asked);
    assert_eq!(lines(&asked), ["x-t: 1", "x-s: 2"]);
}
