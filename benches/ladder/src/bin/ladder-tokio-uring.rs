//! tokio-uring on one thread: a task for each direction, each with a buffer of its own.

use std::io;
use std::net::Shutdown;
use std::rc::Rc;

use ringway_ladder::command::{Command, ready};
use tokio_uring::buf::BoundedBuf;
use tokio_uring::net::{TcpListener, TcpStream};

/// Bytes of a direction's buffer.
const BUFFER: usize = 64 * 1024;

fn main() -> io::Result<()> {
    let command = Command::from_args();
    tokio_uring::start(serve(command))
}

async fn serve(command: Command) -> io::Result<()> {
    let listener = TcpListener::from_std(command.listener()?);
    ready()?;
    loop {
        let (down, _) = listener.accept().await?;
        let upstream = command.upstream;
        tokio_uring::spawn(async move {
            let Ok(up) = TcpStream::connect(upstream).await else { return };
            let _ = up.set_nodelay(true);
            let (down, up) = (Rc::new(down), Rc::new(up));
            tokio_uring::spawn(copy(Rc::clone(&up), Rc::clone(&down)));
            let _ = copy(down, up).await;
        });
    }
}

async fn copy(from: Rc<TcpStream>, to: Rc<TcpStream>) -> io::Result<()> {
    let mut buffer = vec![0; BUFFER];
    loop {
        let (received, filled) = from.read(buffer).await;
        let count = received?;
        if count == 0 {
            return to.shutdown(Shutdown::Write);
        }
        let (sent, part) = to.write_all(filled.slice(..count)).await;
        sent?;
        buffer = part.into_inner();
    }
}
