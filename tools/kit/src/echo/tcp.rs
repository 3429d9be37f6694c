//! The TCP side.

use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    sync::watch,
};

use super::server::stopped;

/// How much is read at once.
const READ_BYTES: usize = 64 * 1024;

/// Sends back what comes, and the end too, until the server stops.
pub(super) async fn echo(
    stream: impl AsyncRead + AsyncWrite + Unpin,
    mut stop: watch::Receiver<bool>,
) {
    let mut stream = stream;
    let mut buffer = vec![0; READ_BYTES];
    loop {
        let read = tokio::select! {
            read = stream.read(&mut buffer) => read,
            () = stopped(&mut stop) => break,
        };
        let Ok(len @ 1..) = read else { break };
        if stream.write_all(buffer.get(..len).unwrap_or_default()).await.is_err() {
            return;
        }
    }
    // The other side's end is answered with ours, after all of its bytes.
    let _ = stream.shutdown().await;
}
