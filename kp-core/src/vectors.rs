//! The vectors of a device's interrupt, one by one.
#![deny(unsafe_code)]
use crate::{AtMost, Dispatch, Passive, Result, host::Link};

/// The vectors of a device's interrupt, which a plugin may keep. Of [`Device::vectors`](crate::Device::vectors).
///
/// A masked vector does not interrupt: what the device sends for it meanwhile comes when it is unmasked, once, however often it was sent.
/// Disabling unmasks, and so does whatever disables, as the app's death. So an interrupt that is enabled has no masked vectors, but for those
/// that `int_enable` itself has masked, which are so when the handler is connected. What was kept back for a vector that is masked to the end
/// comes after `int_disarm`, or when the interrupt is enabled again if the device is slow to send it: a handler asks its device what there is.
/// The guard against storms masks by itself, and what it has masked no `unmask` undoes, but disabling.
///
/// Errors of all it does: `NOT_ENABLED` while no interrupt is enabled, and in the last run of `int_at_dpc` when one is disabled; `BAD_VECTOR` if it has
/// no such vector.
pub struct Vectors {
    pub(crate) link: Link,
}

impl Vectors {
    /// Masks vector `n` of MSI-X; one that is masked stays so, whoever masks it how often. A handler that has begun before may still run,
    /// on another processor. At most Dispatch.
    ///
    /// Errors: `NO_INTERRUPT` for other kinds, and where the kernel has no means for it.
    pub fn mask(&self, cx: &mut impl AtMost<Dispatch>, n: u32) -> Result<()> {
        self.link.masks().mask(cx, n, true)
    }

    /// Undoes [`mask`](Self::mask). At most Dispatch. Errors as there.
    pub fn unmask(&self, cx: &mut impl AtMost<Dispatch>, n: u32) -> Result<()> {
        self.link.masks().mask(cx, n, false)
    }

    /// Says which processor vector `n` best goes to, from `int_arm` on until the interrupt is disabled. The kernel may do as it likes: Windows
    /// does, and on Linux an administrator's choice, made later, stands. A processor that there is not changes nothing. Passive.
    pub fn hint(&self, cx: &mut Passive, n: u32, processor: u32) -> Result<()> {
        self.link.masks().hint(cx, n, processor)
    }
}
