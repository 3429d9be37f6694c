//! Every sentence that the model can say, one function each.

use std::fmt;
use std::sync::Arc;

use source::{Object, ObjectKey};

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// It is in force, but will hardly do what was meant.
    Warning,
    /// It was refused; the last good version stays.
    Error,
}

/// A stable name of what is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Code {
    /// Istio has it, this mesh does not yet.
    NotBuilt,
    /// The value cannot be what the field asks for.
    BadValue,
    /// Something that must be there is not.
    Missing,
    /// Two things exclude each other.
    Conflict,
    /// It names something that does not exist.
    Dangling,
}

impl Code {
    /// As it is printed.
    pub fn name(self) -> &'static str {
        match self {
            Self::NotBuilt => "not-built",
            Self::BadValue => "bad-value",
            Self::Missing => "missing",
            Self::Conflict => "conflict",
            Self::Dangling => "dangling",
        }
    }
}

/// One sentence about one field of one object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// How bad it is.
    pub severity: Severity,
    /// What kind of thing it is.
    pub code: Code,
    /// The object.
    pub object: ObjectKey,
    /// Its file.
    pub file: Arc<str>,
    /// The field's line; 0 if unknown.
    pub line: u32,
    /// The field, such as `spec.http[0].mirror`.
    pub field: String,
    /// What is wrong and what to do.
    pub reason: String,
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { file, line, object, field, reason, .. } = self;
        write!(f, "{file}:{line}: {object}: {field}: {reason} [{}]", self.code.name())
    }
}

/// Collects what is said about one object.
#[derive(Debug)]
pub(crate) struct Report<'o> {
    object: &'o Object,
    pub(crate) said: Vec<Diagnostic>,
}

impl<'o> Report<'o> {
    pub(crate) fn new(object: &'o Object) -> Self {
        Self { object, said: Vec::new() }
    }

    /// Something speaks against using the object.
    pub(crate) fn refuses(&self) -> bool {
        self.said.iter().any(|said| said.severity == Severity::Error)
    }

    fn say(&mut self, severity: Severity, code: Code, field: &str, reason: String) {
        self.said.push(Diagnostic {
            severity,
            code,
            object: self.object.key(),
            file: self.object.origin.file.clone(),
            line: self.object.origin.line_of(field),
            field: field.to_owned(),
            reason,
        });
    }

    pub(crate) fn not_built(&mut self, field: &str) {
        let reason = "is not built yet; remove it".to_owned();
        self.say(Severity::Error, Code::NotBuilt, field, reason);
    }

    pub(crate) fn not_built_value(&mut self, field: &str, value: &str, instead: &str) {
        let reason = format!("`{value}` is not built yet; {instead}");
        self.say(Severity::Error, Code::NotBuilt, field, reason);
    }

    pub(crate) fn jwt_not_built(&mut self, field: &str) {
        let reason = "asks for a JWT, and reading JWTs is not built yet; use principals".to_owned();
        self.say(Severity::Error, Code::NotBuilt, field, reason);
    }

    pub(crate) fn unknown_condition(&mut self, field: &str, key: &str) {
        let reason = format!("`{key}` is not a condition that is known here");
        self.say(Severity::Error, Code::BadValue, field, reason);
    }

    pub(crate) fn empty_value(&mut self, field: &str) {
        let reason = "is empty, and nothing would match it; write a value or `*`".to_owned();
        self.say(Severity::Error, Code::BadValue, field, reason);
    }

    pub(crate) fn bad_host(&mut self, field: &str, host: &str) {
        let reason = format!("`{host}` is not a host name; write `reviews` or `*.example.com`");
        self.say(Severity::Error, Code::BadValue, field, reason);
    }

    pub(crate) fn bad_port(&mut self, field: &str, port: &str) {
        let reason = format!("`{port}` is not a port; ports are 1 to 65535");
        self.say(Severity::Error, Code::BadValue, field, reason);
    }

    pub(crate) fn bad_percent(&mut self, field: &str, percent: &str) {
        let reason = format!("`{percent}` is no percentage; give one from 0 to 100");
        self.say(Severity::Error, Code::BadValue, field, reason);
    }

    pub(crate) fn bad_cidr(&mut self, field: &str, block: &str) {
        let reason = format!("`{block}` is not an address or a block such as 10.0.0.0/8");
        self.say(Severity::Error, Code::BadValue, field, reason);
    }

    pub(crate) fn bad_address(&mut self, field: &str, address: &str) {
        let reason = format!("`{address}` is not an IP address");
        self.say(Severity::Error, Code::BadValue, field, reason);
    }

    pub(crate) fn bad_regex(&mut self, field: &str, error: &str) {
        let reason = format!("is not a regular expression: {error}");
        self.say(Severity::Error, Code::BadValue, field, reason);
    }

    pub(crate) fn bad_status(&mut self, field: &str, status: u32) {
        let reason = format!("{status} is not a status; statuses are 200 to 599");
        self.say(Severity::Error, Code::BadValue, field, reason);
    }

    pub(crate) fn too_long(&mut self, field: &str, limit: usize) {
        let reason = format!("has more than the {limit} bytes that it may have");
        self.say(Severity::Error, Code::BadValue, field, reason);
    }

    pub(crate) fn too_many(&mut self, field: &str, limit: usize) {
        let reason = format!("has more than the {limit} entries that it may have");
        self.say(Severity::Error, Code::BadValue, field, reason);
    }

    pub(crate) fn unknown_retry_word(&mut self, field: &str, word: &str) {
        let reason = format!("`{word}` is not a reason to retry that is known here");
        self.say(Severity::Error, Code::BadValue, field, reason);
    }

    pub(crate) fn bad_header_name(&mut self, field: &str, name: &str) {
        let reason = format!("`{name}` is not the name of a header");
        self.say(Severity::Error, Code::BadValue, field, reason);
    }

    pub(crate) fn bad_header_value(&mut self, field: &str) {
        let reason = "holds a line break or another control character".to_owned();
        self.say(Severity::Error, Code::BadValue, field, reason);
    }

    pub(crate) fn header_format(&mut self, field: &str) {
        let reason = "holds `%`: format operators in header values are not built yet".to_owned();
        self.say(Severity::Error, Code::NotBuilt, field, reason);
    }

    pub(crate) fn missing(&mut self, field: &str, what: &str) {
        self.say(Severity::Error, Code::Missing, field, format!("needs {what}"));
    }

    pub(crate) fn no_weight(&mut self, field: &str) {
        let reason = "the weights add up to nothing; give at least one more than 0".to_owned();
        self.say(Severity::Error, Code::BadValue, field, reason);
    }

    pub(crate) fn heavy(&mut self, field: &str) {
        let reason = "the weights add up to more than 4294967295".to_owned();
        self.say(Severity::Error, Code::BadValue, field, reason);
    }

    pub(crate) fn one_of(&mut self, field: &str, names: &str) {
        let reason = format!("only one of {names} can hold; remove the others");
        self.say(Severity::Error, Code::Conflict, field, reason);
    }

    pub(crate) fn twice(&mut self, field: &str, name: &str) {
        let reason = format!("`{name}` is written twice; remove one");
        self.say(Severity::Error, Code::Conflict, field, reason);
    }

    pub(crate) fn needs_selector(&mut self, field: &str) {
        let reason = "counts only beside a selector; add `spec.selector.matchLabels`".to_owned();
        self.say(Severity::Error, Code::Missing, field, reason);
    }

    pub(crate) fn gateway_only(&mut self, field: &str) {
        let reason = "gateways are not built yet, and `mesh` is not among these: no proxy uses it";
        self.say(Severity::Warning, Code::NotBuilt, field, reason.to_owned());
    }

    pub(crate) fn admits_nobody(&mut self) {
        let reason = "until it can be used, nobody is admitted to the workloads that it selects";
        self.say(Severity::Warning, Code::Missing, "spec", reason.to_owned());
    }

    pub(crate) fn unknown_service(&mut self, field: &str, host: &str) {
        let reason = format!("there is no service {host}: requests that go there get 503");
        self.say(Severity::Warning, Code::Dangling, field, reason);
    }

    pub(crate) fn unknown_subset(&mut self, field: &str, subset: &str, host: &str) {
        let reason = format!(
            "no DestinationRule gives {host} a subset `{subset}`: requests that go there get 503"
        );
        self.say(Severity::Warning, Code::Dangling, field, reason);
    }

    pub(crate) fn unknown_port(&mut self, field: &str, port: u16, host: &str) {
        let reason = format!("{host} has no port {port}: requests that go there get 503");
        self.say(Severity::Warning, Code::Dangling, field, reason);
    }

    pub(crate) fn older_holds(&mut self, field: &str, host: &str, older: &ObjectKey) {
        let reason = format!("{older} is older and rules {host}; this one is not used for it");
        self.say(Severity::Warning, Code::Conflict, field, reason);
    }
}
