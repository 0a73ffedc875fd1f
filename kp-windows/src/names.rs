//! Counted UTF-16 strings, as the kernel wants them.
use crate::nt::{MmGetSystemRoutineAddress, UnicodeString};
use core::ffi::{CStr, c_void};

/// The longest name that the port makes: `\DosDevices\kp-`, a plugin's name, a number, and the zero at the end.
const MAX: usize = 64;

/// A short ASCII name.
pub(crate) struct Name {
    units: [u16; MAX],
    len: usize,
}

impl Name {
    /// The parts, one behind the other; cut if they are too long together.
    pub(crate) fn new(parts: &[&str]) -> Self {
        let mut name = Name { units: [0; MAX], len: 0 };
        let bytes = parts.iter().flat_map(|part| part.bytes());
        for (unit, byte) in name.units[..MAX - 1].iter_mut().zip(bytes) {
            *unit = byte.into();
            name.len += 1;
        }
        name
    }

    /// The kernel's view of it.
    pub(crate) fn as_unicode(&self) -> UnicodeString {
        let length = 2 * self.len as u16;
        UnicodeString { length, maximum_length: length + 2, buffer: self.units.as_ptr() }
    }
}

/// A function that the kernel exports, or null. Passive.
pub(crate) fn find(name: &CStr) -> *mut c_void {
    let name = Name::new(&[name.to_str().unwrap_or_default()]);
    let unicode = name.as_unicode();
    // SAFETY: `unicode` points into `name`, alive for the call.
    unsafe { MmGetSystemRoutineAddress(&unicode) }
}
