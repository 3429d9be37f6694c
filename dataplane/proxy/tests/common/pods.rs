//! A pod with an app, a proxy and Istio's rules; a pod beside it without.

use std::fs;
use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use kit::around::copy_program;
use kit::capture::{self, Options, Rules, Via};
use kit::net::{Network, Plan, Pod, Process, Spawn};
use nix::unistd::{Gid, Uid, setfsgid, setfsuid};

const APP: u32 = 1000;
/// The user whose connections the rules let through.
pub(crate) const PROXY: u32 = 1337;
/// Longer than anything may take that is not broken.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// An address family: wildcard, a service that nobody owns, where the proxy dials its app from.
pub(crate) struct Family {
    pub(crate) name: &'static str,
    any: &'static str,
    service: &'static str,
    inside: &'static str,
}

/// IPv4.
pub(crate) const V4: Family =
    Family { name: "ipv4", any: "0.0.0.0", service: "10.96.7.7", inside: "127.0.0.6" };
/// IPv6.
pub(crate) const V6: Family =
    Family { name: "ipv6", any: "::", service: "fd00:10:96::7", inside: "::6" };

/// The servers that the checks ask.
pub(crate) fn serve_all(stage: &Stage, own: IpAddr, peer: IpAddr) {
    serve(&stage.beside, SocketAddr::new(peer, 9080));
    serve(&stage.beside, SocketAddr::new(peer, 9090));
    serve(&stage.sidecar, SocketAddr::new(own, 7070));
    serve(&stage.sidecar, SocketAddr::new(own, 7071));
}

/// From the app: 15001, and from there the listener of where it was going.
pub(crate) fn outbound(stage: &Stage, family: &Family, own: IpAddr, peer: IpAddr) {
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
pub(crate) fn inbound(stage: &Stage, family: &Family, own: IpAddr) {
    let said = ask(&stage.beside, SocketAddr::new(own, 7070));
    assert!(said.contains(&format!("from {} ", family.inside)), "{said}");
    assert!(said.contains("x-through: inbound"), "{said}");
    let said = ask(&stage.beside, SocketAddr::new(own, 7071));
    assert!(said.contains(&format!("from {} ", family.inside)), "{said}");
    assert!(!said.contains("x-through"), "{said}");
}

/// Two pods, one of them with rules and proxy.
pub(crate) struct Stage {
    pub(crate) sidecar: Pod,
    pub(crate) beside: Pod,
    pub(crate) own: Option<IpAddr>,
    pub(crate) peer: Option<IpAddr>,
    pub(crate) proxy: Process,
    log: PathBuf,
    folder: PathBuf,
    identity: (u32, u32),
    arguments: Vec<String>,
    _network: Network,
}

impl Stage {
    /// The proxy runs as this user and group, with these arguments besides the usual ones.
    pub(crate) fn new(
        test: &str,
        family: &Family,
        identity: (u32, u32),
        arguments: &[&str],
    ) -> Self {
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
        let arguments: Vec<String> = arguments.iter().map(|word| (*word).to_owned()).collect();
        prepare(&folder, family);
        let proxy = start(&folder, &log, identity, &arguments, &sidecar);
        let _network = network;
        Self { sidecar, beside, own, peer, proxy, log, folder, identity, arguments, _network }
    }

    /// Another proxy in the place of one that has ended.
    pub(crate) fn restart_proxy(&mut self) {
        self.proxy = start(&self.folder, &self.log, self.identity, &self.arguments, &self.sidecar);
    }

    /// What the proxy has said.
    pub(crate) fn said(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Waits until it listens.
    pub(crate) fn await_proxy(&self, own: IpAddr) {
        let ready = SocketAddr::new(own, 15006);
        let begun = Instant::now();
        while self.sidecar.namespace.run(move || TcpStream::connect(ready).is_err()).expect("run") {
            let log = self.said();
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

/// The program and its file where another user, who may not be able to look into the build's
/// folder, finds them.
fn prepare(folder: &Path, family: &Family) {
    fs::create_dir_all(folder).expect("a folder");
    let built = PathBuf::from(env!("CARGO_BIN_EXE_ringway-proxy"));
    copy_program(&built, &folder.join("ringway-proxy")).expect("a copy of the program");
    let text = include_str!("../redirect.yaml")
        .replace("@ANY@", family.any)
        .replace("@SERVICE@", family.service)
        .replace("@INSIDE@", family.inside);
    fs::write(folder.join("bootstrap.yaml"), text).expect("the bootstrap");
}

fn start(
    folder: &Path,
    log: &Path,
    identity: (u32, u32),
    arguments: &[String],
    pod: &Pod,
) -> Process {
    let (program, file) = (folder.join("ringway-proxy"), folder.join("bootstrap.yaml"));
    let words = [program.as_os_str(), "--concurrency".as_ref(), "1".as_ref()];
    let more = arguments.iter().map(AsRef::as_ref);
    let more = more.chain(["-c".as_ref(), file.as_os_str()]);
    let spawn = Spawn {
        name: "proxy".to_owned(),
        command: words.into_iter().chain(more).map(Into::into).collect(),
        identity: Some(identity),
        log: Some(log.to_owned()),
        ..Spawn::default()
    };
    spawn.start(&pod.namespace).expect("the proxy starts")
}

/// Serves in the pod: each request is answered with who asks and what was said.
pub(crate) fn serve(pod: &Pod, address: SocketAddr) {
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
pub(crate) fn ask(pod: &Pod, to: SocketAddr) -> String {
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
