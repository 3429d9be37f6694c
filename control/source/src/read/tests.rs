//! Goal: what is wrong is said once, with its place, and does not touch what stands beside it.
//! Method: a table of texts and the exact messages.

use super::*;
use crate::message::Severity;

fn said(text: &str) -> Vec<String> {
    read("f.yaml", text).messages.iter().map(ToString::to_string).collect()
}

const HEAD: &str =
    "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata:\n  name: r\n";

#[test]
fn messages_are_exact() {
    let at = "VirtualService default/r";
    let cases: [(String, String); 16] = [
        (
            format!("{HEAD}spec:\n  hosts: [a]\n  http:\n  - rout: []\n"),
            format!("f.yaml:8: {at}: spec.http[0].rout: unknown field; did you mean `route`?"),
        ),
        (
            format!("{HEAD}spec:\n  hosts: [a]\n  zzz: 1\n"),
            format!("f.yaml:7: {at}: spec.zzz: unknown field"),
        ),
        (
            format!("{HEAD}spec:\n  hosts: a\n"),
            format!("f.yaml:6: {at}: spec.hosts: is string \"a\", must be a list"),
        ),
        (
            format!("{HEAD}spec:\n  hosts:\n  - 1\n"),
            format!(
                "f.yaml:7: {at}: spec.hosts[0]: is integer `1`, must be a string; write it in \
                 quotes"
            ),
        ),
        (
            format!("{HEAD}spec:\n  http:\n  - timeout: soon\n"),
            format!(
                "f.yaml:7: {at}: spec.http[0].timeout: `soon` is not a duration; write `1s`, \
                 `250ms` or `1m30s`"
            ),
        ),
        (
            format!("{HEAD}spec:\n  http:\n  - route:\n    - weight: -1\n"),
            format!("f.yaml:8: {at}: spec.http[0].route[0].weight: is integer `-1`, must be u32"),
        ),
        (
            format!("{HEAD}spec:\n  http:\n  - match:\n    - port: 70000\n"),
            format!("f.yaml:8: {at}: spec.http[0].match[0].port: is integer `70000`, must be u16"),
        ),
        (
            format!("{HEAD}  labels:\n    version: 1\n"),
            format!(
                "f.yaml:6: {at}: metadata.labels.version: is integer `1`, must be a string; write \
                 it in quotes"
            ),
        ),
        (
            format!("{HEAD}  creationTimestamp: yesterday\n"),
            format!(
                "f.yaml:5: {at}: metadata.creationTimestamp: `yesterday` is not a time in UTC such \
                 as 2026-01-31T10:00:00Z"
            ),
        ),
        (
            "apiVersion: security.istio.io/v1\nkind: PeerAuthentication\nmetadata: {name: p}\n\
             spec:\n  mtls:\n    mode: STRIKT\n"
                .to_owned(),
            "f.yaml:6: PeerAuthentication default/p: spec.mtls.mode: `STRIKT` is not one of UNSET, \
             DISABLE, PERMISSIVE, STRICT"
                .to_owned(),
        ),
        (
            "apiVersion: v1\nkind: Service\nmetadata: {name: s}\nspec: {ports: [{name: http}]}\n"
                .to_owned(),
            "f.yaml:4: Service default/s: spec.ports[0].port: is required".to_owned(),
        ),
        (
            "apiVersion: v1\nkind: Pod\nmetadata: {name: Bad_Name}\n".to_owned(),
            "f.yaml:3: metadata.name: `Bad_Name` is not a name: lower-case letters, digits, `-` \
             and `.` are"
                .to_owned(),
        ),
        (
            "apiVersion: v1\nkind: Pod\nmetadata: {name: n}\n".to_owned(),
            "f.yaml:3: metadata.name: is not text: YAML reads words such as `y`, `no` or `1` as \
             values; write it in quotes"
                .to_owned(),
        ),
        (
            "kind: Pod\n".to_owned(),
            "f.yaml:1: is not an object: `apiVersion`, `kind` and `metadata` are expected here"
                .to_owned(),
        ),
        (
            "# all\n---\napiVersion: apps/v1\nkind: Deployment\nmetadata: {name: d}\n".to_owned(),
            "f.yaml:3: apps/v1 Deployment is not used here and was left out".to_owned(),
        ),
        (
            "apiVersion: v1\nkind: Service\nmetadata: {name: s, name: t}\n".to_owned(),
            "f.yaml:3: cannot be read as YAML: duplicate mapping key: name".to_owned(),
        ),
    ];
    for (text, wanted) in cases {
        assert_eq!(said(&text), [wanted], "{text}");
    }
}

/// A bad document, even one that is no YAML at all, leaves its neighbours alone.
#[test]
fn neighbours_go_on() {
    let good =
        |name: &str| format!("apiVersion: v1\nkind: Namespace\nmetadata: {{name: {name}}}\n");
    let broken = "a: [1\nb: }\n";
    let text = [good("one"), broken.to_owned(), good("two"), format!("{HEAD}spec: {{x: 1}}\n")];
    let found = read("f.yaml", &text.join("---\n"));
    let names: Vec<_> = found.objects.iter().map(|object| object.meta.name.as_str()).collect();
    assert_eq!(names, ["one", "two"]);
    assert_eq!(found.messages.len(), 2);
    assert!(found.unclear, "the broken document might have been anything");
    let refused = ObjectKey {
        kind: Kind::VirtualService,
        namespace: "default".to_owned(),
        name: "r".to_owned(),
    };
    assert_eq!(found.refused, [refused]);
    let lines: Vec<_> = found.messages.iter().map(|message| message.line).collect();
    assert!((5..=6).contains(&lines[0]), "{lines:?}");
    assert_eq!(lines[1], 16);
}

#[test]
fn protobufs_json_is_read_as_istio_reads_it() {
    let text = format!(
        "{HEAD}spec:\n  hosts: [a]\n  export_to: ['.']\n  tls: null\n  http:\n  - name: null\n    \
         match:\n    - ignore_uri_case: true\n      port: '80'\n    timeout: 1m0.5s\n    retries: \
         {{attempts: '3', per_try_timeout: 250ms}}\n    route: [{{destination: {{host: a}}, \
         weight: '90'}}]\n"
    );
    let found = read("f.yaml", &text);
    assert_eq!(found.messages, []);
    let Spec::VirtualService(spec) = &found.objects[0].spec else { unreachable!() };
    assert_eq!(spec.export_to, ["."]);
    assert!(spec.tls.is_none());
    let http = &spec.http[0];
    assert!(http.matches[0].ignore_uri_case);
    assert_eq!(http.matches[0].port, Some(80));
    assert_eq!(http.timeout.unwrap().nanos, 60_500_000_000);
    let retries = http.retries.as_ref().unwrap();
    assert_eq!((retries.attempts, retries.per_try_timeout.unwrap().as_millis()), (3, 250));
    assert_eq!(http.route[0].weight, 90);
}

#[test]
fn enums_are_read_by_name_and_by_number() {
    let text = |mode: &str| {
        format!(
            "apiVersion: security.istio.io/v1beta1\nkind: PeerAuthentication\nmetadata: {{name: \
             p}}\nspec: {{mtls: {{mode: {mode}}}, portLevelMtls: {{8080: {{mode: DISABLE}}}}}}\n"
        )
    };
    use crate::kinds::security::MtlsMode;
    for mode in ["STRICT", "3", "'STRICT'"] {
        let found = read("f.yaml", &text(mode));
        assert_eq!(found.messages, [], "{mode}");
        let Spec::PeerAuthentication(spec) = &found.objects[0].spec else { unreachable!() };
        assert_eq!(spec.mtls.mode, MtlsMode::Strict);
        assert_eq!(spec.port_level_mtls[&8080].mode, MtlsMode::Disable);
    }
}

#[test]
fn lists_and_json_are_read_item_by_item() {
    let text = r#"{"apiVersion": "v1", "kind": "List", "items": [
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "a"}},
        {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "s"},
         "spec": {"port": []}},
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "b"}}]}"#;
    let found = read("f.json", text);
    let names: Vec<_> = found.objects.iter().map(|object| object.meta.name.as_str()).collect();
    assert_eq!(names, ["a", "b"]);
    let said: Vec<_> = found.messages.iter().map(ToString::to_string).collect();
    let wanted = "f.json:4: Service default/s: spec.port: unknown field; did you mean `ports`?";
    assert_eq!(said, [wanted]);
}

#[test]
fn lines_are_found_again() {
    let text = format!("---\n{HEAD}spec:\n  hosts: [a]\n  http:\n  - name: x\n    timeout: 1s\n");
    let found = read("f.yaml", &text);
    let origin = &found.objects[0].origin;
    assert_eq!(origin.line, 2);
    assert_eq!(origin.line_of("spec.http[0].timeout"), 10);
    assert_eq!(origin.line_of("spec.http[0].nothing"), 9);
    assert_eq!(origin.line_of("spec.http[7]"), 8);
}

#[test]
fn a_bomb_of_aliases_is_refused() {
    let mut text = "a: &a [x, x, x, x, x, x, x, x, x]\n".to_owned();
    for (this, last) in ('b'..='j').zip('a'..) {
        let all = vec![format!("*{last}"); 9].join(", ");
        text += &format!("{this}: &{this} [{all}]\n");
    }
    let found = read("f.yaml", &text);
    assert_eq!(found.messages.len(), 1);
    assert_eq!(found.messages[0].severity, Severity::Error);
}
