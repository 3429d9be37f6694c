//! One turn of rustls, for either side.

use rustls::client::{ClientConnectionData, UnbufferedClientConnection};
use rustls::kernel::KernelConnection;
use rustls::server::{ServerConnectionData, UnbufferedServerConnection};
use rustls::unbuffered::{ConnectionState, EncodeError, EncodeTlsData, UnbufferedStatus};
use rustls::{CommonState, Error, ExtractedSecrets};

use crate::aead::HEAD;
use crate::messages::Role;

/// Either kind of rustls connection.
pub(crate) trait Engine {
    /// rustls' mark of the side.
    type Side: Role;
    /// Goes on with what has come in.
    fn process<'c, 'i>(&'c mut self, input: &'i mut [u8]) -> UnbufferedStatus<'c, 'i, Self::Side>;
    /// What is known of the connection.
    fn common(&self) -> &CommonState;
    /// Gives the traffic keys away, and what the next ones are made of.
    fn into_secrets(self) -> Result<(ExtractedSecrets, KernelConnection<Self::Side>), Error>;
}

impl Engine for UnbufferedServerConnection {
    type Side = ServerConnectionData;

    fn process<'c, 'i>(&'c mut self, input: &'i mut [u8]) -> UnbufferedStatus<'c, 'i, Self::Side> {
        self.process_tls_records(input)
    }

    fn common(&self) -> &CommonState {
        self
    }

    fn into_secrets(self) -> Result<(ExtractedSecrets, KernelConnection<Self::Side>), Error> {
        self.dangerous_into_kernel_connection()
    }
}

impl Engine for UnbufferedClientConnection {
    type Side = ClientConnectionData;

    fn process<'c, 'i>(&'c mut self, input: &'i mut [u8]) -> UnbufferedStatus<'c, 'i, Self::Side> {
        self.process_tls_records(input)
    }

    fn common(&self) -> &CommonState {
        self
    }

    fn into_secrets(self) -> Result<(ExtractedSecrets, KernelConnection<Self::Side>), Error> {
        self.dangerous_into_kernel_connection()
    }
}

/// What one turn of rustls came to.
pub(crate) enum Turn {
    /// Call again.
    Again,
    /// A record of so many plaintext bytes ends where the input is done with. The plaintext is in
    /// its place at the front of the record's body.
    Record(usize),
    /// The same, but the plaintext is in the scratch buffer.
    Copied(Vec<u8>),
    /// The peer said good-bye.
    PeerClosed,
    /// Nothing more to be done with this input.
    Idle,
    Failed(rustls::Error),
}

/// One turn; the number is how much of the input is done with. `aligned`: it begins with a record
/// of which rustls has seen nothing. What rustls wants to send goes to the end of `out`.
pub(crate) fn turn<E: Engine>(
    engine: &mut E,
    input: &mut [u8],
    aligned: bool,
    out: &mut Vec<u8>,
) -> (Turn, usize) {
    let first = record_end(input).filter(|_| aligned);
    let status = engine.process(input);
    let discard = status.discard;
    let turn = match status.state {
        Err(error) => Turn::Failed(error),
        Ok(ConnectionState::EncodeTlsData(data)) => {
            encode(data, out);
            Turn::Again
        }
        Ok(ConnectionState::TransmitTlsData(data)) => {
            data.done();
            Turn::Again
        }
        Ok(ConnectionState::ReadTraffic(mut data)) => match data.next_record() {
            Some(Ok(record)) if first == Some(discard) => Turn::Record(record.payload.len()),
            Some(Ok(record)) => Turn::Copied(record.payload.to_vec()),
            Some(Err(error)) => Turn::Failed(error),
            None => Turn::Again,
        },
        Ok(ConnectionState::PeerClosed) => Turn::PeerClosed,
        Ok(_) => Turn::Idle,
    };
    (turn, discard)
}

/// How much of an input rustls is shown.
pub(crate) struct Shown {
    /// The end of the last whole record.
    pub(crate) records: usize,
    /// The end of it all.
    pub(crate) end: usize,
}

impl Shown {
    /// One record more or, where there is no whole one, the beginning of one. Says whether there
    /// was anything.
    pub(crate) fn more(&mut self, input: &[u8]) -> bool {
        match input.get(self.records..).and_then(record_end) {
            Some(length) => {
                self.records += length;
                self.end = self.records;
                true
            }
            None => std::mem::replace(&mut self.end, input.len()) < input.len(),
        }
    }
}

/// Appends what rustls wants to send.
pub(crate) fn encode<Side>(mut data: EncodeTlsData<'_, Side>, out: &mut Vec<u8>) {
    let start = out.len();
    if let Err(EncodeError::InsufficientSize(needed)) = data.encode(&mut []) {
        out.resize(start + needed.required_size, 0);
        let written = data.encode(out.get_mut(start..).unwrap_or_default()).unwrap_or(0);
        out.truncate(start + written);
    }
}

/// Where the first record of the input ends, if the whole of it is there.
pub(crate) fn record_end(input: &[u8]) -> Option<usize> {
    let [_, _, _, high, low] = *input.first_chunk::<HEAD>()?;
    let length = u16::from_be_bytes([high, low]);
    let end = HEAD + usize::from(length);
    (end <= input.len()).then_some(end)
}
