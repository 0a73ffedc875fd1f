//! The calling task, and panics of plugin code.
use super::contract;
use core::{
    num::NonZeroU32,
    sync::atomic::{AtomicUsize, Ordering::Relaxed},
};

/// A task (Linux) or thread (Windows), while it lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TaskId(pub NonZeroU32);

/// A word of the calling task's flags. While it has none of the mask's bits, [`Task::cond_resched`] has nothing to do, and is not called.
#[derive(Clone, Copy, Debug)]
pub struct TaskFlags {
    word: *const AtomicUsize,
    mask: usize,
}

impl TaskFlags {
    /// # Safety
    /// The word is there as long as the calling task runs.
    pub unsafe fn new(word: *const AtomicUsize, mask: usize) -> Self {
        Self { word, mask }
    }

    /// In the task that it was made for: is there something to do?
    #[inline(always)]
    pub(in crate::host) fn needs_resched(&self) -> bool {
        // SAFETY: the word is there: `new`'s promise.
        unsafe { &*self.word }.load(Relaxed) & self.mask != 0
    }
}

contract! { ($)
    /// The calling task, and panics of plugin code.
    unsafe trait Task, exported by __export_task;

    /// The calling task. Passive.
    safe fn task() -> TaskId;
    /// Has plugin code of this kernel panicked? Any level.
    safe fn poisoned() -> bool;
    /// Did this task panic in plugin code, and never return from it? Passive.
    safe fn is_dead(task: TaskId) -> bool;
    /// How the calling task finds out that `cond_resched` has something to do. Passive.
    safe fn task_flags() -> TaskFlags;
    /// A preemption point, between two messages of a batch: lets others run if it is time for that, and the kernel freeze the task. True:
    /// the task is being killed. Passive.
    safe fn cond_resched() -> bool;
}
