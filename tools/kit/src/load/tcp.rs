//! One TCP connection of the generator, to a server that sends back what it gets.

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use super::error::Failure;

/// A connection with the bytes of its next round trip.
pub(super) struct Connection {
    stream: TcpStream,
    sent: Vec<u8>,
    received: Vec<u8>,
    trips: u64,
}

impl Connection {
    pub(super) fn new(stream: TcpStream, payload: &[u8]) -> Self {
        Self { stream, sent: payload.to_vec(), received: vec![0; payload.len()], trips: 0 }
    }

    /// Sends the payload and checks that just that comes back. Each trip is numbered in its first
    /// bytes, so that an echo of an earlier one is not taken for it.
    pub(super) async fn exchange(&mut self) -> Result<(), Failure> {
        self.trips += 1;
        for (byte, number) in self.sent.iter_mut().zip(self.trips.to_le_bytes()) {
            *byte = number;
        }
        let (mut read, mut write) = self.stream.split();
        let send = async {
            write.write_all(&self.sent).await?;
            Ok::<_, Failure>(())
        };
        let receive = async {
            read.read_exact(&mut self.received).await?;
            Ok(())
        };
        tokio::try_join!(send, receive)?;
        if self.sent == self.received { Ok(()) } else { Err(Failure::BodyDiffers) }
    }
}
