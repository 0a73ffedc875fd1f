//! The atomics of what `tests/models` checks under every interleaving, taken from here so that the models can take a checker's.
pub(super) use core::sync::atomic::{AtomicPtr, AtomicU32, Ordering};
