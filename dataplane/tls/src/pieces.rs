//! Plaintext in several places, read as one.

/// What is left of it.
pub(crate) struct Pieces<'a> {
    front: &'a [u8],
    behind: &'a [&'a [u8]],
    /// Bytes of all of them.
    pub(crate) left: usize,
}

impl<'a> Pieces<'a> {
    pub(crate) fn new(pieces: &'a [&'a [u8]]) -> Self {
        let left = pieces.iter().map(|piece| piece.len()).sum();
        let mut pieces = Self { front: &[], behind: pieces, left };
        pieces.turn_over();
        pieces
    }

    /// The next `length` bytes if they stand in one place.
    pub(crate) fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, front) = self.front.split_at_checked(length)?;
        (self.front, self.left) = (front, self.left - length);
        self.turn_over();
        Some(taken)
    }

    /// Copies the next bytes, as many as `to` has room for.
    pub(crate) fn fill(&mut self, to: &mut [u8]) {
        let mut rest = to;
        while !rest.is_empty() && self.left > 0 {
            let length = rest.len().min(self.front.len());
            let (now, later) = std::mem::take(&mut rest).split_at_mut(length);
            now.copy_from_slice(self.take(length).unwrap_or_default());
            rest = later;
        }
    }

    /// Comes to the next piece that has something.
    fn turn_over(&mut self) {
        while let ([], [next, behind @ ..]) = (self.front, self.behind) {
            (self.front, self.behind) = (next, behind);
        }
    }
}

#[cfg(test)]
mod tests;
