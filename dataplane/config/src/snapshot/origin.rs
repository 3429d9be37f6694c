//! Where a request came from, and what is told of that.

use ipnet::IpNet;

/// What a manager says besides `use_remote_address` of a request's origin. A manager that says
/// nothing has none.
#[derive(Clone, Debug, Default)]
pub struct Origin {
    /// So many addresses at the end of `x-forwarded-for` are trusted proxies'
    /// (`xff_num_trusted_hops`).
    pub trusted_hops: u32,
    /// The peer's address is not put into `x-forwarded-for` (`skip_xff_append`).
    pub skip_append: bool,
    /// Tried in order in place of `x-forwarded-for` (`original_ip_detection_extensions`).
    pub detection: Vec<Detection>,
    /// A request from one of these alone is internal (`internal_address_config`).
    pub internal: Vec<IpNet>,
    /// `x-forwarded-port` tells the port that was connected to (`append_x_forwarded_port`).
    pub forwarded_port: bool,
    /// What becomes of the scheme (`scheme_header_transformation`).
    pub scheme: Option<SchemeChange>,
}

/// A way to learn the client's address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Detection {
    /// `xff`: an address in `x-forwarded-for`.
    ForwardedFor {
        /// How many addresses at the end to pass over (`xff_num_trusted_hops`).
        trusted_hops: u32,
        /// In place of that: those to pass over, the peer's among them (`xff_trusted_cidrs`).
        trusted: Vec<IpNet>,
        /// The peer's address is put behind them (`skip_xff_append` is false).
        appends: bool,
    },
    /// `custom_header`: the value of this field.
    Field {
        /// Its name, lower case.
        name: Box<[u8]>,
        /// The address may be one of `internal`.
        is_trusted: bool,
        /// The status that a request without such an address is answered with.
        reject: Option<u16>,
    },
}

/// `SchemeHeaderTransformation`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SchemeChange {
    /// It is this one (`scheme_to_overwrite`).
    To(&'static str),
    /// It is what the upstream's transport makes it (`match_upstream`).
    OfUpstream,
}

/// What is taken off the host before a route is looked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HostForm {
    /// Its port.
    pub port: StripPort,
    /// A dot at its end (`strip_trailing_host_dot`).
    pub strip_dot: bool,
}

/// `strip_matching_host_port` and `strip_any_host_port`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum StripPort {
    /// It stays.
    #[default]
    Never,
    /// It goes where it is the one that was connected to.
    Matching,
    /// It goes.
    Any,
}

/// `HeadersWithUnderscoresAction`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Underscores {
    /// Such names pass.
    #[default]
    Allow,
    /// A request that has one is refused.
    Reject,
    /// They are taken out.
    Drop,
}
