//! Goal: what is written in the folder arrives, once and whole; what is broken does not, and takes
//! nothing away. Method: a real folder, watched by the kernel's news and by polling.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use tokio::sync::mpsc::Receiver;

use super::*;
use crate::{Change, Message};

fn namespace(name: &str, label: &str) -> String {
    format!("apiVersion: v1\nkind: Namespace\nmetadata: {{name: {name}, labels: {{l: {label}}}}}\n")
}

const POLICY: &str = "apiVersion: security.istio.io/v1\nkind: PeerAuthentication\nmetadata: {name: \
                      p}\nspec: {mtls: {mode: MODE}}\n";

fn start(path: &Path, poll_only: bool) -> Receiver<Batch> {
    let timing = Timing {
        quiet: Duration::from_millis(20),
        grace: Duration::from_millis(150),
        poll: Duration::from_millis(40),
        poll_only,
        ..Timing::default()
    };
    Box::new(Folder::with_timing(path, timing)).start().unwrap()
}

/// The next batch, in words.
fn next(receiver: &mut Receiver<Batch>) -> (Vec<String>, Vec<Message>) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while Instant::now() < deadline {
        if let Ok(batch) = receiver.try_recv() {
            let words = batch.changes.iter().map(|change| match change {
                Change::Put(object) => format!("+ {}", object.key()),
                Change::Remove(key) => format!("- {key}"),
            });
            return (words.collect(), batch.messages);
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    panic!("nothing came");
}

fn quiet(receiver: &mut Receiver<Batch>, time: Duration) {
    let end = Instant::now() + time;
    while Instant::now() < end {
        assert!(receiver.try_recv().is_err(), "something came");
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn a_folder_that_is_not_there_is_said() {
    let error = Box::new(Folder::new("/nowhere/at/all")).start().unwrap_err().to_string();
    assert!(error.starts_with("cannot read folder /nowhere/at/all: "), "{error}");
}

#[test]
fn changes_arrive_by_news_and_by_polling() {
    for poll_only in [false, true] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path();
        fs::write(path.join("a.yaml"), namespace("one", "v1")).unwrap();
        fs::write(path.join("b.txt"), namespace("never", "v1")).unwrap();
        fs::write(path.join(".c.yaml"), namespace("hidden", "v1")).unwrap();
        let mut receiver = start(path, poll_only);
        assert_eq!(next(&mut receiver), (vec!["+ Namespace one".to_owned()], vec![]));
        // As editors do it: written aside, then renamed over.
        fs::write(path.join("d.tmp"), namespace("two", "v1")).unwrap();
        fs::rename(path.join("d.tmp"), path.join("d.yml")).unwrap();
        assert_eq!(next(&mut receiver), (vec!["+ Namespace two".to_owned()], vec![]));
        fs::write(path.join("a.yaml"), namespace("one", "v2")).unwrap();
        assert_eq!(next(&mut receiver), (vec!["+ Namespace one".to_owned()], vec![]));
        // The same content, or other comments, is no change.
        fs::write(path.join("a.yaml"), format!("# hello\n{}", namespace("one", "v2"))).unwrap();
        quiet(&mut receiver, Duration::from_millis(200));
        fs::remove_file(path.join("a.yaml")).unwrap();
        assert_eq!(next(&mut receiver), (vec!["- Namespace one".to_owned()], vec![]));
    }
}

/// An empty folder is a complete answer too.
#[test]
fn the_first_batch_comes_even_if_empty() {
    let folder = tempfile::tempdir().unwrap();
    let mut receiver = start(folder.path(), false);
    assert_eq!(next(&mut receiver), (vec![], vec![]));
}

#[test]
fn the_last_good_version_stays() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("all.yaml");
    let strict = POLICY.replace("MODE", "STRICT");
    let both = |policy: &str, label: &str| format!("{policy}---\n{}", namespace("ns", label));
    fs::write(&file, both(&strict, "v1")).unwrap();
    let mut receiver = start(folder.path(), false);
    let (words, said) = next(&mut receiver);
    assert_eq!((words.len(), said), (2, vec![]));
    // A bad value: one message, the neighbour goes on, the object is not touched.
    fs::write(&file, both(&POLICY.replace("MODE", "STRIKT"), "v2")).unwrap();
    let (words, said) = next(&mut receiver);
    assert_eq!(words, ["+ Namespace ns"]);
    assert_eq!(said.len(), 1);
    // No YAML at all: nobody knows what it was, so nothing of this file goes.
    fs::write(&file, "a: [\n").unwrap();
    let (words, said) = next(&mut receiver);
    assert_eq!((words, said.len()), (vec![], 1));
    // Not UTF-8.
    fs::write(&file, [0xff, 0xfe, b'a']).unwrap();
    let (words, said) = next(&mut receiver);
    assert_eq!((words, said.len()), (vec![], 1));
    // Good again, and now without the policy.
    fs::write(&file, namespace("ns", "v2")).unwrap();
    assert_eq!(next(&mut receiver), (vec!["- PeerAuthentication default/p".to_owned()], vec![]));
}

/// A program that truncates and then writes does not take the objects away in between.
#[test]
fn an_empty_file_is_given_time() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("a.yaml");
    fs::write(&file, namespace("one", "v1")).unwrap();
    let mut receiver = start(folder.path(), false);
    next(&mut receiver);
    fs::write(&file, "").unwrap();
    std::thread::sleep(Duration::from_millis(60));
    fs::write(&file, namespace("one", "v2")).unwrap();
    assert_eq!(next(&mut receiver), (vec!["+ Namespace one".to_owned()], vec![]));
    fs::write(&file, "").unwrap();
    assert_eq!(next(&mut receiver), (vec!["- Namespace one".to_owned()], vec![]));
}

#[test]
fn the_first_of_two_files_counts() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("a.yaml"), namespace("one", "v1")).unwrap();
    fs::write(folder.path().join("b.yaml"), namespace("one", "v2")).unwrap();
    let mut receiver = start(folder.path(), false);
    let (words, said) = next(&mut receiver);
    assert_eq!(words, ["+ Namespace one"]);
    let said: Vec<_> = said.iter().map(ToString::to_string).collect();
    let wanted =
        "b.yaml:1: Namespace one: is also written in a.yaml, which counts; remove one of the two";
    assert_eq!(said, [wanted]);
}

#[test]
fn a_file_that_is_too_long_is_said_once() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("a.yaml");
    fs::write(&file, namespace("one", "v1")).unwrap();
    let mut receiver = start(folder.path(), true);
    next(&mut receiver);
    let long = fs::File::create(&file).unwrap();
    long.set_len(FILE_BYTES_MAX + 1).unwrap();
    let (words, said) = next(&mut receiver);
    assert_eq!(words, Vec::<String>::new());
    assert!(said[0].reason.contains("more than the 8388608"), "{}", said[0]);
    quiet(&mut receiver, Duration::from_millis(200));
}
