//! The simulator's own mutexes.
use std::sync::{Mutex, MutexGuard, PoisonError};

/// A mutex's guard, whatever happened to its last holder: a verdict on misuse panics, and leaves nothing half done.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
