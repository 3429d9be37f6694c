//! `--mode validate`: all of a file is read and compiled, and no socket is opened.

use std::sync::Arc;

use crate::bootstrap::Bootstrap;
use crate::compile::Compiler;
use crate::refused::{Kind, Refused};
use crate::snapshot::Bound;

/// What a good file has in it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Listeners in force at once.
    pub listeners: usize,
    /// Clusters in force at once.
    pub clusters: usize,
    /// Listeners and clusters that will wait for something that is not in the file.
    pub waiting: Vec<(Kind, Arc<str>)>,
}

/// Reads and compiles the text of a file.
pub fn text(text: &str) -> Result<Summary, Vec<Refused>> {
    bootstrap(&mut Bootstrap::parse(text).map_err(|refused| vec![refused])?)
}

/// Compiles what stands in a file that was read, and takes it out.
pub fn bootstrap(bootstrap: &mut Bootstrap) -> Result<Summary, Vec<Refused>> {
    let mut compiler = Compiler::new();
    let mut bind = |_, _: &_| Ok(Arc::new(Bound::default()));
    let mut refused = compiler.apply(bootstrap.take_resources(), &mut bind);
    refused.extend(bootstrap.control_plane(&mut compiler).err());
    if !refused.is_empty() {
        return Err(refused);
    }
    let snapshot = compiler.build();
    Ok(Summary {
        listeners: snapshot.listeners.len(),
        clusters: snapshot.clusters.iter().flatten().count(),
        waiting: compiler.cold(),
    })
}
