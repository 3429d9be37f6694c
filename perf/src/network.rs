//! What the traffic passes through: a network namespace with nothing in it but loopback.
//!
//! A machine's own namespace may have rules, connection tracking or a congestion control that paces
//! (BBR keeps a timer a socket): all of that would be counted as the proxies' time, for each of
//! them, and make their ratios smaller than they are.

use kit::net::{NetError, leave_for_own_namespace, set_congestion_control};

/// The one that every kernel has and allows in any namespace.
const CONGESTION_CONTROL: &str = "reno";

/// Leaves for a namespace of our own where that is allowed, and says in words where we are. To be
/// called before any thread or process is started.
pub(crate) fn prepare() -> String {
    match leave_for_own_namespace().and_then(|()| pin_congestion_control()) {
        Ok(()) => "a namespace of its own, nothing in it but loopback".to_owned(),
        Err(why) => format!("as the machine has it ({why})"),
    }
}

/// The same congestion control for all, in the calling thread's namespace.
pub(crate) fn pin_congestion_control() -> Result<(), NetError> {
    set_congestion_control(CONGESTION_CONTROL)
}
