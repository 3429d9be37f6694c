//! Paths in their one form: no dot segments, no double slashes, the query untouched, and nothing
//! that a second look would change.

use std::sync::OnceLock;

use config::snapshot::{EscapedSlashes, HttpManager, Snapshot, Terminal};
use policy::path::{Refused, normalize as apply};
use wire::head::Head;

/// A snapshot for each choice of options.
fn snapshots() -> &'static [Snapshot; 16] {
    static SNAPSHOTS: OnceLock<[Snapshot; 16]> = OnceLock::new();
    SNAPSHOTS.get_or_init(|| {
        std::array::from_fn(|choice| {
            let action = [
                "KEEP_UNCHANGED",
                "REJECT_REQUEST",
                "UNESCAPE_AND_REDIRECT",
                "UNESCAPE_AND_FORWARD",
            ][choice / 4];
            let (normal, merged) = (choice & 1 != 0, choice & 2 != 0);
            let options = format!(
                "normalize_path: {normal}, merge_slashes: {merged}, \
                 path_with_escaped_slashes_action: {action},"
            );
            crate::route::compiled(&options, "")
        })
    })
}

fn manager(choice: u8) -> &'static HttpManager {
    match &snapshots()[usize::from(choice % 16)].listeners[0].chains[0].terminal {
        Terminal::Http(manager) => manager,
        _ => panic!("it ends in HTTP"),
    }
}

pub(crate) fn normalize(input: &[u8]) {
    let ([choice], path) = crate::choose(input);
    let manager = manager(choice);
    let Some((path, query, result)) = formed(path, manager) else { return };
    let escapes = manager.escaped_slashes;
    match result {
        Err(Refused::Redirect) => assert_eq!(escapes, EscapedSlashes::UnescapeAndRedirect),
        Err(_) => return,
        Ok(()) => {}
    }
    assert!(path.starts_with(b"/"), "{}", path.escape_ascii());
    if manager.merge_slashes {
        assert!(!has(&path, b"//"), "{}", path.escape_ascii());
    }
    if manager.normalize_path {
        for bad in [&b"/./"[..], b"/../", b"\\"] {
            assert!(!has(&path, bad), "{}", path.escape_ascii());
        }
        assert!(!path.ends_with(b"/..") && !path.ends_with(b"/."), "{}", path.escape_ascii());
    }
    // Unescaping once more may find more (`%252f`); forms without it are final.
    if matches!(escapes, EscapedSlashes::KeepUnchanged | EscapedSlashes::Reject) {
        let whole = [&path[..], &query].concat();
        let again = formed(&whole, manager).expect("a path");
        assert_eq!(again, (path, query, Ok(())), "a second look changes it");
    }
}

/// Path, query and what was said.
type Formed = (Vec<u8>, Vec<u8>, Result<(), Refused>);

/// What becomes of a path. `None`: it is none that a head could hold.
fn formed(path: &[u8], manager: &HttpManager) -> Option<Formed> {
    let mut head = Head::default();
    // What a head's path cannot hold.
    if path.is_empty() || path.iter().any(|byte| *byte <= b' ' || *byte == 0x7f) {
        return None;
    }
    head.path = head.add_bytes(path);
    let split = |path: &[u8]| {
        let end = path.iter().position(|byte| *byte == b'?').unwrap_or(path.len());
        (path[..end].to_vec(), path[end..].to_vec())
    };
    let before = split(path).1;
    let result = apply(&mut head, manager);
    let (path, query) = split(head.path());
    assert_eq!(query, before, "a query is nobody's to change");
    Some((path, query, result))
}

fn has(bytes: &[u8], wanted: &[u8]) -> bool {
    bytes.windows(wanted.len()).any(|window| window == wanted)
}
