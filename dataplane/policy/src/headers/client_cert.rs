//! `x-forwarded-client-cert`: what the next one is told of the client's certificate.

use config::snapshot::{ClientCert, ForwardClientCert};
use tls::session::Peer;
use wire::head::{Head, Known};

use super::text;

const NAME: &[u8] = b"x-forwarded-client-cert";

/// Removes, keeps, sets or lengthens the header as `forward_client_cert_details` says. Without a
/// verified certificate there is nothing to tell and nothing to believe.
pub(super) fn apply(head: &mut Head, asked: &ClientCert, peer: Option<&Peer>, local_uri: &str) {
    let peer = peer.filter(|peer| peer.verified);
    match (asked.forward, peer) {
        (ForwardClientCert::AlwaysForwardOnly, _) => {}
        (ForwardClientCert::Sanitize, _) | (_, None) => {
            head.remove_known(Known::XForwardedClientCert)
        }
        (ForwardClientCert::ForwardOnly, Some(_)) => {}
        (ForwardClientCert::SanitizeSet, Some(peer)) => {
            head.remove_known(Known::XForwardedClientCert);
            text::join(head, NAME, b",", |out| element(out, asked, peer, local_uri));
        }
        (ForwardClientCert::AppendForward, Some(peer)) => {
            text::join(head, NAME, b",", |out| element(out, asked, peer, local_uri));
        }
    }
}

/// One element: `By`, `Hash`, then what is asked for. `Subject` and `URI` stand there even if they
/// are empty.
fn element(out: &mut Vec<u8>, asked: &ClientCert, peer: &Peer, local_uri: &str) {
    let mut parts = Parts { out, first: true };
    if !local_uri.is_empty() {
        parts.plain("By", local_uri);
    }
    if peer.fingerprint != [0; 32] {
        parts.key("Hash");
        peer.fingerprint.iter().for_each(|byte| text::write(parts.out, format_args!("{byte:02x}")));
    }
    if asked.subject {
        parts.subject(&peer.subject);
    }
    if asked.uri {
        peer.uris.iter().for_each(|uri| parts.plain("URI", uri));
        if peer.uris.is_empty() {
            parts.key("URI");
        }
    }
    if asked.dns {
        peer.dns.iter().for_each(|name| parts.plain("DNS", name));
    }
}

/// Keys and values between semicolons.
struct Parts<'b> {
    out: &'b mut Vec<u8>,
    first: bool,
}

impl Parts<'_> {
    fn key(&mut self, key: &str) {
        if !std::mem::replace(&mut self.first, false) {
            self.out.push(b';');
        }
        self.out.extend_from_slice(key.as_bytes());
        self.out.push(b'=');
    }

    /// A value that stands bare, unless it would then read as something else. (Envoy leaves it
    /// bare even so: a name with `,` or `;` in it could forge an element.)
    fn plain(&mut self, key: &str, value: &str) {
        self.key(key);
        if value.bytes().any(|byte| matches!(byte, b',' | b';' | b'=' | b'"' | b'\\')) {
            self.out.push(b'"');
            value.chars().for_each(|char| self.char(char, true));
            self.out.push(b'"');
        } else {
            value.chars().for_each(|char| self.char(char, false));
        }
    }

    /// A subject, which RFC 2253 has escaped already: a bare `"` in it cannot be, and is escaped.
    /// What is not ASCII becomes `\\XX` byte by byte, as Envoy's TLS library writes it.
    fn subject(&mut self, value: &str) {
        self.key("Subject");
        self.out.push(b'"');
        let mut escaped = false;
        for char in value.chars() {
            if char.is_ascii() {
                self.char(char, char == '"' && !escaped);
            } else {
                char.encode_utf8(&mut [0; 4]).bytes().for_each(|byte| {
                    text::write(self.out, format_args!("\\{byte:02X}"));
                });
            }
            escaped = char == '\\' && !escaped;
        }
        if escaped {
            self.out.push(b'\\');
        }
        self.out.push(b'"');
    }

    /// Visible ASCII and spaces as they are; the rest of a certificate's characters has no place
    /// in a header and becomes `?`.
    fn char(&mut self, char: char, escapes: bool) {
        match u8::try_from(char) {
            Ok(byte @ (b'"' | b'\\')) if escapes => self.out.extend_from_slice(&[b'\\', byte]),
            Ok(byte @ b' '..=b'~') => self.out.push(byte),
            _ => self.out.push(b'?'),
        }
    }
}
