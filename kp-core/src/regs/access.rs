//! Registers that are borrowed of what maps them.
use super::{
    Array, Blocks, Invariant, Mmio, Readable, Register, RegisterMap, Single, Space, Writable, check, check_blocks,
};
use crate::{Result, Status};
use core::marker::PhantomData;

/// Some registers: all of a [`Bar`](crate::Bar), or a block of them. Each access is one instruction, at any level, in program order.
///
/// INVARIANT: `M::LEN` bytes at `base`, a multiple of each width that divides `M::ALIGN`, are mapped in space `S` during `'a`.
pub struct Regs<'a, M: RegisterMap, S: Space = Mmio> {
    base: usize,
    /// Borrowed; of this map alone, as a BAR is.
    _of: PhantomData<(&'a (), Invariant<M, S>)>,
}

impl<M: RegisterMap, S: Space> Clone for Regs<'_, M, S> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<M: RegisterMap, S: Space> Copy for Regs<'_, M, S> {}

impl<'a, M: RegisterMap, S: Space> Regs<'a, M, S> {
    /// # Safety
    /// The invariant.
    #[inline(always)]
    pub(crate) unsafe fn new(base: usize) -> Self {
        Self { base, _of: PhantomData }
    }

    /// Reads a register.
    #[inline(always)]
    pub fn read<R: Readable<Map = M> + Single>(self, _register: R) -> R::Value {
        const { check::<R, S>(1) }
        // SAFETY: aligned and inside the map, as checked; the map is mapped.
        unsafe { S::read(self.base.wrapping_add(R::OFFSET)) }
    }

    /// Writes a register.
    #[inline(always)]
    pub fn write<R: Writable<Map = M> + Single>(self, _register: R, value: R::Value) {
        const { check::<R, S>(1) }
        // SAFETY: aligned and inside the map, as checked; the map is mapped.
        unsafe { S::write(self.base.wrapping_add(R::OFFSET), value) }
    }

    /// Register `i` of an array. `BAD_VALUE`: it has fewer.
    #[inline(always)]
    pub fn item<A: Array<Map = M>>(self, _array: A, i: usize) -> Result<Item<'a, A, S>> {
        const { check::<A, S>(A::COUNT) }
        if i >= A::COUNT {
            return Err(Status::BAD_VALUE.into());
        }
        let address = self.base.wrapping_add(A::OFFSET).wrapping_add(i.wrapping_mul(size_of::<A::Value>()));
        Ok(Item { address, _of: PhantomData })
    }

    /// Block `i` of an array of blocks. `BAD_VALUE`: it has fewer.
    #[inline(always)]
    pub fn block<B: Blocks<Map = M>>(self, _blocks: B, i: usize) -> Result<Regs<'a, B::Block, S>> {
        const { check_blocks::<B>() }
        if i >= B::COUNT {
            return Err(Status::BAD_VALUE.into());
        }
        let base = self.base.wrapping_add(B::OFFSET).wrapping_add(i.wrapping_mul(B::STRIDE));
        // SAFETY: all blocks are aligned and inside the map, as checked; the map is mapped.
        Ok(unsafe { Regs::new(base) })
    }

    /// Reads one register again and again: a FIFO.
    #[inline(always)]
    pub fn read_fifo<R: Readable<Map = M> + Single>(self, register: R, into: &mut [R::Value]) {
        for value in into {
            *value = self.read(register);
        }
    }

    /// Writes one register again and again: a FIFO.
    #[inline(always)]
    pub fn write_fifo<R: Writable<Map = M> + Single>(self, register: R, from: &[R::Value]) {
        for value in from {
            self.write(register, *value);
        }
    }

    /// Reads an array from register `first` on, in rising order. `BAD_VALUE`, and nothing is read: it ends before `into` does.
    #[inline(always)]
    pub fn read_array<A: Array<Map = M> + Readable>(self, array: A, first: usize, into: &mut [A::Value]) -> Result<()> {
        let items = self.items(array, first, into.len())?;
        for (value, item) in into.iter_mut().zip(items) {
            *value = item.read();
        }
        Ok(())
    }

    /// Writes an array from register `first` on, in rising order. `BAD_VALUE`, and nothing is written: it ends before `from` does.
    #[inline(always)]
    pub fn write_array<A: Array<Map = M> + Writable>(self, array: A, first: usize, from: &[A::Value]) -> Result<()> {
        let items = self.items(array, first, from.len())?;
        for (value, item) in from.iter().zip(items) {
            item.write(*value);
        }
        Ok(())
    }

    /// Registers `first` to `first + count` of an array, if it has them.
    #[inline(always)]
    fn items<A: Array<Map = M>>(
        self,
        array: A,
        first: usize,
        count: usize,
    ) -> Result<impl Iterator<Item = Item<'a, A, S>>> {
        let end = first.checked_add(count).filter(|end| *end <= A::COUNT).ok_or(Status::BAD_VALUE)?;
        Ok((first..end).filter_map(move |i| self.item(array, i).ok()))
    }
}

/// One register of an array.
///
/// INVARIANT: the register at `address` is aligned, and mapped in space `S` during `'a`.
pub struct Item<'a, A: Register, S: Space = Mmio> {
    address: usize,
    _of: PhantomData<(&'a (), Invariant<A, S>)>,
}

impl<A: Register, S: Space> Clone for Item<'_, A, S> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<A: Register, S: Space> Copy for Item<'_, A, S> {}

impl<A: Register, S: Space> Item<'_, A, S> {
    /// Reads it.
    #[inline(always)]
    pub fn read(self) -> A::Value
    where
        A: Readable,
    {
        // SAFETY: the invariant.
        unsafe { S::read(self.address) }
    }

    /// Writes it.
    #[inline(always)]
    pub fn write(self, value: A::Value)
    where
        A: Writable,
    {
        // SAFETY: the invariant.
        unsafe { S::write(self.address, value) }
    }
}
