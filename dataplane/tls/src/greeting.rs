//! The wait for a ClientHello, which says what server it is for and what it can speak.

use std::fmt;
use std::sync::Arc;

use rustls::server::{AcceptedAlert, Acceptor};

use crate::error::{ended, refusal, too_large};
use crate::handshake::PENDING_MAX;
use crate::server::Built;
use crate::session::TlsError;

/// Collects bytes until the ClientHello is whole.
pub(crate) struct Greeting {
    built: Arc<Built>,
    acceptor: Acceptor,
    /// What came in earlier calls; empty in the usual case that one call brings it all.
    before: Vec<u8>,
    alert: Vec<u8>,
    ended: bool,
}

impl fmt::Debug for Greeting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Greeting").field("before", &self.before.len()).finish_non_exhaustive()
    }
}

/// What has been heard.
pub(crate) enum Heard {
    /// Not all of it; the input is kept.
    More,
    /// All of it. The input is not touched.
    Hello(Hello),
}

/// What a ClientHello leads to.
pub(crate) struct Hello {
    /// The server name that is asked for; empty: none.
    pub(crate) sni: String,
    /// The configuration that answers it.
    pub(crate) built: Arc<Built>,
    /// Whether the client offers one of our application protocols.
    pub(crate) speaks_ours: bool,
    /// Bytes that stand before the input.
    pub(crate) before: Vec<u8>,
}

impl Greeting {
    pub(crate) fn new(built: Arc<Built>) -> Self {
        let acceptor = Acceptor::default();
        Self { built, acceptor, before: Vec::new(), alert: Vec::new(), ended: false }
    }

    /// Looks at more input.
    pub(crate) fn hear(&mut self, input: &[u8]) -> Result<Heard, TlsError> {
        if self.ended {
            return Err(ended());
        }
        let mut rest = input;
        while !rest.is_empty() {
            let read = self.acceptor.read_tls(&mut rest).unwrap_or(0);
            match self.acceptor.accept() {
                Ok(None) if read == 0 => return Err(self.end(too_large(PENDING_MAX))),
                Ok(None) => {}
                Ok(Some(accepted)) => {
                    let hello = accepted.client_hello();
                    let sni = hello.server_name().unwrap_or_default().to_owned();
                    let speaks_ours =
                        hello.alpn().is_some_and(|mut offer| offer.any(|p| self.built.speaks(p)));
                    let before = std::mem::take(&mut self.before);
                    let built = self.built.clone();
                    return Ok(Heard::Hello(Hello { sni, built, speaks_ours, before }));
                }
                Err((error, alert)) => return Err(self.refuse(refusal(&error), alert)),
            }
        }
        if self.before.len() + input.len() > PENDING_MAX {
            return Err(self.end(too_large(PENDING_MAX)));
        }
        self.before.extend_from_slice(input);
        Ok(Heard::More)
    }

    /// The alert of a refusal.
    pub(crate) fn output(&mut self, out: &mut Vec<u8>) {
        out.append(&mut self.alert);
    }

    /// Nothing was agreed, so there is nothing to say.
    pub(crate) fn close(&mut self) {
        self.ended = true;
    }

    fn refuse(&mut self, error: TlsError, mut alert: AcceptedAlert) -> TlsError {
        // Writing to a Vec cannot fail.
        let _ = alert.write_all(&mut self.alert);
        self.end(error)
    }

    fn end(&mut self, error: TlsError) -> TlsError {
        self.ended = true;
        self.before = Vec::new();
        error
    }
}
