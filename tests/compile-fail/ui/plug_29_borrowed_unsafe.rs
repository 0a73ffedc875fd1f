//! The macro that writes a kernel's exports has the word `unsafe` in it. It is of no use to what is no kernel.
pub struct Mine;

kp_core::__contract_function! { export unsafe Mine Memory free (memory: core::ptr::NonNull<u8>, layout: core::alloc::Layout) () }
