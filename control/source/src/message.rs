//! Every sentence that reading can produce, one function each.

use std::fmt;
use std::sync::Arc;

use crate::ObjectKey;
use crate::read::Fault;

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Something was left out on purpose.
    Notice,
    /// Something was refused.
    Error,
}

/// One sentence for people about one place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// How bad it is.
    pub severity: Severity,
    /// The file, relative to the folder.
    pub file: Arc<str>,
    /// The line, from 1; 0 if it is about the whole file.
    pub line: u32,
    /// The object, if its name could be read.
    pub object: Option<ObjectKey>,
    /// The field, such as `spec.http[0].route`; empty if it is about the whole object.
    pub field: String,
    /// What is wrong and what to do.
    pub reason: String,
}

impl fmt::Display for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.file)?;
        if self.line > 0 {
            write!(f, ":{}", self.line)?;
        }
        if let Some(object) = &self.object {
            write!(f, ": {object}")?;
        }
        if !self.field.is_empty() {
            write!(f, ": {}", self.field)?;
        }
        write!(f, ": {}", self.reason)
    }
}

impl Message {
    pub(crate) fn fault(file: &Arc<str>, object: Option<ObjectKey>, fault: &Fault) -> Self {
        Self::error(file, fault.line, object, fault.path.clone(), fault.reason.clone())
    }

    pub(crate) fn syntax(file: &Arc<str>, line: u32, reason: &str) -> Self {
        Self::error(file, line, None, String::new(), format!("cannot be read as YAML: {reason}"))
    }

    pub(crate) fn not_an_object(file: &Arc<str>, line: u32) -> Self {
        let reason = "is not an object: `apiVersion`, `kind` and `metadata` are expected here";
        Self::error(file, line, None, String::new(), reason.to_owned())
    }

    pub(crate) fn bad_name(
        file: &Arc<str>,
        line: u32,
        kind: &str,
        field: &str,
        name: &str,
    ) -> Self {
        let reason = if name.is_empty() {
            format!("a {kind} needs a name")
        } else {
            format!("`{name}` is not a name: lower-case letters, digits, `-` and `.` are")
        };
        Self::error(file, line, None, field.to_owned(), reason)
    }

    pub(crate) fn name_in_quotes(file: &Arc<str>, line: u32, field: &str) -> Self {
        let reason = "is not text: YAML reads words such as `y`, `no` or `1` as values; write it \
                      in quotes";
        Self::error(file, line, None, field.to_owned(), reason.to_owned())
    }

    pub(crate) fn bad_time(file: &Arc<str>, line: u32, object: ObjectKey, text: &str) -> Self {
        let reason = format!("`{text}` is not a time in UTC such as 2026-01-31T10:00:00Z");
        let field = "metadata.creationTimestamp".to_owned();
        Self::error(file, line, Some(object), field, reason)
    }

    pub(crate) fn unknown_kind(file: &Arc<str>, line: u32, api_version: &str, kind: &str) -> Self {
        let reason = format!("{api_version} {kind} is not used here and was left out");
        Self {
            severity: Severity::Notice,
            file: file.clone(),
            line,
            object: None,
            field: String::new(),
            reason,
        }
    }

    pub(crate) fn duplicate(file: &Arc<str>, line: u32, object: ObjectKey, first: &str) -> Self {
        let reason = format!("is also written in {first}, which counts; remove one of the two");
        Self::error(file, line, Some(object), String::new(), reason)
    }

    pub(crate) fn unreadable(file: &Arc<str>, reason: &str) -> Self {
        let reason = format!("cannot be read: {reason}; what it held before stays");
        Self::error(file, 0, None, String::new(), reason)
    }

    pub(crate) fn file_too_long(file: &Arc<str>, bytes: u64, limit: u64) -> Self {
        let reason = format!(
            "has {bytes} bytes, more than the {limit} that a file may have; split it; what it held \
             before stays"
        );
        Self::error(file, 0, None, String::new(), reason)
    }

    pub(crate) fn too_many_objects(file: &Arc<str>, limit: usize) -> Self {
        let reason =
            format!("the folder holds more than {limit} objects; those from here on are left out");
        Self::error(file, 0, None, String::new(), reason)
    }

    pub(crate) fn too_many_files(limit: usize) -> Self {
        let reason = format!("holds more than {limit} files; those beyond, by name, are left out");
        Self::error(&Arc::from("."), 0, None, String::new(), reason)
    }

    fn error(
        file: &Arc<str>,
        line: u32,
        object: Option<ObjectKey>,
        field: String,
        reason: String,
    ) -> Self {
        Self { severity: Severity::Error, file: file.clone(), line, object, field, reason }
    }
}
