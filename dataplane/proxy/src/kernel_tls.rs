//! `--kernel-tls`: asked for or not, there or not.

/// What is said of a kernel that could.
const NOT_BUILT: &str = "this kernel could, but handing keys to it is not built";

/// Its state in words. Where it is asked for, one line of the log says why TLS stays here.
pub(crate) fn state(asked: bool) -> String {
    if !asked {
        return "off".to_owned();
    }
    let why = ring::kernel_tls::probe().err().unwrap_or_else(|| NOT_BUILT.to_owned());
    tracing::warn!(%why, "kernel TLS: not available, records are sealed and opened here");
    format!("unavailable: {why}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_off_unless_asked_for_and_refused_with_a_reason() {
        assert_eq!(state(false), "off");
        let refused = state(true);
        let why = refused.strip_prefix("unavailable: ").expect("a reason");
        assert!(why.contains("kernel"), "{why}");
    }
}
