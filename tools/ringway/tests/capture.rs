//! `ringway capture` as a user types it.

use kit::around::skip;
use std::process::{Command, Output};

use kit::net::{Namespace, Privilege, privilege};

fn ringway(words: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_ringway")).args(words).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[test]
fn print_shows_restore_text_and_changes_nothing() {
    let done = ringway(&["capture", "--print", "--no-ipv6", "-x", "1.1.0.0/16", "-o", "3306"]);
    assert!(done.status.success(), "{}", text(&done.stderr));
    let shown = text(&done.stdout);
    for line in [
        "*nat",
        "-A ISTIO_REDIRECT -p tcp -j REDIRECT --to-ports 15001",
        "-A ISTIO_INBOUND -p tcp --dport 15020 -j RETURN",
        "-A ISTIO_OUTPUT -p udp --dport 3306 -j RETURN",
        "-A ISTIO_OUTPUT -d 1.1.0.0/16 -j RETURN",
        "-A ISTIO_OUTPUT -j ISTIO_REDIRECT",
        "COMMIT",
    ] {
        assert!(shown.lines().any(|found| found == line), "{line} is not in:\n{shown}");
    }
}

#[test]
fn what_is_not_built_or_not_meant_is_refused_with_a_hint() {
    for (words, expected) in [
        (&["-m", "TPROXY"][..], "not built"),
        (&["-b", "80,http"], "is not a port"),
        (&["-o", "*"], "takes a list"),
        (&["--via", "ebpf"], "is none of"),
    ] {
        let done = ringway(&[&["capture", "--print"], words].concat());
        assert!(!done.status.success(), "{words:?}");
        assert!(text(&done.stderr).contains(expected), "{words:?}: {}", text(&done.stderr));
    }
}

#[test]
fn rules_come_and_go_in_a_namespace() {
    if privilege() != Privilege::Root {
        return skip("rules_come_and_go_in_a_namespace", "needs root");
    }
    let namespace = Namespace::create("capture").unwrap();
    let count = |namespace: &Namespace| {
        namespace.run(|| kit::capture::installed(kit::capture::Via::Netlink).unwrap()).unwrap()
    };
    let inside = |words: &'static [&'static str]| namespace.run(|| ringway(words)).unwrap();
    let done = inside(&["capture", "--via", "netlink"]);
    assert!(done.status.success(), "{}", text(&done.stderr));
    assert!(count(&namespace) > 20);
    let done = inside(&["capture", "--cleanup"]);
    assert!(done.status.success(), "{}", text(&done.stderr));
    assert_eq!(count(&namespace), 0);
}
