//! A signal and a kernel in which no time passes, and nobody panics but whom a model says.
use super::sync::{AtomicU32, Ordering::Acquire};
use crate::{Passive, Result};
use loom::sync::{Condvar, Mutex};
use std::cell::Cell;

loom::thread_local! {
    /// The number of the thread's task.
    static TASK: Cell<u32> = Cell::new(1);
    /// Its process is being killed.
    static KILLED: Cell<bool> = Cell::new(false);
}

std::thread_local! {
    /// The task that has panicked; 0: none. All threads of a model are one to std.
    static DEAD: Cell<u32> = const { Cell::new(0) };
}

/// This thread is task `task` from now on.
pub(crate) fn become_task(task: u32) {
    TASK.with(|it| it.set(task));
}

/// This thread's process is being killed from now on.
pub(crate) fn is_killed() {
    KILLED.with(|it| it.set(true));
}

/// Task `task` has panicked.
pub(crate) fn has_panicked(task: u32) {
    DEAD.set(task);
}

/// A wait that only a wake-up ends.
pub(crate) struct WaitQueue {
    lock: Mutex<()>,
    woken: Condvar,
}

impl WaitQueue {
    pub(crate) fn new(_: &mut Passive) -> Result<Self> {
        Ok(Self { lock: Mutex::new(()), woken: Condvar::new() })
    }

    pub(crate) fn wait(&self, word: &AtomicU32, seen: u32, _ns: u64, kind: u32) -> Woken {
        let mut held = self.lock.lock().unwrap();
        while word.load(Acquire) == seen {
            if kind == wait_kind::KILLABLE && KILLED.with(|it| it.get()) {
                return Woken::Interrupted;
            }
            held = self.woken.wait(held).unwrap();
        }
        Woken::Changed
    }

    pub(crate) fn wake(&self) {
        drop(self.lock.lock().unwrap());
        self.woken.notify_all();
    }
}

/// How a wait ended.
#[derive(PartialEq, Eq)]
pub(crate) enum Woken {
    Changed,
    Timeout,
    Interrupted,
}

pub(crate) mod wait_kind {
    pub(crate) const UNINTERRUPTIBLE: u32 = 0;
    pub(crate) const KILLABLE: u32 = 1;
}

pub(crate) mod kernel {
    use super::{DEAD, TASK};

    /// No wait here has a limit.
    pub(crate) fn now_ns() -> u64 {
        0
    }
    pub(crate) fn poisoned() -> bool {
        DEAD.get() != 0
    }
    pub(crate) fn is_dead(task: u32) -> bool {
        task != 0 && task == DEAD.get()
    }
    pub(crate) fn task() -> u32 {
        TASK.with(|task| task.get())
    }
}
