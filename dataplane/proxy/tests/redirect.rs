//! The sidecar behind real redirect rules, in pods of this machine.
//!
//! Goal: what an app sends to another pod, and what is sent to the app, passes through the proxy
//! and arrives where it was going; the proxy hands a connection to the listener of its original
//! destination (exact address, then wildcard, then the listener's own chain).
//! Method: a pod with an app, a proxy as user 1337 and Istio's rules; a pod beside it without;
//! servers that say what they were asked and by whom. Both address families, both drivers.

mod common;

use std::fs;
use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use kit::around::copy_program;
use kit::capture::{self, Options, Rules, Via};
use kit::net::{Network, Plan, Pod, Privilege, Process, Spawn, privilege};
use nix::unistd::{Gid, Uid, setfsgid, setfsuid};

use common::skip;

const APP: u32 = 1000;
const PROXY: u32 = 1337;
const PATIENCE: Duration = Duration::from_secs(5);

/// An address family: wildcard, a service that nobody owns, where the proxy dials its app from.
struct Family {
    name: &'static str,
    any: &'static str,
    service: &'static str,
    inside: &'static str,
}

const V4: Family =
    Family { name: "ipv4", any: "0.0.0.0", service: "10.96.7.7", inside: "127.0.0.6" };
const V6: Family = Family { name: "ipv6", any: "::", service: "fd00:10:96::7", inside: "::6" };

#[test]
fn redirected_connections_arrive_over_ipv4_on_io_uring() {
    check("redirected_connections_arrive_over_ipv4_on_io_uring", &V4, "uring");
}

#[test]
fn redirected_connections_arrive_over_ipv4_on_epoll() {
    check("redirected_connections_arrive_over_ipv4_on_epoll", &V4, "epoll");
}

#[test]
fn redirected_connections_arrive_over_ipv6_on_io_uring() {
    check("redirected_connections_arrive_over_ipv6_on_io_uring", &V6, "uring");
}

#[test]
fn redirected_connections_arrive_over_ipv6_on_epoll() {
    check("redirected_connections_arrive_over_ipv6_on_epoll", &V6, "epoll");
}

fn check(test: &str, family: &Family, driver: &str) {
    if privilege() != Privilege::Root {
        return skip(test, "needs root");
    }
    if driver == "uring"
        && let Err(why) = ring::start::probe()
    {
        return skip(test, &why);
    }
    let stage = Stage::new(test, family, driver);
    let Some((own, peer)) = stage.own.zip(stage.peer) else {
        return skip(test, "this kernel has no IPv6");
    };
    serve(&stage.beside, SocketAddr::new(peer, 9080));
    serve(&stage.beside, SocketAddr::new(peer, 9090));
    serve(&stage.sidecar, SocketAddr::new(own, 7070));
    serve(&stage.sidecar, SocketAddr::new(own, 7071));
    stage.await_proxy(own);
    outbound(&stage, family, own, peer);
    inbound(&stage, family, own);
}

/// From the app: 15001, and from there the listener of where it was going.
fn outbound(stage: &Stage, family: &Family, own: IpAddr, peer: IpAddr) {
    let service: IpAddr = family.service.parse().expect("an address");
    let said = ask(&stage.sidecar, SocketAddr::new(peer, 9080));
    assert!(said.contains(&format!("from {own} ")), "{said}");
    assert!(said.contains("x-through: outbound"), "by the wildcard listener: {said}");
    let said = ask(&stage.sidecar, SocketAddr::new(service, 9081));
    assert!(said.ends_with("exact"), "the exact address comes first: {said}");
    let said = ask(&stage.sidecar, SocketAddr::new(peer, 9081));
    assert!(said.ends_with("wildcard"), "then the wildcard: {said}");
    let said = ask(&stage.sidecar, SocketAddr::new(peer, 9090));
    assert!(said.contains(&format!("from {own} ")), "{said}");
    assert!(!said.contains("x-through"), "then the listener's own chain: {said}");
}

/// To the app: 15006, and from there the chain of the port.
fn inbound(stage: &Stage, family: &Family, own: IpAddr) {
    let said = ask(&stage.beside, SocketAddr::new(own, 7070));
    assert!(said.contains(&format!("from {} ", family.inside)), "{said}");
    assert!(said.contains("x-through: inbound"), "{said}");
    let said = ask(&stage.beside, SocketAddr::new(own, 7071));
    assert!(said.contains(&format!("from {} ", family.inside)), "{said}");
    assert!(!said.contains("x-through"), "{said}");
}

/// Two pods, one of them with rules and proxy.
struct Stage {
    sidecar: Pod,
    beside: Pod,
    own: Option<IpAddr>,
    peer: Option<IpAddr>,
    log: PathBuf,
    folder: PathBuf,
    _proxy: Process,
    _network: Network,
}

impl Stage {
    fn new(test: &str, family: &Family, driver: &str) -> Self {
        let mut network = Network::create(Plan::default()).expect("a network");
        let mut pod = |name, last| {
            let ip = std::net::Ipv4Addr::new(10, 244, 1, last);
            network.add_pod(name, ip).expect("a pod").clone()
        };
        let (sidecar, beside) = (pod("sidecar", 10), pod("beside", 11));
        let address = |pod: &Pod| match family.name {
            "ipv4" => Some(IpAddr::from(pod.ip)),
            _ => pod.ip6.map(IpAddr::from),
        };
        let (own, peer) = (address(&sidecar), address(&beside));
        let options = Options { ipv6: sidecar.ip6.is_some(), ..Options::default() };
        let applied = sidecar.namespace.run(move || {
            capture::apply(&Rules::new(&options), Via::Netlink).map_err(|why| why.to_string())
        });
        applied.expect("the namespace").expect("the rules");
        let folder = std::env::temp_dir().join(format!("ringway-{test}-{}", std::process::id()));
        let log = folder.join("proxy.log");
        let proxy = start(&folder, &log, family, driver, &sidecar);
        Self { sidecar, beside, own, peer, log, folder, _proxy: proxy, _network: network }
    }

    fn await_proxy(&self, own: IpAddr) {
        let ready = SocketAddr::new(own, 15006);
        let begun = Instant::now();
        while self.sidecar.namespace.run(move || TcpStream::connect(ready).is_err()).expect("run") {
            let log = fs::read_to_string(&self.log).unwrap_or_default();
            assert!(begun.elapsed() < PATIENCE, "the proxy does not listen: {log}");
            thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        if thread::panicking() {
            eprintln!("{}", fs::read_to_string(&self.log).unwrap_or_default());
        }
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// The proxy as its own user, which may not be able to look into the build's folder.
fn start(
    folder: &std::path::Path,
    log: &std::path::Path,
    family: &Family,
    driver: &str,
    pod: &Pod,
) -> Process {
    fs::create_dir_all(folder).expect("a folder");
    let (program, file) = (folder.join("ringway-proxy"), folder.join("bootstrap.yaml"));
    let built = PathBuf::from(env!("CARGO_BIN_EXE_ringway-proxy"));
    copy_program(&built, &program).expect("a copy of the program");
    let text = include_str!("redirect.yaml")
        .replace("@ANY@", family.any)
        .replace("@SERVICE@", family.service)
        .replace("@INSIDE@", family.inside);
    fs::write(&file, text).expect("the bootstrap");
    let words = [program.as_os_str(), "--concurrency".as_ref(), "1".as_ref()];
    let more = ["--driver".as_ref(), driver.as_ref(), "-c".as_ref(), file.as_os_str()];
    let spawn = Spawn {
        name: "proxy".to_owned(),
        command: words.into_iter().chain(more).map(Into::into).collect(),
        identity: Some((PROXY, PROXY)),
        log: Some(log.to_owned()),
        ..Spawn::default()
    };
    spawn.start(&pod.namespace).expect("the proxy starts")
}

/// Serves in the pod: each request is answered with who asks and what was said.
fn serve(pod: &Pod, address: SocketAddr) {
    let listener = pod.namespace.run(move || TcpListener::bind(address)).expect("run");
    let listener = listener.expect("a port");
    thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            let Some(head) = read_head(&mut stream) else { continue };
            let from =
                stream.peer_addr().map_or_else(|why| why.to_string(), |a| a.ip().to_string());
            let body = format!("from {from} at {address}: {head}");
            let head = "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: ";
            let _ = stream.write_all(format!("{head}{}\r\n\r\n{body}", body.len()).as_bytes());
        }
    });
}

fn read_head(stream: &mut TcpStream) -> Option<String> {
    let (mut head, mut bytes) = (Vec::new(), [0; 4096]);
    while !head.ends_with(b"\r\n\r\n") {
        let length = stream.read(&mut bytes).ok().filter(|length| *length > 0)?;
        head.extend_from_slice(&bytes[..length]);
    }
    String::from_utf8(head).ok()
}

/// Asks from inside the pod, as an app's user.
fn ask(pod: &Pod, to: SocketAddr) -> String {
    let job = move || {
        setfsgid(Gid::from_raw(APP));
        setfsuid(Uid::from_raw(APP));
        let mut stream = TcpStream::connect_timeout(&to, PATIENCE)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.write_all(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")?;
        let mut said = String::new();
        stream.read_to_string(&mut said)?;
        Ok::<_, std::io::Error>(said)
    };
    let said = pod.namespace.thread(job).expect("a thread").join().expect("joined");
    said.unwrap_or_else(|why| panic!("{to} does not answer: {why}"))
}
