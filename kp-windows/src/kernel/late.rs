//! What is put off because the level is too high for it: up to DISPATCH_LEVEL a DPC does it, soon; what only Passive may do waits in its owner's
//! [list](Stack) until the owner looks, at Passive.
use crate::{
    kernel::{dpc::Dpc, irql},
    nt::{self, DISPATCH_LEVEL, KeFlushQueuedDpcs},
};
use core::{
    cell::Cell,
    ffi::c_void,
    ptr::{self, NonNull},
    sync::atomic::{AtomicPtr, AtomicU32, Ordering::*},
};

/// What is put off: the first field of what it is about.
#[repr(C)]
pub(crate) struct LateNode {
    next: Cell<*mut LateNode>,
    run: Run,
}

/// What is done with it, once.
pub(crate) type Run = unsafe fn(NonNull<LateNode>);

impl LateNode {
    pub(crate) const fn new(run: Run) -> Self {
        Self { next: Cell::new(ptr::null_mut()), run }
    }
}

/// A list of them, newest first.
pub(crate) struct Stack {
    first: AtomicPtr<LateNode>,
    /// Those that are not done yet.
    left: AtomicU32,
}

static AT_DISPATCH: Stack = Stack::new();

/// The DPC.
struct Soon(Dpc);
// SAFETY: the kernel's own object, which any thread may queue.
unsafe impl Sync for Soon {}
static SOON: Soon = Soon(Dpc::unused());

/// Before a device's interrupts. Passive; once.
pub(crate) fn init() {
    // SAFETY: a static that nobody uses yet; the routine needs no context.
    unsafe { SOON.0.init(on_dpc, ptr::null_mut()) };
}

unsafe extern "efiapi" fn on_dpc(_: *mut nt::Dpc, _: *mut c_void, _: *mut c_void, _: *mut c_void) {
    AT_DISPATCH.run_all();
}

/// Runs a node's function, up to DISPATCH_LEVEL: now, or soon. Any level.
///
/// # Safety
/// The function may run with the node, and nobody else uses that any more.
pub(crate) unsafe fn at_dispatch(node: NonNull<LateNode>) {
    // On a kernel that does not say its level no interrupt is connected, and nothing runs higher.
    if irql::current().is_none_or(|level| level <= DISPATCH_LEVEL) {
        // SAFETY: the caller's promise.
        return unsafe { run(node) };
    }
    // SAFETY: the caller's promise.
    unsafe { AT_DISPATCH.push(node) };
    SOON.0.queue();
}

/// Runs a node's function at Passive: now, or when the owner of `list` [looks](Stack::run_all). Any level.
///
/// # Safety
/// As [`at_dispatch`].
pub(crate) unsafe fn at_passive(list: &Stack, node: NonNull<LateNode>) {
    if irql::current() == Some(0) {
        // SAFETY: the caller's promise.
        return unsafe { run(node) };
    }
    // SAFETY: the caller's promise.
    unsafe { list.push(node) };
}

/// Does what a DPC would, and waits for what one is doing. Passive.
pub(crate) fn settle() {
    while AT_DISPATCH.left.load(Acquire) != 0 {
        KeFlushQueuedDpcs();
        AT_DISPATCH.run_all();
    }
}

/// # Safety
/// As [`at_dispatch`].
unsafe fn run(node: NonNull<LateNode>) {
    // SAFETY: alive until its function has it.
    let run = unsafe { node.as_ref() }.run;
    // SAFETY: the caller's promise.
    unsafe { run(node) };
}

impl Stack {
    pub(crate) const fn new() -> Self {
        Self { first: AtomicPtr::new(ptr::null_mut()), left: AtomicU32::new(0) }
    }

    /// # Safety
    /// As [`at_dispatch`].
    unsafe fn push(&self, node: NonNull<LateNode>) {
        self.left.fetch_add(1, Relaxed);
        let mut first = self.first.load(Relaxed);
        loop {
            // SAFETY: the caller's own.
            unsafe { node.as_ref() }.next.set(first);
            match self.first.compare_exchange_weak(first, node.as_ptr(), Release, Relaxed) {
                Ok(_) => return,
                Err(now) => first = now,
            }
        }
    }

    /// Runs the functions of all that are in it, at the level that they want.
    pub(crate) fn run_all(&self) {
        if self.first.load(Relaxed).is_null() {
            return;
        }
        let mut at = self.first.swap(ptr::null_mut(), Acquire);
        while let Some(node) = NonNull::new(at) {
            // SAFETY: pushed, and this list's alone since the swap.
            at = unsafe { node.as_ref() }.next.get();
            // SAFETY: what the one who pushed it has promised.
            unsafe { run(node) };
            self.left.fetch_sub(1, Release);
        }
    }
}
