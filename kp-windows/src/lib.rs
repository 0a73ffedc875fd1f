//! The Windows port: a WDM driver that imports ntoskrnl.exe only, built without the WDK. It translates; kp-core decides.
//!
//! [`glue!`] makes the driver's entry point for one plugin; `cargo kp build` writes the crate that calls it.
//!
//! - `entry`: DriverEntry and unload. `control_device`: the node of a plugin without hardware. `stack`, `pnp`, `power`: a device of a
//!   stack, from AddDevice to REMOVE_DEVICE. `node`: what both have, as apps open it.
//! - `handle`, `control`, `wait`: CREATE to CLOSE, DeviceIoControl, and the requests that stay pending. `user`, `seh`: an app's bytes.
//! - `hardware`, `resources`, `bus`, `mapping`, `interrupt`, `processors`: a started device. `kernel`: all of that as kp-core's functions, with `memory`,
//!   `lock`, `signal`, `irql` and `panic`. `parameters`: what is set in the registry. `leaks`: what was not given back.
//! - `nt`: the kernel's binary interface. `cfg`: what the linker and the kernel want for Control Flow Guard. `stack_probe`: what
//!   compilers want for large functions.
#![no_std]

mod buffered_request;
mod bus;
mod cfg;
mod control;
mod control_device;
mod critical_region;
mod device_extension;
pub mod entry;
mod handle;
mod hardware;
mod interrupt;
mod irp;
mod irql;
mod kernel;
mod leaks;
mod lock;
mod mapping;
mod memory;
mod names;
mod node;
mod nt;
mod panic;
mod parameters;
mod pnp;
mod power;
mod processors;
mod resources;
mod security;
mod seh;
mod stack_probe;
mod wait;
mod wait_queue;

#[doc(hidden)]
pub use kp_core::host::{info, info_len};
pub use panic::panicked;

/// A status as the kernel's functions answer it.
fn ntstatus(status: kp_abi::Status) -> nt::NtStatus {
    status.ntstatus() as nt::NtStatus
}

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
