//! A wait queue and a kernel in which no time passes, and nobody panics but whom a model says.
use super::sync::{AtomicU32, Ordering::Acquire};
use crate::{Passive, Result};
use loom::sync::{Condvar, Mutex};
use std::{cell::Cell, num::NonZeroU32};

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
pub(crate) struct KernelWaitQueue {
    lock: Mutex<()>,
    woken: Condvar,
}

impl KernelWaitQueue {
    pub(crate) fn new(_: &mut Passive) -> Result<Self> {
        Ok(Self { lock: Mutex::new(()), woken: Condvar::new() })
    }

    pub(crate) fn wait(&self, word: &AtomicU32, seen: u32, _timeout: Timeout, kind: WaitKind) -> Woken {
        let mut held = self.lock.lock().unwrap();
        while word.load(Acquire) == seen {
            if kind == WaitKind::Killable && KILLED.with(|it| it.get()) {
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

/// As in kp-core.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum WaitKind {
    Uninterruptible,
    Killable,
    Interruptible,
}

/// As in kp-core.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Timeout(u64);

impl Timeout {
    pub(crate) const NEVER: Self = Self(u64::MAX);

    pub(crate) const fn from_ns(ns: u64) -> Self {
        Self(ns)
    }

    pub(crate) const fn ns(self) -> u64 {
        self.0
    }

    pub(crate) const fn is_never(self) -> bool {
        self.0 == u64::MAX
    }
}

/// As in kp-core.
#[derive(Clone, Copy)]
pub(crate) struct TaskId(pub(crate) NonZeroU32);

pub(crate) mod kernel {
    use super::{DEAD, NonZeroU32, TASK, TaskId};
    pub(crate) use crate::host::fake_dma::{
        bus_master, coherent_alloc, coherent_free, dma_close, dma_is_isolated, dma_open, log, sleep_ns,
    };

    /// No wait here has a limit.
    pub(crate) fn now_ns() -> u64 {
        0
    }
    pub(crate) fn poisoned() -> bool {
        DEAD.get() != 0
    }
    pub(crate) fn is_dead(TaskId(task): TaskId) -> bool {
        task.get() == DEAD.get()
    }
    pub(crate) fn task() -> TaskId {
        TaskId(NonZeroU32::new(TASK.with(|task| task.get())).expect("a task has a number"))
    }
}
