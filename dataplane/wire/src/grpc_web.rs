//! gRPC for browsers (`PROTOCOL-WEB.md` of gRPC): bodies as text, and trailers as a frame.
//!
//! Text is base64 (RFC 4648, 4) with its padding. A request's text is read in groups of four
//! wherever it is torn; an answer's is written frame by frame, each with its own padding, and a
//! frame need not have come whole to be written.

use crate::head::Head;

/// The flag of the frame that holds the trailers.
const TRAILERS: u8 = 0x80;
/// A frame begins with a byte of flags and four of length.
const FRAME_HEAD: usize = 5;

const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// What a letter stands for.
fn value(letter: u8) -> Option<u8> {
    Some(match letter {
        b'A'..=b'Z' => letter - b'A',
        b'a'..=b'z' => letter - b'a' + 26,
        b'0'..=b'9' => letter - b'0' + 52,
        b'+' => 62,
        b'/' => 63,
        _ => return None,
    })
}

/// So many bytes at most, and the rest.
fn cut(bytes: &[u8], most: usize) -> (&[u8], &[u8]) {
    bytes.split_at_checked(most).unwrap_or((bytes, &[]))
}

/// The text is not base64.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotBase64;

/// Reads text that comes in pieces.
#[derive(Clone, Copy, Debug, Default)]
pub struct TextReader {
    /// A group that has not come whole.
    group: [u8; 4],
    /// How much of it has.
    have: usize,
}

impl TextReader {
    /// Appends the bytes that the text stands for. A group may end in padding wherever it stands.
    ///
    /// # Errors
    /// Something is no base64, or bits that stand for nothing are set.
    pub fn read(&mut self, text: &[u8], out: &mut Vec<u8>) -> Result<(), NotBase64> {
        let mut rest = text;
        if self.have > 0 {
            let (more, behind) = cut(rest, 4 - self.have);
            for (place, byte) in self.group.iter_mut().skip(self.have).zip(more) {
                *place = *byte;
            }
            self.have += more.len();
            rest = behind;
            if self.have < 4 {
                return Ok(());
            }
            self.have = 0;
            decode(self.group, out)?;
        }
        let (groups, torn) = rest.as_chunks::<4>();
        groups.iter().try_for_each(|group| decode(*group, out))?;
        for (place, byte) in self.group.iter_mut().zip(torn) {
            *place = *byte;
        }
        self.have = torn.len();
        Ok(())
    }

    /// The text is at its end.
    ///
    /// # Errors
    /// Its last group has not come whole.
    pub fn finish(&self) -> Result<(), NotBase64> {
        if self.have == 0 { Ok(()) } else { Err(NotBase64) }
    }
}

fn decode(group: [u8; 4], out: &mut Vec<u8>) -> Result<(), NotBase64> {
    let padding = match group {
        [_, _, b'=', b'='] => 2,
        [_, _, _, b'='] => 1,
        _ => 0,
    };
    let mut bits = 0_u32;
    for (at, letter) in group.into_iter().enumerate() {
        let value = if at >= 4 - padding { Some(0) } else { value(letter) };
        bits = bits << 6 | u32::from(value.ok_or(NotBase64)?);
    }
    let [_, bytes @ ..] = bits.to_be_bytes();
    let (meant, unused) = cut(&bytes, 3 - padding);
    if unused.iter().any(|byte| *byte != 0) {
        return Err(NotBase64);
    }
    out.extend_from_slice(meant);
    Ok(())
}

/// Writes frames as text.
#[derive(Clone, Copy, Debug, Default)]
pub struct TextWriter {
    /// Bytes that make no group yet.
    group: [u8; 3],
    have: usize,
    /// The frame's head as far as it has come.
    head: [u8; FRAME_HEAD],
    head_bytes: usize,
    /// Bytes of the frame that are to come.
    left: u32,
}

impl TextWriter {
    /// Appends the text of bytes that come next.
    pub fn write(&mut self, mut bytes: &[u8], out: &mut Vec<u8>) {
        while !bytes.is_empty() {
            let wanted = match self.head_bytes < FRAME_HEAD {
                true => FRAME_HEAD - self.head_bytes,
                false => self.left as usize,
            };
            let (next, behind) = cut(bytes, wanted);
            bytes = behind;
            self.encode(next, out);
            if self.head_bytes < FRAME_HEAD {
                for (place, byte) in self.head.iter_mut().skip(self.head_bytes).zip(next) {
                    *place = *byte;
                }
                self.head_bytes += next.len();
                let [_, length @ ..] = self.head;
                self.left = u32::from_be_bytes(length);
            } else {
                self.left -= u32::try_from(next.len()).unwrap_or(self.left).min(self.left);
            }
            if self.head_bytes == FRAME_HEAD && self.left == 0 {
                self.finish(out);
            }
        }
    }

    /// Ends the frame under way, whole or not.
    pub fn finish(&mut self, out: &mut Vec<u8>) {
        if self.have > 0 {
            let Self { group: [first, second, _], have, .. } = *self;
            let last = if have == 1 { [first, 0, 0] } else { [first, second, 0] };
            let text = text_of(last);
            out.extend_from_slice(cut(&text, have + 1).0);
            out.extend_from_slice(if have == 1 { b"==" } else { b"=" });
        }
        (self.have, self.head_bytes) = (0, 0);
    }

    fn encode(&mut self, bytes: &[u8], out: &mut Vec<u8>) {
        let mut rest = bytes;
        if self.have > 0 {
            let (more, behind) = cut(rest, 3 - self.have);
            for (place, byte) in self.group.iter_mut().skip(self.have).zip(more) {
                *place = *byte;
            }
            self.have += more.len();
            rest = behind;
            if self.have < 3 {
                return;
            }
            self.have = 0;
            out.extend_from_slice(&text_of(self.group));
        }
        let (groups, torn) = rest.as_chunks::<3>();
        groups.iter().for_each(|group| out.extend_from_slice(&text_of(*group)));
        for (place, byte) in self.group.iter_mut().zip(torn) {
            *place = *byte;
        }
        self.have = torn.len();
    }
}

fn text_of([first, second, third]: [u8; 3]) -> [u8; 4] {
    let bits = u32::from_be_bytes([0, first, second, third]);
    [18, 12, 6, 0].map(|shift| {
        let at = (bits >> shift & 0x3f) as usize;
        LETTERS.get(at).copied().unwrap_or(b'=')
    })
}

/// Appends the frame that holds these trailers.
pub fn trailer_frame(trailers: &Head, out: &mut Vec<u8>) {
    let start = out.len();
    out.extend_from_slice(&[TRAILERS, 0, 0, 0, 0]);
    for (name, value) in trailers.iter() {
        out.extend_from_slice(name);
        out.push(b':');
        out.extend_from_slice(value);
        out.extend_from_slice(b"\r\n");
    }
    let length = u32::try_from(out.len() - start - FRAME_HEAD).unwrap_or(u32::MAX);
    if let Some(place) = out.get_mut(start + 1..start + FRAME_HEAD) {
        place.copy_from_slice(&length.to_be_bytes());
    }
}

#[cfg(test)]
mod tests;
