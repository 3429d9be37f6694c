use std::cell::Cell;
use std::fmt::Write as _;

use super::{Buf, BufMut, Pool, SCRATCH_BYTES};
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
    for (asked, got) in [(0, 4352), (4352, 4352), (4353, 20480), (20481, 65536), (65536, 65536)] {
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
    assert_eq!(pool.in_use_bytes(), 65536 + 20480 + 4352);
    drop((bulk, record, few));
    assert_eq!(pool.in_use_bytes(), 0);
    assert!(pool.take(65536).is_some());
}

#[test]
fn filling_counts_and_stops_at_the_end() {
    let pool = pool(1 << 20);
    let mut buffer = pool.take(1).unwrap();
    assert_eq!(buffer.extend(&[7; 4256]), 4256);
    buffer.spare_mut()[..90].fill(8);
    buffer.advance(90);
    assert_eq!((buffer.len(), buffer.remaining()), (4346, 6));
    assert_eq!(buffer.extend(&[9; 10]), 6);
    assert!(write!(buffer, "x").is_err(), "full");
    assert_eq!(buffer[4255..4257], [7, 8]);
    buffer.truncate(3);
    write!(buffer, "{}-{}", 1, 2).unwrap();
    assert_eq!(buffer.freeze()[..], *b"\x07\x07\x071-2");
}

#[test]
#[should_panic(expected = "advance by 4353")]
fn advancing_beyond_the_end_is_refused() {
    pool(1 << 20).take(1).unwrap().advance(4353);
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
    assert_eq!(pool.in_use_bytes(), 4352, "an empty view holds its buffer as well");
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
        if step % 97 == 0 {
            pool.trim(100_000);
        }
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

const MIB: usize = 1 << 20;

/// Goal: what a peak has touched goes back to the kernel, a bounded part at a time, and the buffers
/// are as good as new (that it leaves the process `tests/resident.rs` shows).
#[test]
fn a_peak_is_given_back_piece_by_piece() {
    let limits = Limits { small_buffers: 4096, large_buffers: 256, ..Limits::default() };
    let pool = Pool::new(&Limits { scratch_bytes: 24 * MIB, ..limits }).unwrap();
    let views = peak(&pool);
    let touched: usize = views.iter().map(Buf::held_bytes).sum();
    assert!(touched > 50 * MIB, "{touched} bytes");
    drop(views);
    for call in 0..10 {
        assert_eq!(pool.trim(4 * MIB), 0, "call {call}: not cold yet");
    }
    let mut given = 0;
    for call in 0..40 {
        let now = pool.trim(4 * MIB);
        assert!(now <= 4 * MIB, "call {call}: {now} bytes");
        given += now;
    }
    assert!(given > touched * 9 / 10 && given <= touched, "{given} of {touched} bytes");
    assert_eq!(pool.trim(4 * MIB), 0, "all is done");
    // All of them can be taken again, each once, and hold what is written.
    let views = peak(&pool);
    for (at, view) in views.iter().enumerate() {
        assert!(view.iter().all(|byte| *byte == at as u8), "buffer {at}");
    }
    assert_eq!(views.iter().map(Buf::held_bytes).sum::<usize>(), touched);
}

/// Every buffer of a pool, filled with the low byte of its place in the list.
fn peak(pool: &Pool) -> Vec<Buf> {
    let mut views = Vec::new();
    for size in [Size::Small, Size::Large] {
        let group = pool.group(size);
        while let Some(view) = group.fill::<()>(|spare| {
            spare.fill(views.len() as u8);
            Ok(spare.len())
        }) {
            views.push(view.unwrap());
        }
    }
    for share in 0..3 {
        while pool.in_use_bytes() < pool.limit_bytes() / 3 * (share + 1)
            && let Some(mut buffer) = pool.take(super::SCRATCH_BYTES[share])
        {
            buffer.spare_mut().fill(views.len() as u8);
            buffer.advance(buffer.remaining());
            views.push(buffer.freeze());
        }
    }
    views
}

/// Buffers in use, and those that are needed again and again, keep their pages.
#[test]
fn what_is_needed_is_not_given_back() {
    let pool = pool(8 * MIB);
    let held: Vec<Buf> = (0..40).map(|n| filled(&pool, &[n; 60_000]).freeze()).collect();
    let wave = || (0..60).map(|_| filled(&pool, &[7; 60_000])).collect::<Vec<_>>();
    drop(wave());
    for _ in 0..30 {
        drop(wave());
        assert_eq!(pool.trim(MIB), 0);
    }
    // The wave ends: its buffers go, but for a few, and nothing happens to those that are held.
    let given: usize = (0..30).map(|_| pool.trim(MIB)).sum();
    assert!((50 * 60_000..60 * 65_600).contains(&given), "{given} bytes");
    for (n, view) in held.iter().enumerate() {
        assert!(view.iter().all(|byte| *byte == n as u8), "buffer {n}");
    }
}

#[test]
fn a_view_tells_what_it_holds_and_the_pool_how_full_it_is() {
    let pool = pool(MIB);
    let group = pool.group(Size::Large);
    let received = group.received(group.take_index().unwrap(), 3).unwrap();
    assert_eq!((received.len(), received.held_bytes()), (3, 64 * 1024));
    assert_eq!(Buf::from_static(b"static").held_bytes(), 0);
    let large = pool.received(Size::Large);
    assert_eq!((large.used_bytes, large.limit_bytes), (64 * 1024, 2 * 64 * 1024));
    assert_eq!(pool.received(Size::Small).free_bytes(), 8 * 4096);
    let scratch = pool.take(5_000).unwrap();
    assert_eq!(pool.scratch().free_bytes(), MIB - scratch.capacity());
}

#[test]
fn bytes_are_added_only_to_a_buffer_of_ones_own() {
    let pool = pool(1 << 20);
    let mut whole = pool.take(100).unwrap();
    whole.extend(b"head");
    let mut whole = whole.freeze();
    assert!(whole.append(b" and body"));
    assert_eq!(&*whole, b"head and body");
    let other = whole.clone();
    assert!(!whole.append(b"!"), "another view would see its buffer change");
    drop(other);
    assert!(!whole.append(&[0; SCRATCH_BYTES[0]]), "there is no room");
    whole.advance(1);
    assert!(!whole.append(b"!"), "where it ends in its buffer is not known");
    assert_eq!(&*whole, b"ead and body");
    assert!(!Buf::from_static(b"static").append(b"!"));
    assert!(!Buf::empty().append(b"!"));
}
