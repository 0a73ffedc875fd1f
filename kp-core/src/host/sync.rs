//! The atomics of what `tests/models` checks under every interleaving, taken from here so that the models can take a checker's.
pub(super) use core::sync::atomic::{AtomicBool, AtomicPtr, AtomicU32, AtomicUsize, Ordering};
