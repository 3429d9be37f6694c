//! What is special about HTTP/1.1 on either side.

use std::sync::Arc;

use super::StringMatch;

/// `Http1ProtocolOptions`, compiled. The default is Envoy's.
#[derive(Clone, Debug, Default)]
pub struct Http1 {
    /// How the names of fields are written (`header_key_format`).
    pub names: NameForm,
    /// `content-length` beside `transfer-encoding: chunked` is taken out, not refused
    /// (`allow_chunked_length`).
    pub chunked_with_length: bool,
    /// From clients: any token is a method (`allow_custom_methods`).
    pub custom_methods: bool,
    /// From clients: the host of a request by HTTP/1.0 that names none
    /// (`default_host_for_http_10`).
    pub default_host: Option<Arc<str>>,
    /// From clients: an `upgrade` to one of these is taken out (`ignore_http_11_upgrade`).
    pub ignored_upgrades: Vec<StringMatch>,
    /// To upstreams: the target is written with scheme and authority
    /// (`send_fully_qualified_url`).
    pub absolute_target: bool,
}

/// `HeaderKeyFormat`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum NameForm {
    /// In lower case.
    #[default]
    Lower,
    /// `proper_case_words`: `content-type` becomes `Content-Type`.
    Proper,
    /// `preserve_case`: as they come in from this side, so written to the other. `others`: how
    /// those are written that did not come.
    Kept {
        /// As [`NameForm::Proper`], not in lower case (`formatter_type_on_envoy_headers`).
        proper_others: bool,
    },
}
