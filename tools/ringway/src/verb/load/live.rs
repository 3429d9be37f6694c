//! The line that shows how a load goes on.

use std::{
    io::IsTerminal,
    time::{Duration, Instant},
};

use indicatif::{ProgressBar, ProgressStyle};
use kit::{
    hist::human,
    load::{LoadSpec, Progress},
};

/// A bar with figures on a terminal, or nothing.
pub(super) struct Live {
    bar: ProgressBar,
    /// How long the bar is, if it measures time.
    duration: Option<Duration>,
    last: Option<(Instant, u64)>,
    holding: bool,
}

impl Live {
    pub(super) fn new(spec: &LoadSpec, is_quiet: bool) -> Self {
        let bar = match is_quiet || !std::io::stderr().is_terminal() {
            true => ProgressBar::hidden(),
            false => ProgressBar::no_length(),
        };
        if let Ok(style) = ProgressStyle::with_template("{bar:20} {msg}") {
            bar.set_style(style);
        }
        let duration = spec.duration.filter(|_| spec.total().is_none());
        Self { bar, duration, last: None, holding: false }
    }

    pub(super) fn show(&mut self, progress: &Progress) {
        if progress.holding && !std::mem::replace(&mut self.holding, true) {
            // For whoever measures what idle connections cost: now is the time.
            let idle = progress.idle;
            self.bar.suspend(|| eprintln!("holding {idle} connections"));
        }
        let all = progress.done + progress.failed;
        let (length, position) = match (progress.total, self.duration) {
            (None, Some(duration)) => (ms(duration), ms(progress.elapsed.min(duration))),
            (total, _) => (total.unwrap_or(all), all),
        };
        self.bar.set_length(length);
        self.bar.set_position(position);
        let now = Instant::now();
        if let Some((then, before)) = self.last.replace((now, all)) {
            let seconds = now.duration_since(then).as_secs_f64().max(1e-3);
            self.bar.set_message(line(progress, all.saturating_sub(before) as f64 / seconds));
        }
    }

    pub(super) fn finish(&self) {
        self.bar.finish_and_clear();
    }
}

fn line(progress: &Progress, rate: f64) -> String {
    let time = |latency: Duration| human(u64::try_from(latency.as_nanos()).unwrap_or(u64::MAX));
    format!(
        "{:.1} s  {rate:.0}/s  p50 {}  p99 {}  p99.9 {}  {} errors",
        progress.elapsed.as_secs_f64(),
        time(progress.p50),
        time(progress.p99),
        time(progress.p999),
        progress.failed,
    )
}

fn ms(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
