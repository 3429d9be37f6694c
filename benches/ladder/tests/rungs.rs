//! Each rung passes bytes both ways and half-closes: what is measured works.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

/// Bytes each way.
const BYTES: usize = 1 << 20;
/// Connections of each kind.
const TIMES: usize = 3;
/// How long a read may take before the rung counts as stuck.
const PATIENCE: Duration = Duration::from_secs(20);

/// A rung's name, its program, its driver if it has several, and whether it needs io_uring.
const RUNGS: [(&str, &str, Option<&str>, bool); 8] = [
    ("bare", "", None, true),
    ("ring", env!("CARGO_BIN_EXE_ladder-ring"), Some("uring"), true),
    ("ring on epoll", env!("CARGO_BIN_EXE_ladder-ring"), Some("epoll"), false),
    ("splice", env!("CARGO_BIN_EXE_ladder-splice"), None, false),
    ("epoll", env!("CARGO_BIN_EXE_ladder-epoll"), None, false),
    ("tokio", env!("CARGO_BIN_EXE_ladder-tokio"), None, false),
    ("monoio", env!("CARGO_BIN_EXE_ladder-monoio"), None, true),
    ("tokio-uring", env!("CARGO_BIN_EXE_ladder-tokio-uring"), None, true),
];

/// How often the upstream that ends first has heard all all the same.
static HEARD: AtomicUsize = AtomicUsize::new(0);

/// A running rung, ended with the test.
struct Rung {
    child: Child,
    address: SocketAddr,
}

impl Drop for Rung {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn every_rung_passes_bytes_both_ways_and_half_closes() {
    for (name, program, driver, needs_uring) in RUNGS {
        let program = if program.is_empty() { bare() } else { program.into() };
        if !program.exists() {
            skip(name, "not built: cargo build -p ringway-ring --example bare");
            continue;
        }
        if let (true, Err(why)) = (needs_uring, ring::probe()) {
            skip(name, &why);
            continue;
        }
        HEARD.store(0, Ordering::SeqCst);
        for (how, serve) in [("echo", echo as fn(TcpStream)), ("end first", speak)] {
            let rung = start(&program, upstream(serve), driver);
            for _ in 0..TIMES {
                let answer = ask(rung.address);
                assert!(answer == pattern(), "{name}, {how}: {} bytes came back", answer.len());
            }
        }
        // The upstream's threads may be a little behind.
        for _ in 0..500 {
            if HEARD.load(Ordering::SeqCst) == TIMES {
                break;
            }
            thread::sleep(Duration::from_millis(10));
        }
        assert_eq!(HEARD.load(Ordering::SeqCst), TIMES, "{name}: bytes were lost on their way up");
    }
}

/// The example of the ring crate, built beside these programs by `cargo test --workspace`.
fn bare() -> PathBuf {
    let beside = Path::new(env!("CARGO_BIN_EXE_ladder-ring"));
    beside.with_file_name("examples").join("bare")
}

fn pattern() -> Vec<u8> {
    (0..BYTES).map(|at| (at * 31 / 8) as u8).collect()
}

/// Starts a rung on a port that was free a moment ago; tries others if it is not any more.
fn start(program: &Path, upstream: SocketAddr, driver: Option<&str>) -> Rung {
    for _ in 0..5 {
        let address =
            TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("known");
        let mut command = Command::new(program);
        command.args(["--listen", &address.to_string(), "--upstream", &upstream.to_string()]);
        command.args(driver.into_iter().flat_map(|driver| ["--driver", driver]));
        let child = command.stdout(Stdio::piped()).spawn().expect("it starts");
        let mut rung = Rung { child, address };
        let mut line = String::new();
        let out = rung.child.stdout.as_mut().expect("piped");
        BufReader::new(out).read_line(&mut line).expect("it speaks");
        if line == "ready\n" {
            return rung;
        }
    }
    panic!("{} does not get ready", program.display());
}

fn upstream(serve: fn(TcpStream)) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("known");
    thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            thread::spawn(move || serve(stream));
        }
    });
    address
}

/// Sends back what comes until the client has finished.
fn echo(mut stream: TcpStream) {
    let mut bytes = [0; 16 * 1024];
    while let Ok(count @ 1..) = stream.read(&mut bytes) {
        if stream.write_all(&bytes[..count]).is_err() {
            return;
        }
    }
}

/// Says all and finishes first, then wants to hear all the same.
fn speak(mut stream: TcpStream) {
    let said = stream.write_all(&pattern()).and_then(|()| stream.shutdown(Shutdown::Write));
    let mut heard = Vec::new();
    if said.is_ok() && stream.read_to_end(&mut heard).is_ok() && heard == pattern() {
        HEARD.fetch_add(1, Ordering::SeqCst);
    }
}

/// Sends the pattern, finishes, and says what came back.
fn ask(address: SocketAddr) -> Vec<u8> {
    let stream = TcpStream::connect(address).expect("the rung accepts");
    stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    let mut writer = stream.try_clone().expect("a second handle");
    let writing = thread::spawn(move || {
        writer.write_all(&pattern())?;
        writer.shutdown(Shutdown::Write)
    });
    let mut answer = Vec::new();
    let mut stream = stream;
    stream.read_to_end(&mut answer).expect("an end within the time");
    writing.join().expect("no panic").expect("all was taken");
    answer
}

/// Says what was not tested, to whoever runs all tests as well.
fn skip(name: &str, why: &str) {
    let line = format!("every_rung_passes_bytes_both_ways_and_half_closes ({name}): {why}");
    eprintln!("SKIPPED {line}");
    if let Some(path) = std::env::var_os("RINGWAY_SKIPS")
        && let Ok(mut file) = std::fs::OpenOptions::new().append(true).create(true).open(path)
    {
        let _ = writeln!(file, "{line}");
    }
}
