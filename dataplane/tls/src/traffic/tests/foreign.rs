//! The same records against rustls' own record layer, in either role.

use std::io::{Read, Write};
use std::ops::{Deref, DerefMut};
use std::sync::Arc;

use proptest::prelude::*;
use rustls::crypto::CryptoProvider;
use rustls::{CipherSuite, ClientConnection, ConnectionCommon, ServerConnection, SideData};

use super::{of_client, of_server};
use crate::aead::tests::LIBRARIES;
use crate::tests::fixtures::{Ca, End, Sides};
use crate::tests::foreign::{client, server};
use crate::{Session, provider};

const SUITES: [CipherSuite; 3] = [
    CipherSuite::TLS13_AES_128_GCM_SHA256,
    CipherSuite::TLS13_AES_256_GCM_SHA384,
    CipherSuite::TLS13_CHACHA20_POLY1305_SHA256,
];

/// Something that happens to a connection.
#[derive(Clone, Debug)]
enum Step {
    /// We send so many bytes, through an output buffer of such a size.
    Ours(usize, usize),
    /// The foreigner does.
    Theirs(usize),
    /// The foreigner asks for new keys.
    Keys,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        (0usize..40_000, 65usize..20_000).prop_map(|(size, room)| Step::Ours(size, room)),
        (0usize..40_000).prop_map(Step::Theirs),
        Just(Step::Keys),
    ];
    proptest::collection::vec(step, 1..12)
}

fn only(suite: CipherSuite) -> Arc<CryptoProvider> {
    let mut provider = CryptoProvider::clone(&provider());
    provider.cipher_suites.retain(|known| known.suite() == suite);
    Arc::new(provider)
}

/// Bytes to and fro until neither has more to say.
fn exchange<S: Session, C, D>(ours: &mut End<S>, theirs: &mut C, piece: usize)
where
    C: DerefMut + Deref<Target = ConnectionCommon<D>>,
    D: SideData,
{
    loop {
        let up = ours.output();
        let mut left = up.as_slice();
        while !left.is_empty() {
            theirs.read_tls(&mut left).unwrap();
            theirs.process_new_packets().unwrap();
        }
        let mut down = Vec::new();
        while theirs.wants_write() {
            theirs.write_tls(&mut down).unwrap();
        }
        ours.feed(&down, piece);
        if up.is_empty() && down.is_empty() {
            return;
        }
    }
}

fn run<S: Session, C, D>(
    mut ours: End<S>,
    mut theirs: C,
    steps: &[Step],
    piece: usize,
    prepare: impl FnOnce(&mut End<S>),
) where
    C: DerefMut + Deref<Target = ConnectionCommon<D>>,
    D: SideData,
{
    exchange(&mut ours, &mut theirs, piece);
    prepare(&mut ours);
    let (mut sent, mut given, mut read) = (Vec::new(), Vec::new(), Vec::new());
    for (number, step) in steps.iter().enumerate() {
        let bytes = |size| (0..size).map(|at: usize| (at * 7 + number) as u8).collect::<Vec<_>>();
        match *step {
            Step::Keys => theirs.refresh_traffic_keys().unwrap(),
            Step::Theirs(size) => {
                let mut rest = bytes(size);
                given.extend_from_slice(&rest);
                while !rest.is_empty() {
                    let taken = theirs.writer().write(&rest).unwrap();
                    rest.drain(..taken);
                    exchange(&mut ours, &mut theirs, piece);
                }
            }
            Step::Ours(size, room) => {
                let bytes = bytes(size);
                for part in ours.seal(&bytes, room).chunks(1000) {
                    let mut part = part;
                    theirs.read_tls(&mut part).unwrap();
                    theirs.process_new_packets().unwrap();
                    let _ = theirs.reader().read_to_end(&mut read);
                }
                sent.extend_from_slice(&bytes);
            }
        }
        exchange(&mut ours, &mut theirs, piece);
    }
    assert_eq!(ours.code(), "", "{:?}", ours.error);
    assert!(read == sent && ours.plain == given, "{} {}", read.len(), ours.plain.len());
    ours.session.close();
    exchange(&mut ours, &mut theirs, piece);
    assert_eq!(theirs.reader().read(&mut [0; 1]).unwrap(), 0, "a proper end");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn we_and_rustls_read_each_other(
        steps in steps(),
        suite in 0usize..3,
        piece in prop_oneof![1usize..60, 60usize..5000, Just(usize::MAX)],
        serves in any::<bool>(),
        library in 0usize..2,
    ) {
        // With the next keys; until then the one that was chosen.
        let library = LIBRARIES[library];
        let ca = Ca::new("root");
        let (server_context, client_context) = Sides::mutual(&ca).contexts();
        let provider = only(SUITES[suite]);
        if serves {
            let theirs: ClientConnection = client(&ca, provider);
            let ours = End::new(server_context.accept().unwrap());
            run(ours, theirs, &steps, piece, |ours| of_server(ours).library = library);
        } else {
            let theirs: ServerConnection = server(&ca, provider);
            let ours = End::new(client_context.connect(None, None).unwrap());
            run(ours, theirs, &steps, piece, |ours| of_client(ours).library = library);
        }
    }
}
