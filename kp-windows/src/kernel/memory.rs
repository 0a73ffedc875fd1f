//! Non-paged pool, which is only given back up to DISPATCH_LEVEL: what is freed above it waits in a list.
use crate::{
    kernel::{irql, leaks},
    nt::{ExAllocatePoolWithTag, ExFreePoolWithTag, NON_PAGED_POOL_NX},
};
use core::{
    ptr,
    sync::atomic::{AtomicPtr, Ordering::*},
};

/// What the kernel's tools show as the memory's owner.
const TAG: u32 = u32::from_le_bytes(*b"kpRs");
/// The alignment that the pool gives.
const POOL_ALIGN: usize = 16;

/// What is to be freed: each piece begins with the address of the next. Pieces are 16 bytes at least, as the pool's.
static LATE: AtomicPtr<u8> = AtomicPtr::new(ptr::null_mut());

/// Memory, or null. Passive. What was freed too high up is given back first.
pub(crate) fn alloc(size: usize, align: usize) -> *mut u8 {
    free_late();
    if align <= POOL_ALIGN {
        return pool(size);
    }
    // The pool's own address stands before the aligned one.
    let Some(whole) = size.checked_add(align) else { return ptr::null_mut() };
    let start = pool(whole);
    if start.is_null() {
        return start;
    }
    let aligned = start.wrapping_add(align - start.addr() % align);
    // SAFETY: at least 16 bytes behind `start`, because both are multiples of 16, and inside the allocation.
    unsafe { aligned.cast::<*mut u8>().wrapping_sub(1).write(start) };
    aligned
}

fn pool(size: usize) -> *mut u8 {
    let memory = ExAllocatePoolWithTag(NON_PAGED_POOL_NX, size.max(POOL_ALIGN), TAG);
    leaks::ALLOCATIONS.made(!memory.is_null());
    memory.cast()
}

/// # Safety
/// It came from [`pool`], and is not used again; at DISPATCH_LEVEL or below.
unsafe fn give_back(memory: *mut u8) {
    // SAFETY: from the pool, and not used again.
    unsafe { ExFreePoolWithTag(memory.cast(), TAG) };
    leaks::ALLOCATIONS.gone();
}

/// Gives memory back, at any level.
///
/// # Safety
/// It came from [`alloc`] with the same alignment, and is not used again.
pub(crate) unsafe fn free(memory: *mut u8, align: usize) {
    let start = if align <= POOL_ALIGN {
        memory
    } else {
        // SAFETY: `alloc` has written it there.
        unsafe { memory.cast::<*mut u8>().wrapping_sub(1).read() }
    };
    if irql::may_free() {
        // SAFETY: from the pool, and not used again; at a level that may.
        unsafe { give_back(start) };
        return;
    }
    let mut first = LATE.load(Relaxed);
    loop {
        // SAFETY: given up, aligned, and 16 bytes at least.
        unsafe { start.cast::<*mut u8>().write(first) };
        match LATE.compare_exchange_weak(first, start, Release, Relaxed) {
            Ok(_) => return,
            Err(now) => first = now,
        }
    }
}

/// Gives back what was freed too high up. Passive.
pub(crate) fn free_late() {
    if LATE.load(Relaxed).is_null() {
        return;
    }
    let mut piece = LATE.swap(ptr::null_mut(), Acquire);
    while !piece.is_null() {
        // SAFETY: `free` has put it there.
        let next = unsafe { piece.cast::<*mut u8>().read() };
        // SAFETY: from the pool, and this list's alone since the swap.
        unsafe { give_back(piece) };
        piece = next;
    }
}
