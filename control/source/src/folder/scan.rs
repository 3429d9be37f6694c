//! What the folder holds now, and how that differs from what was told.

use std::collections::BTreeMap;
use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{FILE_BYTES_MAX, FILES_MAX, OBJECTS_MAX};
use crate::read::{self, Contents};
use crate::{Batch, Change, Message, Object, ObjectKey, SourceError};

/// What is done about a file that had objects and is now gone or empty.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Missing {
    /// It may be in the middle of being written: what it held stays.
    Stays,
    /// It is gone, and its objects with it.
    Gone,
}

/// One file as it was last read.
#[derive(Debug, Default)]
struct File {
    /// Of its bytes; `None` if it could not be read.
    hash: Option<u64>,
    objects: BTreeMap<ObjectKey, Arc<Object>>,
}

/// All files, and what was told of them.
#[derive(Debug)]
pub(super) struct State {
    path: PathBuf,
    files: BTreeMap<Arc<str>, File>,
    told: BTreeMap<ObjectKey, Arc<Object>>,
    /// Objects that are written twice, so that this is said once.
    doubled: BTreeMap<(ObjectKey, Arc<str>), ()>,
    crowded: bool,
    /// A file is gone or empty, and that was not believed yet.
    pub(super) unsettled: bool,
}

impl State {
    pub(super) fn new(path: PathBuf) -> Self {
        Self {
            path,
            files: BTreeMap::new(),
            told: BTreeMap::new(),
            doubled: BTreeMap::new(),
            crowded: false,
            unsettled: false,
        }
    }

    /// Reads what changed and says what is different.
    pub(super) fn rescan(&mut self, missing: Missing) -> Result<Batch, SourceError> {
        let names = list(&self.path).map_err(|error| SourceError::Folder {
            path: self.path.display().to_string(),
            reason: error.to_string(),
        })?;
        let mut messages = Vec::new();
        self.unsettled = false;
        self.forget(&names, missing);
        if names.len() > FILES_MAX {
            messages.push(Message::too_many_files(FILES_MAX));
        }
        for name in names.iter().take(FILES_MAX) {
            self.file(name, missing, &mut messages);
        }
        let now = self.merged(&mut messages);
        let changes = difference(&self.told, &now);
        self.told = now;
        Ok(Batch { changes, messages })
    }

    fn forget(&mut self, names: &[Arc<str>], missing: Missing) {
        let unsettled = &mut self.unsettled;
        self.files.retain(|name, file| {
            let stays = missing == Missing::Stays && !file.objects.is_empty();
            let listed = names.binary_search(name).is_ok();
            *unsettled |= stays && !listed;
            listed || stays
        });
    }

    fn file(&mut self, name: &Arc<str>, missing: Missing, messages: &mut Vec<Message>) {
        let file = self.files.entry(name.clone()).or_default();
        let bytes = match bytes(&self.path.join(&**name)) {
            Ok(bytes) => bytes,
            Err(Unread::Vanished) => {
                self.unsettled = true;
                return;
            }
            Err(Unread::Other(reason)) => {
                // Said once, not at each look.
                if file.hash.take().is_some() || file.objects.is_empty() {
                    messages.push(Message::unreadable(name, &reason));
                }
                return;
            }
            Err(Unread::TooLong(length)) => {
                let hash = Some(length);
                if std::mem::replace(&mut file.hash, hash) != hash {
                    messages.push(Message::file_too_long(name, length, FILE_BYTES_MAX));
                }
                return;
            }
        };
        let hash = Some(hash(&bytes));
        let emptied = bytes.iter().all(u8::is_ascii_whitespace) && !file.objects.is_empty();
        if emptied && missing == Missing::Stays {
            self.unsettled = true;
            return;
        }
        if file.hash == hash {
            return;
        }
        file.hash = hash;
        let Ok(text) = String::from_utf8(bytes) else {
            messages.push(Message::unreadable(name, "it is not UTF-8"));
            return;
        };
        let contents = read::read(name, &text);
        messages.extend(contents.messages.iter().cloned());
        file.objects = kept(std::mem::take(&mut file.objects), contents, messages);
    }

    /// All objects of all files; where two files write the same one, the first by name counts.
    fn merged(&mut self, messages: &mut Vec<Message>) -> BTreeMap<ObjectKey, Arc<Object>> {
        let mut all: BTreeMap<ObjectKey, Arc<Object>> = BTreeMap::new();
        let mut doubled = BTreeMap::new();
        let mut crowded = false;
        for (name, file) in &self.files {
            for (key, object) in &file.objects {
                if let Some(first) = all.get(key) {
                    let place = (key.clone(), name.clone());
                    if !self.doubled.contains_key(&place) {
                        let (line, other) = (object.origin.line, &first.origin.file);
                        messages.push(Message::duplicate(name, line, key.clone(), other));
                    }
                    doubled.insert(place, ());
                } else if all.len() < OBJECTS_MAX {
                    all.insert(key.clone(), object.clone());
                } else if !std::mem::replace(&mut crowded, true) && !self.crowded {
                    messages.push(Message::too_many_objects(name, OBJECTS_MAX));
                }
            }
        }
        self.doubled = doubled;
        self.crowded = crowded;
        all
    }
}

/// The new objects of a file, with the last good versions of those that could not be read.
fn kept(
    mut old: BTreeMap<ObjectKey, Arc<Object>>,
    contents: Contents,
    messages: &mut Vec<Message>,
) -> BTreeMap<ObjectKey, Arc<Object>> {
    let mut new: BTreeMap<ObjectKey, Arc<Object>> = BTreeMap::new();
    for object in contents.objects {
        let key = object.key();
        if let Some(first) = new.get(&key) {
            let (file, line) = (&object.origin.file, object.origin.line);
            let place = format!("line {} of this file", first.origin.line);
            messages.push(Message::duplicate(file, line, key, &place));
            continue;
        }
        new.insert(key, object);
    }
    if contents.unclear {
        for (key, object) in old {
            new.entry(key).or_insert(object);
        }
        return new;
    }
    for key in contents.refused {
        if let Some(object) = old.remove(&key) {
            new.entry(key).or_insert(object);
        }
    }
    new
}

fn difference(
    old: &BTreeMap<ObjectKey, Arc<Object>>,
    new: &BTreeMap<ObjectKey, Arc<Object>>,
) -> Vec<Change> {
    let gone = old.keys().filter(|key| !new.contains_key(key)).cloned().map(Change::Remove);
    let fresh = new.iter().filter(|(key, object)| {
        let before = old.get(key);
        before.is_none_or(|before| !Arc::ptr_eq(before, object) && !before.same(object))
    });
    gone.chain(fresh.map(|(_, object)| Change::Put(object.clone()))).collect()
}

/// The names of the files that are read, sorted.
fn list(path: &Path) -> io::Result<Vec<Arc<str>>> {
    let mut names: Vec<Arc<str>> = Vec::new();
    for entry in fs::read_dir(path)? {
        let entry = entry?;
        let Ok(name) = entry.file_name().into_string() else { continue };
        let wanted = [".yaml", ".yml", ".json"].iter().any(|end| name.ends_with(end));
        // Follows symbolic links: mounted ConfigMaps consist of them.
        let is_file = || fs::metadata(entry.path()).is_ok_and(|meta| meta.is_file());
        if wanted && !name.starts_with('.') && is_file() {
            names.push(Arc::from(name));
        }
    }
    names.sort();
    Ok(names)
}

enum Unread {
    Vanished,
    TooLong(u64),
    Other(String),
}

fn bytes(path: &Path) -> Result<Vec<u8>, Unread> {
    use io::Read;
    let failed = |error: io::Error| match error.kind() {
        io::ErrorKind::NotFound => Unread::Vanished,
        _ => Unread::Other(error.to_string()),
    };
    let file = fs::File::open(path).map_err(failed)?;
    let length = file.metadata().map_err(failed)?.len();
    if length > FILE_BYTES_MAX {
        return Err(Unread::TooLong(length));
    }
    let mut bytes = Vec::new();
    file.take(FILE_BYTES_MAX).read_to_end(&mut bytes).map_err(failed)?;
    Ok(bytes)
}

fn hash(bytes: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    bytes.hash(&mut hasher);
    hasher.finish()
}
