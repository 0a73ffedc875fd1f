//! The Linux port's Rust side. It translates: kp-core decides, and the C glue in `kbuild/` touches the kernel's structs and macros.
//!
//! [`glue!`] makes the module's entry points for one plugin; `cargo kp build` writes the crate that calls it. What the two sides call each
//! other with is in [`c`] (Rust calls C) and in `glue!` (C calls Rust), and both ways in `kbuild/kp_calls.h`, which C includes and a test
//! compares with them.
#![no_std]
#![cfg_attr(kp_driver, feature(optimize_attribute))]

pub mod c;
pub mod entry;
mod ioctl_request;
mod kernel;
mod numbers;
mod panic;
mod pointers;

pub use ioctl_request::IoctlRequest;
pub use panic::panicked;
pub use pointers::{BoundPtr, SessionPtr};

#[doc(hidden)]
pub use kp_core::host::{info, info_len};

/// Exports the entry points of a module that is plugin `$plugin`. Once per binary.
#[macro_export]
macro_rules! glue {
    ($plugin:ty) => {
        const INFO_LEN: usize = $crate::info_len::<$plugin>();
        #[used]
        #[unsafe(link_section = ".kp_info")]
        static INFO: [u8; INFO_LEN] = $crate::info::<$plugin, INFO_LEN>();

        #[panic_handler]
        fn panic(info: &core::panic::PanicInfo<'_>) -> ! {
            $crate::panicked(info)
        }

        use core::{ffi::c_void, mem::MaybeUninit};
        type BoundPtr = $crate::BoundPtr<$plugin>;
        type SessionPtr = $crate::SessionPtr<$plugin>;

        $crate::__entries! { $plugin, optimize(size);
            fn kp_rs_bind(device: *mut c_void, bars: &[[u64; 3]; 6], bus_address: u64, bound: &mut MaybeUninit<BoundPtr>) -> i32 = bind;
            fn kp_rs_remove(bound: BoundPtr, present: bool) -> bool = remove;
            fn kp_rs_drop(bound: BoundPtr) = drop_device;
            fn kp_rs_suspend(bound: BoundPtr) = suspend;
            fn kp_rs_resume(bound: BoundPtr) = resume;
            fn kp_rs_reset_prepare(bound: BoundPtr) = reset_prepare;
            fn kp_rs_reset_done(bound: BoundPtr) = reset_done;
            fn kp_rs_open(bound: BoundPtr, process: u32, admin: bool, is_32bit: bool, session: &mut MaybeUninit<SessionPtr>) -> i32 = open;
            fn kp_rs_release(session: SessionPtr) = release;
            fn kp_rs_ready(session: SessionPtr) -> u32 = ready;
            fn kp_rs_wait_queue(session: SessionPtr) -> *mut c_void = wait_queue;
            fn kp_rs_timer(cookie: *const ()) = timer;
            fn kp_rs_work(cookie: *const ()) = work;
            fn kp_rs_map(session: SessionPtr, vma: *mut c_void, offset: u64, len: usize, write: bool) -> i32 = map;
        }
        $crate::__entries! { $plugin, inline;
            fn kp_rs_request(session: SessionPtr, nr: u32, address: usize, limit: u64, mode: u32) -> isize = request;
            fn kp_rs_direct(session: SessionPtr, message: u32, address: usize, limit: u64, mode: u32) -> isize = direct;
            fn kp_rs_isr(cookie: *const (), vector: u32) -> bool = isr;
            fn kp_rs_dpc(cookie: *const (), vector: u32) = dpc;
        }
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __entries {
    ($plugin:ty, $attribute:meta; $(fn $name:ident($($argument:ident: $type:ty),*) $(-> $answer:ty)? = $target:ident;)*) => {
        $(
            #[doc = concat!("See [`", stringify!($target), "`]($crate::entry::", stringify!($target), ").\n\n# Safety\nAs there.")]
            #[$attribute]
            #[unsafe(no_mangle)]
            unsafe extern "C" fn $name($($argument: $type),*) $(-> $answer)? {
                // SAFETY: the C glue promises what the entry asks for.
                unsafe { $crate::entry::$target::<$plugin>($($argument),*) }
            }
        )*
    };
}
