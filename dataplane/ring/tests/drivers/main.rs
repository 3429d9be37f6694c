//! What a driver promises, tried on both drivers.

mod close;
#[path = "../common/mod.rs"]
mod common;
mod flow;
mod kit;
mod limits;
mod open;
mod relay;

/// A test that was skipped must not count as passed: whoever collects the names gets it.
#[test]
fn a_skip_is_noted_by_name() {
    let file = std::env::temp_dir().join(format!("ring-skips-{}", std::process::id()));
    let noted = Some(file.as_os_str());
    common::skip_to(noted, "one on io_uring", "forbidden");
    common::skip_to(noted, "two", "no IPv6");
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::remove_file(&file).unwrap();
    assert_eq!(text, "one on io_uring: forbidden\ntwo: no IPv6\n");
}
