//! The scenarios, as a table.

use std::time::Duration;

use crate::{
    Outcome, churn,
    figures::Results,
    hold,
    peer::{
        Front,
        Make::{
            self, Envoy, Haproxy, Limit, Nginx, Pingora, Ringway, RingwayBypass, RingwayEpoll, Rung,
        },
    },
    place::Place,
    start,
    traffic::{self, Kind, Load},
};

/// How long and how often.
#[derive(Clone, Debug)]
pub(crate) struct Effort {
    pub(crate) runs: usize,
    pub(crate) duration: Duration,
    pub(crate) idle_connections: usize,
    pub(crate) is_smoke: bool,
}

impl Effort {
    pub(crate) fn full(runs: usize, seconds: f64) -> Self {
        let duration = Duration::from_secs_f64(seconds.clamp(0.05, 600.0));
        Self { runs: runs.max(1), duration, idle_connections: 10_000, is_smoke: false }
    }

    pub(crate) fn smoke() -> Self {
        let duration = Duration::from_millis(100);
        Self { runs: 1, duration, idle_connections: 500, is_smoke: true }
    }
}

/// One scenario.
pub(crate) struct Scenario {
    pub(crate) name: &'static str,
    pub(crate) about: &'static str,
    makes: &'static [Make],
    what: What,
}

enum What {
    Traffic(Front, &'static [Load]),
    Idle,
    Start(Front),
    Churn,
}

const WEB: &[Make] = &[Ringway, RingwayEpoll, RingwayBypass, Envoy, Haproxy, Nginx, Pingora, Limit];
const HTTP2: &[Make] = &[Ringway, RingwayEpoll, Envoy, Haproxy, Limit];
const BYTES: &[Make] = &[Ringway, RingwayEpoll, Envoy, Haproxy, Limit];
const SMALL: &[Make] = &[Ringway, RingwayEpoll, RingwayBypass, Envoy, Haproxy, Limit];
const LADDER: &[Make] = &[
    Limit,
    Rung("ladder-ring"),
    Rung("ladder-epoll"),
    Rung("ladder-splice"),
    Rung("ladder-tokio"),
    Rung("ladder-monoio"),
    Rung("ladder-tokio-uring"),
];
const NO_LIMIT: &[Make] = &[Ringway, RingwayEpoll, Envoy, Haproxy, Nginx, Pingora];
const SIDECARS: &[Make] = &[Ringway, RingwayEpoll, Envoy];

/// All of them.
pub(crate) const ALL: &[Scenario] = &[
    Scenario {
        name: "http1",
        about: "1 KiB answers over 64 kept connections, then over one",
        makes: WEB,
        what: What::Traffic(
            Front::Http,
            &[
                load("64 connections", 64, Kind::Get { bytes: 1024 }).then_open(),
                load("1 connection", 1, Kind::Get { bytes: 1024 }),
            ],
        ),
    },
    Scenario {
        name: "http1-16k",
        about: "16 KiB answers over 64 kept connections",
        makes: WEB,
        what: What::Traffic(
            Front::Http,
            &[load("64 connections", 64, Kind::Get { bytes: 16 << 10 }).then_open()],
        ),
    },
    Scenario {
        name: "http1-bulk",
        about: "answers of 16 MiB over 1 and 8 kept connections",
        makes: WEB,
        what: What::Traffic(
            Front::Http,
            &[
                load("8 connections", 8, Kind::Bulk { bytes: 16 << 20 }),
                load("1 connection", 1, Kind::Bulk { bytes: 16 << 20 }),
            ],
        ),
    },
    Scenario {
        name: "tcp-small",
        about: "64 bytes to and fro over 1, 64 and 512 connections",
        makes: SMALL,
        what: What::Traffic(
            Front::Tcp,
            &[
                load("64 connections", 64, Kind::Echo { bytes: 64 }).then_open(),
                load("1 connection", 1, Kind::Echo { bytes: 64 }),
                load("512 connections", 512, Kind::Echo { bytes: 64 }),
            ],
        ),
    },
    Scenario {
        name: "tcp-bulk",
        about: "bodies of 16 MiB over 1 and 64 streams",
        makes: BYTES,
        what: What::Traffic(
            Front::Bulk,
            &[
                load("64 streams", 64, Kind::Bulk { bytes: 16 << 20 }),
                load("1 stream", 1, Kind::Bulk { bytes: 16 << 20 }),
            ],
        ),
    },
    Scenario {
        name: "connect",
        about: "a new connection for each request of 1 KiB",
        makes: NO_LIMIT,
        what: What::Traffic(Front::Http, &[load("64 at once", 64, Kind::Connect { bytes: 1024 })]),
    },
    Scenario {
        name: "sidecar-pair",
        about: "two sidecars, mutual TLS and a policy between them, 1 KiB answers",
        makes: SIDECARS,
        what: What::Traffic(
            Front::Pair,
            &[
                load("64 connections", 64, Kind::Get { bytes: 1024 }).then_open(),
                load("1 connection", 1, Kind::Get { bytes: 1024 }),
            ],
        ),
    },
    Scenario {
        name: "redirected-pair",
        about: "the same by real redirect rules, in two network namespaces",
        makes: SIDECARS,
        what: What::Traffic(
            Front::Redirected,
            &[load("64 connections", 64, Kind::Get { bytes: 1024 })],
        ),
    },
    Scenario {
        name: "routes-10k",
        about: "1 KiB answers beside 10,000 routes and 2,000 clusters",
        makes: SIDECARS,
        what: What::Traffic(
            Front::Routes,
            &[load("64 connections", 64, Kind::Get { bytes: 1024 })],
        ),
    },
    Scenario {
        name: "routes-10k-start",
        about: "time to ready and memory with 10,000 routes and 2,000 clusters",
        makes: SIDECARS,
        what: What::Start(Front::Routes),
    },
    Scenario {
        name: "ladder",
        about: "byte proxies of a few lines on the bare ring, our ring crate and other runtimes",
        makes: LADDER,
        what: What::Traffic(
            Front::Tcp,
            &[
                load("64 connections", 64, Kind::Echo { bytes: 64 }),
                load("1 connection", 1, Kind::Echo { bytes: 64 }),
            ],
        ),
    },
    Scenario {
        name: "ladder-bulk",
        about: "the same with bodies of 16 MiB; the limit is splice(2) by hand",
        makes: LADDER,
        what: What::Traffic(Front::Bulk, &[load("64 streams", 64, Kind::Bulk { bytes: 16 << 20 })]),
    },
    Scenario {
        name: "churn",
        about: "a configuration change every 100 ms under load: latency, failed requests",
        makes: SIDECARS,
        what: What::Churn,
    },
    Scenario {
        name: "idle",
        about: "10,000 connections that have asked once and stay: KiB each",
        makes: NO_LIMIT,
        what: What::Idle,
    },
    Scenario {
        name: "start",
        about: "time to ready and resident memory of one proxy",
        makes: NO_LIMIT,
        what: What::Start(Front::Http),
    },
    Scenario {
        name: "http2",
        about: "1 KiB answers over 64 streams on 4 connections, HTTP/2 on both sides",
        makes: HTTP2,
        what: What::Traffic(
            Front::Http2,
            &[load("64 streams", 4, Kind::Get { bytes: 1024 }).with_streams(16).then_open()],
        ),
    },
    Scenario {
        name: "grpc",
        about: "unary calls with messages of 64 bytes, over as many",
        makes: HTTP2,
        what: What::Traffic(
            Front::Http2,
            &[load("64 streams", 4, Kind::Call { bytes: 64 }).with_streams(16).then_open()],
        ),
    },
];

const fn load(name: &'static str, connections: usize, kind: Kind) -> Load {
    Load { name, connections, streams: 1, kind, then_open: false }
}

impl Load {
    /// So many on each connection.
    const fn with_streams(self, streams: usize) -> Self {
        Self { streams, ..self }
    }

    const fn then_open(self) -> Self {
        Self { then_open: true, ..self }
    }
}

/// The scenario of that name.
pub(crate) fn find(name: &str) -> Outcome<&'static Scenario> {
    let found = ALL.iter().find(|scenario| scenario.name == name);
    found.ok_or_else(|| format!("there is no scenario {name:?}\n\n{}", list()))
}

/// Names and what they are, for people.
pub(crate) fn list() -> String {
    let lines = ALL.iter().map(|one| format!("  {:<18}{}\n", one.name, one.about));
    format!("Scenarios:\n{}", lines.collect::<String>())
}

impl Scenario {
    pub(crate) fn run(&self, place: &Place, effort: &Effort, results: &mut Results) -> Outcome<()> {
        let (name, makes) = (self.name, self.makes);
        let done = match self.what {
            What::Traffic(front, loads) => {
                traffic::run(name, front, makes, loads, place, effort, results)
            }
            What::Idle => hold::run(name, makes, place, effort, results),
            What::Churn => churn::run(name, makes, place, effort, results),
            What::Start(front) => start::run(name, front, makes, place, effort, results),
        };
        done.map_err(|why| format!("{name}: {why}"))
    }
}
