//! A mapped BAR.
use super::{BarSpace, Invariant, Mmio, Readable, RegisterMap, Regs, Single, Writable, check, map_len};
use crate::host::IoMapping;
use core::{marker::PhantomData, num::NonZeroUsize};

/// A mapped BAR, or a part of one, of memory or of [`Ports`](crate::Ports). Each access is one instruction, at any level, in program order.
///
/// INVARIANT: `M::LEN` bytes at `base` are mapped in space `S` as long as this lives; `base` is a multiple of each width that divides `M::ALIGN`.
pub struct Bar<M: RegisterMap, S: BarSpace = Mmio> {
    base: NonZeroUsize,
    /// Of this map alone. Two maps may be subtypes, one of the other, and of different lengths: `Map<fn(&'static u8)>` and
    /// `Map<for<'a> fn(&'a u8)>`, of a generic `Map`.
    _map: PhantomData<Invariant<M, S>>,
}

impl<M: RegisterMap, S: BarSpace> Bar<M, S> {
    /// # Safety
    /// `M::LEN` bytes at `base`, a multiple of each width that divides `M::ALIGN`, are a mapping of space `S` that is this BAR's alone from now on.
    pub(crate) unsafe fn new(base: NonZeroUsize) -> Self {
        Self { base, _map: PhantomData }
    }

    /// All its registers, arrays and blocks among them.
    #[inline(always)]
    pub fn regs(&self) -> Regs<'_, M, S> {
        // SAFETY: the invariant, for as long as this is borrowed.
        unsafe { Regs::new(self.base.get()) }
    }

    /// Reads a register. Any level.
    #[inline(always)]
    pub fn read<R: Readable<Map = M> + Single>(&self, _register: R) -> R::Value {
        // Here, so that the compiler's error names the line that reads.
        const { check::<R, S>(1) }
        // SAFETY: aligned and inside the map, as checked; the map is mapped.
        unsafe { S::read(self.base.get().wrapping_add(R::OFFSET)) }
    }

    /// Writes a register. Any level.
    #[inline(always)]
    pub fn write<R: Writable<Map = M> + Single>(&self, _register: R, value: R::Value) {
        const { check::<R, S>(1) }
        // SAFETY: aligned and inside the map, as checked; the map is mapped.
        unsafe { S::write(self.base.get().wrapping_add(R::OFFSET), value) }
    }
}

impl<M: RegisterMap, S: BarSpace> Drop for Bar<M, S> {
    fn drop(&mut self) {
        // SAFETY: a mapping of this space with this length, and nobody uses it after this.
        unsafe { S::unmap(IoMapping { base: self.base, len: map_len::<M>() }) }
    }
}
