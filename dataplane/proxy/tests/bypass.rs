//! The sidecar whose local hop passes by TCP, behind real redirect rules.
//!
//! Goal: all that the redirect tests promise holds as well; both local hops are paired and no
//! network leg is; what is not the sidecar's is left alone; when the sidecar goes, however, nothing
//! stays in the kernel, and where it cannot be had everything works without.
//! Method: the pods of the redirect tests; the app's end of each hop is this very process, which
//! is not the sidecar's. What passes by TCP is seen on the pod's loopback and in the counters.

mod common;

use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use kit::around::pattern;
use kit::net::{Pod, Privilege, privilege};
use nix::sys::signal::Signal;

use common::pods::{Family, PATIENCE, PROXY, Stage, V4, V6, ask, inbound, outbound, serve_all};
use common::skip;

/// Root keeps its rights; the rules know the proxy by its group.
const AS_ROOT: (u32, u32) = (0, PROXY);

/// `None` after saying why not.
fn stage(test: &str, family: &Family, driver: &str) -> Option<(Stage, IpAddr, IpAddr)> {
    if privilege() != Privilege::Root {
        skip(test, "needs root");
        return None;
    }
    if driver == "uring"
        && let Err(why) = ring::start::probe()
    {
        skip(test, &why);
        return None;
    }
    let stage = Stage::new(test, family, AS_ROOT, &["--driver", driver, "--local-bypass"]);
    let Some((own, peer)) = stage.own.zip(stage.peer) else {
        skip(test, "this kernel has no IPv6");
        return None;
    };
    stage.await_proxy(own);
    let said = stage.said();
    if let Some((_, why)) = said.split_once("local bypass: not available") {
        assert!(!why.contains("trial connection"), "{said}");
        skip(test, why.lines().next().unwrap_or_default());
        return None;
    }
    assert!(said.contains("local bypass: on"), "{said}");
    Some((stage, own, peer))
}

/// A counter of the proxy's. Who asks waits in `connect`, and so is left alone.
fn counter(pod: &Pod, name: &str) -> u64 {
    let page = admin(pod, "/stats");
    let line = page.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
    line.and_then(|value| value.parse().ok()).unwrap_or_else(|| panic!("no {name} in {page}"))
}

fn admin(pod: &Pod, path: &'static str) -> String {
    let job = move || {
        let begun = Instant::now();
        let mut stream = loop {
            match TcpStream::connect((Ipv4Addr::LOCALHOST, 15_000)) {
                Ok(stream) => break stream,
                Err(why) if begun.elapsed() > PATIENCE => return Err(why),
                Err(_) => thread::sleep(Duration::from_millis(20)),
            }
        };
        stream.set_read_timeout(Some(PATIENCE))?;
        let head = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
        stream.write_all(head.as_bytes())?;
        let mut page = String::new();
        stream.read_to_string(&mut page)?;
        Ok::<_, std::io::Error>(page)
    };
    pod.namespace.run(job).expect("run").expect("a page")
}

/// Bytes that the pod's loopback has carried.
fn carried(pod: &Pod) -> u64 {
    let read = || fs::read_to_string("/proc/thread-self/net/dev").expect("the interfaces");
    let table = pod.namespace.run(read).expect("run");
    let line = table.lines().find_map(|line| line.trim_start().strip_prefix("lo:"));
    let first = line.and_then(|line| line.split_ascii_whitespace().next());
    first.and_then(|word| word.parse().ok()).expect("a count")
}

/// A server that sends back what it is sent, and ends when its client has.
fn serve_echo(pod: &Pod, address: SocketAddr) {
    let listener = pod.namespace.run(move || TcpListener::bind(address)).expect("run");
    let listener = listener.expect("a port");
    thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            thread::spawn(move || {
                let mut bytes = vec![0; 16 << 10];
                while let Ok(n @ 1..) = stream.read(&mut bytes) {
                    if stream.write_all(&bytes[..n]).is_err() {
                        return;
                    }
                }
            });
        }
    });
}

fn connect(pod: &Pod, to: SocketAddr) -> TcpStream {
    let stream = pod.namespace.run(move || TcpStream::connect_timeout(&to, PATIENCE));
    let stream = stream.expect("run").expect("connected");
    stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    stream
}

/// There and back, half-closed while bytes are under way.
fn echo(pod: &Pod, to: SocketAddr, len: usize) {
    let mut stream = connect(pod, to);
    let mut writer = stream.try_clone().expect("a second handle");
    let sender = thread::spawn(move || {
        writer.write_all(&pattern(0, len)).expect("sent");
        writer.shutdown(Shutdown::Write).expect("half-closed");
    });
    let read = read_all(&mut stream);
    sender.join().expect("sent");
    assert_eq!(read.len(), len);
    assert!(read == pattern(0, len), "{len} bytes have changed places");
}

/// To the end, by one who asks again when told "not now".
fn read_all(stream: &mut TcpStream) -> Vec<u8> {
    let (mut read, begun) = (Vec::new(), Instant::now());
    loop {
        match stream.read_to_end(&mut read) {
            Ok(_) => return read,
            Err(why) if why.kind() == ErrorKind::WouldBlock && begun.elapsed() < PATIENCE => {}
            Err(why) => panic!("after {} bytes: {why}", read.len()),
        }
    }
}

fn check(test: &str, family: &Family, driver: &str) {
    let Some((stage, own, peer)) = stage(test, family, driver) else { return };
    serve_all(&stage, own, peer);
    outbound(&stage, family, own, peer);
    inbound(&stage, family, own);
    let (out, within) = (SocketAddr::new(peer, 9099), SocketAddr::new(own, 7099));
    serve_echo(&stage.beside, out);
    serve_echo(&stage.sidecar, within);
    for (pod, to) in [(&stage.sidecar, out), (&stage.beside, within)] {
        let before = counter(&stage.sidecar, "local_bypass.paired");
        for len in [1, 1_000, 30_000] {
            echo(pod, to, len);
        }
        // What is between the pods is none.
        assert_eq!(counter(&stage.sidecar, "local_bypass.paired"), before + 3);
        // Now and then a first message is faster than the other end is ready, and goes by TCP.
        let mut tries = (0..10).map(|_| {
            let before = carried(&stage.sidecar);
            echo(pod, to, 30_000);
            carried(&stage.sidecar) - before
        });
        assert!(tries.any(|bytes| bytes < 3_000), "more on the loopback than shaking hands");
        echo(pod, to, 8 << 20);
    }
    for _ in 0..200 {
        echo(&stage.sidecar, out, 100);
    }
    let begun = Instant::now();
    while counter(&stage.sidecar, "local_bypass.pairs_active") > 0 {
        assert!(begun.elapsed() < PATIENCE, "pairs stay");
        thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(counter(&stage.sidecar, "local_bypass.not_paired_table_full"), 0);
}

#[test]
fn local_hops_pass_by_tcp_over_ipv4_on_io_uring() {
    check("local_hops_pass_by_tcp_over_ipv4_on_io_uring", &V4, "uring");
}

#[test]
fn local_hops_pass_by_tcp_over_ipv4_on_epoll() {
    check("local_hops_pass_by_tcp_over_ipv4_on_epoll", &V4, "epoll");
}

#[test]
fn local_hops_pass_by_tcp_over_ipv6_on_io_uring() {
    check("local_hops_pass_by_tcp_over_ipv6_on_io_uring", &V6, "uring");
}

#[test]
fn what_is_not_the_sidecars_is_left_alone() {
    let test = "what_is_not_the_sidecars_is_left_alone";
    let Some((stage, own, peer)) = stage(test, &V4, "epoll") else { return };
    // The app's talk with itself, and with what the rules leave out: 15020 inbound.
    let (itself, left_out) =
        (SocketAddr::from(([127, 0, 0, 1], 8_081)), SocketAddr::new(own, 15_020));
    serve_echo(&stage.sidecar, itself);
    serve_echo(&stage.sidecar, left_out);
    let before = counter(&stage.sidecar, "local_bypass.paired");
    echo(&stage.sidecar, itself, 100_000);
    echo(&stage.beside, left_out, 100_000);
    assert_eq!(counter(&stage.sidecar, "local_bypass.paired"), before);
    // A pod without a sidecar of its own: the sidecar's other end is not in its namespace.
    serve_echo(&stage.beside, SocketAddr::new(peer, 9_098));
    echo(&stage.beside, SocketAddr::new(peer, 9_098), 100_000);
    assert_eq!(counter(&stage.sidecar, "local_bypass.paired"), before);
}

#[test]
fn a_client_that_waits_in_its_reads_is_left_alone() {
    let test = "a_client_that_waits_in_its_reads_is_left_alone";
    let Some((stage, _, peer)) = stage(test, &V4, "epoll") else { return };
    let out = SocketAddr::new(peer, 9_095);
    serve_echo(&stage.beside, out);
    let before = counter(&stage.sidecar, "local_bypass.paired");
    let stream = stage.sidecar.namespace.run(move || TcpStream::connect(out)).expect("run");
    let mut stream = stream.expect("connected");
    stream.write_all(&pattern(0, 50_000)).expect("sent");
    let mut writer = stream.try_clone().expect("a second handle");
    let reader = thread::spawn(move || {
        let mut read = Vec::new();
        stream.read_to_end(&mut read).map(|_| read)
    });
    thread::sleep(Duration::from_millis(100));
    writer.write_all(&pattern(50_000, 50_000)).expect("sent");
    writer.shutdown(Shutdown::Write).expect("half-closed");
    let read = reader.join().expect("joined").expect("it is never told \"not now\"");
    assert!(read == pattern(0, 100_000));
    assert_eq!(counter(&stage.sidecar, "local_bypass.paired"), before);
}

#[test]
fn a_stalled_app_holds_up_who_sends_to_it() {
    let test = "a_stalled_app_holds_up_who_sends_to_it";
    let Some((stage, own, _)) = stage(test, &V4, "uring") else { return };
    let within = SocketAddr::new(own, 7_098);
    let listener = stage.sidecar.namespace.run(move || TcpListener::bind(within)).expect("run");
    let listener = listener.expect("a port");
    let mut sender = connect(&stage.beside, within);
    // The sidecar looks at the first bytes before it connects to the app.
    sender.write_all(&pattern(0, 100)).expect("sent");
    let (mut app, _) = listener.accept().expect("the sidecar");
    sender.set_nonblocking(true).expect("non-blocking");
    let (mut sent, mut quiet) = (100, Instant::now());
    while quiet.elapsed() < Duration::from_millis(500) {
        match sender.write(&pattern(sent, 20_000)) {
            Ok(n) => (sent, quiet) = (sent + n, Instant::now()),
            Err(_) => thread::sleep(Duration::from_millis(5)),
        }
        assert!(sent < 64 << 20, "nobody holds it up");
    }
    sender.set_nonblocking(false).expect("blocking");
    sender.shutdown(Shutdown::Write).expect("half-closed");
    app.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    let read = read_all(&mut app);
    assert_eq!(read.len(), sent);
    assert!(read == pattern(0, sent), "bytes have changed places");
}

/// The eBPF programs that a process holds, by the kernel's numbers.
fn programs(process: u32) -> Vec<u32> {
    let folder = fs::read_dir(format!("/proc/{process}/fdinfo")).expect("its descriptors");
    let texts = folder.flatten().filter_map(|entry| fs::read_to_string(entry.path()).ok());
    let number = |text: String| {
        text.lines().find_map(|line| line.strip_prefix("prog_id:")?.trim().parse().ok())
    };
    texts.filter_map(number).collect()
}

/// Those that the kernel has.
fn loaded() -> Vec<u32> {
    aya::programs::loaded_programs().flatten().map(|program| program.id()).collect()
}

#[test]
fn nothing_stays_when_the_sidecar_is_killed() {
    let test = "nothing_stays_when_the_sidecar_is_killed";
    let Some((mut stage, own, peer)) = stage(test, &V4, "uring") else { return };
    let out = SocketAddr::new(peer, 9_097);
    serve_echo(&stage.beside, out);
    let mut stream = connect(&stage.sidecar, out);
    stream.write_all(b"x").expect("sent");
    stream.read_exact(&mut [0]).expect("echoed");
    let held = programs(stage.proxy.id());
    assert!(held.len() >= 2, "{held:?}");
    stage.proxy.signal(Signal::SIGKILL);
    let begun = Instant::now();
    while stage.proxy.ended().is_none() {
        assert!(begun.elapsed() < PATIENCE);
        thread::sleep(Duration::from_millis(5));
    }
    // The connection ends as any would, if not without a "not now" before.
    let begun = Instant::now();
    loop {
        match stream.read(&mut [0; 8]) {
            Ok(0) => break,
            Err(why) if why.kind() == ErrorKind::ConnectionReset => break,
            Err(why) if why.kind() == ErrorKind::WouldBlock && begun.elapsed() < PATIENCE => {}
            other => panic!("it does not end: {other:?}"),
        }
    }
    drop(stream);
    let begun = Instant::now();
    // The kernel frees them a moment after the process and the last paired socket are gone.
    while loaded().iter().any(|number| held.contains(number)) {
        assert!(begun.elapsed() < PATIENCE, "{held:?} are still loaded");
        thread::sleep(Duration::from_millis(20));
    }
    stage.restart_proxy();
    stage.await_proxy(own);
    echo(&stage.sidecar, out, 100_000);
    assert!(counter(&stage.sidecar, "local_bypass.paired") >= 1);
}

#[test]
fn without_the_rights_all_goes_by_tcp() {
    let test = "without_the_rights_all_goes_by_tcp";
    if privilege() != Privilege::Root {
        return skip(test, "needs root");
    }
    let arguments = ["--driver", "epoll", "--local-bypass"];
    let stage = Stage::new(test, &V4, (PROXY, PROXY), &arguments);
    let (own, peer) = stage.own.zip(stage.peer).expect("IPv4");
    stage.await_proxy(own);
    let said = stage.said();
    assert_eq!(said.matches("local bypass: not available").count(), 1, "one line: {said}");
    let info = admin(&stage.sidecar, "/server_info");
    assert!(info.contains("\"local_bypass\": \"unavailable: "), "{info}");
    let out = SocketAddr::new(peer, 9_096);
    serve_echo(&stage.beside, out);
    echo(&stage.sidecar, out, 100_000);
}

#[test]
fn a_control_group_that_is_not_there_is_said() {
    let test = "a_control_group_that_is_not_there_is_said";
    if privilege() != Privilege::Root {
        return skip(test, "needs root");
    }
    let arguments = ["--driver", "epoll", "--local-bypass=/nowhere/at/all"];
    let stage = Stage::new(test, &V4, AS_ROOT, &arguments);
    let (own, _) = stage.own.zip(stage.peer).expect("IPv4");
    stage.await_proxy(own);
    let said = ask(&stage.sidecar, SocketAddr::from(([10, 96, 7, 7], 9_081)));
    assert!(said.ends_with("exact"), "{said}");
    assert!(stage.said().contains("/nowhere/at/all"), "{}", stage.said());
}
