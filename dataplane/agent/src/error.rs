//! What can go wrong on this side of the proxy.

/// Where it went wrong, why, and with that what to look at.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{place}: {reason}")]
pub struct AgentError {
    /// A stable reason, e.g. `agent.connect`.
    pub code: &'static str,
    /// What it concerns: an address, a file, a field of the bootstrap.
    pub place: String,
    /// What happened.
    pub reason: String,
}

impl AgentError {
    /// An error of that code.
    pub fn new(code: &'static str, place: impl Into<String>, reason: impl ToString) -> Self {
        Self { code, place: place.into(), reason: reason.to_string() }
    }
}
