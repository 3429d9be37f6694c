//! What the two forms of xDS share: the trait that a stream drives, nonces and limits.

use envoy_types::pb::envoy::config::core::v3::Node;

use super::{Catalogue, Kind, Notice, Progress, Refusal};

/// The most names of one type that one stream may subscribe to.
pub const NAMES_MAX: usize = 65_536;
/// The most bytes of one resource name.
pub const NAME_LENGTH_MAX: usize = 2_048;

/// One client's stream as a state machine: it knows what the client has and what it wants.
///
/// It holds no clock and no socket; the catalogue to answer from is passed in each time.
pub trait Protocol: Send + 'static {
    /// The client's message.
    type Request: Send + 'static;
    /// The server's message.
    type Response: Send + 'static;
    /// How logs and `/debug/syncz` call this form.
    const NAME: &'static str;

    /// A fresh stream.
    fn new(scope: StreamScope) -> Self;

    /// Takes one message and returns what to answer right away.
    fn on_request(
        &mut self,
        request: Self::Request,
        catalogue: &dyn Catalogue,
    ) -> Result<Step<Self::Response>, Refusal>;

    /// Compares what the client has with the catalogue; returns what has changed, in push order.
    fn push(&mut self, catalogue: &dyn Catalogue) -> Vec<Self::Response>;

    /// The state of each type that the client has asked for, in push order.
    fn progress(&self) -> Vec<(Kind, Progress)>;

    /// The client's description of itself in a message, if it is there.
    fn node(request: &Self::Request) -> Option<&Node>;

    /// The type of a response and how many resources it carries or removes.
    fn describe(response: &Self::Response) -> (Option<Kind>, usize);
}

/// What one request leads to.
#[derive(Debug)]
pub struct Step<R> {
    /// Responses to send, in this order.
    pub responses: Vec<R>,
    /// Something worth a line in the log.
    pub notice: Option<Notice>,
}

impl<R> Step<R> {
    /// No response, one notice.
    pub fn notice(notice: Notice) -> Self {
        Self { responses: Vec::new(), notice: Some(notice) }
    }
}

/// The types that a stream may serve and the source of its nonces.
#[derive(Clone, Debug)]
pub struct StreamScope {
    served: Vec<Kind>,
    stream_id: u64,
    sequence: u64,
}

impl StreamScope {
    /// `stream_id` must differ between streams, so that a nonce of one means nothing to another.
    pub fn new(served: &[Kind], stream_id: u64) -> Self {
        Self { served: served.to_vec(), stream_id, sequence: 0 }
    }

    /// The type of a request that may be answered, or what it leads to instead.
    pub(super) fn open<R>(
        &self,
        type_url: &str,
        names: &[String],
    ) -> Result<Kind, Result<Step<R>, Refusal>> {
        let kind = self.admit(type_url).map_err(|notice| Ok(Step::notice(notice)))?;
        check_names(kind, names).map_err(Err)?;
        Ok(kind)
    }

    fn admit(&self, type_url: &str) -> Result<Kind, Notice> {
        let kind = Kind::from_type_url(type_url)
            .ok_or_else(|| Notice::UnknownType(type_url.chars().take(256).collect()))?;
        if self.served.contains(&kind) { Ok(kind) } else { Err(Notice::Forbidden(kind)) }
    }

    /// A nonce that this server has never used.
    pub fn next_nonce(&mut self) -> String {
        self.sequence += 1;
        format!("{:016x}-{}", self.stream_id, self.sequence)
    }
}

/// Refuses a list of names that is over the limits.
fn check_names(kind: Kind, names: &[String]) -> Result<(), Refusal> {
    let long = names.iter().any(|name| name.len() > NAME_LENGTH_MAX);
    if names.len() > NAMES_MAX || long {
        let (names, length) = (NAMES_MAX, NAME_LENGTH_MAX);
        return Err(Refusal::TooManyNames { kind, names, length });
    }
    Ok(())
}
