//! Loads on servers that are right, wrong, slow and gone, made by both drivers.

mod allocation;
mod answers;
mod connections;
mod envoy;
mod grpc;
mod http2;
mod pace;
mod refused;
mod secure;
mod trips;

use std::{
    net::{Ipv4Addr, SocketAddr},
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

use super::*;
use crate::echo::{Echo, EchoSpec};

const ANY: (Ipv4Addr, u16) = (Ipv4Addr::LOCALHOST, 0);

/// Makes two tests of each function named, `uring::NAME` and `epoll::NAME`. Where there is no
/// io_uring the first kind says that it is skipped.
macro_rules! on_both {
    ($($name:ident),+ $(,)?) => {
        mod uring {
            $(#[tokio::test]
            async fn $name() {
                if $crate::load::tests::has_uring(stringify!($name)) {
                    super::$name($crate::load::Which::Uring).await;
                }
            })+
        }
        mod epoll {
            $(#[tokio::test]
            async fn $name() {
                super::$name($crate::load::Which::Epoll).await;
            })+
        }
    };
}
use on_both;

fn has_uring(test: &str) -> bool {
    match ring::probe() {
        Ok(_) => true,
        Err(reason) => {
            eprintln!("SKIPPED {test} on io_uring: {reason}");
            false
        }
    }
}

async fn echo() -> Echo {
    let any = Some(ANY.into());
    Echo::start(EchoSpec { http: any, tcp: any, ..EchoSpec::default() }).await.expect("started")
}

fn http(driver: Which, target: impl Into<Option<SocketAddr>>, path: &str) -> LoadSpec {
    let target = target.into().expect("served");
    LoadSpec { driver, ..LoadSpec::http(target, "reviews", path) }
}

fn tcp(driver: Which, target: impl Into<Option<SocketAddr>>) -> LoadSpec {
    LoadSpec { driver, ..LoadSpec::tcp(target.into().expect("served")) }
}

async fn measure(spec: &LoadSpec) -> LoadReport {
    run(spec, &Control::new(), |_| {}).await.expect("a fine load")
}

/// Makes a load in which all must be right.
async fn all_right(spec: &LoadSpec) -> LoadReport {
    let report = measure(spec).await;
    let total = report.total();
    assert_eq!((Some(total.histogram.len()), total.failed()), (spec.total(), 0), "{total:?}");
    report
}

/// A server that sends these bytes for each read, and closes after so many answers.
async fn canned(answer: &'static [u8], answers: usize) -> SocketAddr {
    let listener = TcpListener::bind(ANY).await.expect("a port");
    let address = listener.local_addr().expect("bound");
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.expect("accepted");
            tokio::spawn(async move {
                for _ in 0..answers {
                    match stream.read(&mut [0; 4096]).await {
                        Ok(1..) => drop(stream.write_all(answer).await),
                        _ => return,
                    }
                }
            });
        }
    });
    address
}
