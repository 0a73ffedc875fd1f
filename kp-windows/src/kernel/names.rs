//! Counted UTF-16 strings, as the kernel wants them.
use crate::nt::{MmGetSystemRoutineAddress, UnicodeString};
use core::{
    ffi::{CStr, c_void},
    ptr::{self, NonNull},
    sync::atomic::{AtomicPtr, Ordering::Relaxed},
};

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

/// A kernel function that not every kernel has, which is looked up once.
pub(crate) struct Routine {
    name: &'static CStr,
    at: AtomicPtr<c_void>,
}

impl Routine {
    pub(crate) const fn new(name: &'static CStr) -> Self {
        Self { name, at: AtomicPtr::new(ptr::null_mut()) }
    }

    /// Looks it up. Passive, before it is first used.
    pub(crate) fn find(&self) {
        let name = Name::new(&[self.name.to_str().unwrap_or_default()]);
        // SAFETY: the text is alive for the call.
        self.at.store(unsafe { MmGetSystemRoutineAddress(&name.as_unicode()) }, Relaxed);
    }

    /// Its address. None: this kernel does not have it.
    #[inline]
    pub(crate) fn get(&self) -> Option<NonNull<c_void>> {
        NonNull::new(self.at.load(Relaxed))
    }
}
