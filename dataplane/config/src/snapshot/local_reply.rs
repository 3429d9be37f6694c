//! `local_reply_config`: what the proxy's own answers are made into.

use super::{HeaderChange, LogFilter, LogFormat};

/// `LocalReplyConfig`.
#[derive(Debug)]
pub struct LocalReplies {
    /// The first whose filter holds changes the answer.
    pub mappers: Vec<ReplyMapper>,
    /// How the body is written; `None`: as it is.
    pub format: Option<ReplyFormat>,
}

/// `ResponseMapper`.
#[derive(Debug)]
pub struct ReplyMapper {
    /// Which answers it is for.
    pub filter: LogFilter,
    /// Another status.
    pub status: Option<u16>,
    /// Another body.
    pub body: Option<Box<[u8]>>,
    /// Another way to write it.
    pub format: Option<ReplyFormat>,
    /// What is added to the head.
    pub headers: Vec<HeaderChange>,
}

/// `SubstitutionFormatString` of a body.
#[derive(Debug)]
pub struct ReplyFormat {
    /// What it says; of JSON with a line end.
    pub format: LogFormat,
    /// Its `content-type`.
    pub content_type: Box<[u8]>,
}
