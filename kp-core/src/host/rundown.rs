//! Rundown protection of what any level may use and one removal ends: who uses it right now, and waiting until nobody does.
//!
//! Those inside are short: they call the port once. So the end waits by looking again and again, and leaving wakes nobody, which could not be
//! done at each level.
#![deny(unsafe_code)]
use super::sync::{AtomicU32, Ordering::*};

/// It is over. The other bits count who is inside.
const OVER: u32 = 1 << 31;

/// See the module.
pub(crate) struct Rundown(AtomicU32);

impl Rundown {
    pub(crate) fn new() -> Self {
        Self(AtomicU32::new(0))
    }

    /// Goes inside, until the answer is dropped. None: it is over. Any level.
    pub(crate) fn enter(&self) -> Option<Inside<'_>> {
        let inside = Inside(self);
        if self.0.fetch_add(1, Acquire) & OVER == 0 { Some(inside) } else { None }
    }

    /// From its return on nobody is inside, or will be. `wait` lets others go on. Passive.
    pub(crate) fn end(&self, mut wait: impl FnMut()) {
        self.0.fetch_or(OVER, AcqRel);
        while self.0.load(Acquire) & !OVER != 0 {
            wait();
        }
    }
}

/// Being inside.
pub(crate) struct Inside<'a>(&'a Rundown);

impl Drop for Inside<'_> {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Release);
    }
}
