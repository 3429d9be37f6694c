//! Where facts come from.
//!
//! In: a folder of YAML or JSON as users of Kubernetes and Istio write it (a Kubernetes watch comes
//! later behind the same [`Source`] trait). Out: [`Batch`]es of typed [`Change`]s and, for what
//! could not be read, one [`Message`] each with file, line, object, field and reason.
//!
//! Invariants: an object that cannot be read never replaces or removes its last good version; what
//! stands beside it in the same file goes on; a field that nobody would obey is refused, not
//! skipped; nothing here judges what an object means (that is `model`).

pub mod folder;
pub mod kinds;
mod message;
mod object;
pub mod read;

pub use folder::Folder;
pub use message::{Message, Severity};
pub use object::{Kind, Metadata, Object, ObjectKey, Origin, Spec};

use std::sync::Arc;

/// Batches that wait for a slow receiver; a source pauses when so many are not taken.
pub const BATCHES_MAX: usize = 16;

/// One thing that is different now.
#[derive(Clone, Debug)]
pub enum Change {
    /// A new object, or a new version of one.
    Put(Arc<Object>),
    /// It is gone.
    Remove(ObjectKey),
}

/// Changes that belong together: they become visible in one step.
#[derive(Clone, Debug, Default)]
pub struct Batch {
    /// In a fixed order: removals and new versions, sorted by object.
    pub changes: Vec<Change>,
    /// What could not be read, and what was left out.
    pub messages: Vec<Message>,
}

/// Something that delivers objects for as long as its receiver lives.
pub trait Source: Send {
    /// Begins. The first batch is complete: everything that there is, even if that is nothing.
    /// When the receiver is dropped the source ends.
    fn start(self: Box<Self>) -> Result<tokio::sync::mpsc::Receiver<Batch>, SourceError>;
}

/// The source cannot begin at all.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// The folder is not there or cannot be listed.
    #[error("cannot read folder {path}: {reason}; try: name a folder that exists and is readable")]
    Folder {
        /// Which.
        path: String,
        /// What the system says.
        reason: String,
    },
}
