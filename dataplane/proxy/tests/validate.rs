//! `--mode validate` from outside: what it says, and what it ends with.

use std::io::Write;
use std::process::{Command, Output, Stdio};

/// Validates what comes through a pipe, which can be read once only.
fn validate(bootstrap: &str, environment: &[(&str, &str)]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ringway-proxy"));
    command.args(["--mode", "validate", "-c", "/dev/stdin"]);
    command.env_clear().envs(environment.iter().copied());
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("it starts");
    let mut pipe = child.stdin.take().expect("a pipe");
    pipe.write_all(bootstrap.as_bytes()).expect("it reads");
    drop(pipe);
    child.wait_with_output().expect("it ends")
}

#[test]
fn all_that_is_validated_is_one_reading_of_the_file() {
    let node = "node: { metadata: { NAMESPACE: default, SERVICE_ACCOUNT: app } }\n";
    let clusters = "static_resources: { clusters: [ { name: a, type: STATIC }, @ ] }\n";
    let (good, bad) =
        (clusters.replace(", @", ""), clusters.replace('@', "{ name: b, connect_timeout: 0s }"));
    let no_address: &[_] = &[("CA_ADDR", "nowhere")];
    let cases: [(&str, &[_], i32, &str); 4] = [
        (&good, &[], 0, "/dev/stdin: good, 0 listeners and 1 clusters\n"),
        (&bad, &[], 78, "cluster `b`: connect_timeout: "),
        // What the agent would be started with is in the same file.
        (&(node.to_owned() + &good), no_address, 71, "CA_ADDR: \"nowhere\" is not of the form"),
        (&good, no_address, 0, "1 clusters\n"),
    ];
    for (bootstrap, environment, code, said) in cases {
        let output = validate(bootstrap, environment);
        let text = String::from_utf8([output.stdout, output.stderr].concat()).expect("text");
        assert_eq!(output.status.code(), Some(code), "{bootstrap}{text}");
        assert!(text.contains(said), "{bootstrap}{text}");
    }
}
