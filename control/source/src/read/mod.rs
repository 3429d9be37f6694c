//! From a text to objects, document by document.

mod node;
mod typed;

use std::sync::Arc;

use serde::Deserialize;

pub use node::{Key, Node, SyntaxError, Value};
pub use typed::Fault;

use crate::kinds::core::{EndpointSlice, Namespace, Pod, PodSpec, PodStatus, ServiceAccount};
use crate::kinds::value::Unread;
use crate::message::Message;
use crate::object::{Kind, Metadata, Object, ObjectKey, Origin, Spec};

/// The namespace of an object that names none.
pub const DEFAULT_NAMESPACE: &str = "default";
/// How deep lists of objects may be nested in one another.
const LISTS_DEEP_MAX: usize = 4;

/// What a text holds.
#[derive(Debug, Default)]
pub struct Contents {
    /// What could be read, in the order of the text.
    pub objects: Vec<Arc<Object>>,
    /// What could not, but whose name could: their last good versions stay.
    pub refused: Vec<ObjectKey>,
    /// Something could not be read and cannot be told apart from what stood here before: all that
    /// the file held before and does not hold now stays.
    pub unclear: bool,
    /// One for each document that could not be read or was left out.
    pub messages: Vec<Message>,
}

/// Reads all documents of a YAML or JSON text.
pub fn read(file: &str, text: &str) -> Contents {
    let mut reader = Reader { file: Arc::from(file), found: Contents::default() };
    for (offset, document) in documents(text) {
        match Node::parse(document, offset) {
            Ok(node) => reader.document(node, 0),
            Err(error) => {
                let line = if error.line == 0 { offset + 1 } else { error.line };
                reader.found.unclear = true;
                reader.found.messages.push(Message::syntax(&reader.file, line, &error.reason));
            }
        }
    }
    reader.found
}

/// Splits at `---` and `...`, so that an error in one document does not hide the next. YAML allows
/// these at the beginning of a line nowhere but between documents (1.2.2, section 9.1.2).
fn documents(text: &str) -> Vec<(u32, &str)> {
    let mut found = Vec::new();
    let mut begin = (0u32, 0usize);
    let mut at = 0usize;
    for (number, line) in (1u32..).zip(text.split_inclusive('\n')) {
        let marks = |mark: &str| {
            let rest = line.strip_prefix(mark);
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with([' ', '\t', '\r', '\n']))
        };
        if marks("---") || marks("...") {
            found.push((begin.0, text.get(begin.1..at).unwrap_or_default()));
            // What follows `---` on its line belongs to the new document.
            let inline = line.get(3..).is_some_and(|rest| !rest.trim().is_empty());
            begin = if inline { (number - 1, at + 3) } else { (number, at + line.len()) };
        }
        at += line.len();
    }
    found.push((begin.0, text.get(begin.1..).unwrap_or_default()));
    found.retain(|(_, document)| !is_blank(document));
    found
}

/// Nothing but comments, blank lines and directives.
fn is_blank(document: &str) -> bool {
    document.lines().all(|line| {
        let line = line.trim_start();
        line.is_empty() || line.starts_with('#') || line.starts_with('%')
    })
}

struct Reader {
    file: Arc<str>,
    found: Contents,
}

impl Reader {
    fn document(&mut self, node: Node, depth: usize) {
        if matches!(node.value, Value::Null) {
            return;
        }
        let (Some(api_version), Some(kind)) = (node.text("apiVersion"), node.text("kind")) else {
            self.found.unclear = true;
            self.found.messages.push(Message::not_an_object(&self.file, node.line));
            return;
        };
        if let Some(known) = Kind::of(api_version, kind) {
            return self.object(known, node);
        }
        let is_list = kind == "List" || kind.ends_with("List") && node.get("items").is_some();
        if !is_list || depth >= LISTS_DEEP_MAX {
            let notice = Message::unknown_kind(&self.file, node.line, api_version, kind);
            self.found.messages.push(notice);
            return;
        }
        self.items(node, depth);
    }

    fn items(&mut self, node: Node, depth: usize) {
        let Value::Map(entries) = node.value else { return };
        for (key, value) in entries {
            if let ("items", Value::List(items)) = (key.text.as_str(), value.value) {
                items.into_iter().for_each(|item| self.document(item, depth + 1));
            }
        }
    }

    fn object(&mut self, kind: Kind, node: Node) {
        let key = match self.key(kind, &node) {
            Ok(key) => key,
            Err(message) => {
                self.found.unclear = true;
                self.found.messages.push(*message);
                return;
            }
        };
        match object(kind, &key, &self.file, node) {
            Ok(object) => {
                let time = object.meta.creation_timestamp.as_deref();
                if let Some(text) = time.filter(|text| !is_time(text)) {
                    let line = object.origin.line_of("metadata.creationTimestamp");
                    let message = Message::bad_time(&self.file, line, key.clone(), text);
                    return self.refuse(key, message);
                }
                self.found.objects.push(Arc::new(object));
            }
            Err(fault) => {
                let message = Message::fault(&self.file, Some(key.clone()), &fault);
                self.refuse(key, message);
            }
        }
    }

    fn refuse(&mut self, key: ObjectKey, message: Message) {
        self.found.refused.push(key);
        self.found.messages.push(message);
    }

    fn key(&self, kind: Kind, node: &Node) -> Result<ObjectKey, Box<Message>> {
        let metadata = node.get("metadata");
        let part = |field| metadata.and_then(|node| node.text(field)).unwrap_or_default();
        let bad = |field: &str, text: &str| {
            let line = node.line_of(field);
            let written = metadata.and_then(|node| node.get(field.rsplit('.').next()?));
            Box::new(match written.map(|node| &node.value) {
                None | Some(Value::Null | Value::Text(_)) => {
                    Message::bad_name(&self.file, line, kind.name(), field, text)
                }
                Some(_) => Message::name_in_quotes(&self.file, line, field),
            })
        };
        let (name, namespace) = (part("name"), part("namespace"));
        if !is_name(name, 253) {
            return Err(bad("metadata.name", name));
        }
        if !namespace.is_empty() && (!is_name(namespace, 63) || namespace.contains('.')) {
            return Err(bad("metadata.namespace", namespace));
        }
        let namespace = match namespace {
            _ if kind.is_cluster_wide() => "",
            "" => DEFAULT_NAMESPACE,
            namespace => namespace,
        };
        Ok(ObjectKey { kind, namespace: namespace.to_owned(), name: name.to_owned() })
    }
}

/// RFC 1123 with dots, as Kubernetes names its objects.
fn is_name(text: &str, longest: usize) -> bool {
    let inner = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-.".contains(&b);
    let edge = |b: Option<u8>| b.is_some_and(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
    text.len() <= longest
        && text.bytes().all(inner)
        && edge(text.bytes().next())
        && edge(text.bytes().last())
}

/// `2026-01-31T10:00:00Z`: a form that sorts as text.
fn is_time(text: &str) -> bool {
    let shape = "0000-00-00T00:00:00Z";
    text.len() == shape.len()
        && text.bytes().zip(shape.bytes()).all(|(byte, like)| match like {
            b'0' => byte.is_ascii_digit(),
            like => byte == like,
        })
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[allow(dead_code)]
struct Document<S: Default> {
    api_version: Unread,
    kind: Unread,
    #[serde(default)]
    metadata: Unread,
    #[serde(default)]
    spec: S,
    #[serde(default)]
    status: Unread,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[allow(dead_code)]
struct PodDocument {
    api_version: Unread,
    kind: Unread,
    metadata: Unread,
    #[serde(default)]
    spec: PodSpec,
    #[serde(default)]
    status: PodStatus,
}

#[derive(Deserialize)]
#[allow(dead_code)]
struct Meta {
    #[serde(default)]
    metadata: Metadata,
}

fn object(kind: Kind, key: &ObjectKey, file: &Arc<str>, node: Node) -> Result<Object, Fault> {
    let spec = match kind {
        Kind::Namespace => Spec::Namespace(Namespace),
        Kind::ServiceAccount => Spec::ServiceAccount(ServiceAccount),
        Kind::Service => Spec::Service(spec(&node)?),
        Kind::EndpointSlice => Spec::EndpointSlice(typed::read::<EndpointSlice>(&node)?),
        Kind::Pod => {
            let pod: PodDocument = typed::read(&node)?;
            Spec::Pod(Pod { spec: pod.spec, status: pod.status })
        }
        Kind::VirtualService => Spec::VirtualService(spec(&node)?),
        Kind::DestinationRule => Spec::DestinationRule(spec(&node)?),
        Kind::PeerAuthentication => Spec::PeerAuthentication(spec(&node)?),
        Kind::AuthorizationPolicy => Spec::AuthorizationPolicy(spec(&node)?),
    };
    let mut meta = typed::read::<Meta>(&node)?.metadata;
    meta.namespace.clone_from(&key.namespace);
    let origin = Origin { file: file.clone(), line: node.line, tree: Some(Arc::new(node)) };
    Ok(Object { meta, spec, origin })
}

fn spec<'n, S: Default + Deserialize<'n>>(node: &'n Node) -> Result<S, Fault> {
    Ok(typed::read::<Document<S>>(node)?.spec)
}

#[cfg(test)]
mod tests;
