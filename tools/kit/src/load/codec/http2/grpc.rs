//! gRPC over HTTP/2: a message's frame and the names of statuses.

use super::super::super::error::Failure;

/// A flag and the length in front of each message.
const PREFIX_BYTES: usize = 5;

/// The names of statuses by their numbers.
const NAMES: [&str; 17] = [
    "OK",
    "CANCELLED",
    "UNKNOWN",
    "INVALID_ARGUMENT",
    "DEADLINE_EXCEEDED",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION",
    "ABORTED",
    "OUT_OF_RANGE",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
    "UNAUTHENTICATED",
];

/// A `grpc-status`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Status(u16);

impl Status {
    pub(super) fn read(value: &[u8]) -> Option<Self> {
        let digits = std::str::from_utf8(value).ok().filter(|text| text.len() <= 3)?;
        digits.parse().ok().map(Self)
    }

    pub(super) fn is_ok(self) -> bool {
        self.0 == 0
    }

    pub(super) fn name(self) -> &'static str {
        NAMES.get(usize::from(self.0)).copied().unwrap_or("(unknown number)")
    }
}

/// A message as it goes out: not compressed.
pub(super) fn frame(message: &[u8]) -> Vec<u8> {
    let len = u32::try_from(message.len()).unwrap_or(u32::MAX).to_be_bytes();
    [&[0][..], &len, message].concat()
}

/// The one message of an answer.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Message {
    prefix: [u8; PREFIX_BYTES],
    /// Bytes of the prefix that have come.
    come: usize,
    /// Bytes of the message that have not.
    left: usize,
}

impl Message {
    /// The message's bytes among those of the body. Refuses a second message, and a compressed
    /// one, which nobody has asked for.
    pub(super) fn take<'a>(&mut self, data: &'a [u8]) -> Result<&'a [u8], Failure> {
        let missing = PREFIX_BYTES - self.come;
        let (prefix, rest) = data.split_at_checked(missing).unwrap_or((data, &[]));
        for (place, byte) in self.prefix.iter_mut().skip(self.come).zip(prefix) {
            *place = *byte;
        }
        self.come += prefix.len();
        if missing > 0 && self.come == PREFIX_BYTES {
            let [flag, length @ ..] = self.prefix;
            if flag != 0 {
                return Err(Failure::Message);
            }
            self.left = u32::from_be_bytes(length) as usize;
        }
        self.left = self.left.checked_sub(rest.len()).ok_or(Failure::Message)?;
        Ok(rest)
    }

    pub(super) fn is_whole(&self) -> bool {
        self.come == PREFIX_BYTES && self.left == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_read_however_it_is_cut() {
        for len in [0, 1, 5, 300] {
            let text: Vec<u8> = (0..len).map(|n| n as u8).collect();
            let framed = frame(&text);
            for cut in 1..=framed.len() {
                let (mut message, mut read) = (Message::default(), Vec::new());
                for piece in framed.chunks(cut) {
                    assert!(!message.is_whole() || len == 0, "{len} by {cut}");
                    read.extend_from_slice(message.take(piece).expect("a message"));
                }
                assert!(message.is_whole() && read == text, "{len} by {cut}");
                assert_eq!(message.take(b"\0"), Err(Failure::Message), "a second one");
            }
        }
    }

    #[test]
    fn statuses_have_names() {
        let name = |value: &[u8]| Status::read(value).map(Status::name);
        assert_eq!((name(b"0"), name(b"16")), (Some("OK"), Some("UNAUTHENTICATED")));
        assert_eq!((name(b"17"), name(b""), name(b"-1")), (Some("(unknown number)"), None, None));
        assert_eq!((name(b"1000"), name(b"OK"), name(b"\xff")), (None, None, None));
    }
}
