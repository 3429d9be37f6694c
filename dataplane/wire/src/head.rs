//! A message head: start line and fields as spans over bytes, so that nothing is copied to be read.
//!
//! The bytes as they came stay in `base`; what filters set later goes to `extra`. A [`Head`] is
//! cleared and used again, so that after warm-up it allocates nothing.

use std::ops::Range;

/// Where a piece of a head stands: in the bytes as they came, or in the bytes added later.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Span {
    start: u32,
    /// The top bit says `extra`.
    len: u32,
}

const EXTRA: u32 = 1 << 31;

/// One field line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Field {
    /// The name, lower case.
    pub name: Span,
    /// The value without surrounding white space.
    pub value: Span,
    /// The name as a small number, for names that code asks for.
    pub known: Known,
    /// Header compression must never put it into a table (RFC 7541, 6.2.3): it came so.
    pub is_secret: bool,
}

/// Names that code asks for. `Other` must be compared by its bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
#[allow(missing_docs)] // each is its header's name
pub enum Known {
    Other,
    Accept,
    Authorization,
    Connection,
    ContentLength,
    ContentType,
    Cookie,
    Date,
    Expect,
    Host,
    Http2Settings,
    KeepAlive,
    ProxyConnection,
    Server,
    Te,
    Trailer,
    TransferEncoding,
    Upgrade,
    UserAgent,
    Via,
    XEnvoyAttemptCount,
    XEnvoyExpectedRqTimeoutMs,
    /// Any other `x-envoy-…`: to be compared by its bytes.
    XEnvoyOther,
    XEnvoyUpstreamRqTimeoutMs,
    XEnvoyUpstreamServiceTime,
    XForwardedClientCert,
    XForwardedFor,
    XForwardedProto,
    XRequestId,
}

/// A set of known names, so that asking for what is not there looks at no field.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Names(u64);

impl Names {
    /// These names.
    pub const fn of(names: &[Known]) -> Self {
        let (mut set, mut rest) = (0, names);
        while let [first, others @ ..] = rest {
            set |= 1 << *first as u8;
            rest = others;
        }
        Self(set)
    }

    /// Whether the two sets have a name in common.
    pub const fn meets(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    fn add(&mut self, name: Known) {
        self.0 |= 1 << name as u8;
    }

    fn take_out(&mut self, name: Known) {
        self.0 &= !(1 << name as u8);
    }
}

/// The HTTP version of a message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Version {
    Http10,
    #[default]
    Http11,
    Http2,
}

/// How a message's body is framed on the wire.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Framing {
    /// There is none.
    #[default]
    None,
    /// So many bytes (RFC 9112, 6.2).
    Length(u64),
    /// Chunked (RFC 9112, 7.1); by HTTP/2, which needs no framing of its own: of unknown length.
    Chunked,
    /// All bytes until the connection closes (responses only, RFC 9112, 6.3 number 8), or a
    /// tunnel's until its stream ends (HTTP/2).
    UntilClose,
}

/// How the names of fields are written by HTTP/1.1 (Envoy: `header_key_format`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum NameForm {
    /// In lower case.
    #[default]
    Lower,
    /// The first letter, and each behind what is no letter or digit, as a capital
    /// (`proper_case_words`).
    Proper,
    /// As they came, if they were kept ([`Head::keep_names`]); others in lower case
    /// (`preserve_case`).
    Kept,
    /// As they came; others as in `Proper` (`formatter_type_on_envoy_headers: PROPER_CASE`).
    KeptOrProper,
}

/// A request's or a response's head.
#[derive(Clone, Debug, Default)]
pub struct Head {
    base: Vec<u8>,
    extra: Vec<u8>,
    /// The bytes as they came, before names were lowered, where names are kept.
    kept: Vec<u8>,
    fields: Vec<Field>,
    /// The names among the fields, and perhaps some that were among them.
    names: Names,
    /// Request: the method. Response: empty.
    pub method: Span,
    /// Request: the path with its query (`:path`). Response: empty.
    pub path: Span,
    /// Request: `:scheme` by HTTP/2, that of an absolute target by HTTP/1.1. Otherwise empty.
    pub scheme: Span,
    /// Request: host and port as the client wrote them (`:authority`). Response: empty.
    pub authority: Span,
    /// Response: the status. Request: 0.
    pub status: u16,
    /// The version it came by.
    pub version: Version,
    /// How its body is framed.
    pub framing: Framing,
    /// The connection persists after this message, as far as this head says (RFC 9112, 9.3).
    pub keep_alive: bool,
    /// The protocol asked for by an `upgrade` (request) or switched to (101), if any.
    pub upgrade: Option<Span>,
    /// How names are written by HTTP/1.1.
    pub name_form: NameForm,
    /// A request by HTTP/1.1 is written with the absolute form of its target, of this scheme
    /// (Envoy: `send_fully_qualified_url`).
    pub absolute: Option<&'static str>,
}

impl Head {
    /// Empties the head; its tables keep their room.
    pub fn clear(&mut self) {
        let Self { base, extra, kept, fields, .. } = self;
        base.clear();
        extra.clear();
        kept.clear();
        fields.clear();
        let (base, extra) = (std::mem::take(base), std::mem::take(extra));
        let (kept, fields) = (std::mem::take(kept), std::mem::take(fields));
        *self = Self { base, extra, kept, fields, ..Self::default() };
    }

    /// Keeps the names as they stand in these bytes, those of the head before they are lowered.
    pub(crate) fn keep_names(&mut self, bytes: &[u8]) {
        self.kept.clear();
        self.kept.extend_from_slice(bytes);
    }

    /// The name as it came, whatever has become of the field since.
    pub(crate) fn kept_name(&self, name: &[u8]) -> Option<&[u8]> {
        memchr::memchr_iter(b'\n', &self.kept).find_map(|end| {
            let (found, behind) = self.kept.get(end + 1..)?.split_at_checked(name.len())?;
            (found.eq_ignore_ascii_case(name) && behind.first() == Some(&b':')).then_some(found)
        })
    }

    /// Becomes a copy of another head, in the room that it has.
    pub fn copy_from(&mut self, other: &Self) {
        let Self { base, extra, kept, fields, .. } = self;
        base.clone_from(&other.base);
        extra.clone_from(&other.extra);
        kept.clone_from(&other.kept);
        fields.clone_from(&other.fields);
        let (base, extra) = (std::mem::take(base), std::mem::take(extra));
        let (kept, fields) = (std::mem::take(kept), std::mem::take(fields));
        *self = Self { base, extra, kept, fields, ..*other };
    }

    /// Starts a head on these bytes, for a codec to fill in spans over them.
    pub fn start(&mut self, bytes: &[u8]) {
        self.clear();
        self.base.extend_from_slice(bytes);
    }

    /// The bytes as they came, for the codec that fills the head in (it lowers names in place).
    pub fn base_mut(&mut self) -> &mut [u8] {
        &mut self.base
    }

    /// The bytes as they came.
    pub fn base(&self) -> &[u8] {
        &self.base
    }

    /// Where the line of a field stands among the bytes as they came, if it stands there as it is
    /// written: name, colon, space, value, CRLF.
    pub fn line(&self, field: &Field) -> Option<Range<usize>> {
        let Field { name, value, .. } = *field;
        let (start, colon) = (name.start as usize, name.start as usize + name.len as usize);
        let end = value.start as usize + value.len as usize;
        let came = (name.len | value.len) & EXTRA == 0 && value.start as usize == colon + 2;
        let is_line = came
            && self.base.get(colon..colon + 2) == Some(b": ")
            && self.base.get(end..end + 2) == Some(b"\r\n");
        is_line.then_some(start..end + 2)
    }

    /// The bytes as they came, for a codec that unpacks them one field after the other.
    pub(crate) fn bytes_mut(&mut self) -> &mut Vec<u8> {
        &mut self.base
    }

    /// Appends what stands at a span of the bytes as they came once more behind them.
    pub(crate) fn repeat(&mut self, span: Span) {
        let start = span.start as usize;
        let end = start.saturating_add(span.len as usize);
        if end <= self.base.len() {
            self.base.extend_from_within(start..end);
        }
    }

    /// Changes fields, and keeps those for which `change` says so.
    pub(crate) fn change_fields(&mut self, change: impl FnMut(&mut Field) -> bool) {
        self.fields.retain_mut(change);
    }

    /// A span over the bytes as they came. Out of range means the empty span.
    pub fn span(&self, start: usize, len: usize) -> Span {
        let (most, all) = (EXTRA as usize, self.base.len());
        let fits = all < most && all.checked_sub(start).is_some_and(|room| len <= room);
        // Both are below 2 GiB then.
        if fits { Span { start: start as u32, len: len as u32 } } else { Span::default() }
    }

    /// Puts bytes into the added part and returns where they stand.
    pub fn add_bytes(&mut self, bytes: &[u8]) -> Span {
        let start = self.extra.len();
        self.extra.extend_from_slice(bytes);
        match (u32::try_from(start), u32::try_from(bytes.len())) {
            (Ok(start), Ok(len)) if len < EXTRA => Span { start, len: len | EXTRA },
            _ => Span::default(),
        }
    }

    /// The bytes of a span.
    pub fn get(&self, span: Span) -> &[u8] {
        let (from, len) = if span.len & EXTRA == 0 {
            (&self.base, span.len)
        } else {
            (&self.extra, span.len & !EXTRA)
        };
        let start = span.start as usize;
        from.get(start..start + len as usize).unwrap_or_default()
    }

    /// The method's bytes.
    pub fn method(&self) -> &[u8] {
        self.get(self.method)
    }

    /// The path's bytes, query included.
    pub fn path(&self) -> &[u8] {
        self.get(self.path)
    }

    /// The authority's bytes.
    pub fn authority(&self) -> &[u8] {
        self.get(self.authority)
    }

    /// The fields in order. `host` is not among a request's: see `authority`.
    pub fn fields(&self) -> &[Field] {
        &self.fields
    }

    /// Names and values in order.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.fields.iter().map(|field| (self.get(field.name), self.get(field.value)))
    }

    /// Whether there may be a field of one of these names; no is certain.
    pub fn may_have(&self, names: Names) -> bool {
        self.names.meets(names)
    }

    /// The first value of a known field.
    pub fn value(&self, known: Known) -> Option<&[u8]> {
        if !self.may_have(Names::of(&[known])) {
            return None;
        }
        self.fields.iter().find(|field| field.known == known).map(|field| self.get(field.value))
    }

    /// All values of a field by its lower-case name, in order.
    pub fn values<'a>(&'a self, name: &'a [u8]) -> impl Iterator<Item = &'a [u8]> {
        self.iter().filter(move |(found, _)| *found == name).map(|(_, value)| value)
    }

    /// Appends a field that stands in the bytes as they came.
    pub fn push(&mut self, field: Field) {
        self.names.add(field.known);
        self.fields.push(field);
    }

    /// Lowers the letters of a span over the bytes as they came.
    pub fn lower(&mut self, span: Span) {
        let start = span.start as usize;
        if let Some(bytes) = self.base.get_mut(start..start.saturating_add(span.len as usize)) {
            lower(bytes);
        }
    }

    /// Appends a field. The name must be lower case.
    ///
    /// Appends nothing and says false if the name is empty or if name or value hold CR, LF or
    /// NUL: what is written here is not read again before it goes out.
    pub fn append(&mut self, name: &[u8], value: &[u8]) -> bool {
        let known = Known::of(name);
        let is_new = matches!(known, Known::Other | Known::XEnvoyOther);
        if name.is_empty() || (is_new && breaks(name)) || breaks(value) {
            return false;
        }
        self.add(name, known, value);
        true
    }

    fn add(&mut self, name: &[u8], known: Known, value: &[u8]) {
        let (name, value) = (self.add_bytes(name), self.add_bytes(value));
        self.push(Field { name, value, known, is_secret: false });
    }

    /// Removes every field of that name, then appends one. The name must be lower case. False as
    /// for [`append`](Self::append).
    pub fn set(&mut self, name: &[u8], value: &[u8]) -> bool {
        self.remove(name);
        self.append(name, value)
    }

    /// [`set`](Self::set) to what stands at a span of this head: a value, the path, the authority.
    pub fn set_span(&mut self, name: &[u8], value: Span) {
        self.remove(name);
        let name = (self.add_bytes(name), Known::of(name));
        self.push(Field { name: name.0, value, known: name.1, is_secret: false });
    }

    /// [`append`](Self::append) with a number.
    pub fn append_number(&mut self, name: &[u8], value: u64) -> bool {
        self.append(name, itoa::Buffer::new().format(value).as_bytes())
    }

    /// [`set`](Self::set) to a number.
    pub fn set_number(&mut self, name: &[u8], value: u64) -> bool {
        self.set(name, itoa::Buffer::new().format(value).as_bytes())
    }

    /// Removes every field of that lower-case name.
    pub fn remove(&mut self, name: &[u8]) {
        match Known::of(name) {
            known @ (Known::Other | Known::XEnvoyOther) => {
                if self.may_have(Names::of(&[known])) {
                    self.remove_where(|head, field| {
                        field.known == known && head.get(field.name) == name
                    });
                }
            }
            known => self.remove_known(known),
        }
    }

    /// Removes every field of a known name.
    pub fn remove_known(&mut self, known: Known) {
        if self.may_have(Names::of(&[known])) {
            self.retain(|field| field.known != known);
            self.names.take_out(known);
        }
    }

    /// Keeps the fields for which `keep` says so.
    pub fn retain(&mut self, keep: impl FnMut(&Field) -> bool) {
        self.fields.retain(keep);
    }

    /// Removes the fields for which `goes` says so, judging each by the head as it was.
    pub fn remove_where(&mut self, goes: impl Fn(&Self, &Field) -> bool) {
        const GONE: Span = Span { start: u32::MAX, len: 0 };
        for at in 0..self.fields.len() {
            let gone = self.fields.get(at).is_some_and(|field| goes(self, field));
            if let Some(field) = self.fields.get_mut(at).filter(|_| gone) {
                field.name = GONE;
            }
        }
        self.fields.retain(|field| field.name != GONE);
    }
}

/// What would end a line too soon, or what comes behind it.
fn breaks(bytes: &[u8]) -> bool {
    memchr::memchr3(b'\r', b'\n', 0, bytes).is_some()
}

/// Lowers letters, eight bytes at a time: names are mostly longer than that, and few are much
/// longer.
fn lower(bytes: &mut [u8]) {
    bytes.as_chunks_mut().0.iter_mut().for_each(lower_word);
    match bytes.last_chunk_mut() {
        // Some of these are lower by now, which they may be twice.
        Some(word) => lower_word(word),
        None => bytes.make_ascii_lowercase(),
    }
}

/// Sets the bit that makes a letter small in each byte that is a capital.
fn lower_word(bytes: &mut [u8; 8]) {
    const ALL: u64 = u64::MAX / 0xff;
    let word = u64::from_ne_bytes(*bytes);
    let low = word & (ALL * 0x7f);
    // The top bit of each byte: from 'A' on, and behind 'Z'. Without it no byte reaches the next.
    let (from_a, behind_z) = (low + ALL * (0x80 - 0x41), low + ALL * (0x80 - 0x5b));
    *bytes = (word | (((from_a ^ behind_z) & !word & (ALL * 0x80)) >> 2)).to_ne_bytes();
}

/// Finds a name among those of its length, each compared as a number or two.
macro_rules! known {
    ($name:expr; $($length:literal { $($text:literal => $known:ident),+ $(,)? })+) => {
        match $name.len() {
            $($length => {
                let name: Option<&[u8; $length]> = $name.first_chunk();
                match name {
                    $(Some(name) if name == $text => Self::$known,)+
                    _ => Self::unknown($name),
                }
            })+
            _ => Self::unknown($name),
        }
    };
}

impl Known {
    /// The number of a lower-case name.
    pub fn of(name: &[u8]) -> Self {
        known! { name;
            2 { b"te" => Te }
            3 { b"via" => Via }
            4 { b"host" => Host, b"date" => Date }
            6 { b"accept" => Accept, b"cookie" => Cookie, b"expect" => Expect, b"server" => Server }
            7 { b"trailer" => Trailer, b"upgrade" => Upgrade }
            10 {
                b"user-agent" => UserAgent,
                b"connection" => Connection,
                b"keep-alive" => KeepAlive,
            }
            12 { b"content-type" => ContentType, b"x-request-id" => XRequestId }
            13 { b"authorization" => Authorization }
            14 { b"content-length" => ContentLength, b"http2-settings" => Http2Settings }
            15 { b"x-forwarded-for" => XForwardedFor }
            16 { b"proxy-connection" => ProxyConnection }
            17 { b"x-forwarded-proto" => XForwardedProto, b"transfer-encoding" => TransferEncoding }
            21 { b"x-envoy-attempt-count" => XEnvoyAttemptCount }
            23 { b"x-forwarded-client-cert" => XForwardedClientCert }
            29 { b"x-envoy-upstream-service-time" => XEnvoyUpstreamServiceTime }
            30 {
                b"x-envoy-upstream-rq-timeout-ms" => XEnvoyUpstreamRqTimeoutMs,
                b"x-envoy-expected-rq-timeout-ms" => XEnvoyExpectedRqTimeoutMs,
            }
        }
    }

    fn unknown(name: &[u8]) -> Self {
        if name.starts_with(b"x-envoy-") { Self::XEnvoyOther } else { Self::Other }
    }
}
