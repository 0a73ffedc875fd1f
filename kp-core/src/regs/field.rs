//! Bit fields.
use super::{Register, Width};
use core::marker::PhantomData;

/// Some bits of register `R`. Works on values: reading and writing the register stays visible.
pub struct Field<R> {
    shift: u32,
    /// The bits, shifted down.
    mask: u64,
    /// Of this register alone, as for [`Bar`].
    _register: PhantomData<fn(R) -> R>,
}

impl<R: Register> Field<R> {
    #[doc(hidden)]
    pub const fn new(low: u32, high: u32) -> Self {
        assert!(low <= high && high < 8 * size_of::<R::Value>() as u32, "bit field outside its register");
        Self { shift: low, mask: u64::MAX >> (63 - (high - low)), _register: PhantomData }
    }

    /// The field's bits in their place: what is written to clear a status that is cleared by ones.
    #[inline(always)]
    pub fn mask(&self) -> R::Value {
        R::Value::cut(self.mask << self.shift)
    }

    /// The field's bits out of a register's value.
    #[inline(always)]
    pub fn of(&self, value: R::Value) -> R::Value {
        R::Value::cut(value.widen() >> self.shift & self.mask)
    }

    /// Is any of the field's bits set?
    #[inline(always)]
    pub fn is_set(&self, value: R::Value) -> bool {
        value.widen() >> self.shift & self.mask != 0
    }

    /// A register's value with the field's bits replaced; what of `bits` does not fit is cut off.
    #[inline(always)]
    pub fn set(&self, value: R::Value, bits: R::Value) -> R::Value {
        R::Value::cut(value.widen() & !(self.mask << self.shift) | (bits.widen() & self.mask) << self.shift)
    }
}
