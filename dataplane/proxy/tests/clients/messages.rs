//! The messages of `grpc.testing.TestService`, and where its calls are found.

/// The service, as it stands in a path.
pub(crate) const SERVICE: &str = "/grpc.testing.TestService/";
pub(crate) const INITIAL: &str = "x-grpc-test-echo-initial";
pub(crate) const TRAILING: &str = "x-grpc-test-echo-trailing-bin";
/// The most bytes of a message either side takes.
pub(crate) const MESSAGE_BYTES_MAX: usize = 12 << 20;

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Payload {
    #[prost(int32, tag = "1")]
    pub(crate) kind: i32,
    #[prost(bytes = "vec", tag = "2")]
    pub(crate) body: Vec<u8>,
}

impl Payload {
    pub(crate) fn of(len: usize) -> Option<Self> {
        Some(Self { kind: 0, body: vec![0; len] })
    }
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct EchoStatus {
    #[prost(int32, tag = "1")]
    pub(crate) code: i32,
    #[prost(string, tag = "2")]
    pub(crate) message: String,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct SimpleRequest {
    #[prost(int32, tag = "2")]
    pub(crate) response_size: i32,
    #[prost(message, optional, tag = "3")]
    pub(crate) payload: Option<Payload>,
    #[prost(message, optional, tag = "7")]
    pub(crate) response_status: Option<EchoStatus>,
    /// Ours: the answer is to say how many seconds of the deadline are left.
    #[prost(bytes = "vec", optional, tag = "99")]
    pub(crate) asks_deadline: Option<Vec<u8>>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct SimpleResponse {
    #[prost(message, optional, tag = "1")]
    pub(crate) payload: Option<Payload>,
    /// Ours.
    #[prost(int32, optional, tag = "98")]
    pub(crate) seconds_left: Option<i32>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Input {
    #[prost(message, optional, tag = "1")]
    pub(crate) payload: Option<Payload>,
}

/// An answer that is a number: the sizes of all inputs, or the calls that were cancelled.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Number {
    #[prost(int32, tag = "1")]
    pub(crate) value: i32,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Parameters {
    #[prost(int32, tag = "1")]
    pub(crate) size: i32,
    #[prost(int32, tag = "2")]
    pub(crate) interval_us: i32,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct OutputRequest {
    #[prost(message, repeated, tag = "2")]
    pub(crate) parameters: Vec<Parameters>,
    #[prost(message, optional, tag = "3")]
    pub(crate) payload: Option<Payload>,
    #[prost(message, optional, tag = "7")]
    pub(crate) response_status: Option<EchoStatus>,
}

impl OutputRequest {
    pub(crate) fn of(sizes: &[i32]) -> Self {
        let parameters = sizes.iter().map(|size| Parameters { size: *size, interval_us: 0 });
        Self { parameters: parameters.collect(), ..Self::default() }
    }
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Empty {}
