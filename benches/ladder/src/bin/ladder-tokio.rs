//! Tokio on one thread: `copy_bidirectional`.

use std::io;

use ringway_ladder::command::{Command, ready};
use tokio::io::copy_bidirectional_with_sizes;
use tokio::net::{TcpListener, TcpStream};

/// Bytes of a direction's buffer.
const BUFFER: usize = 64 * 1024;

#[tokio::main(flavor = "current_thread")]
async fn main() -> io::Result<()> {
    let command = Command::from_args();
    let listener = TcpListener::from_std(command.listener()?)?;
    ready()?;
    loop {
        let (mut down, _) = listener.accept().await?;
        let upstream = command.upstream;
        tokio::spawn(async move {
            let mut up = TcpStream::connect(upstream).await?;
            up.set_nodelay(true)?;
            copy_bidirectional_with_sizes(&mut down, &mut up, BUFFER, BUFFER).await
        });
    }
}
