//! Verbs that are small enough for one module.

pub(crate) mod capture;
pub(crate) mod echo;
pub(crate) mod hist;
pub(crate) mod load;
mod value;
pub(crate) mod version;

use crate::failure::{Context, Failure};

/// One thread is enough for what these verbs do.
fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    let built = tokio::runtime::Builder::new_current_thread().enable_all().build();
    built.context(|| "cannot start a runtime".into())
}
