//! Hashing balancers: the host that a request's hash belongs to, by Envoy's ring and its table.
//!
//! The same hosts with the same weights have the same places as in Envoy, so that both send a
//! request to the same host.

use std::fmt::Write;

use config::snapshot::{HashFunction, LbPolicy};
use xxhash_rust::xxh64::xxh64;

use crate::host::Host;
use crate::twister::Twister;

/// A host and its part of 1.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Share {
    pub(crate) slot: u32,
    pub(crate) part: f64,
}

/// Where the hosts of one priority have their places.
#[derive(Debug)]
pub(crate) struct Table {
    places: Places,
    shares: Vec<Share>,
    /// For the walk over all hosts that a limit on their load asks for; used again.
    order: Vec<u32>,
}

#[derive(Debug)]
enum Places {
    /// Hashes in their order, and whose each is.
    Ring(Vec<(u64, u32)>),
    /// Whose each place is.
    Maglev(Vec<u32>),
}

/// A limit on what one host may take of all requests under way.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bound {
    /// `hash_balance_factor`
    pub(crate) percent: u32,
    /// Requests under way to all hosts.
    pub(crate) requests: u32,
}

impl Table {
    /// Gives the hosts their places. `None`: the policy has none.
    pub(crate) fn build<K>(
        policy: LbPolicy,
        shares: Vec<Share>,
        hosts: &[Host<K>],
    ) -> Option<Self> {
        let places = match policy {
            LbPolicy::RingHash { min, max, function } => {
                Places::Ring(ring(&shares, hosts, (min, max), function))
            }
            LbPolicy::Maglev { table_size } => Places::Maglev(maglev(&shares, hosts, table_size)),
            _ => return None,
        };
        let order = Vec::with_capacity(shares.len());
        Some(Self { places, shares, order })
    }

    /// The host of that hash. `None`: there are no hosts.
    pub(crate) fn pick<K>(
        &mut self,
        hash: u64,
        bound: Option<Bound>,
        hosts: &[Host<K>],
    ) -> Option<u32> {
        let slot = match &self.places {
            Places::Ring(ring) => {
                let at = ring.partition_point(|(place, _)| *place < hash);
                ring.get(at).or_else(|| ring.first())?.1
            }
            Places::Maglev(table) => {
                let at = hash.checked_rem(table.len() as u64)?;
                *table.get(usize::try_from(at).ok()?)?
            }
        };
        match bound {
            None => Some(slot),
            Some(bound) => Some(self.bounded(slot, hash, bound, hosts)),
        }
    }

    /// The host itself, or if it has too much to do another: the first of a random order, which the
    /// hash alone decides, that has not, else the least loaded.
    fn bounded<K>(&mut self, first: u32, hash: u64, bound: Bound, hosts: &[Host<K>]) -> u32 {
        let load = |share: &Share| {
            let slots = u64::from(bound.requests).saturating_add(1);
            let slots = slots.saturating_mul(bound.percent.into()).saturating_add(99) / 100;
            let slots = (slots as f64 * share.part).ceil().max(1.0);
            let under_way = hosts.get(share.slot as usize).map_or(0, |host| host.requests);
            f64::from(under_way) / slots
        };
        let Some(own) = self.shares.iter().find(|share| share.slot == first) else { return first };
        let mut best = (first, load(own));
        if best.1 <= 1.0 {
            return first;
        }
        let count = u32::try_from(self.shares.len()).unwrap_or(u32::MAX);
        self.order.clear();
        self.order.extend(0..count);
        let mut random = Twister::new(hash as u32);
        for at in 0..count {
            let swapped = at + random.below(count - at);
            self.order.swap(at as usize, swapped as usize);
            let share = self.order.get(at as usize).and_then(|at| self.shares.get(*at as usize));
            let Some(share) = share.filter(|share| share.slot != first) else { continue };
            let load = load(share);
            if load <= 1.0 {
                return share.slot;
            }
            if load < best.1 {
                best = (share.slot, load);
            }
        }
        best.0
    }
}

/// What a host is hashed by.
fn key<K>(slot: u32, hosts: &[Host<K>], out: &mut String) {
    out.clear();
    // Writing to a string cannot fail.
    let _ = match hosts.get(slot as usize) {
        Some(Host { hash_key: Some(key), .. }) => out.write_str(key),
        Some(host) => write!(out, "{}", host.address),
        None => Ok(()),
    };
}

/// Each host stands on the ring as often as its weight says: the lightest a whole number of times,
/// unless the ring would be too large then.
fn ring<K>(
    shares: &[Share],
    hosts: &[Host<K>],
    (min, max): (u64, u64),
    function: HashFunction,
) -> Vec<(u64, u32)> {
    let lightest = shares.iter().fold(1.0_f64, |least, share| least.min(share.part));
    let scale = ((lightest * min as f64).ceil() / lightest).min(max as f64);
    let mut ring = Vec::with_capacity(scale.ceil() as usize + 1);
    let (mut standing, mut wanted) = (0.0, 0.0);
    let mut text = String::new();
    for share in shares {
        key(share.slot, hosts, &mut text);
        text.push('_');
        let length = text.len();
        wanted += scale * share.part;
        let mut number = 0_u64;
        while standing < wanted {
            text.truncate(length);
            let _ = write!(text, "{number}");
            let hash = match function {
                HashFunction::Xx => xxh64(text.as_bytes(), 0),
                HashFunction::Murmur2 => murmur2(text.as_bytes()),
            };
            ring.push((hash, share.slot));
            number += 1;
            standing += 1.0;
        }
    }
    ring.sort_by_key(|(hash, _)| *hash);
    ring
}

/// One host while Maglev's table is filled.
struct Filling {
    slot: u32,
    offset: u64,
    skip: u64,
    part: f64,
    target: f64,
    next: u64,
}

/// In turn, in the order of their keys, hosts take the next free place of a sequence of their own;
/// lighter hosts sit out turns.
fn maglev<K>(shares: &[Share], hosts: &[Host<K>], size: u32) -> Vec<u32> {
    const FREE: u32 = u32::MAX;
    if shares.is_empty() || size < 2 {
        return shares.first().map(|share| share.slot).into_iter().collect();
    }
    let places = u64::from(size);
    let mut sorted: Vec<_> = shares
        .iter()
        .map(|share| {
            let mut text = String::new();
            key(share.slot, hosts, &mut text);
            (text, *share)
        })
        .collect();
    sorted.sort_by(|(left, _), (right, _)| left.cmp(right));
    let mut filling: Vec<_> = sorted
        .iter()
        .map(|(key, share)| Filling {
            slot: share.slot,
            offset: xxh64(key.as_bytes(), 0) % places,
            skip: xxh64(key.as_bytes(), 1) % (places - 1) + 1,
            part: share.part,
            target: 0.0,
            next: 0,
        })
        .collect();
    let heaviest = shares.iter().fold(0.0_f64, |most, share| most.max(share.part));
    let mut table = vec![FREE; size as usize];
    let (mut left, mut round) = (table.len(), 0.0);
    while left > 0 {
        round += 1.0;
        for entry in &mut filling {
            if left == 0 {
                break;
            }
            if round * entry.part < entry.target {
                continue;
            }
            entry.target += heaviest;
            // The size is a prime: the sequence comes by every place.
            loop {
                let at = (entry.offset + entry.skip * entry.next) % places;
                entry.next += 1;
                match table.get_mut(at as usize) {
                    Some(place) if *place == FREE => {
                        *place = entry.slot;
                        break;
                    }
                    _ => {}
                }
            }
            left -= 1;
        }
    }
    table
}

/// MurmurHash2 for 64 bits with the seed that libstdc++ hashes text with: Envoy has taken it over.
fn murmur2(bytes: &[u8]) -> u64 {
    const BY: u64 = 0xc6a4_a793_5bd1_e995;
    const SEED: u64 = 0xc70f_6907;
    let mix = |word: u64| word ^ (word >> 47);
    let mut hash = SEED ^ (bytes.len() as u64).wrapping_mul(BY);
    let (words, rest) = bytes.as_chunks::<8>();
    for word in words {
        let word = u64::from_le_bytes(*word);
        hash ^= mix(word.wrapping_mul(BY)).wrapping_mul(BY);
        hash = hash.wrapping_mul(BY);
    }
    if !rest.is_empty() {
        hash ^= rest.iter().rev().fold(0, |word, byte| (word << 8) | u64::from(*byte));
        hash = hash.wrapping_mul(BY);
    }
    mix(mix(hash).wrapping_mul(BY))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn murmur2_is_what_libstdc_has() {
        // `std::hash<std::string>` of GCC 13 on x86-64.
        let cases: [(&str, u64); 6] = [
            ("", 6142509188972423790),
            ("a", 4993892634952068459),
            ("1234567", 7888703982793837558),
            ("12345678", 10113836418918046885),
            ("123456789", 12315982496267331008),
            ("10.0.0.1:80_0", 13659246566588789388),
        ];
        for (text, hash) in cases {
            assert_eq!(murmur2(text.as_bytes()), hash, "{text}");
        }
    }
}
