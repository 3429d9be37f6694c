//! The answer on one stream.

use wire::head::{Head, Known};

use super::{
    super::{
        super::{Counts, error::Failure},
        values::Values,
    },
    grpc::{Message, Status},
    question::Question,
};

/// The answer that one slot is reading, or the last one that it has read.
#[derive(Default)]
pub(super) struct Answer {
    /// Its stream; 0: none, which no stream is.
    pub(super) id: u32,
    /// Bytes of the request's body that have left.
    pub(super) sent: u64,
    /// Bytes of the body, or of the message, so far.
    pub(super) seen: usize,
    status: u16,
    message: Message,
    grpc: Option<Status>,
    values: Values,
}

impl Answer {
    /// A request begins on this stream.
    pub(super) fn begin(&mut self, id: u32) {
        (self.id, self.sent, self.seen, self.status) = (id, 0, 0, 0);
        (self.message, self.grpc) = (Message::default(), None);
    }

    /// A head has come. Says whether the answer is whole.
    pub(super) fn head(
        &mut self,
        head: &Head,
        end: bool,
        question: &Question,
    ) -> Result<bool, Failure> {
        // Interim answers are passed over.
        if head.status < 200 {
            return Ok(false);
        }
        self.status = head.status;
        self.values.note(&question.tally, head);
        if question.is_grpc {
            self.note_grpc(head);
            let kind = head.value(Known::ContentType).unwrap_or_default();
            if head.status == 200 && !kind.starts_with(b"application/grpc") {
                return Err(Failure::NotGrpc);
            }
        }
        if end { self.finish(question) } else { Ok(false) }
    }

    pub(super) fn data(
        &mut self,
        data: &[u8],
        end: bool,
        question: &Question,
    ) -> Result<bool, Failure> {
        // The body of an error page is no message.
        let is_message = question.is_grpc && self.status == 200;
        let data = if is_message { self.message.take(data)? } else { data };
        let place = self.seen..self.seen + data.len();
        let expected = question.expected_body.as_deref();
        if expected.is_some_and(|all| all.get(place) != Some(data)) {
            return Err(Failure::BodyDiffers);
        }
        self.seen += data.len();
        if end { self.finish(question) } else { Ok(false) }
    }

    pub(super) fn trailers(&mut self, head: &Head, question: &Question) -> Result<bool, Failure> {
        self.values.note_more(&question.tally, head);
        if question.is_grpc {
            self.note_grpc(head);
        }
        self.finish(question)
    }

    fn note_grpc(&mut self, head: &Head) {
        if let Some(value) = head.values(b"grpc-status").next() {
            self.grpc = Status::read(value);
        }
    }

    /// Nothing more comes: is it right?
    fn finish(&self, question: &Question) -> Result<bool, Failure> {
        if question.is_grpc {
            let status = self.grpc.ok_or(Failure::NoGrpcStatus(self.status))?;
            // A call that has failed has no message.
            if !status.is_ok() {
                return Ok(true);
            }
            if !self.message.is_whole() {
                return Err(Failure::Message);
            }
        }
        match &question.expected_body {
            Some(all) if all.len() != self.seen => Err(Failure::BodyDiffers),
            _ => Ok(true),
        }
    }

    pub(super) fn count(&self, question: &Question, counts: &mut Counts) {
        counts.status(self.status);
        if let Some(status) = self.grpc {
            counts.grpc_status(status.name());
        }
        self.values.count(&question.tally, counts);
    }
}
