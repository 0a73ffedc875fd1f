//! A mapped BAR.
use super::{Mmio, Readable, RegisterMap, Regs, Single, Space, Writable, check, map_len};
use crate::host::{IoMapping, kernel};
use core::{marker::PhantomData, num::NonZeroUsize};

/// A mapped BAR, or a part of one. Each access is one instruction, at any level, in program order.
///
/// INVARIANT: `M::LEN` bytes at `base` are mapped as long as this lives; `base` is a multiple of each width that divides `M::ALIGN`.
pub struct Bar<M: RegisterMap> {
    base: NonZeroUsize,
    /// Of this map alone. Two maps may be subtypes, one of the other, and of different lengths: `Map<fn(&'static u8)>` and
    /// `Map<for<'a> fn(&'a u8)>`, of a generic `Map`.
    _map: PhantomData<fn(M) -> M>,
}

impl<M: RegisterMap> Bar<M> {
    /// # Safety
    /// `M::LEN` bytes at `base`, a multiple of each width that divides `M::ALIGN`, are a mapping that is this BAR's alone from now on.
    pub(crate) unsafe fn new(base: NonZeroUsize) -> Self {
        Self { base, _map: PhantomData }
    }

    /// All its registers, arrays and blocks among them.
    #[inline(always)]
    pub fn regs(&self) -> Regs<'_, M> {
        // SAFETY: the invariant, for as long as this is borrowed.
        unsafe { Regs::new(self.base.get()) }
    }

    /// Reads a register. Any level.
    #[inline(always)]
    pub fn read<R: Readable<Map = M> + Single>(&self, _register: R) -> R::Value {
        // Here, so that the compiler's error names the line that reads.
        const { check::<R, Mmio>(1) }
        // SAFETY: aligned and inside the map, as checked; the map is mapped.
        unsafe { Mmio::read(self.base.get().wrapping_add(R::OFFSET)) }
    }

    /// Writes a register. Any level.
    #[inline(always)]
    pub fn write<R: Writable<Map = M> + Single>(&self, _register: R, value: R::Value) {
        const { check::<R, Mmio>(1) }
        // SAFETY: aligned and inside the map, as checked; the map is mapped.
        unsafe { Mmio::write(self.base.get().wrapping_add(R::OFFSET), value) }
    }
}

impl<M: RegisterMap> Drop for Bar<M> {
    fn drop(&mut self) {
        // SAFETY: of `kernel::map_bar` with this length, and nobody uses it after this.
        unsafe { kernel::unmap_bar(IoMapping { base: self.base, len: map_len::<M>() }) }
    }
}
