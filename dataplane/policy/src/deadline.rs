//! How long a request may take: the route's word and, where that counts, the request's own.

use std::time::Duration;

use config::snapshot::{Forward, GrpcTimeout, StreamDuration};
use wire::head::Head;

use crate::headers::text;
use crate::steer::Steering;

/// The limits of one request. `None`: there is none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// From its last byte until the answer is whole.
    pub whole: Option<Duration>,
    /// For each attempt; shorter than `whole`.
    pub per_try: Option<Duration>,
}

impl Limits {
    /// What the upstream is told that it has for an attempt.
    pub fn expected(&self) -> Option<Duration> {
        self.per_try.or(self.whole)
    }
}

/// The limits of a request along this route. A call is told in `grpc-timeout` what is left to it of
/// its own time.
pub fn limits(
    head: &mut Head,
    forward: &Forward,
    steering: Option<&Steering>,
    is_grpc: bool,
) -> Limits {
    let grpc = forward.grpc.as_deref().filter(|_| is_grpc);
    let whole = match grpc {
        Some(grpc) => of_call(grpc_timeout(head), grpc),
        None => forward.timeout,
    };
    let per_try = forward.retry.as_ref().and_then(|retry| retry.per_try_timeout);
    let whole = steering.and_then(|steering| steering.timeout).unwrap_or(whole);
    let per_try = steering.and_then(|steering| steering.per_try_timeout).unwrap_or(per_try);
    // One attempt may take no longer than all of them.
    let per_try = per_try.filter(|per_try| whole.is_none_or(|whole| *per_try < whole));
    let limits = Limits { whole, per_try };
    if grpc.is_some()
        && let Some(expected) = limits.expected()
    {
        set_grpc_timeout(head, expected);
    }
    limits
}

/// How long a call may take that asks for so much.
fn of_call(asked: Option<Duration>, grpc: &GrpcTimeout) -> Option<Duration> {
    // None at all is no limit, as zero is.
    let asked = asked.filter(|asked| !asked.is_zero());
    let asked = asked.map(|asked| match asked.checked_sub(grpc.offset) {
        Some(left) if !left.is_zero() => left,
        _ => asked,
    });
    [asked, grpc.max].into_iter().flatten().min()
}

/// How long a request and its answer may take from its first byte on, where its route has
/// `max_stream_duration`. A call is told so in `grpc-timeout`. `of_manager`: the manager's word,
/// where the route has none.
pub fn stream(
    head: &mut Head,
    duration: &StreamDuration,
    of_manager: Option<Duration>,
    is_grpc: bool,
) -> Option<Duration> {
    let limit = match duration.grpc_max.zip(grpc_timeout(head)) {
        Some((most, asked)) => {
            let capped = most.map_or(asked, |most| asked.min(most));
            Some(capped.saturating_sub(duration.grpc_offset))
        }
        None => duration.max.unwrap_or(of_manager),
    };
    match limit.filter(|_| is_grpc) {
        // No time at all is told as `0m`.
        Some(limit) => set_grpc_timeout(head, limit),
        // As Envoy: where the route takes away what the manager had said.
        None if is_grpc && of_manager.is_some() => head.remove(GRPC_TIMEOUT),
        None => {}
    }
    limit
}

const GRPC_TIMEOUT: &[u8] = b"grpc-timeout";

/// What a call's `grpc-timeout` says, in whole milliseconds, rounded up: at most eight digits and
/// a unit.
fn grpc_timeout(head: &Head) -> Option<Duration> {
    let mut values = head.values(GRPC_TIMEOUT);
    let value = values.next().filter(|_| values.next().is_none())?;
    let (unit, digits) = value.split_last()?;
    let is_number = (1..=8).contains(&digits.len()) && digits.iter().all(u8::is_ascii_digit);
    let number: u64 = std::str::from_utf8(digits).ok().filter(|_| is_number)?.parse().ok()?;
    Some(Duration::from_millis(match unit {
        b'H' => number * 3_600_000,
        b'M' => number * 60_000,
        b'S' => number * 1_000,
        b'm' => number,
        b'u' => number.div_ceil(1_000),
        b'n' => number.div_ceil(1_000_000),
        _ => return None,
    }))
}

/// Sets `grpc-timeout` in the finest unit that eight digits are enough for.
fn set_grpc_timeout(head: &mut Head, limit: Duration) {
    const MOST: u64 = 99_999_999;
    let (mut time, mut unit) = (text::millis(limit), 'm');
    for (coarser, factor) in [('S', 1_000), ('M', 60), ('H', 60)] {
        if time > MOST {
            (time, unit) = (time / factor, coarser);
        }
    }
    text::set(head, GRPC_TIMEOUT, format_args!("{}{unit}", time.min(MOST)));
}

#[cfg(test)]
mod tests;
