//! The objects that are in force.

use std::collections::BTreeMap;
use std::sync::Arc;

use source::kinds::security::{Action, AuthorizationPolicy, Rule};
use source::{Batch, Change, Object, ObjectKey, Spec};

use crate::check;
use crate::diagnostic::{Diagnostic, Report};
use crate::{Mesh, Model};

/// The last good version of every object.
#[derive(Clone, Debug, Default)]
pub struct Store {
    mesh: Mesh,
    objects: BTreeMap<ObjectKey, Arc<Object>>,
}

impl Store {
    /// An empty one.
    pub fn new(mesh: Mesh) -> Self {
        Self { mesh, objects: BTreeMap::new() }
    }

    /// Takes in a batch. What cannot be used is refused: its last good version stays, and the
    /// diagnostics say why.
    pub fn apply(&mut self, batch: &Batch) -> Vec<Diagnostic> {
        let mut said = Vec::new();
        for change in &batch.changes {
            match change {
                Change::Put(object) => self.put(object, &mut said),
                Change::Remove(key) => drop(self.objects.remove(key)),
            }
        }
        said
    }

    /// What the objects mean together.
    pub fn model(&self) -> Model {
        Model::build(&self.mesh, self.objects.values())
    }

    /// How many objects are in force.
    pub fn len(&self) -> usize {
        self.objects.len()
    }

    /// Nothing is in force.
    pub fn is_empty(&self) -> bool {
        self.objects.is_empty()
    }

    fn put(&mut self, object: &Arc<Object>, said: &mut Vec<Diagnostic>) {
        let mut report = Report::new(object);
        check::object(object, &mut report);
        let key = object.key();
        if !report.refuses() {
            self.objects.insert(key, object.clone());
        } else if !self.objects.contains_key(&key)
            && let Some(closed) = closed(object)
        {
            report.admits_nobody();
            self.objects.insert(key, Arc::new(closed));
        }
        said.append(&mut report.said);
    }
}

/// What stands in for a policy that cannot be used: the same selection, and nobody gets in. `AUDIT`
/// never kept anybody out, so nothing stands in for it.
fn closed(object: &Object) -> Option<Object> {
    let Spec::AuthorizationPolicy(policy) = &object.spec else { return None };
    if policy.action == Action::Audit {
        return None;
    }
    let spec = AuthorizationPolicy {
        selector: policy.selector.clone(),
        action: Action::Deny,
        rules: vec![Rule::default()],
        ..AuthorizationPolicy::default()
    };
    let mut closed = object.clone();
    closed.spec = Spec::AuthorizationPolicy(spec);
    Some(closed)
}
