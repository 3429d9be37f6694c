//! A named place for a secret that arrives later and is replaced while the program runs.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arc_swap::ArcSwapOption;

/// A secret by name: empty until its first value arrives, then replaced with each rotation.
///
/// Whoever holds the slot sees the newest value at the next handshake; connections that are made
/// already live on with what they were made with.
pub struct Slot<T> {
    name: Box<str>,
    value: ArcSwapOption<T>,
    generation: AtomicU64,
}

impl<T> Slot<T> {
    /// A slot that has no value yet.
    pub fn empty(name: impl Into<Box<str>>) -> Self {
        Self { name: name.into(), value: ArcSwapOption::empty(), generation: AtomicU64::new(0) }
    }

    /// A slot that is filled from the start, as an inline secret is.
    pub fn filled(name: impl Into<Box<str>>, value: Arc<T>) -> Self {
        let slot = Self::empty(name);
        slot.set(value);
        slot
    }

    /// Its name, e.g. `default` or `ROOTCA`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Rotates: handshakes from now on use `value`.
    pub fn set(&self, value: Arc<T>) {
        self.value.store(Some(value));
        self.generation.fetch_add(1, Ordering::Release);
    }

    /// Takes the secret away: handshakes from now on are refused with `tls.secret_missing`.
    pub fn clear(&self) {
        self.value.store(None);
        self.generation.fetch_add(1, Ordering::Release);
    }

    /// The value, if one has arrived.
    pub fn get(&self) -> Option<Arc<T>> {
        self.value.load_full()
    }

    /// Whether there is a value.
    pub fn is_filled(&self) -> bool {
        self.value.load().is_some()
    }

    /// Grows by one with each change; 0 is the slot that never had a value.
    pub fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }
}

/// Shows the name and the generation, never the secret.
impl<T> fmt::Debug for Slot<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Slot")
            .field("name", &self.name)
            .field("generation", &self.generation())
            .field("filled", &self.is_filled())
            .finish()
    }
}
