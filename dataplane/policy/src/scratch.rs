//! One reused buffer a thread, for values that must stand in one piece to be compared.

use std::cell::RefCell;

thread_local! {
    static BUFFER: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// Lends the thread's buffer, empty. It grows to the longest value seen, which the limit on a
/// head's size bounds. A nested call gets a buffer of its own.
pub(crate) fn with<R>(work: impl FnOnce(&mut Vec<u8>) -> R) -> R {
    BUFFER.with(|buffer| match buffer.try_borrow_mut() {
        Ok(mut buffer) => {
            buffer.clear();
            work(&mut buffer)
        }
        Err(_) => work(&mut Vec::new()),
    })
}
