//! Drivers that are no .sys: functions of this process with the kernel's calling convention, for tests of the loader itself.
//!
//! They call the kernel by [`function`], as a driver does through MmGetSystemRoutineAddress, and are checked in the same way.
use crate::{
    Driver, Machine, StartError, cpu,
    nt::{DriverObject, NtStatus, UnicodeString},
};

/// A driver's entry point.
pub type Entry = extern "efiapi" fn(*mut DriverObject, *const UnicodeString) -> NtStatus;

impl Machine {
    /// Starts a broken driver.
    ///
    /// # Errors
    /// As [`start`](Self::start).
    ///
    /// # Panics
    /// If the run ends.
    pub fn start_broken(&self, name: &str, entry: Entry) -> Result<Driver, StartError> {
        self.start_at(name, (entry as *const ()).expose_provenance(), None)
    }
}

/// The address of a kernel function, checked as an import is. On a thread that runs such a driver.
///
/// # Panics
/// If the kernel has none of that name.
pub fn function(name: &str) -> usize {
    cpu::kernel().thunks.find(name).unwrap_or_else(|| panic!("the simulated kernel has no {name}"))
}

/// Calls a kernel function by name, with the arguments' types inferred: `call!("KeSetEvent"(event: *mut c_void, 0: i32, 0: u8) -> i32)`.
#[macro_export]
macro_rules! kernel_call {
    ($name:literal($($value:expr => $type:ty),* $(,)?) $(-> $answer:ty)?) => {{
        let function = $crate::broken_driver::function($name);
        // SAFETY: the function has these types; what it is given is what is tested.
        let function: extern "efiapi" fn($($type),*) $(-> $answer)? =
            unsafe { std::mem::transmute(std::ptr::with_exposed_provenance::<()>(function)) };
        function($($value),*)
    }};
}
