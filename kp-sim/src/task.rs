//! What a thread is inside a kernel: for which process, at which level, with which locks.
use crate::{
    level::{PASSIVE, level_name},
    misuse::misuse,
    process::Process,
};
use std::cell::{Cell, RefCell};

/// A thread inside a kernel, whichever kernel that is.
pub(crate) struct Task {
    /// Whose call it is; none for `init`, removal, and the hardware.
    pub(crate) process: Option<Process>,
    pub(crate) level: Cell<u8>,
    /// Numbers of the locks that this code holds, in the order of their taking.
    pub(crate) held: RefCell<Vec<u32>>,
}

impl Task {
    /// A thread that enters a kernel: at Passive, with no lock.
    pub(crate) fn new(process: Option<Process>) -> Self {
        Self { process, level: Cell::new(PASSIVE), held: RefCell::default() }
    }

    /// Panics unless the thread runs at `highest` or below.
    pub(crate) fn at_most(&self, highest: u8, what: &str) {
        let level = self.level.get();
        if level > highest && !std::thread::panicking() {
            let (is, may) = (level_name(level), level_name(highest));
            misuse(&format!("`{what}` was called at {is}; it is allowed at {may} at most"));
        }
    }

    /// Runs `f` at `level`, as an interrupt does: what the thread holds is out of sight meanwhile.
    pub(crate) fn interrupted<R>(&self, level: u8, f: impl FnOnce() -> R) -> R {
        struct Restore<'a>(&'a Task, u8, Vec<u32>);
        impl Drop for Restore<'_> {
            fn drop(&mut self) {
                self.0.level.set(self.1);
                *self.0.held.borrow_mut() = std::mem::take(&mut self.2);
            }
        }
        let _restore = Restore(self, self.level.replace(level), std::mem::take(&mut *self.held.borrow_mut()));
        f()
    }
}
