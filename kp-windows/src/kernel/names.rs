//! Counted UTF-16 strings, as the kernel wants them.
use crate::nt::{IoCreateSymbolicLink, IoDeleteSymbolicLink, NtStatus, UnicodeString};

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

    /// Makes it a symbolic link. Passive.
    pub(crate) fn link_to(&self, target: &UnicodeString) -> NtStatus {
        // SAFETY: two names for the call.
        unsafe { IoCreateSymbolicLink(&self.as_unicode(), target) }
    }

    /// Undoes [`link_to`](Self::link_to). Passive.
    pub(crate) fn unlink(&self) {
        // SAFETY: a name for the call.
        unsafe { IoDeleteSymbolicLink(&self.as_unicode()) };
    }
}
