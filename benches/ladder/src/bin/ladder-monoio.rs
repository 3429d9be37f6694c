//! monoio on one thread and io_uring: a task for each direction, each with a buffer of its own.

use std::io;

use monoio::io::{AsyncReadRent, AsyncWriteRent, AsyncWriteRentExt, Splitable};
use monoio::net::{TcpListener, TcpStream};
use monoio::{IoUringDriver, RuntimeBuilder};
use ringway_ladder::command::{Command, ready};

/// Bytes of a direction's buffer.
const BUFFER: usize = 64 * 1024;
/// Entries of the ring.
const ENTRIES: u32 = 4096;

fn main() -> io::Result<()> {
    let command = Command::from_args();
    let mut runtime =
        RuntimeBuilder::<IoUringDriver>::new().with_entries(ENTRIES).enable_timer().build()?;
    runtime.block_on(serve(command))
}

async fn serve(command: Command) -> io::Result<()> {
    let listener = TcpListener::from_std(command.listener()?)?;
    ready()?;
    loop {
        let (down, _) = listener.accept().await?;
        let upstream = command.upstream;
        monoio::spawn(async move {
            let Ok(up) = TcpStream::connect_addr(upstream).await else { return };
            let _ = up.set_nodelay(true);
            let ((down_read, down_write), (up_read, up_write)) =
                (down.into_split(), up.into_split());
            monoio::spawn(copy(up_read, down_write));
            let _ = copy(down_read, up_write).await;
        });
    }
}

async fn copy(mut from: impl AsyncReadRent, mut to: impl AsyncWriteRent) -> io::Result<()> {
    let mut buffer = vec![0; BUFFER];
    loop {
        let (received, filled) = from.read(buffer).await;
        if received? == 0 {
            return to.shutdown().await;
        }
        let (sent, emptied) = to.write_all(filled).await;
        sent?;
        buffer = emptied;
    }
}
