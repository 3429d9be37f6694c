//! The inputs that are kept hold: those that every path began with, and those that found something.

use std::fs;
use std::path::Path;

#[test]
fn seeds_hold() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("seeds");
    let mut count = 0;
    for (name, target) in fuzz::TARGETS {
        let files =
            fs::read_dir(folder.join(name)).unwrap_or_else(|error| panic!("{name}: {error}"));
        let mut paths: Vec<_> = files.map(|file| file.expect("a file").path()).collect();
        paths.sort();
        assert!(!paths.is_empty(), "{name} has no seeds");
        for path in paths {
            println!("{}", path.display());
            let input = fs::read(&path).expect("read");
            target(&input);
            // And what is near it: cut off, and with a byte changed here and there.
            for at in (0..input.len()).step_by(input.len() / 24 + 1) {
                target(&input[..at]);
                let mut changed = input.clone();
                changed[at] ^= 1 << (at % 8);
                target(&changed);
            }
            count += 1;
        }
    }
    println!("{count} seeds hold");
}
