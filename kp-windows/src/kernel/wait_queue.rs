//! Waiting for a word to change. Each waiter has an event of its own in the queue's list, so no wake is lost to another waiter.
use crate::{
    kernel::{
        clock::{now_ns, relative},
        event::Event,
        list::{Linked, Links, List},
        optional::IS_TERMINATING,
        pool_box::PoolBox,
        spin_lock::SpinLock,
    },
    nt::{PsGetCurrentThread, wait_reason},
};
use core::{
    ptr::{self, NonNull},
    sync::atomic::{AtomicU32, Ordering::Acquire},
};
use kp_core::host::{Timeout, WaitKind, Woken};

/// Those who wait, and what else is called at each wake.
pub(crate) struct WaitQueue(SpinLock<Waiters>);

struct Waiters {
    list: List<Waiter>,
    watcher: Option<Watcher>,
}

/// What looks at the word by itself: a function, and its argument.
#[derive(Clone, Copy)]
struct Watcher(unsafe fn(*const ()), *const ());

/// One wait. In the list from before the word is looked at until it is over.
struct Waiter {
    event: Event,
    links: Links<Self>,
}

impl Linked for Waiter {
    fn links(&self) -> &Links<Self> {
        &self.links
    }
}

/// A queue, or null. Passive.
pub(crate) fn new() -> *mut WaitQueue {
    let empty = || WaitQueue(SpinLock::new(Waiters { list: List::new(), watcher: None }));
    PoolBox::with(empty).map_or(ptr::null_mut(), |queue| queue.into_raw().as_ptr())
}

/// At any level.
///
/// # Safety
/// It came from [`new`]; nobody waits.
pub(crate) unsafe fn free(queue: *mut WaitQueue) {
    if let Some(queue) = NonNull::new(queue) {
        // SAFETY: by `new`, and nobody's any more.
        drop(unsafe { PoolBox::from_raw(queue) });
    }
}

/// Has `f(argument)` called at each wake from now on, outside of the queue's lock, up to DISPATCH_LEVEL.
///
/// # Safety
/// The queue is alive; `f` may be called with the argument as long as it is. At DISPATCH_LEVEL or below.
pub(crate) unsafe fn watch(queue: *mut WaitQueue, f: unsafe fn(*const ()), argument: *const ()) {
    // SAFETY: the queue is alive.
    let WaitQueue(queue) = unsafe { &*queue };
    queue.with(|waiters| waiters.watcher = Some(Watcher(f, argument)));
}

/// Wakes all who wait, and calls who watches. Not inlined: see `irql`.
///
/// # Safety
/// The queue is alive; at DISPATCH_LEVEL or below.
#[inline(never)]
pub(crate) unsafe fn wake(queue: *mut WaitQueue) {
    // SAFETY: the queue is alive.
    let WaitQueue(queue) = unsafe { &*queue };
    let watcher = queue.with(|waiters| {
        waiters.list.each(|_, waiter| waiter.event.set());
        waiters.watcher
    });
    if let Some(Watcher(f, argument)) = watcher {
        // SAFETY: what `watch` was promised: the queue is alive.
        unsafe { f(argument) };
    }
}

/// How often a wait that the end of its thread ends looks for that, in ns: the thread is in a critical region, and so is not woken.
const LOOK_NS: u64 = 100_000_000;

/// Is the calling thread to end? Not inlined: see `irql`.
#[inline(never)]
fn is_ending() -> bool {
    IS_TERMINATING.get().is_some_and(|f| f(PsGetCurrentThread()) != 0)
}

/// Waits until `*word != seen`, at most `ns`. Only the end of the thread cuts the waits short that a queue may cut short.
///
/// # Safety
/// The queue is alive. Passive.
pub(crate) unsafe fn wait(
    queue: *mut WaitQueue,
    word: &AtomicU32,
    seen: u32,
    timeout: Timeout,
    kind: WaitKind,
) -> Woken {
    if word.load(Acquire) != seen {
        return Woken::Changed;
    }
    // SAFETY: the queue is alive.
    let WaitQueue(queue) = unsafe { &*queue };
    let waiter = Waiter { event: Event::unused(), links: Links::new() };
    // SAFETY: nobody knows it yet, and it stays in this frame. A kernel-mode wait keeps the stack in memory.
    unsafe { waiter.event.init() };
    // SAFETY: it is taken out below, before this frame goes.
    queue.with(|waiters| unsafe { waiters.list.insert(&waiter) });
    let woken = wait_in_list(&waiter.event, kind != WaitKind::Uninterruptible, word, seen, timeout.ns());
    // SAFETY: put in above; nobody else takes waiters out.
    queue.with(|waiters| unsafe { waiters.list.remove(&waiter) });
    woken
}

/// `may_end`: with the calling thread. Passive.
fn wait_in_list(event: &Event, may_end: bool, word: &AtomicU32, seen: u32, ns: u64) -> Woken {
    let deadline = if ns == u64::MAX { u64::MAX } else { now_ns().saturating_add(ns) };
    let looks = may_end && IS_TERMINATING.get().is_some();
    loop {
        if word.load(Acquire) != seen {
            return Woken::Changed;
        }
        if looks && is_ending() {
            return Woken::Interrupted;
        }
        let left = if deadline == u64::MAX { u64::MAX } else { deadline.saturating_sub(now_ns()) };
        if left == 0 {
            return Woken::Timeout;
        }
        let left = if looks { left.min(LOOK_NS) } else { left };
        event.wait(wait_reason::USER_REQUEST, (left != u64::MAX).then(|| relative(left)));
    }
}
