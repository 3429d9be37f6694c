use super::{
    Algorithm, Count, HEAD, Library, Material, OpenKey, RECORDS_MAX, Refused, SealKey, TAG,
};

pub(crate) const LIBRARIES: [Library; 2] = [Library::AwsLc, Library::Ring];
pub(crate) const ALGORITHMS: [(Algorithm, usize); 3] =
    [(Algorithm::Aes128Gcm, 16), (Algorithm::Aes256Gcm, 32), (Algorithm::Chacha20Poly1305, 32)];
const ASIDE: [u8; HEAD] = [23, 3, 3, 1, 2];

fn material(algorithm: Algorithm, key: &[u8], count: u64) -> Material<'_> {
    Material { algorithm, key, iv: [9; 12], count }
}

#[test]
fn what_one_library_seals_the_other_opens() {
    for (algorithm, length) in ALGORITHMS {
        for (sealing, opening) in LIBRARIES.map(|s| LIBRARIES.map(|o| (s, o))).concat() {
            let key = vec![5; length];
            let from = material(algorithm, &key, 77);
            let mut seal = SealKey::new(sealing, &from).unwrap();
            let mut open = OpenKey::new(opening, &from).unwrap();
            for size in [0, 1, 15, 16, 17, 255, 1024, 16 * 1024] {
                let plain: Vec<u8> = (0..size).map(|at| at as u8).collect();
                let mut body = vec![0; size + 1 + TAG];
                seal.seal(ASIDE, &plain, 23, &mut body).unwrap();
                let opened = open.open(ASIDE, &mut body).unwrap();
                assert_eq!(opened, [&plain[..], &[23]].concat(), "{algorithm:?} {size}");
                body[..size].copy_from_slice(&plain);
                seal.seal_in_place(ASIDE, 23, &mut body).unwrap();
                let opened = open.open(ASIDE, &mut body).unwrap();
                assert_eq!(opened, [&plain[..], &[23]].concat(), "{algorithm:?} {size}");
            }
        }
    }
}

#[test]
fn a_key_of_the_wrong_length_is_refused() {
    for (algorithm, length) in ALGORITHMS {
        for library in LIBRARIES {
            let key = vec![5; length - 1];
            assert!(SealKey::new(library, &material(algorithm, &key, 0)).is_err());
        }
    }
}

#[test]
fn no_nonce_is_given_out_twice() {
    let iv = [0xff, 1, 2, 3, 0xf0, 0, 0, 0, 0, 0, 0, 0xff];
    let mut count = Count::new(iv, 0);
    let mut all: Vec<_> = (0..1000).map(|_| count.take(1000).unwrap().0).collect();
    assert_eq!(count.take(1000).err(), Some(Refused), "and none behind the limit");
    assert_eq!(count.take(1000).err(), Some(Refused));
    assert_eq!(all[0], iv);
    assert_eq!(all[1], [0xff, 1, 2, 3, 0xf0, 0, 0, 0, 0, 0, 0, 0xfe]);
    all.sort_unstable();
    all.dedup();
    assert_eq!(all.len(), 1000);
}

#[test]
fn a_key_seals_so_many_records_and_no_more() {
    for library in LIBRARIES {
        let from = material(Algorithm::Aes128Gcm, &[5; 16], RECORDS_MAX - 2);
        let mut seal = SealKey::new(library, &from).unwrap();
        let mut bodies = [[0; 1 + 1 + TAG]; 3];
        let [first, second, third] = &mut bodies;
        assert_eq!(seal.left(), 2);
        assert_eq!(seal.seal(ASIDE, b"x", 23, first), Ok(()));
        // What fails has used its nonce up all the same.
        assert_eq!(seal.seal(ASIDE, b"too long for it", 23, second), Err(Refused));
        assert_eq!((seal.left(), seal.seal(ASIDE, b"x", 23, third)), (0, Err(Refused)));
        assert_eq!(*third, [0; 18], "nothing was written");
    }
}

#[test]
fn opening_ends_with_the_numbers() {
    let from = material(Algorithm::Aes128Gcm, &[5; 16], u64::MAX);
    let mut open = OpenKey::new(Library::AwsLc, &from).unwrap();
    assert_eq!(open.open(ASIDE, &mut [0; 32]).err(), Some(Refused));
}
