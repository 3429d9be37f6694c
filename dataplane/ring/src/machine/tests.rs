use std::fs;
use std::path::PathBuf;

use super::{cpus, limit_below, pin, process_cpu, resident_bytes, thread_cpu, workers};

/// A made-up cgroup tree that is gone with its test.
struct Tree(PathBuf);

impl Tree {
    fn new(name: &str, files: &[(&str, &str)]) -> Self {
        let root = std::env::temp_dir().join(format!("ring-cgroup-{name}-{}", std::process::id()));
        for (path, text) in files {
            let path = root.join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        Self(root)
    }
}

impl Drop for Tree {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[test]
fn quotas_are_read_from_both_versions() {
    type Case =
        (&'static str, &'static [(&'static str, &'static str)], &'static str, Option<usize>);
    let cases: &[Case] = &[
        ("v2", &[("pod/box/cpu.max", "150000 100000\n")], "0::/pod/box\n", Some(2)),
        ("v2-none", &[("pod/cpu.max", "max 100000\n")], "0::/pod\n", None),
        (
            "v2-parent",
            &[("pod/cpu.max", "100000 100000\n"), ("pod/box/cpu.max", "400000 100000\n")],
            "0::/pod/box\n",
            Some(1),
        ),
        ("v2-tiny", &[("cpu.max", "1000 100000\n")], "0::/\n", Some(1)),
        ("v2-foreign-path", &[("cpu.max", "300000 100000\n")], "0::/../elsewhere\n", Some(3)),
        (
            "v1",
            &[("cpu/a/cpu.cfs_quota_us", "250000\n"), ("cpu/a/cpu.cfs_period_us", "100000\n")],
            "5:memory:/a\n1:cpu,cpuacct:/a\n",
            Some(3),
        ),
        (
            "v1-none",
            &[("cpu/a/cpu.cfs_quota_us", "-1\n"), ("cpu/a/cpu.cfs_period_us", "100000\n")],
            "1:cpu:/a\n",
            None,
        ),
    ];
    for (name, files, membership, expected) in cases {
        let tree = Tree::new(name, files);
        assert_eq!(limit_below(&tree.0, membership), *expected, "{name}");
    }
}

#[test]
fn the_machine_answers() {
    let cpus = cpus();
    assert!(!cpus.is_empty());
    assert_eq!(workers(Some(3)), 3);
    assert!((1..=cpus.len()).contains(&workers(None)));
    assert!(resident_bytes() > 100_000);
    assert!(process_cpu() >= thread_cpu() || thread_cpu().as_millis() < 1000);
    let last = *cpus.last().unwrap();
    std::thread::spawn(move || {
        pin(last).unwrap();
        assert_eq!(super::cpus(), [last]);
    })
    .join()
    .unwrap();
}

#[test]
fn only_code_of_files_is_given_back() {
    let code = |line| super::code(line);
    let line = "56396a0df000-56396a91e000 r-xp 00372000 fe:00 123  /usr/bin/ringway-proxy";
    assert_eq!(code(line), Some(0x5639_6a0d_f000..0x5639_6a91_e000));
    for other in [
        "56396a91e000-56396a998000 r--p 00bb0000 fe:00 123  /usr/bin/ringway-proxy",
        "56396a998000-56396a999000 rw-p 00c2a000 fe:00 123  /usr/bin/ringway-proxy",
        "7ffd3a1f2000-7ffd3a1f4000 r-xp 00000000 00:00 0    [vdso]",
        "7f0000000000-7f0000001000 rwxp 00000000 00:00 0",
        "7f0000000000-7f0000001000 r-xp 00000000 00:00 0",
        "7f0000000000-7f0000001000 rwxp 00000000 fe:00 9    /tmp/jit",
        "",
    ] {
        assert_eq!(code(other), None, "{other}");
    }
}

#[test]
fn a_trimmed_process_goes_on() {
    super::trim();
    let text: String = (0..1000).map(|number| number.to_string()).collect();
    assert_eq!(text.len(), 2_890);
}
