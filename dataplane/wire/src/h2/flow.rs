//! Flow control: how much may be sent, and how much the peer may send (RFC 9113, 5.2 and 6.9).

use super::frame::U31_MAX;

/// A window where no setting says otherwise (RFC 9113, 6.9.2).
pub(super) const WINDOW_BYTES_DEFAULT: u32 = 65_535;

/// What may still be sent. Negative after the peer has lowered its setting.
#[derive(Clone, Copy, Debug)]
pub(super) struct SendWindow(i32);

impl SendWindow {
    pub(super) fn new(bytes: u32) -> Self {
        Self(bytes.min(U31_MAX) as i32)
    }

    pub(super) fn bytes(self) -> usize {
        usize::try_from(self.0).unwrap_or(0)
    }

    /// So many bytes, at most what [`bytes`](Self::bytes) says, are sent.
    pub(super) fn take(&mut self, bytes: usize) {
        self.0 = self.0.saturating_sub(i32::try_from(bytes).unwrap_or(i32::MAX));
    }

    /// The window grows, or shrinks by a setting. False: beyond what a window may be.
    pub(super) fn change(&mut self, by: i64) -> bool {
        match i32::try_from(i64::from(self.0) + by) {
            Ok(changed) => {
                self.0 = changed;
                true
            }
            Err(_) => false,
        }
    }
}

/// What the peer may still send. It grows as what came is consumed, never before: a reader that
/// stops makes the peer stop.
#[derive(Clone, Copy, Debug)]
pub(super) struct ReceiveWindow {
    /// What the peer may send, as far as it has been told.
    left: i32,
    /// Consumed, and not told yet.
    untold: u32,
    /// The window when nothing is outstanding.
    size: u32,
}

impl ReceiveWindow {
    pub(super) fn new(size: u32) -> Self {
        Self { left: size.min(U31_MAX) as i32, untold: 0, size }
    }

    /// The peer has sent so many bytes. False: more than it might.
    pub(super) fn receive(&mut self, bytes: usize) -> bool {
        let Ok(bytes) = i32::try_from(bytes) else { return false };
        // It cannot wrap: a frame is smaller than the range below zero.
        self.left = self.left.saturating_sub(bytes);
        self.left >= 0
    }

    /// So many bytes are consumed. What the peer is to be told, once half the window is due: less
    /// often would stop it, more often would be a frame for nothing.
    pub(super) fn consume(&mut self, bytes: usize) -> Option<u32> {
        let outstanding = i64::from(self.size) - i64::from(self.left) - i64::from(self.untold);
        let bytes = i64::try_from(bytes).unwrap_or(i64::MAX).min(outstanding).max(0);
        self.untold += u32::try_from(bytes).unwrap_or(0);
        if self.untold == 0 || self.untold < self.size / 2 {
            return None;
        }
        self.left = self.left.saturating_add_unsigned(self.untold);
        Some(std::mem::take(&mut self.untold))
    }

    /// The size is set by an acknowledged setting.
    pub(super) fn resize(&mut self, size: u32) {
        let by = i64::from(size) - i64::from(self.size);
        self.left = i32::try_from(i64::from(self.left) + by).unwrap_or(i32::MAX);
        self.size = size;
    }
}
