//! The Windows port: a WDM driver that imports ntoskrnl.exe only, built without the WDK. It translates; kp-core decides.
//!
//! [`glue!`] makes the driver's entry point for one plugin; `cargo kp build` writes the crate that calls it.
//!
//! | folder | what is in it |
//! |---|---|
//! | `driver` | the driver and its devices: DriverEntry and unload, AddDevice to REMOVE_DEVICE, power, the names that apps open |
//! | `io` | requests: CREATE to CLOSE, DeviceIoControl, the ones that stay pending, and an app's bytes |
//! | `device` | a started device: its resources, configuration space, registers and interrupts |
//! | `kernel` | kp-core's contract with a port, and what it needs: memory, locks, wait queues, levels, clock, log |
//! | `nt` | the kernel's binary interface: functions, structs, numbers |
//! | `crt` | what Microsoft's C runtime brings along otherwise |
//!
//! Files use those of the folders below theirs in this table, and of their own; `kernel::port` alone, which is on top, uses `device`.
#![no_std]

mod crt;
mod device;
mod driver;
mod io;
mod kernel;
mod nt;

#[doc(hidden)]
pub use kp_core::host::{info, info_len};
pub use {driver::entry, kernel::panic::panicked};

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
        pub unsafe extern "efiapi" fn DriverEntry(driver: *mut (), registry: *const ()) -> i32 {
            // SAFETY: the kernel's driver object, and the path of its service's key.
            unsafe { $crate::entry::load::<$plugin>(driver, registry) }
        }
    };
}
