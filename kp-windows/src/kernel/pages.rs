//! Whole pages, counted: the kernel's own, which are given back when the last user has let go, or an app's, which are its request's until then.
use crate::{
    kernel::{
        late::{self, LateNode},
        leaks,
        pool_box::PoolBox,
        spin_lock::SpinLock,
    },
    nt::*,
};
use core::{
    num::NonZeroUsize,
    ptr::{self, NonNull},
    sync::atomic::{AtomicUsize, Ordering::*},
};

/// Pages, with the kernel's list of them.
///
/// The kernel's own come from MmAllocatePagesForMdlEx and not from the pool: they need not lie side by side, come zeroed, take no addresses until
/// somebody asks for one, and are mapped as an app's are.
#[repr(C)]
pub(crate) struct Pages {
    /// For [`free`](Self::free), which comes once.
    late: LateNode,
    /// How many there are; what the owner keeps beside that is its own.
    pub(crate) users: AtomicUsize,
    mdl: NonNull<Mdl>,
    /// Where the kernel has them side by side; null: nowhere yet. Under the lock, as a list of pages is mapped once.
    mapped: SpinLock<*mut u8>,
    leave: Leave,
}

/// What a user that lets go calls, up to DISPATCH_LEVEL: it counts that user off.
pub(crate) type Leave = unsafe fn(NonNull<Pages>);

impl Pages {
    /// Pages with so many users, of whom each [leaves](Self::leave) once.
    ///
    /// # Safety
    /// The list is of pages that stay until the last user has left.
    pub(crate) unsafe fn new(mdl: NonNull<Mdl>, users: usize, leave: Leave) -> Self {
        let mapped = SpinLock::new(ptr::null_mut());
        Self { late: LateNode::new(run_leave), users: AtomicUsize::new(users), mdl, mapped, leave }
    }

    /// `len` bytes of zeros, whole pages, with one user; None: no memory. Passive.
    pub(crate) fn alloc(len: NonZeroUsize) -> Option<NonNull<Self>> {
        let mdl = MmAllocatePagesForMdlEx(0, u64::MAX, 0, len.get(), CACHED, ALLOCATE_FULLY);
        let mdl = NonNull::new(mdl)?;
        // SAFETY: given back by `leave_own` alone.
        let Some(pages) = PoolBox::with(|| unsafe { Self::new(mdl, 1, leave_own) }) else {
            // SAFETY: just made, and nobody's.
            unsafe { free_list(mdl) };
            return None;
        };
        leaks::DMA.made_for_dma();
        Some(pages.into_raw())
    }

    /// The kernel's list of them.
    pub(crate) fn mdl(&self) -> *mut Mdl {
        self.mdl.as_ptr()
    }

    /// One user more. By a user.
    pub(crate) fn add_user(&self) {
        self.users.fetch_add(1, Relaxed);
    }

    /// One user less; with the last one they go. Up to DISPATCH_LEVEL.
    ///
    /// # Safety
    /// The caller is a user, and does not use them again.
    pub(crate) unsafe fn leave(this: NonNull<Self>) {
        // SAFETY: alive: the caller is a user.
        let leave = unsafe { this.as_ref() }.leave;
        // SAFETY: the caller's promise.
        unsafe { leave(this) };
    }

    /// As [`leave`](Self::leave), at any level.
    ///
    /// # Safety
    /// The caller is a user, and does not use them again; once.
    pub(crate) unsafe fn free(this: NonNull<Self>) {
        // SAFETY: the caller's promise. The node is the first field.
        unsafe { late::at_dispatch(this.cast()) };
    }

    /// Where the kernel has them side by side; None: it has no place. Up to DISPATCH_LEVEL.
    pub(crate) fn map(&self) -> Option<NonNull<u8>> {
        self.mapped.with(|mapped| {
            if mapped.is_null() {
                *mapped = self.map_now();
            }
            NonNull::new(*mapped)
        })
    }

    fn map_now(&self) -> *mut u8 {
        let mdl = self.mdl();
        // SAFETY: alive as long as the pages.
        let flags = unsafe { (*mdl).flags };
        if flags & MDL_HAS_SYSTEM_VA != 0 {
            // SAFETY: as above. A driver above has mapped them; the address is valid, as the flags say.
            return unsafe { (*mdl).mapped_system_va }.cast();
        }
        let priority = NORMAL_PRIORITY_NOT_EXECUTABLE;
        // SAFETY: pages that stay, and have no address of the kernel's.
        unsafe { MmMapLockedPagesSpecifyCache(mdl, mode::KERNEL, CACHED, ptr::null_mut(), 0, priority) }.cast()
    }
}

unsafe fn run_leave(node: NonNull<LateNode>) {
    // SAFETY: the node of pages, by `free`.
    unsafe { Pages::leave(node.cast()) };
}

/// A user of the kernel's own pages leaves.
unsafe fn leave_own(this: NonNull<Pages>) {
    // SAFETY: alive: the caller is a user.
    let pages = unsafe { this.as_ref() };
    if pages.users.fetch_sub(1, AcqRel) != 1 {
        return;
    }
    let (mdl, mapped) = (pages.mdl, pages.mapped.with(|mapped| *mapped));
    if !mapped.is_null() {
        // SAFETY: mapped by `map`, and nobody uses it any more.
        unsafe { MmUnmapLockedPages(mapped.cast(), mdl.as_ptr()) };
    }
    // SAFETY: of `alloc`, and nobody's any more.
    unsafe { free_list(mdl) };
    // SAFETY: of `alloc`, and the last user has left.
    drop(unsafe { PoolBox::from_raw(this) });
    leaks::DMA.gone();
}

/// Gives pages and their list back. Up to DISPATCH_LEVEL.
///
/// # Safety
/// Of MmAllocatePagesForMdlEx, and not used again.
unsafe fn free_list(mdl: NonNull<Mdl>) {
    // SAFETY: the caller's promise.
    unsafe { MmFreePagesFromMdl(mdl.as_ptr()) };
    // SAFETY: the list itself is the caller's of MmAllocatePagesForMdlEx to free.
    unsafe { ExFreePool(mdl.as_ptr().cast()) };
}
