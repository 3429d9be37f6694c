//! Frames that carry no message (RFC 9113, 6.3 to 6.9).

use super::{Connection, Event, Handle, Role, Side};
use crate::h2::ErrorCode;
use crate::h2::frame::{self, ACK, FrameHead, Kind, put, u31};
use crate::h2::refusal::{self, Refusal};

impl Connection {
    pub(super) fn on_settings(
        &mut self,
        frame: FrameHead,
        payload: &[u8],
    ) -> Result<Option<Event>, Refusal> {
        if frame.has(ACK) {
            return self.on_acknowledged();
        }
        let before = self.peer;
        let smallest_table = self.peer.take(payload, self.role, !self.is_greeted)?;
        self.is_greeted = true;
        self.encoder.set_size_limit(smallest_table as usize);
        self.encoder.set_size_limit(self.peer.header_table_bytes as usize);
        let by = i64::from(self.peer.window_bytes) - i64::from(before.window_bytes);
        let mut fits = true;
        if by != 0 {
            self.streams.each(|stream| fits &= stream.send.change(by));
        }
        if !fits {
            return Err(refusal::SETTING_WINDOW);
        }
        self.guard.on_answer()?;
        put(Kind::Settings, ACK, 0, &[], &mut self.out);
        Ok(Some(Event::PeerSettings))
    }

    fn on_acknowledged(&mut self) -> Result<Option<Event>, Refusal> {
        self.unacknowledged = self.unacknowledged.checked_sub(1).ok_or(refusal::ACK_UNASKED)?;
        self.decoder.set_size_limit(self.config.header_table_bytes as usize);
        let size = self.config.stream_window_bytes;
        self.streams.each(|stream| stream.receive.resize(size));
        Ok(Some(Event::SettingsAcknowledged))
    }

    pub(super) fn on_ping(
        &mut self,
        frame: FrameHead,
        payload: &[u8],
    ) -> Result<Option<Event>, Refusal> {
        let payload: [u8; 8] = *payload.first_chunk().ok_or(refusal::FRAME_SIZE)?;
        if frame.has(ACK) {
            return Ok(Some(Event::Pong { payload }));
        }
        self.guard.on_answer()?;
        put(Kind::Ping, ACK, 0, &payload, &mut self.out);
        Ok(None)
    }

    /// Priorities are ignored (RFC 9113, 5.3.2), but not in any number.
    pub(super) fn on_priority(
        &mut self,
        frame: FrameHead,
        payload: &[u8],
    ) -> Result<Option<Event>, Refusal> {
        if u31(payload) == Some(frame.stream) {
            return Err(refusal::SELF_DEPENDENCY);
        }
        self.guard.on_priority().map(|()| None)
    }

    pub(super) fn on_reset(
        &mut self,
        frame: FrameHead,
        payload: &[u8],
    ) -> Result<Option<Event>, Refusal> {
        let id = frame.stream;
        let number = payload.first_chunk().ok_or(refusal::FRAME_SIZE)?;
        let Some(stream) = self.streams.get(id).copied() else {
            return if self.is_idle(id) { Err(refusal::STREAM_IDLE) } else { Ok(None) };
        };
        // What no event tells of stays among the streams.
        if self.role == Role::Server && stream.ours == Side::Head {
            self.guard.on_reset()?;
        }
        self.streams.remove(id);
        self.ends.push(id);
        let error = ErrorCode::of(u32::from_be_bytes(*number));
        Ok(Some(Event::Reset { stream: Handle { id, user: stream.user }, error }))
    }

    pub(super) fn on_go_away(&mut self, payload: &[u8]) -> Result<Option<Event>, Refusal> {
        let Some([a, b, c, d, e, f, g, h]) = payload.first_chunk().copied() else {
            return Err(refusal::FRAME_SIZE);
        };
        let last = u32::from_be_bytes([a, b, c, d]) & frame::U31_MAX;
        let error = ErrorCode::of(u32::from_be_bytes([e, f, g, h]));
        // It may only come down (RFC 9113, 6.8).
        let last = self.gone_away.map_or(last, |before| before.min(last));
        self.gone_away = Some(last);
        Ok(Some(Event::GoAway { last, error }))
    }

    pub(super) fn on_window_update(
        &mut self,
        frame: FrameHead,
        payload: &[u8],
    ) -> Result<Option<Event>, Refusal> {
        self.guard.on_window_update()?;
        let increment = u31(payload).ok_or(refusal::FRAME_SIZE)?;
        if frame.stream != 0 {
            return self.on_stream_window(frame.stream, increment);
        }
        if increment == 0 {
            return Err(refusal::INCREMENT_ZERO);
        }
        if !self.send_window.change(i64::from(increment)) {
            return Err(refusal::WINDOW_OVERFLOW);
        }
        let opens = std::mem::take(&mut self.is_blocked);
        Ok(opens.then_some(Event::WindowsOpened))
    }

    fn on_stream_window(&mut self, id: u32, increment: u32) -> Result<Option<Event>, Refusal> {
        let Some(stream) = self.streams.get_mut(id) else {
            return if self.is_idle(id) { Err(refusal::STREAM_IDLE) } else { Ok(None) };
        };
        if increment == 0 {
            return self.refuse(id, refusal::INCREMENT_ZERO_STREAM);
        }
        if !stream.send.change(i64::from(increment)) {
            return self.refuse(id, refusal::WINDOW_OVERFLOW_STREAM);
        }
        if !stream.is_blocked || stream.send.bytes() == 0 {
            return Ok(None);
        }
        if self.send_window.bytes() == 0 {
            // Now it waits for the connection's.
            self.is_blocked = true;
            return Ok(None);
        }
        stream.is_blocked = false;
        Ok(Some(Event::WindowOpened { stream: Handle { id, user: stream.user } }))
    }
}
