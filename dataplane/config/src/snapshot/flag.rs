//! Envoy's response flags.

macro_rules! flags {
    ($($name:ident $short:literal)*) => {
        /// What went wrong or was special, as Envoy names it (`RESPONSE_FLAGS`). The order is
        /// Envoy's.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[repr(u8)]
        #[allow(missing_docs)] // the names are Envoy's long ones
        pub enum Flag { $($name,)* }

        impl Flag {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// As in `RESPONSE_FLAGS`.
            pub const fn short(self) -> &'static str {
                match self { $(Self::$name => $short,)* }
            }

            /// As in `RESPONSE_FLAGS_LONG`.
            pub const fn long(self) -> &'static str {
                match self { $(Self::$name => stringify!($name),)* }
            }
        }
    };
}

flags! {
    FailedLocalHealthCheck "LH"
    NoHealthyUpstream "UH"
    UpstreamRequestTimeout "UT"
    LocalReset "LR"
    UpstreamRemoteReset "UR"
    UpstreamConnectionFailure "UF"
    UpstreamConnectionTermination "UC"
    UpstreamOverflow "UO"
    NoRouteFound "NR"
    DelayInjected "DI"
    FaultInjected "FI"
    RateLimited "RL"
    UnauthorizedExternalService "UAEX"
    RateLimitServiceError "RLSE"
    DownstreamConnectionTermination "DC"
    UpstreamRetryLimitExceeded "URX"
    StreamIdleTimeout "SI"
    InvalidEnvoyRequestHeaders "IH"
    DownstreamProtocolError "DPE"
    UpstreamMaxStreamDurationReached "UMSDR"
    ResponseFromCacheFilter "RFCF"
    NoFilterConfigFound "NFCF"
    DurationTimeout "DT"
    UpstreamProtocolError "UPE"
    NoClusterFound "NC"
    OverloadManagerTerminated "OM"
    DnsResolutionFailed "DF"
    DropOverload "DO"
    DownstreamRemoteReset "DR"
    UnconditionalDropOverload "UDO"
}

impl Flag {
    /// By its short name.
    pub fn named(short: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|flag| flag.short() == short)
    }
}
