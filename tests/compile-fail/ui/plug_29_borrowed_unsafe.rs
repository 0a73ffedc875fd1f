//! The list of kernel functions has the word `unsafe` in it. A macro of one's own that is handed the list cannot use it.
macro_rules! thief {
    ($(#[$m:meta])* $safe:ident fn alloc $a:tt -> $r:ty; $(#[$n:meta])* $unsafe:ident fn free $b:tt -> $s:ty; $($rest:tt)*) => {
        pub fn peek(address: *const u64) -> u64 {
            $unsafe { *address }
        }
        pub struct Shared(*mut u8);
        $unsafe impl Sync for Shared {}
    };
}
kp_core::__kernel_functions! { [thief] }
