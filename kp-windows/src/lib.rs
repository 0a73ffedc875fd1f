//! The Windows port: a WDM driver that imports ntoskrnl.exe only, built without the WDK. It translates; kp-core decides.
//!
//! [`glue!`] makes the driver's entry point for one plugin; `cargo kp build` writes the crate that calls it. Only plugins without a
//! device so far: the port has a control device, and no PnP.
#![no_std]

mod cfg;
mod door;
pub mod entry;
mod irql;
mod kernel;
mod lock;
mod memory;
mod names;
mod nt;
mod panic;
mod security;
mod seh;
mod signal;

#[doc(hidden)]
pub use kp_core::host::{info, info_len};
pub use panic::panicked;

/// Makes the entry point of a driver that is plugin `$plugin`. Once per binary, in the root of a `no_std`, `no_main` program.
#[macro_export]
macro_rules! glue {
    ($plugin:ty) => {
        const INFO_LEN: usize = $crate::info_len::<$plugin>();
        #[used]
        #[cfg_attr(windows, unsafe(link_section = ".kp_info"))]
        static INFO: [u8; INFO_LEN] = $crate::info::<$plugin, INFO_LEN>();

        #[panic_handler]
        fn panic(info: &core::panic::PanicInfo<'_>) -> ! {
            $crate::panicked(info)
        }

        /// Where the linker sees that a program may use floating point; the C library has it otherwise.
        #[unsafe(no_mangle)]
        pub static _fltused: i32 = 0x9875;

        /// The kernel calls it when the driver is loaded, and gives its memory back when it has returned.
        ///
        /// # Safety
        /// Called by the kernel, once, at Passive.
        #[unsafe(no_mangle)]
        #[cfg_attr(windows, unsafe(link_section = "INIT"))]
        pub unsafe extern "efiapi" fn DriverEntry(driver: *mut (), _registry: *const ()) -> i32 {
            // SAFETY: the kernel's driver object.
            unsafe { $crate::entry::load::<$plugin>(driver) }
        }
    };
}
