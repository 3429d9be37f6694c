//! Copies of requests.

use super::{ClusterId, Mutation, Share};

/// `RequestMirrorPolicy`: somebody is sent copies, and what is answered goes nowhere.
#[derive(Debug)]
pub struct Mirror {
    /// Where the copy goes.
    pub cluster: ClusterId,
    /// The request's header that names the cluster instead (lower case; `cluster_header`).
    pub named_by: Option<Box<[u8]>>,
    /// Which share of the requests is copied.
    pub share: Share,
    /// The copy has the request's own authority, without `-shadow`
    /// (`disable_shadow_host_suffix_append`).
    pub keeps_host: bool,
    /// The copy has this one (`host_rewrite_literal`).
    pub host: Option<Box<[u8]>>,
    /// What is changed of its head (`request_headers_mutations`).
    pub changes: Vec<Mutation>,
}
