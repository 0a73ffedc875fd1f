//! The kernel functions that not every kernel exports, which are looked up and not imported.
use crate::{kernel::routine::Routine, nt::*};
use core::ffi::c_void;

/// Declares functions to look up, as an `extern` block declares imports: `NAME: type = (its name in the kernel)`.
macro_rules! routines {
    ($find:ident: $($(#[$doc:meta])* $name:ident: $type:ty = ($text:literal);)*) => {
        $($(#[$doc])*
        // SAFETY: the kernel's function of this name has this type.
        pub(crate) static $name: Routine<$type> = unsafe { Routine::new($text) };)*

        /// Looks these functions up. Passive, before anything else of the port.
        pub(crate) fn $find() {
            $($name.find();)*
        }
    };
}

routines! {
    find_all:

    /// Without what the machine has slept, to the microsecond. KeQueryInterruptTimePrecise's page says that there is none; Microsoft's public
    /// drivers use it: ebpf-for-windows, usersim.
    UNBIASED_PRECISE: extern "efiapi" fn(&mut u64) -> u64 = (c"KeQueryUnbiasedInterruptTimePrecise");
    /// Without what the machine has slept, in ticks.
    UNBIASED: extern "efiapi" fn() -> u64 = (c"KeQueryUnbiasedInterruptTime");
    /// With what the machine has slept.
    PRECISE: extern "efiapi" fn(&mut u64) -> u64 = (c"KeQueryInterruptTimePrecise");
    /// Where there is none of those: in Wine.
    TICKS: extern "efiapi" fn(&mut u64) = (c"KeQueryTickCount");
    /// A tick, in 100 ns.
    INCREMENT: extern "efiapi" fn() -> u32 = (c"KeQueryTimeIncrement");

    CURRENT_IRQL: extern "efiapi" fn() -> u8 = (c"KeGetCurrentIrql");
    RAISE_IRQL: extern "efiapi" fn(u8) -> u8 = (c"KfRaiseIrql");
    LOWER_IRQL: extern "efiapi" fn(u8) = (c"KeLowerIrql");
    /// What Arm64's kernels call it.
    LOWER_IRQL_ARM64: extern "efiapi" fn(u8) = (c"KfLowerIrql");

    PROCESSORS: extern "efiapi" fn(Option<&mut usize>) -> u32 = (c"KeQueryActiveProcessorCount");
    PROCESSOR: extern "efiapi" fn(Option<&mut u32>) -> u32 = (c"KeGetCurrentProcessorNumberEx");
    SET_TARGET_PROCESSOR: unsafe extern "efiapi" fn(*mut Dpc, i8) = (c"KeSetTargetProcessorDpc");
    SET_IMPORTANCE: unsafe extern "efiapi" fn(*mut Dpc, i32) = (c"KeSetImportanceDpc");

    CONNECT_INTERRUPT: unsafe extern "efiapi" fn(*mut ConnectInterrupt) -> NtStatus = (c"IoConnectInterruptEx");
    DISCONNECT_INTERRUPT: unsafe extern "efiapi" fn(*mut DisconnectInterrupt) = (c"IoDisconnectInterruptEx");

    /// Maps so that nothing there can be executed.
    MAP_IO_SPACE: unsafe extern "efiapi" fn(u64, usize, u32) -> *mut c_void = (c"MmMapIoSpaceEx");
}

#[cfg(target_arch = "aarch64")]
routines! {
    find_flush:

    /// On x64 a macro that does nothing.
    FLUSH_IO_BUFFERS: unsafe extern "efiapi" fn(*mut Mdl, u8, u8) = (c"KeFlushIoBuffers");
}

routines! {
    find_terminating:

    /// Not looked up where Wine plays the kernel: Wine exports it, but ends its caller.
    IS_TERMINATING: extern "efiapi" fn(*mut c_void) -> u8 = (c"PsIsThreadTerminating");
}
