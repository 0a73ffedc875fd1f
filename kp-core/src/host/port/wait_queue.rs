//! Wait queues: threads that wait for a word to change.
use super::{Timeout, contract};
use core::{ptr::NonNull, sync::atomic::AtomicU32};

/// A wait queue that the port made. kp-core never looks into it.
#[repr(C)]
pub struct RawWaitQueue {
    _opaque: [u8; 0],
}

/// What may end a wait early.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum WaitKind {
    /// Nothing but the change; and, if the wait has no time limit, a panic of plugin code. For tear-down: the kernel must not freeze the task,
    /// and should take a wait that lasts for minutes for a hang.
    Uninterruptible = 0,
    /// A signal that ends the process, or a panic of plugin code. The kernel must not freeze the task meanwhile: it is inside a call, for
    /// which a removal waits.
    Killable = 1,
    /// Any signal, or a panic of plugin code. The kernel may freeze the task meanwhile.
    Interruptible = 2,
}

/// How a wait ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Woken {
    /// The word has changed, or plugin code has panicked.
    Changed = 0,
    /// The time is up.
    Timeout = 1,
    /// A signal came, of those that the wait's kind names.
    Interrupted = 2,
}

contract! { ($)
    /// Wait queues: threads that wait for a word to change.
    unsafe trait WaitQueues, exported by __export_wait_queues;

    /// A wait queue; None: no memory. Passive.
    safe fn wait_queue_new() -> Option<NonNull<RawWaitQueue>>;
    /// Frees a wait queue on which nobody waits. Any level, as `free`.
    unsafe fn wait_queue_free(queue: NonNull<RawWaitQueue>) -> ();
    /// Waits until `*word != seen`, at most for `timeout`, unless what `kind` names comes first. Looks at the word again after every
    /// `wait_queue_wake`; a change without a wake may go unseen. A wait that a signal can end never goes on once `poisoned` is true: the answer
    /// is Changed then. A [coarse](Timeout::is_coarse) timeout may be somewhat early or late, any other one is not early. Passive.
    unsafe fn wait_queue_wait(queue: NonNull<RawWaitQueue>, word: &AtomicU32, seen: u32, timeout: Timeout, kind: WaitKind) -> Woken;
    /// Wakes all who wait on the queue. Passive and Dispatch; Irql too, if [`wakes_at_irql`](Self::wakes_at_irql).
    unsafe fn wait_queue_wake(queue: NonNull<RawWaitQueue>) -> ();
    /// May `wait_queue_wake` come at Irql? Then the handler of a plugin without `int_at_dpc` wakes the app itself, with no deferred call. Any
    /// level; a constant, best inlined.
    safe fn wakes_at_irql() -> bool;
}
