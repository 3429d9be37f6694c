//! What a peer may do that costs it less than us, counted.
//!
//! There is no clock: what is bad is paid for by what is good.

use super::refusal::{self, Refusal};

/// The limits, and the defaults of those that a configuration may set.
pub mod limits {
    /// CONTINUATION frames of one header block (CVE-2024-27316 and others). A block of the largest
    /// size takes a few.
    pub const CONTINUATIONS_MAX: u32 = 20;

    /// How many times the largest head a head may be. Between once and this it is read to the end,
    /// dropped, and refused alone; beyond, to read on would be the attack (HPACK bombs).
    pub const HEAD_TIMES_MAX: usize = 4;

    /// How many times the largest head a block may be that comes in several frames, compressed: so
    /// much is gathered.
    pub const BLOCK_TIMES_MAX: usize = 2;

    /// HEADERS, CONTINUATION and DATA frames one after the other with nothing in them (Envoy:
    /// `max_consecutive_inbound_frames_with_empty_payload`; CVE-2019-9518).
    pub const EMPTY_FRAMES_MAX: u32 = 1;

    /// Answers to SETTINGS, PING and broken streams that wait in the output (Envoy:
    /// `max_outbound_control_frames`; CVE-2019-9512, 9514, 9515).
    pub const ANSWERS_MAX: u32 = 1_000;

    /// PRIORITY frames for each stream (Envoy: `max_inbound_priority_frames_per_stream`;
    /// CVE-2019-9513).
    pub const PRIORITIES_PER_STREAM_MAX: u32 = 100;

    /// WINDOW_UPDATE frames for each DATA frame that was sent (Envoy:
    /// `max_inbound_window_update_frames_per_data_frame_sent`; CVE-2019-9511).
    pub const WINDOW_UPDATES_PER_DATA_MAX: u32 = 10;

    /// How many more streams may be reset before they were answered than were answered
    /// (CVE-2023-44487), resets that a client provokes included (CVE-2025-8671). Many clients give
    /// up at once where a server hangs, so this is a few times the streams that are open.
    pub const RESETS_MAX: u32 = 500;

    /// How many streams are remembered after we have reset them, to ignore what was under way.
    pub const RESETS_REMEMBERED: usize = 128;

    /// How many streams are remembered that have ended otherwise, to say why what comes on them is
    /// refused.
    pub const ENDS_REMEMBERED: usize = 32;
}

/// Limits that a configuration may set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Floods {
    /// See [`limits::ANSWERS_MAX`], the default.
    pub answers: u32,
    /// See [`limits::EMPTY_FRAMES_MAX`], the default.
    pub empty_frames: u32,
    /// See [`limits::PRIORITIES_PER_STREAM_MAX`], the default.
    pub priorities_per_stream: u32,
    /// See [`limits::WINDOW_UPDATES_PER_DATA_MAX`], the default.
    pub window_updates_per_data: u32,
    /// See [`limits::RESETS_MAX`], the default.
    pub resets: u32,
}

impl Default for Floods {
    fn default() -> Self {
        Self {
            answers: limits::ANSWERS_MAX,
            empty_frames: limits::EMPTY_FRAMES_MAX,
            priorities_per_stream: limits::PRIORITIES_PER_STREAM_MAX,
            window_updates_per_data: limits::WINDOW_UPDATES_PER_DATA_MAX,
            resets: limits::RESETS_MAX,
        }
    }
}

/// The counters of a connection.
#[derive(Debug)]
pub(super) struct Guard {
    floods: Floods,
    empty_frames: u32,
    answers: u32,
    priorities: u64,
    window_updates: u64,
    data_frames_sent: u64,
    streams: u64,
    resets_left: u32,
}

impl Guard {
    pub(super) fn new(floods: Floods) -> Self {
        Self {
            floods,
            empty_frames: 0,
            answers: 0,
            priorities: 0,
            window_updates: 0,
            data_frames_sent: 0,
            streams: 0,
            resets_left: floods.resets,
        }
    }

    /// A frame that should bring something has come.
    pub(super) fn on_frame(&mut self, is_empty: bool) -> Result<(), Refusal> {
        if !is_empty {
            self.empty_frames = 0;
            return Ok(());
        }
        self.empty_frames += 1;
        bound(self.empty_frames <= self.floods.empty_frames, refusal::EMPTY_FLOOD)
    }

    /// The peer has made us write a frame.
    pub(super) fn on_answer(&mut self) -> Result<(), Refusal> {
        self.answers += 1;
        bound(self.answers <= self.floods.answers, refusal::CONTROL_FLOOD)
    }

    /// What was written is on its way.
    pub(super) fn on_drained(&mut self) {
        self.answers = 0;
    }

    pub(super) fn on_priority(&mut self) -> Result<(), Refusal> {
        self.priorities += 1;
        let max = u64::from(self.floods.priorities_per_stream) * (1 + self.streams);
        bound(self.priorities <= max, refusal::PRIORITY_FLOOD)
    }

    pub(super) fn on_window_update(&mut self) -> Result<(), Refusal> {
        self.window_updates += 1;
        let sent = u64::from(self.floods.window_updates_per_data) * self.data_frames_sent;
        bound(self.window_updates <= 5 + 2 * (self.streams + sent), refusal::WINDOW_UPDATE_FLOOD)
    }

    pub(super) fn on_data_sent(&mut self) {
        self.data_frames_sent += 1;
    }

    pub(super) fn on_stream(&mut self) {
        self.streams += 1;
    }

    /// A client's stream has ended before it was answered, by the client or by what it sent.
    pub(super) fn on_reset(&mut self) -> Result<(), Refusal> {
        bound(self.resets_left > 0, refusal::RAPID_RESET)?;
        self.resets_left -= 1;
        Ok(())
    }

    /// A stream was answered.
    pub(super) fn on_answered(&mut self) {
        self.resets_left = self.floods.resets.min(self.resets_left + 1);
    }
}

fn bound(is_kept: bool, refusal: Refusal) -> Result<(), Refusal> {
    if is_kept { Ok(()) } else { Err(refusal) }
}
