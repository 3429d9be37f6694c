use proptest::prelude::*;

use super::Pieces;

proptest! {
    #[test]
    fn pieces_read_as_one(
        pieces in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..9), 0..7),
        steps in proptest::collection::vec((any::<bool>(), 0usize..20), 0..30),
    ) {
        let whole = pieces.concat();
        let slices: Vec<&[u8]> = pieces.iter().map(Vec::as_slice).collect();
        let mut reader = Pieces::new(&slices);
        let mut read = Vec::new();
        for (at_once, length) in steps.into_iter().chain([(false, 99)]) {
            prop_assert_eq!(reader.left, whole.len() - read.len());
            let length = length.min(reader.left);
            if at_once {
                read.extend_from_slice(reader.take(length).unwrap_or_default());
            } else {
                let mut to = vec![0; length];
                reader.fill(&mut to);
                read.extend_from_slice(&to);
            }
        }
        prop_assert_eq!(read, whole);
        prop_assert_eq!(reader.left, 0);
    }
}
