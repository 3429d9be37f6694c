use super::{Key, Slab};

#[test]
fn a_stale_key_names_nobody() {
    let mut slab = Slab::new(4);
    let first = slab.insert('a').unwrap();
    assert_eq!(slab.remove(first), Some('a'));
    let second = slab.insert('b').unwrap();
    assert_eq!(first.slot, second.slot, "the freed slot is used again");
    assert_eq!(slab.get(first), None);
    assert_eq!(slab.remove(first), None);
    assert_eq!(slab.get(second), Some(&'b'));
}

#[test]
fn the_limit_holds_and_freed_places_count_again() {
    let mut slab = Slab::new(2);
    let one = slab.insert(1).unwrap();
    slab.insert(2).unwrap();
    assert_eq!(slab.insert(3), None);
    assert_eq!(slab.len(), 2);
    slab.remove(one);
    assert!(slab.insert(4).is_some());
    let sum: i32 = slab.iter().map(|(_, value)| value).sum();
    assert_eq!(sum, 6);
}

#[test]
fn a_key_survives_packing() {
    for key in [
        Key { slot: 0, generation: 0 },
        Key { slot: u32::MAX, generation: 1 },
        Key { slot: 7, generation: u32::MAX },
    ] {
        assert_eq!(Key::unpack(key.pack()), key);
    }
}
