//! Feeds the target that `RINGWAY_FUZZ_TARGET` names with whatever libFuzzer comes up with.
#![no_main]

use std::sync::LazyLock;

static TARGET: LazyLock<fn(&[u8])> = LazyLock::new(|| {
    let name = std::env::var("RINGWAY_FUZZ_TARGET").unwrap_or_default();
    let found = fuzz::TARGETS.iter().find(|(known, _)| *known == name);
    let names: Vec<_> = fuzz::TARGETS.iter().map(|(name, _)| *name).collect();
    found.unwrap_or_else(|| panic!("RINGWAY_FUZZ_TARGET is none of {names:?}")).1
});

libfuzzer_sys::fuzz_target!(|input: &[u8]| TARGET(input));
