//! Memory for kp-core and plugins.
use super::contract;
use core::{alloc::Layout, ptr::NonNull};

contract! { ($)
    /// Memory for kp-core and plugins: never paged out, whoever is in it.
    unsafe trait Memory, exported by __export_memory;

    /// Memory of this layout, which has at least one byte; None: there is none. Passive.
    safe fn alloc(layout: Layout) -> Option<NonNull<u8>>;
    /// Gives back what `alloc` gave for the same layout. Any level: a port defers what its kernel cannot do there.
    unsafe fn free(memory: NonNull<u8>, layout: Layout) -> ();
}
