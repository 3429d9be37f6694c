//! Header fields of an answer whose values are counted.

use wire::head::Head;

use super::super::Counts;

/// The values of one answer, in the order of the names that are asked for.
#[derive(Default)]
pub(super) struct Values(Vec<Value>);

/// A field's value, its memory kept for the next.
#[derive(Clone, Default)]
struct Value {
    is_there: bool,
    bytes: Vec<u8>,
}

impl Values {
    /// Takes the first value of each name.
    pub(super) fn note(&mut self, names: &[String], head: &Head) {
        self.0.resize(names.len(), Value::default());
        self.0.iter_mut().for_each(|value| value.is_there = false);
        self.note_more(names, head);
    }

    /// The same of what comes later, where there was none before.
    pub(super) fn note_more(&mut self, names: &[String], head: &Head) {
        for (name, value) in names.iter().zip(&mut self.0).filter(|(_, value)| !value.is_there) {
            let Some(found) = head.values(name.as_bytes()).next() else { continue };
            value.is_there = true;
            value.bytes.clear();
            value.bytes.extend_from_slice(found);
        }
    }

    pub(super) fn count(&self, names: &[String], counts: &mut Counts) {
        for (name, value) in names.iter().zip(&self.0) {
            counts.value(name, value.is_there.then_some(value.bytes.as_slice()));
        }
    }
}
