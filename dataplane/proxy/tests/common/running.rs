//! Programs that run as long as a test, and the files that they need.

use std::fs;
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::thread;
use std::time::Duration;

/// A program that is ended with the test.
pub(crate) struct Running(pub(crate) Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Starts a program and waits until it listens on all these addresses. `said`: where its errors go,
/// to be repeated when it ends instead.
pub(crate) fn start(command: &mut Command, addresses: &[SocketAddr], said: &Path) -> Running {
    let log = fs::File::create(said).expect("a log");
    let child = command.stderr(log).spawn();
    let mut running = Running(child.unwrap_or_else(|error| panic!("{command:?}: {error}")));
    for _ in 0..1_500 {
        if addresses.iter().all(|address| TcpStream::connect(address).is_ok()) {
            return running;
        }
        if let Ok(Some(status)) = running.0.try_wait() {
            let said = fs::read_to_string(said).unwrap_or_default();
            panic!("{command:?} ended with {status}: {said}");
        }
        thread::sleep(Duration::from_millis(20));
    }
    panic!("{command:?} does not listen within 30 s");
}

/// A folder for files of this name, in the target directory: empty now, and the same each time, so
/// that runs leave nothing but their last files behind.
pub(crate) fn fresh_folder(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).expect("a folder");
    folder
}
