//! The redirect rules against Istio's own goldens, line by line.
//!
//! The goldens are found in the folder that RINGWAY_ISTIO_DATA names, in `iptables/`. What is
//! compared is the restore text of the nat tables; saves before and after do not matter.

use kit::around::skip;
use std::path::PathBuf;

use kit::capture::{Family, Options, Ports, Ranges, Rules};

type Change = fn(&mut Options);

const CASES: &[(&str, Change)] = &[
    ("empty", |_| {}),
    ("basic-exclude-nic", |o| o.exclude_interfaces = vec!["not-istio-nic".into()]),
    ("inbound-ports-include", |o| o.inbound_include = Ports::These(vec![32000, 31000])),
    ("inbound-ports-wildcard", |o| o.inbound_include = Ports::All),
    ("ipnets", |o| o.outbound_include = ranges("10.0.0.0/8")),
    ("outbound-ports-include", |o| o.outbound_ports_include = vec![32000, 31000]),
    ("ipv6-inbound-ports", |o| {
        o.inbound_include = Ports::These(vec![4000, 5000]);
        o.ipv6 = true;
    }),
    ("ipv6-uid-gid", |o| {
        o.inbound_include = Ports::These(vec![4000, 5000]);
        o.inbound_exclude = vec![6000, 7000];
        o.virtual_interfaces = vec!["eth0".into(), "eth1".into()];
        (o.uids, o.gids) = (vec![3, 4], vec![1, 2]);
        o.outbound_include = ranges("2001:db8::/32");
        o.outbound_exclude = vec!["2001:db8::/32".parse().unwrap()];
        o.ipv6 = true;
    }),
];

/// What those goldens need is refused by name until it is built.
const NOT_BUILT: &[(&str, &str)] = &[
    ("ip-range", "DNS capture"),
    ("dns-uid-gid", "DNS capture"),
    ("inbound-ports-tproxy", "TPROXY mode"),
    ("tproxy", "TPROXY mode"),
];

#[test]
fn rules_are_istios() {
    let Some(folder) = goldens() else {
        return skip("rules_are_istios", "Istio's goldens are not on this machine");
    };
    for (name, change) in CASES {
        let golden = std::fs::read_to_string(folder.join(format!("{name}.golden"))).unwrap();
        let mut options = Options::bare();
        change(&mut options);
        let rules = Rules::new(&options);
        let ours: Vec<String> =
            rules.families().map(|family| rules.to_iptables_restore(family)).collect();
        assert_eq!(normal(&ours.concat()), normal(&golden), "{name}");
    }
    for (name, needs) in NOT_BUILT {
        skip(&format!("golden {name}"), &format!("{needs} is not built"));
    }
}

#[test]
fn an_injected_pod_gets_what_its_annotations_ask() {
    let options = Options {
        inbound_exclude: vec![15090],
        outbound_exclude: vec!["1.1.0.0/16".parse().unwrap()],
        outbound_ports_exclude: vec![3306],
        ..Options::default()
    };
    let text = Rules::new(&options).to_iptables_restore(Family::V4);
    let at = |line: &str| {
        text.lines().position(|found| found == line).unwrap_or_else(|| panic!("{line}\n{text}"))
    };
    let excluded = at("-A ISTIO_INBOUND -p tcp --dport 15090 -j RETURN");
    assert!(excluded < at("-A ISTIO_INBOUND -p tcp -j ISTIO_IN_REDIRECT"));
    let port = at("-A ISTIO_OUTPUT -p tcp --dport 3306 -j RETURN");
    assert_eq!(at("-A ISTIO_OUTPUT -p udp --dport 3306 -j RETURN"), port + 1);
    let range = at("-A ISTIO_OUTPUT -d 1.1.0.0/16 -j RETURN");
    assert!(port < range && range < at("-A ISTIO_OUTPUT -j ISTIO_REDIRECT"));
}

#[test]
fn what_is_no_port_or_range_is_refused() {
    for text in ["80,http", "0x50", "70000", "-1"] {
        assert!(text.parse::<Ports>().is_err(), "{text}");
    }
    for text in ["10.0.0.0/33", "reviews", "10.0.0"] {
        assert!(text.parse::<Ranges>().is_err(), "{text}");
    }
    assert_eq!("".parse(), Ok(Ports::These(vec![])));
    assert_eq!("10.1.2.3/8,::1".parse(), Ok(ranges("10.0.0.0/8,::1/128")));
}

fn ranges(text: &str) -> Ranges {
    text.parse().unwrap()
}

fn goldens() -> Option<PathBuf> {
    let folder = PathBuf::from(std::env::var_os("RINGWAY_ISTIO_DATA")?).join("iptables");
    folder.is_dir().then_some(folder)
}

/// Only the lines that iptables-restore reads.
fn normal(text: &str) -> Vec<String> {
    let command = |line: &&str| !line.is_empty() && !line.ends_with("tables-save");
    text.lines().map(str::trim).filter(command).map(|line| line.replace("* nat", "*nat")).collect()
}
