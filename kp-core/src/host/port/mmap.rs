//! Memory that an app may map.
use super::contract;
use core::ptr::NonNull;

contract! { ($)
    /// Memory that an app may map: rings.
    unsafe trait Mmap, exported by __export_mmap;

    /// Can an app map memory of `alloc_mmap_pages`? If not, a ring is made of a buffer of the app's, and so every plugin has buffers. Any level; the
    /// answer must not change.
    safe fn can_mmap() -> bool;
    /// Whole pages of zeros that an app may map, `len` bytes at the start of a page; None: no memory. Passive.
    safe fn alloc_mmap_pages(len: usize) -> Option<NonNull<u8>>;
    /// The kernel's side gives them up; an app that has them mapped keeps them as long. Passive.
    unsafe fn free_mmap_pages(memory: NonNull<u8>, len: usize) -> ();
}
