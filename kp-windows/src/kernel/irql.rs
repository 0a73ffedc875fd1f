//! The processor's interrupt request level, and how high a lock must raise it. These functions are looked up, not imported: not
//! every kernel that the port is tried on exports them. Where they are missing no interrupt is ever connected, and nothing runs
//! above DISPATCH_LEVEL.
//!
//! They are called through pointers, by functions that are never inlined: so the build, which looks for what a handler can get to,
//! sees that the pointer is the port's.
use crate::{
    kernel::optional::{CURRENT_IRQL, LOWER_IRQL, LOWER_IRQL_ARM64, RAISE_IRQL},
    nt::DISPATCH_LEVEL,
};
use core::sync::atomic::{AtomicU8, Ordering::*};

/// The highest level of all interrupts that the driver's devices were assigned so far; handlers run there or below.
static DEVICES: AtomicU8 = AtomicU8::new(DISPATCH_LEVEL);

/// The level, if it can be known.
#[inline(never)]
pub(crate) fn current() -> Option<u8> {
    Some(CURRENT_IRQL.get()?())
}

/// A device was assigned an interrupt of this level. Before it is connected.
pub(crate) fn allow_for(level: u8) {
    DEVICES.fetch_max(level, Release);
}

/// Raises the level so that no interrupt of the driver's devices runs on this processor; the answer is the level before. None: it
/// cannot be raised.
#[inline(never)]
pub(crate) fn raise() -> Option<u8> {
    let f = RAISE_IRQL.get().filter(|_| is_known())?;
    // Code of this driver runs at this level or below: nothing is lowered.
    Some(f(DEVICES.load(Acquire)))
}

/// Can the level be read, raised, and lowered again?
#[inline]
pub(crate) fn is_known() -> bool {
    CURRENT_IRQL.get().is_some() && RAISE_IRQL.get().is_some() && lowering().is_some()
}

/// Under which name the kernel has it.
#[inline]
fn lowering() -> Option<extern "efiapi" fn(u8)> {
    LOWER_IRQL.get().or_else(|| LOWER_IRQL_ARM64.get())
}

/// Goes back to the level before [`raise`], which has answered it.
#[inline(never)]
pub(crate) fn lower(to: u8) {
    if let Some(f) = lowering() {
        f(to);
    }
}

/// May memory and mappings be given back at this level?
pub(crate) fn may_free() -> bool {
    current().is_some_and(|level| level <= DISPATCH_LEVEL)
}
