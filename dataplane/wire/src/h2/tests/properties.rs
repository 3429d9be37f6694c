//! What holds for any bytes.

use proptest::prelude::*;

use super::*;

/// Frames that make sense more often than not.
fn soup() -> impl Strategy<Value = Vec<u8>> {
    let id = prop::sample::select(vec![0_u32, 1, 1, 1, 3, 3, 5, 7, 2]);
    let bytes = prop::collection::vec(any::<u8>(), 0..40);
    let flags = prop::sample::select(vec![0_u8, 1, 4, 5, 5, 8, 0xd, 0x20, 0x25]);
    let fields = prop::sample::subsequence(
        vec![
            (":method", "POST"),
            (":scheme", "http"),
            (":path", "/"),
            (":authority", "a"),
            ("content-length", "5"),
            ("te", "trailers"),
            ("cookie", "a"),
            ("cookie", "b"),
            (":status", "200"),
            ("x", "y"),
        ],
        0..10,
    );
    let kinds = vec![
        Kind::Data,
        Kind::Data,
        Kind::Headers,
        Kind::Priority,
        Kind::RstStream,
        Kind::Settings,
        Kind::Ping,
        Kind::GoAway,
        Kind::WindowUpdate,
        Kind::Continuation,
        Kind::Unknown,
    ];
    let one = prop_oneof![
        4 => id.clone().prop_map(post),
        4 => id.clone().prop_map(get),
        4 => (id.clone(), flags.clone(), fields).prop_map(|(id, f, all)| headers(id, f, &all)),
        4 => (id.clone(), bytes.clone()).prop_map(|(id, bytes)| data(id, 0, &bytes)),
        2 => id.clone().prop_map(|id| data(id, END_STREAM, b"hello")),
        2 => id.clone().prop_map(reset),
        2 => (id.clone(), 0_u32..9).prop_map(|(id, by)| window_update(id, by)),
        1 => (0_u16..9, any::<u32>()).prop_map(|setting| settings(&[setting])),
        1 => Just(frame(Kind::Ping, 0, 0, b"12345678")),
        1 => (prop::sample::select(kinds), flags, id, bytes)
            .prop_map(|(kind, flags, id, bytes)| frame(kind, flags, id, &bytes)),
    ];
    prop::collection::vec(one, 0..20).prop_map(|all| all.concat())
}

/// Everything that can be seen of a connection that gets the bytes in pieces.
fn watch(mut watched: Watched, bytes: &[u8], piece: usize) -> (Vec<String>, Vec<u8>) {
    for bytes in bytes.chunks(piece) {
        if let Err(refusal) = watched.feed(bytes) {
            watched.log.push(refusal.code.to_owned());
            break;
        }
    }
    (watched.log, watched.connection.output().to_vec())
}

/// A client with three open streams.
fn asking() -> Watched {
    let mut client = Watched::client();
    for method in ["GET", "POST", "HEAD"] {
        client.connection.send_request(&request(method, &[]), method != "POST", 0).expect("room");
    }
    client
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1500, ..ProptestConfig::default() })]

    #[test]
    fn any_split_of_frames_reads_the_same(bytes in soup(), piece in 1_usize..30) {
        let config = Config { extended_connect: true, ..Config::default() };
        let whole = [greeting(), bytes.clone()].concat();
        let server = || Watched::new(Role::Server, &config);
        let at_once = watch(server(), &whole, usize::MAX);
        prop_assert_eq!(&at_once, &watch(server(), &whole, piece));
        prop_assert_eq!(at_once, watch(server(), &whole, 1));
        let at_once = watch(asking(), &bytes, usize::MAX);
        prop_assert_eq!(&at_once, &watch(asking(), &bytes, piece));
        prop_assert_eq!(at_once, watch(asking(), &bytes, 1));
    }

    #[test]
    fn no_bytes_panic(
        bytes in prop::collection::vec(any::<u8>(), 0..300),
        frames in soup(),
        cut in any::<prop::sample::Index>(),
    ) {
        let _ = watch(Watched::server(), &bytes, 7);
        let _ = watch(asking(), &bytes, 7);
        // Bytes in the middle of frames.
        let mixed = [&frames[..cut.index(frames.len() + 1)], &bytes].concat();
        let _ = watch(Watched::server(), &mixed, 7);
        let _ = watch(asking(), &mixed, 7);
    }

    #[test]
    fn whatever_is_called_when_breaks_nothing(
        bytes in soup(),
        calls in prop::collection::vec((0_usize..9, 0_u32..9, 0_usize..70_000), 0..30),
    ) {
        for mut watched in [Watched::server(), asking()] {
            let is_server = watched.connection.user(1).is_none();
            let pieces = bytes.chunks(bytes.len() / (calls.len() + 1) + 1);
            for (piece, (call, id, size)) in pieces.zip(&calls) {
                if watched.feed(piece).is_err() {
                    break;
                }
                let connection = &mut watched.connection;
                match call {
                    0 if is_server => {
                        let _ = connection.send_response(*id, &answer(200), size % 2 == 0);
                    }
                    0 => {
                        let _ = connection.send_request(&request("GET", &[]), size % 2 == 0, 1);
                    }
                    1 => {
                        let _ = connection.send_data(*id, *size, size % 3 == 0);
                    }
                    2 => drop(connection.send_trailers(*id, &Head::default())),
                    3 => drop(connection.reset(*id, ErrorCode::Cancel)),
                    4 => connection.consumed(*id, *size),
                    5 => connection.drain(),
                    6 => connection.ping([0; 8]),
                    7 => drop(connection.next_ready()),
                    _ => connection.clear_output(),
                }
                prop_assert!(watched.connection.capacity(*id) < 1 << 31);
            }
        }
    }
}
