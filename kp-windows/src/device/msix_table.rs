//! The device's MSI-X table, through the bus driver's interface: up to DIRQL.
use crate::{device::stack_device::StackDevice, nt::*};

/// The bus's interface for one device's table. It is counted, and given back when it is dropped.
pub(crate) struct MsixTable(MsixTableInterface);

impl MsixTable {
    /// Asks the bus for it, through the device below, which it has started. None: the bus has none. Passive.
    pub(crate) fn of(lower: StackDevice) -> Option<Self> {
        lower.msix_table().ok().map(Self)
    }

    /// Masks an entry, which is the message of the same number, or unmasks it. Did it?
    #[inline(never)] // a DPC may call it: the build's check knows the port's pointers by its functions
    pub(crate) fn mask(&self, entry: u32, mask: bool) -> bool {
        let Some(function) = (if mask { self.0.mask_entry } else { self.0.unmask_entry }) else { return false };
        // SAFETY: the bus's own function and context, which takes any number.
        unsafe { function(self.0.context, entry) >= 0 }
    }

    /// Can entries be written?
    pub(crate) fn can_write(&self) -> bool {
        self.0.set_entry.is_some() && self.0.unmask_entry.is_some()
    }

    /// Writes an entry anew, for a message, and unmasks it. Did it?
    pub(crate) fn write(&self, entry: u32, message: u32) -> bool {
        let Some(function) = self.0.set_entry else { return false };
        // SAFETY: the bus's own function and context, which takes any number.
        let written = unsafe { function(self.0.context, entry, message) >= 0 };
        written && self.mask(entry, false)
    }
}

impl Drop for MsixTable {
    fn drop(&mut self) {
        if let Some(dereference) = self.0.dereference {
            // SAFETY: the bus's own function and context; it was counted when the bus gave it.
            unsafe { dereference(self.0.context) };
        }
    }
}
