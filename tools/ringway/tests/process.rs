//! Processes in pods: whose they are, and that they end with the one who started them.

use kit::around::{copy_program, skip};
use std::{fs, os::unix::fs::PermissionsExt, process::Command, thread, time::Duration};

use kit::net::{Namespace, Privilege, Recorded, Spawn, privilege};

#[test]
fn a_proxy_runs_as_1337_from_a_folder_it_cannot_enter() {
    if privilege() != Privilege::Root {
        return skip("a_proxy_runs_as_1337_from_a_folder_it_cannot_enter", "needs root");
    }
    let closed = tempfile::tempdir().unwrap();
    let program = closed.path().join("sleep");
    copy_program("/bin/sleep".as_ref(), &program).unwrap();
    fs::set_permissions(closed.path(), fs::Permissions::from_mode(0o700)).unwrap();
    let namespace = Namespace::create("process").unwrap();
    let spawn = Spawn {
        name: "proxy".into(),
        command: vec![program.into(), "60".into()],
        identity: Some((1337, 1337)),
        log: Some(closed.path().join("log")),
        supervisor: Some(env!("CARGO_BIN_EXE_ringway").into()),
        ..Spawn::default()
    };
    let process = spawn.start(&namespace).unwrap();
    let recorded = Recorded::new("process", "proxy", process.id()).unwrap();
    let status = format!("/proc/{}/status", process.id());
    let words = format!("/proc/{}/cmdline", process.id());
    let is_proxy = || fs::read(&words).unwrap().ends_with(b"/sleep\x0060\0");
    let log = || fs::read_to_string(closed.path().join("log")).unwrap();
    wait_for(is_proxy, log);
    wait_for(
        || !fs::read(&words).unwrap().starts_with(env!("CARGO_BIN_EXE_ringway").as_bytes()),
        log,
    );
    let text = fs::read_to_string(&status).unwrap();
    for line in ["Uid:\t1337\t1337\t1337\t1337", "Gid:\t1337\t1337\t1337\t1337", "Groups:\t \n"] {
        assert!(text.contains(line), "{line}: {text}");
    }
    let inside = fs::read_link(format!("/proc/{}/ns/net", process.id())).unwrap();
    let home = namespace.run(|| fs::read_link("/proc/thread-self/ns/net").unwrap()).unwrap();
    assert_eq!(inside, home);
    drop(process);
    assert!(!recorded.is_alive());
}

#[test]
fn a_child_does_not_outlive_a_killed_parent() {
    // A shell in the parent's place: its child must be killed by the kernel when it is.
    let supervisor = env!("CARGO_BIN_EXE_ringway");
    let script = format!("{supervisor} __child $$ - - sleep 61 & echo $!; wait");
    let mut parent = Command::new("sh")
        .args(["-c", &script])
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    let mut out = std::io::BufReader::new(parent.stdout.take().unwrap());
    std::io::BufRead::read_line(&mut out, &mut line).unwrap();
    let child: u32 = line.trim().parse().unwrap();
    let status = format!("/proc/{child}/status");
    let is_sleep = || fs::read_to_string(&status).unwrap_or_default().contains("Name:\tsleep");
    wait_for(is_sleep, String::new);
    let recorded = Recorded::new("", "sleep", child).unwrap();
    assert!(recorded.is_alive());
    parent.kill().unwrap();
    parent.wait().unwrap();
    wait_for(|| !recorded.is_alive(), String::new);
}

fn wait_for(done: impl Fn() -> bool, why: impl Fn() -> String) {
    for _ in 0..200 {
        if done() {
            return;
        }
        thread::sleep(Duration::from_millis(10));
    }
    panic!("not after 2 s: {}", why());
}
