//! The Linux port's Rust side. It translates: kp-core decides, and the C glue in `kbuild/` touches the kernel's structs and macros.
//!
//! [`glue!`] makes the module's entry points for one plugin; `cargo kp build` writes the crate that calls it. Everything the two
//! sides call each other with is in [`c`] (Rust to C) and in `glue!` (C to Rust).
#![no_std]
#![cfg_attr(kp_driver, feature(optimize_attribute))]

pub mod c;
pub mod entry;
mod ioctl_request;
mod kernel;
mod panic;

pub use ioctl_request::IoctlRequest;
pub use panic::panicked;

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

        $crate::__entries! { $plugin, optimize(size);
            fn kp_rs_bind(device: *mut (), bars: *const u64, bus_address: u64, driver: *mut *const ()) -> i32 = bind;
            fn kp_rs_remove(driver: *const (), present: bool) -> bool = remove;
            fn kp_rs_drop(driver: *const ()) = drop_driver;
            fn kp_rs_suspend(driver: *const ()) = suspend;
            fn kp_rs_resume(driver: *const ()) = resume;
            fn kp_rs_reset_prepare(driver: *const ()) = reset_prepare;
            fn kp_rs_reset_done(driver: *const ()) = reset_done;
            fn kp_rs_open(driver: *const (), process: u32, admin: bool, is_32bit: bool, session: *mut *mut ()) -> i32 = open;
            fn kp_rs_release(session: *mut ()) = release;
            fn kp_rs_ready(session: *mut ()) -> u32 = ready;
            fn kp_rs_wait_queue(session: *mut ()) -> *mut () = wait_queue;
            fn kp_rs_map(session: *mut (), vma: *mut (), offset: u64, len: usize, write: bool) -> i32 = map;
        }
        $crate::__entries! { $plugin, inline;
            fn kp_rs_request(session: *mut (), nr: u32, address: usize, limit: u64, mode: u32) -> isize = request;
            fn kp_rs_direct(session: *mut (), message: u32, address: usize, limit: u64, mode: u32) -> isize = direct;
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
