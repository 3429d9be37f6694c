//! An identity that somebody else writes.

use std::path::Path;
use std::sync::Arc;

use tls::{Identity, Trust};

use super::{Issued, Secrets, time_left};
use crate::error::AgentError;

/// What the files held when they were last looked at.
pub(super) type Seen = Option<[Vec<u8>; 3]>;

/// Reads the three files.
pub async fn read_files(chain: &Path, key: &Path, root: &Path) -> Result<Issued, AgentError> {
    let bytes = [read(chain).await?, read(key).await?, read(root).await?];
    parse(&bytes, chain, root)
}

/// Fills the slots if the files have changed. Files that do not fit together, as they may be while
/// they are written, leave the slots as they are.
pub(super) async fn follow(
    chain: &Path,
    key: &Path,
    root: &Path,
    secrets: &Secrets,
    seen: &mut Seen,
) {
    let issued = async {
        let bytes = [read(chain).await?, read(key).await?, read(root).await?];
        if seen.as_ref() == Some(&bytes) {
            return Ok(None);
        }
        let issued = parse(&bytes, chain, root)?;
        *seen = Some(bytes);
        Ok::<_, AgentError>(Some(issued))
    };
    match issued.await {
        Ok(None) => {}
        Ok(Some(issued)) => {
            secrets.fill(&issued);
            tracing::info!(chain = %chain.display(), "the identity was read");
        }
        Err(error) => tracing::warn!(
            place = %error.place, code = error.code, reason = %error.reason,
            "the identity files cannot be used; {}", time_left(secrets)
        ),
    }
}

fn parse(bytes: &[Vec<u8>; 3], chain: &Path, root: &Path) -> Result<Issued, AgentError> {
    let [chain_pem, key_pem, root_pem] = bytes;
    let identity =
        Identity::from_pem(chain_pem, key_pem).map_err(|error| bad(chain, error.detail))?;
    let roots = Trust::from_pem(root_pem).map_err(|error| bad(root, error.detail))?;
    Ok(Issued { identity: Arc::new(identity), roots: Arc::new(roots) })
}

async fn read(path: &Path) -> Result<Vec<u8>, AgentError> {
    tokio::fs::read(path).await.map_err(|error| bad(path, error))
}

fn bad(path: &Path, reason: impl ToString) -> AgentError {
    AgentError::new("agent.identity_files", path.display().to_string(), reason)
}
