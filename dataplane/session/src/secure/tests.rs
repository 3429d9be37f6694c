//! A record that is promised and does not come.

use ring::buf::SCRATCH_BYTES;
use ring::{Limits, Pool};

use super::{missing_of, with_room};
use crate::limits::TLS_RECORD_MAX;
use crate::transport::Fault;

#[test]
fn a_promised_record_costs_no_more_than_what_came_of_it() {
    let pool = Pool::new(&Limits::default()).expect("a pool");
    let [few, record, _] = SCRATCH_BYTES;
    let mut partial = pool.take(1).expect("a buffer");
    partial.extend(&[23, 3, 3, 0x40, 0, 1]);
    assert_eq!(missing_of(&partial).ok(), Some(0x4000 - 1));
    assert_eq!(pool.in_use_bytes(), few);
    let partial = with_room(&pool, partial, few - 6).expect("it fits");
    assert_eq!((pool.in_use_bytes(), partial.len()), (few, 6));
    // The rest of it has come.
    let mut partial = with_room(&pool, partial, 0x4000 - 1).expect("room");
    assert_eq!((pool.in_use_bytes(), &partial[..6]), (record, &[23, 3, 3, 0x40, 0, 1][..]));
    partial.extend(&vec![0; 0x4000 - 1]);
    assert_eq!(missing_of(&partial).ok(), Some(0));
}

#[test]
fn a_record_longer_than_any_is_refused_by_its_header() {
    let largest = u16::try_from(TLS_RECORD_MAX - 5).expect("it fits");
    for (length, is_refused) in [(largest, false), (largest + 1, true), (u16::MAX, true)] {
        let [high, low] = length.to_be_bytes();
        let missing = missing_of(&[23, 3, 3, high, low]);
        assert_eq!(matches!(missing, Err(Fault::Tls(_))), is_refused, "{length}");
    }
}
