//! The macro that writes a kernel's exports has the word `unsafe` in it. It is of no use to what is no kernel.
use kp_core::host::Log;

pub struct Mine;

impl Log for Mine {
    fn log(_: &str) {}
    fn log_is_limited() -> bool {
        false
    }
}

kp_core::__contract_function! { export safe Mine Log log (text: &str) () }
kp_core::__contract_function! { export unsafe Mine Memory free (memory: core::ptr::NonNull<u8>, layout: core::alloc::Layout) () }
