//! The program as people start it: its verbs, its complaints and its end.

use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant, SystemTime};

use ringwayd::auth::Claims;
use ringwayd::ca::open_token_signer;

fn ringwayd(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ringwayd"));
    command.args(arguments);
    command
}

fn demo() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/demo")
}

fn run(arguments: &[&str]) -> (bool, String, String) {
    let Output { status, stdout, stderr } = ringwayd(arguments).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (status.success(), text(stdout), text(stderr))
}

const ANY_PORTS: [&str; 6] = [
    "--xds-address",
    "127.0.0.1:0",
    "--secure-address",
    "127.0.0.1:0",
    "--monitoring-address",
    "127.0.0.1:0",
];

#[test]
fn a_minted_token_is_good_for_the_server_with_that_folder() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("ca");
    let arguments = ["token", "--namespace", "default", "--service-account", "reviews", "--ttl"];
    let (done, token, _) =
        run(&[&arguments[..], &["15m", "--dir", dir.to_str().unwrap()]].concat());
    assert!(done);
    let verifier = open_token_signer(&dir).unwrap().verifier();
    let claims = Claims { namespace: "default".into(), service_account: "reviews".into() };
    assert_eq!(verifier.verify(token.trim_end(), SystemTime::now()), Ok(claims));
    let later = SystemTime::now() + Duration::from_secs(15 * 60);
    assert!(verifier.verify(token.trim_end(), later).is_err());
}

#[test]
fn validate_says_what_is_wrong_and_where() {
    let (good, text, _) = run(&["validate", "--config-dir", demo().to_str().unwrap()]);
    assert!(good && text.ends_with("0 errors, 0 warnings\n"), "{text}");
    let folder = tempfile::tempdir().unwrap();
    let route = std::fs::read_to_string(demo().join("reviews-route.yaml")).unwrap();
    let route = route.replacen("weight: 90", "weight: ninety", 1);
    std::fs::write(folder.path().join("route.yaml"), route).unwrap();
    let (good, text, _) = run(&["validate", "--config-dir", folder.path().to_str().unwrap()]);
    assert!(!good);
    assert!(text.starts_with("error: route.yaml:") && text.contains("weight"), "{text}");
}

#[test]
fn what_cannot_be_started_is_told_in_one_line() {
    let folder = tempfile::tempdir().unwrap();
    let ca = folder.path().join("ca");
    let (ca, demo) = (ca.to_str().unwrap(), demo());
    let demo = demo.to_str().unwrap();
    let readable = folder.path().join("readable");
    std::fs::create_dir(&readable).unwrap();
    std::fs::write(readable.join("root-key.pem"), "x").unwrap();
    let mode = std::fs::Permissions::from_mode(0o644);
    std::fs::set_permissions(readable.join("root-key.pem"), mode).unwrap();
    let readable = readable.to_str().unwrap();
    let cases: [(&[&str], &str); 6] = [
        (&[], "--config-dir DIR"),
        (&["--config-dir", "/nowhere/at/all", "--ca-dir", ca], "/nowhere/at/all"),
        (&["--config-dir", demo, "--ca-dir", readable], "chmod 600"),
        (&["--config-dir", demo, "--ca-dir", "/proc/nothing"], "--ca-dir"),
        (&["--config-dir", demo, "--ca-dir", ca, "--xds-address", "192.0.2.1:1"], "--xds-address"),
        (&["--config-dir", demo, "--ca-dir", ca, "--workload-ttl", "91d"], "--workload-ttl"),
    ];
    for (arguments, expected) in cases {
        let (done, _, text) = run(&[arguments, &["--log-level", "off"]].concat());
        assert!(!done && text.starts_with("ringwayd: "), "{text}");
        assert!(text.contains(expected), "{expected} in {text}");
        assert_eq!(text.lines().count(), 1, "{text}");
    }
}

#[test]
fn a_signal_ends_it_with_success() {
    for signal in ["-TERM", "-INT"] {
        let folder = tempfile::tempdir().unwrap();
        let demo = demo();
        let dirs = ["--config-dir", demo.to_str().unwrap(), "--ca-dir"];
        let dirs = [&dirs[..], &[folder.path().to_str().unwrap()]].concat();
        let mut child =
            ringwayd(&[&dirs[..], &ANY_PORTS].concat()).stderr(Stdio::piped()).spawn().unwrap();
        let mut log = BufReader::new(child.stderr.take().unwrap()).lines();
        assert!(log.any(|line| line.unwrap().contains("ringwayd serves")));
        let begun = Instant::now();
        let id = child.id().to_string();
        assert!(Command::new("kill").args([signal, &id]).status().unwrap().success());
        assert!(child.wait().unwrap().success());
        assert!(begun.elapsed() < Duration::from_secs(3));
    }
}

#[test]
fn the_version_is_told() {
    let (done, text, _) = run(&["version"]);
    assert!(done);
    assert_eq!(text, format!("ringwayd {}\n", env!("CARGO_PKG_VERSION")));
}
