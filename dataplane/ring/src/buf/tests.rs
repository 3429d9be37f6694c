use std::cell::Cell;
use std::fmt::Write as _;

use super::{Buf, BufMut, Pool};
use crate::driver::Size;
use crate::start::Limits;

const _: () = assert!(size_of::<Buf>() == 24);
const _: () = assert!(size_of::<Option<Buf>>() == 24);

fn pool(scratch_bytes: usize) -> Pool {
    Pool::new(&Limits { scratch_bytes, small_buffers: 8, large_buffers: 2, ..Limits::default() })
        .unwrap()
}

fn filled(pool: &Pool, bytes: &[u8]) -> BufMut {
    let mut buffer = pool.take(bytes.len()).unwrap();
    assert_eq!(buffer.extend(bytes), bytes.len());
    buffer
}

#[test]
fn classes_are_chosen_by_size_and_aligned() {
    let pool = pool(1 << 20);
    for (asked, got) in [(0, 4096), (4096, 4096), (4097, 20480), (20481, 65536), (65536, 65536)] {
        let buffer = pool.take(asked).unwrap();
        assert_eq!(buffer.capacity(), got);
        assert_eq!(buffer.as_ptr() as usize % 64, 0, "{asked} bytes: not on a cache line");
        assert_eq!(pool.in_use_bytes(), got);
    }
    assert!(pool.take(65537).is_none());
    assert_eq!(pool.in_use_bytes(), 0);
}

#[test]
fn the_limit_holds_across_classes() {
    let pool = pool(100 * 1024);
    let bulk = pool.take(65536).unwrap();
    let record = pool.take(20000).unwrap();
    assert!(pool.take(20000).is_none(), "64 + 20 + 20 KiB are more than 100");
    let few = pool.take(1).unwrap();
    assert_eq!(pool.in_use_bytes(), 65536 + 20480 + 4096);
    drop((bulk, record, few));
    assert_eq!(pool.in_use_bytes(), 0);
    assert!(pool.take(65536).is_some());
}

#[test]
fn filling_counts_and_stops_at_the_end() {
    let pool = pool(1 << 20);
    let mut buffer = pool.take(1).unwrap();
    assert_eq!(buffer.extend(&[7; 4000]), 4000);
    buffer.spare_mut()[..90].fill(8);
    buffer.advance(90);
    assert_eq!((buffer.len(), buffer.remaining()), (4090, 6));
    assert_eq!(buffer.extend(&[9; 10]), 6);
    assert!(write!(buffer, "x").is_err(), "full");
    assert_eq!(buffer[3999..4001], [7, 8]);
    buffer.truncate(3);
    write!(buffer, "{}-{}", 1, 2).unwrap();
    assert_eq!(buffer.freeze()[..], *b"\x07\x07\x071-2");
}

#[test]
#[should_panic(expected = "advance by 4097")]
fn advancing_beyond_the_end_is_refused() {
    pool(1 << 20).take(1).unwrap().advance(4097);
}

#[test]
fn views_share_split_and_stay_within_bounds() {
    let pool = pool(1 << 20);
    let mut all = filled(&pool, b"hello, world").freeze();
    let hello = all.split_to(5);
    assert_eq!((&hello[..], &all[..]), (&b"hello"[..], &b", world"[..]));
    all.advance(2);
    assert_eq!(all.slice(1..3)[..], *b"or");
    assert_eq!(all.slice(4..900)[..], *b"d");
    assert!(all.slice(7..9).is_empty());
    assert_eq!(all.split_to(100).len(), 5);
    assert!(all.is_empty());
    all.advance(1);
    assert!(all.is_empty());
    assert_eq!(pool.in_use_bytes(), 4096, "an empty view holds its buffer as well");
    drop((hello, all));
    assert_eq!(pool.in_use_bytes(), 0);
}

#[test]
fn only_the_single_view_may_change_bytes() {
    let pool = pool(1 << 20);
    let mut one = filled(&pool, b"abc").freeze();
    let two = one.clone();
    assert!(one.get_mut().is_none());
    drop(two);
    one.get_mut().unwrap()[0] = b'x';
    assert_eq!(one[..], *b"xbc");
    assert!(Buf::from_static(b"abc").get_mut().is_none());
    assert!(Buf::empty().get_mut().unwrap().is_empty());
}

#[test]
fn static_bytes_take_nothing_from_the_pool() {
    let mut text = Buf::from_static(b"HTTP/1.1 ");
    let head = text.split_to(4);
    assert_eq!((&head[..], &text[..]), (&b"HTTP"[..], &b"/1.1 "[..]));
}

#[test]
fn views_outlive_their_pool() {
    let pool = pool(1 << 20);
    let scratch = filled(&pool, b"scratch").freeze();
    let group = pool.group(Size::Small);
    let index = group.take_index().unwrap();
    let received = group.received(index, 3).unwrap();
    drop(pool);
    let copy = scratch.clone();
    drop(scratch);
    assert_eq!(copy[..], *b"scratch");
    assert_eq!(received.len(), 3);
}

/// Goal: whatever is done with views, their bytes stay what they were and every buffer comes back.
/// Method: random operations on views, each of which knows what it must show.
#[test]
fn random_views_keep_their_bytes_and_return_their_buffers() {
    let seed = Cell::new(0x9e37_79b9_7f4a_7c15_u64);
    let random = |below: usize| {
        seed.set(seed.get().wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407));
        (seed.get() >> 33) as usize % below.max(1)
    };
    let pool = pool(256 * 1024);
    let mut views: Vec<(Buf, Vec<u8>)> = Vec::new();
    for step in 0..50_000 {
        match random(7) {
            0 | 1 => {
                let bytes: Vec<u8> = (0..random(5000)).map(|_| random(256) as u8).collect();
                if let Some(mut buffer) = pool.take(bytes.len()) {
                    buffer.extend(&bytes);
                    views.push((buffer.freeze(), bytes));
                }
            }
            2 if !views.is_empty() => {
                let (view, model) = &mut views[0];
                let n = random(model.len() + 10);
                let front = view.split_to(n);
                let rest = model.split_off(n.min(model.len()));
                let model_front = std::mem::replace(model, rest);
                views.push((front, model_front));
            }
            3 if !views.is_empty() => {
                let at = random(views.len());
                let (view, model) = &views[at];
                let (start, end) = (random(model.len() + 5), random(model.len() + 5));
                let stop = end.min(model.len());
                let part = (view.slice(start..end), model[start.min(stop)..stop].to_vec());
                views.push(part);
            }
            4 if !views.is_empty() => {
                let at = random(views.len());
                let (view, model) = &mut views[at];
                if let Some(bytes) = view.get_mut() {
                    bytes.iter_mut().for_each(|byte| *byte ^= 0x55);
                    model.iter_mut().for_each(|byte| *byte ^= 0x55);
                }
            }
            _ if !views.is_empty() => {
                let at = random(views.len());
                let (view, model) = views.swap_remove(at);
                assert_eq!(view[..], model[..], "step {step}");
            }
            _ => {}
        }
    }
    for (view, model) in views {
        assert_eq!(view[..], model[..]);
    }
    assert_eq!(pool.in_use_bytes(), 0);
}

/// More could not be told apart: their names have 16 bits.
#[test]
fn there_are_no_more_receive_buffers_than_names() {
    let limits = Limits { small_buffers: 70_000, scratch_bytes: 0, ..Limits::default() };
    let pool = Pool::new(&limits).unwrap();
    assert_eq!(pool.group(Size::Small).count(), super::RECEIVE_BUFFERS_MAX);
}
