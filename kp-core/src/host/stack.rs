//! A list without a lock: any level adds to it, one thread at a time takes all.
use super::sync::{AtomicPtr, Ordering::*};
use core::ptr::{self, NonNull};

/// What is in a list: a part of an object, which the list says nothing about.
pub(crate) struct Node {
    next: AtomicPtr<Node>,
}

impl Node {
    pub(crate) fn new() -> Self {
        Self { next: AtomicPtr::new(ptr::null_mut()) }
    }
}

/// See the module. INVARIANT: the nodes from `head` on are alive, and nobody else's.
pub(crate) struct Stack {
    head: AtomicPtr<Node>,
}

impl Stack {
    pub(crate) fn new() -> Self {
        Self { head: AtomicPtr::new(ptr::null_mut()) }
    }

    /// Adds a node. Any level.
    ///
    /// # Safety
    /// The node is alive, in no list, and stays so until [`take_all`](Self::take_all) gives it.
    pub(crate) unsafe fn push(&self, node: NonNull<Node>) {
        let mut head = self.head.load(Relaxed);
        loop {
            // SAFETY: alive, by the caller's promise.
            unsafe { node.as_ref() }.next.store(head, Relaxed);
            match self.head.compare_exchange_weak(head, node.as_ptr(), Release, Relaxed) {
                Ok(_) => return,
                Err(now) => head = now,
            }
        }
    }

    /// Takes all nodes out, and gives each to `f`, which may free it.
    pub(crate) fn take_all(&self, mut f: impl FnMut(NonNull<Node>)) {
        let mut head = self.head.swap(ptr::null_mut(), Acquire);
        while let Some(node) = NonNull::new(head) {
            // SAFETY: alive by the invariant, and this thread's alone since the swap.
            head = unsafe { node.as_ref() }.next.load(Relaxed);
            f(node);
        }
    }
}
