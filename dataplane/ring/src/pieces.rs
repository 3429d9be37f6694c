//! A queue that is mostly empty, or holds one piece.

use std::collections::VecDeque;

use crate::buf::Buf;

/// Pieces in order. The first stands in the queue itself: a connection that never has two at a
/// time allocates nothing, and an idle one holds nothing.
#[derive(Debug, Default)]
pub struct Pieces {
    first: Option<Buf>,
    /// What comes behind the first; there is none without it.
    rest: Rest,
}

/// Made when it is needed, and kept.
type Rest = Option<Box<VecDeque<Buf>>>;

/// The memory of a queue that is no more, for another.
#[derive(Debug, Default)]
pub(crate) struct Spare(Rest);

impl Pieces {
    /// No pieces yet, with another queue's memory.
    pub(crate) fn with(spare: Spare) -> Self {
        Self { first: None, rest: spare.0 }
    }

    /// Drops all pieces and keeps the memory.
    pub(crate) fn into_spare(mut self) -> Spare {
        self.clear();
        Spare(self.rest)
    }

    /// Whether there is no piece.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.first.is_none()
    }

    /// How many pieces there are.
    #[must_use]
    pub fn len(&self) -> usize {
        usize::from(self.first.is_some()) + self.rest.as_ref().map_or(0, |rest| rest.len())
    }

    /// Adds a piece at the end.
    pub fn push_back(&mut self, piece: Buf) {
        match self.first {
            None => self.first = Some(piece),
            Some(_) => self.rest.get_or_insert_default().push_back(piece),
        }
    }

    /// Adds a piece at the front.
    pub fn push_front(&mut self, piece: Buf) {
        if let Some(second) = self.first.replace(piece) {
            self.rest.get_or_insert_default().push_front(second);
        }
    }

    /// Takes the first piece out.
    pub fn pop_front(&mut self) -> Option<Buf> {
        let next = self.rest.as_mut().and_then(|rest| rest.pop_front());
        std::mem::replace(&mut self.first, next)
    }

    /// The first piece.
    #[must_use]
    pub fn front(&self) -> Option<&Buf> {
        self.first.as_ref()
    }

    /// The first piece.
    pub fn front_mut(&mut self) -> Option<&mut Buf> {
        self.first.as_mut()
    }

    /// The last piece.
    pub fn back_mut(&mut self) -> Option<&mut Buf> {
        let last = self.rest.as_mut().and_then(|rest| rest.back_mut());
        last.or(self.first.as_mut())
    }

    /// Drops all pieces.
    pub fn clear(&mut self) {
        self.first = None;
        if let Some(rest) = &mut self.rest {
            rest.clear();
        }
    }

    /// The pieces in order.
    pub fn iter(&self) -> impl Iterator<Item = &Buf> {
        let rest = self.rest.iter().flat_map(|rest| rest.iter());
        self.first.iter().chain(rest)
    }
}

impl Extend<Buf> for Pieces {
    fn extend<T: IntoIterator<Item = Buf>>(&mut self, pieces: T) {
        pieces.into_iter().for_each(|piece| self.push_back(piece));
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use super::Pieces;
    use crate::buf::Buf;

    const NAMES: [&[u8]; 4] = [b"a", b"b", b"c", b"d"];

    fn named(pieces: &Pieces) -> Vec<u8> {
        pieces.iter().flat_map(|piece| piece.to_vec()).collect()
    }

    /// Every sequence of six operations leaves what a plain queue would hold.
    #[test]
    fn it_is_a_queue() {
        for mut plan in 0..3_usize.pow(6) {
            let (mut pieces, mut twin) = (Pieces::default(), VecDeque::new());
            for turn in 0..6 {
                let name = NAMES[turn % NAMES.len()];
                match plan % 3 {
                    0 => {
                        pieces.push_back(Buf::from_static(name));
                        twin.push_back(name);
                    }
                    1 => {
                        pieces.push_front(Buf::from_static(name));
                        twin.push_front(name);
                    }
                    _ => {
                        let (one, other) = (pieces.pop_front(), twin.pop_front());
                        assert_eq!(one.as_deref(), other);
                    }
                }
                plan /= 3;
                assert_eq!(
                    named(&pieces),
                    twin.iter().copied().flatten().copied().collect::<Vec<_>>()
                );
                assert_eq!((pieces.len(), pieces.is_empty()), (twin.len(), twin.is_empty()));
                assert_eq!(pieces.front().map(|p| p.to_vec()), twin.front().map(|p| p.to_vec()));
                assert_eq!(pieces.back_mut().map(|p| p.to_vec()), twin.back().map(|p| p.to_vec()));
            }
            pieces.clear();
            assert!(pieces.is_empty() && pieces.iter().next().is_none());
        }
    }

    #[test]
    fn it_is_small() {
        assert!(size_of::<Pieces>() <= 32, "{}", size_of::<Pieces>());
    }
}
