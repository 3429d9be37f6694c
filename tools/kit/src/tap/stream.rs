//! Segments put together into the two byte streams of each connection.

use std::{
    collections::{BTreeMap, HashMap},
    net::SocketAddr,
};

use super::frame::Segment;

/// Connections that are remembered; later ones are counted and not kept.
const CONNECTIONS_MAX: usize = 4096;
/// Bytes that are remembered of each direction; enough for handshakes and many requests.
const BYTES_MAX: usize = 256 << 10;

/// Who sends to whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Direction {
    /// The sender.
    pub from: SocketAddr,
    /// The receiver.
    pub to: SocketAddr,
}

/// All directions seen, with their bytes in order.
#[derive(Debug, Default)]
pub struct Streams {
    directions: HashMap<Direction, Pieces>,
    dropped: usize,
}

/// Bytes by their distance from the first one. The same frame is seen on more than one link, and
/// segments come twice when sent again; a map by position takes both in its stride.
#[derive(Debug, Default)]
struct Pieces {
    first: Option<u32>,
    by_offset: BTreeMap<u32, Vec<u8>>,
    held: usize,
}

impl Streams {
    /// Takes one segment in.
    pub fn add(&mut self, segment: &Segment<'_>) {
        let direction = Direction { from: segment.from, to: segment.to };
        if self.directions.len() >= CONNECTIONS_MAX && !self.directions.contains_key(&direction) {
            self.dropped += 1;
            return;
        }
        self.directions.entry(direction).or_default().add(segment);
    }

    /// Every direction with its bytes, from the first byte to the first gap.
    pub fn iter(&self) -> impl Iterator<Item = (Direction, Vec<u8>)> {
        self.directions.iter().map(|(direction, pieces)| (*direction, pieces.joined()))
    }

    /// Segments of connections that there was no room for.
    pub fn dropped(&self) -> usize {
        self.dropped
    }
}

impl Pieces {
    fn add(&mut self, segment: &Segment<'_>) {
        if segment.syn {
            self.first = Some(segment.sequence.wrapping_add(1));
            return;
        }
        if segment.payload.is_empty() || self.held + segment.payload.len() > BYTES_MAX {
            return;
        }
        let first = *self.first.get_or_insert(segment.sequence);
        let offset = segment.sequence.wrapping_sub(first);
        // A number before the first byte belongs to an older connection of the same ports.
        if offset > u32::MAX / 2 {
            return;
        }
        let known = self.by_offset.get(&offset).map_or(0, Vec::len);
        if segment.payload.len() > known {
            self.held += segment.payload.len() - known;
            self.by_offset.insert(offset, segment.payload.to_vec());
        }
    }

    fn joined(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.held);
        for (offset, piece) in &self.by_offset {
            let Some(overlap) = bytes.len().checked_sub(*offset as usize) else { break };
            bytes.extend(piece.get(overlap..).unwrap_or_default());
        }
        bytes
    }
}
