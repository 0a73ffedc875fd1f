//! Whole pages: an app's, or the kernel's own.
use super::contract;
use core::{num::NonZeroUsize, ptr::NonNull};

/// Pages that stay where they are. kp-core never looks into it.
#[repr(C)]
pub struct RawPages {
    _opaque: [u8; 0],
}

contract! { ($)
    /// Whole pages of 4096 bytes: the kernel's own, or those of an app that [`UserRequest::pin`](crate::host::UserRequest::pin) gives.
    unsafe trait Pages, exported by __export_pages;

    /// `len` bytes of zeros, whole pages of 4096, charged to the caller; None: no memory. They need not lie side by side. Passive.
    safe fn pages_alloc(len: NonZeroUsize) -> Option<NonNull<RawPages>>;
    /// Gives pages back, or lets an app's go, after `dma_unmap` was called for each of their mappings. Any level, as `free`.
    unsafe fn pages_free(pages: NonNull<RawPages>) -> ();
    /// Where the kernel has all of them side by side, writable, until `pages_free`: the same address each time. None: no memory. Passive.
    unsafe fn pages_map(pages: NonNull<RawPages>) -> Option<NonNull<u8>>;
}
