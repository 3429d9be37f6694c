//! Signals, waited for by the main thread alone.

use nix::sys::signal::{SigSet, Signal, kill};
use nix::unistd::Pid;

use crate::failure::Failure;

/// The signals that end the program, and the one that opens its logs anew.
pub(crate) struct Signals(SigSet);

impl Signals {
    /// To be called before any thread is started: threads inherit what is blocked.
    pub(crate) fn block() -> Result<Self, Failure> {
        let mut set = SigSet::empty();
        [Signal::SIGTERM, Signal::SIGINT, Signal::SIGUSR1]
            .into_iter()
            .for_each(|signal| set.add(signal));
        let hint = "run outside of what restricts signals";
        set.thread_block().map_err(|error| Failure::start("blocking signals", error, hint))?;
        Ok(Self(set))
    }

    /// Waits for one that ends the program. `reopen` is done for each SIGUSR1.
    pub(crate) fn wait(&self, reopen: impl Fn()) {
        loop {
            match self.0.wait() {
                Ok(Signal::SIGUSR1) => reopen(),
                Ok(_) => return,
                Err(_) => {}
            }
        }
    }
}

/// Whoever holds this ends the program by ending, however it ends: the main thread then looks why.
pub(crate) struct EndsProcess;

impl Drop for EndsProcess {
    fn drop(&mut self) {
        let _ = kill(Pid::this(), Signal::SIGTERM);
    }
}
