//! Raw TCP through the same proxies: what is sent comes back, and so does the end of it.

use std::{io, net::SocketAddr, time::Duration};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

use super::super::{cast::TCP_ECHO, mesh::Mesh, report::Report};
use crate::failure::{Context, Failure};

/// Enough to fill every buffer on the way several times.
const BYTES: usize = 8 << 20;
const PATIENCE: Duration = Duration::from_secs(10);

pub(super) fn play(mesh: &Mesh, report: &mut Report) -> Result<(), Failure> {
    let address: SocketAddr = TCP_ECHO.parse().context(|| TCP_ECHO.into())?;
    let done = mesh.namespace("productpage")?.drive(move || timeout(PATIENCE, echo(address)))?;
    report.page.tcp_bytes = BYTES;
    report.tcp_ok = match done {
        Ok(Ok(same)) => same,
        Ok(Err(error)) => {
            return Err(Failure::new(format!("raw TCP to tcp-echo ({TCP_ECHO}): {error}")));
        }
        Err(_) => return Err(Failure::new(format!("raw TCP to {TCP_ECHO} took over 10 s"))),
    };
    Ok(())
}

/// Sends a pattern that repeats at no power of two, half-closes, and compares what comes back.
async fn echo(address: SocketAddr) -> io::Result<bool> {
    let sent: Vec<u8> = (0..BYTES).map(|place| (place % 251) as u8).collect();
    let (mut reader, mut writer) = TcpStream::connect(address).await?.into_split();
    let mut back = Vec::with_capacity(BYTES);
    let send = async {
        writer.write_all(&sent).await?;
        writer.shutdown().await
    };
    let (written, read) = tokio::join!(send, reader.read_to_end(&mut back));
    written?;
    read?;
    Ok(back == sent)
}
