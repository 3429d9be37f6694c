//! Configuration: whatever a file or a control plane says is taken whole or refused with a reason,
//! and changes nothing of what was good before.

use std::sync::Arc;

use api::envoy::Any;
use config::snapshot::Bound;
use config::{Bootstrap, Compiler, Update};

pub(crate) fn bootstrap(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    // What names a file or the environment would make the outcome the machine's.
    if ["filename", "environment_variable", "/dev/"].iter().any(|word| text.contains(word)) {
        return;
    }
    if let Err(refused) = config::validate::text(text) {
        assert!(!refused.is_empty() && refused.iter().all(|one| !one.reason.is_empty()));
    }
}

const TYPES: [&str; 5] = [
    api::any::CLUSTER,
    api::any::ENDPOINTS,
    api::any::LISTENER,
    api::any::ROUTES,
    api::any::SECRET,
];

/// What is in force before anything comes.
const BEFORE: &str = r#"static_resources: { clusters: [ { name: a, type: STATIC,
    load_assignment: { cluster_name: a } } ] }"#;

/// Resources, each behind a byte for its type and two for its length.
pub(crate) fn xds(mut input: &[u8]) {
    let mut compiler = Compiler::new();
    let mut bind = |_, _: &_| Ok(Arc::new(Bound::default()));
    let mut file = Bootstrap::parse(BEFORE).expect("it is good");
    assert!(compiler.apply(file.take_resources(), &mut bind).is_empty());
    while let Some(([kind, high, low], rest)) = input.split_first_chunk() {
        let len = usize::from(u16::from_be_bytes([*high, *low])).min(rest.len());
        let (value, rest) = rest.split_at(len);
        input = rest;
        let has = |word: &str| value.windows(word.len()).any(|it| it == word.as_bytes());
        if has("filename") || has("environment") {
            return;
        }
        let type_url = TYPES[usize::from(*kind) % TYPES.len()];
        let any = Any { type_url: type_url.to_owned(), value: value.to_vec() };
        let (update, refused) = Update::state_of_the_world(type_url, &[any]);
        if refused.is_empty() {
            let refused = compiler.apply(update, &mut bind);
            assert!(refused.iter().all(|one| !one.reason.is_empty()), "{refused:?}");
        }
        let snapshot = compiler.build();
        let is_there = snapshot.clusters.iter().flatten().any(|cluster| &*cluster.name == "a");
        assert!(is_there, "what stands in the file is not changed from outside");
    }
}
