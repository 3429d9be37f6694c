//! `envoy.filters.http.cors`: who may ask from another origin (Fetch standard, 3.2).

use config::snapshot::{CorsPolicy, OverrideKind, Share};
use wire::head::{Framing, Head};

use super::Levels;
use crate::matcher;

/// What becomes of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is not one from another origin, or nobody minds.
    Other,
    /// It goes on. If its origin may ask, the answer says so: see [`allow`].
    Goes {
        /// The origin may ask.
        allowed: bool,
    },
    /// It asks beforehand, and is answered here: see [`preflight`].
    Preflight {
        /// The origin may ask.
        allowed: bool,
    },
}

/// The policies of all levels, most specific first: what one does not say the next one may.
#[derive(Clone, Copy, Debug)]
pub struct Policies<'r> {
    levels: Levels<'r>,
    name: &'r str,
}

impl<'r> Policies<'r> {
    /// For the filter of that name.
    pub fn of(levels: Levels<'r>, name: &'r str) -> Self {
        Self { levels, name }
    }

    fn all(self) -> impl Iterator<Item = &'r CorsPolicy> {
        self.levels.all(self.name).filter_map(|kind| match kind {
            OverrideKind::Cors(policy) => Some(&**policy),
            _ => None,
        })
    }

    fn first<T>(self, said: impl Fn(&'r CorsPolicy) -> Option<T>) -> Option<T> {
        self.all().find_map(said)
    }

    /// The most specific policy alone says whether they hold.
    fn are_on(self, random: u64) -> bool {
        self.all().next().is_some_and(|policy| policy.enabled.unwrap_or(Share::ALL).takes(random))
    }

    fn allow(self, origin: &[u8]) -> bool {
        let origins = self.first(|policy| Some(&policy.origins).filter(|some| !some.is_empty()));
        let mut origins = origins.into_iter().flatten();
        origins.any(|asked| matcher::string(asked, b"*") || matcher::string(asked, origin))
    }
}

/// Judges a request that goes along a route to an upstream.
pub fn judge(policies: Policies<'_>, head: &Head, random: u64) -> Verdict {
    let origin = head.values(b"origin").next().filter(|origin| !origin.is_empty());
    let Some(origin) = origin else { return Verdict::Other };
    if !policies.are_on(random) {
        return Verdict::Other;
    }
    let allowed = policies.allow(origin);
    let asks = head.method() == b"OPTIONS"
        && head.values(b"access-control-request-method").any(|method| !method.is_empty());
    let forwards = || policies.first(|policy| policy.forwards_others).unwrap_or(true);
    match asks && (allowed || !forwards()) {
        true => Verdict::Preflight { allowed },
        false => Verdict::Goes { allowed },
    }
}

/// Turns the head of a preflight into its answer. The route's changes to responses do not hold for
/// it, as in Envoy.
pub fn preflight(policies: Policies<'_>, head: &mut Head, allowed: bool) {
    let asked = |name: &[u8]| head.values(name).next().unwrap_or_default().to_vec();
    let origin = asked(b"origin");
    let wanted =
        [asked(b"access-control-request-method"), asked(b"access-control-request-headers")];
    let is_private = asked(b"access-control-request-private-network") == b"true";
    let [methods, headers] = wanted;
    head.clear();
    head.status = 200;
    head.framing = Framing::Length(0);
    head.keep_alive = true;
    if allowed {
        head.append(b"access-control-allow-origin", &origin);
    }
    credentials(policies, head);
    for (name, said, asked) in [
        (
            &b"access-control-allow-methods"[..],
            policies.first(|policy| policy.methods.as_deref()),
            methods,
        ),
        (
            b"access-control-allow-headers",
            policies.first(|policy| policy.headers.as_deref()),
            headers,
        ),
    ] {
        match said {
            Some(b"*") => head.append(name, &asked),
            Some(said) => head.append(name, said),
            None => false,
        };
    }
    if let Some(seconds) = policies.first(|policy| policy.max_age.as_deref()) {
        head.append(b"access-control-max-age", seconds);
    }
    if is_private && policies.first(|policy| policy.private_network) == Some(true) {
        head.append(b"access-control-allow-private-network", b"true");
    }
}

/// Tells the client in the answer that this origin may read it.
pub fn allow(policies: Policies<'_>, head: &mut Head, origin: &[u8]) {
    head.set(b"access-control-allow-origin", origin);
    credentials(policies, head);
    if let Some(names) = policies.first(|policy| policy.expose.as_deref()) {
        head.set(b"access-control-expose-headers", names);
    }
}

fn credentials(policies: Policies<'_>, head: &mut Head) {
    if policies.first(|policy| policy.credentials) == Some(true) {
        head.set(b"access-control-allow-credentials", b"true");
    }
}
