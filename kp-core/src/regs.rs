//! The device and its registers: width, access and offset are the compiler's business, a BAR's length is checked once.
use crate::{
    Config, Error, Passive, Result, Status,
    host::{BarIndex, DeviceId, IoMapping, Link, LogLine, kernel},
};
use core::{marker::PhantomData, mem, num::NonZeroUsize};

/// The device that a plugin was bound to. A plugin that drives none gets one without hardware.
pub struct Device {
    /// The port's name for it, if there is hardware.
    id: Option<DeviceId>,
    /// Length of each memory BAR, in bytes.
    bars: [Option<usize>; 6],
    /// None: no hardware.
    link: Option<Link>,
    /// Which were mapped, one bit per BAR.
    mapped: u8,
    /// The log has the memory BARs already.
    has_told_bars: bool,
    _init: OnlyInInit,
}

/// Of what is not to be kept, as the port's name for a device ends with its removal. The compiler names it to those who try.
struct OnlyInInit(PhantomData<*mut ()>);

impl Device {
    pub(crate) fn new(id: Option<DeviceId>, bars: [Option<usize>; 6], link: Option<Link>) -> Self {
        Self { id, bars, link, mapped: 0, has_told_bars: false, _init: OnlyInInit(PhantomData) }
    }

    /// Is there a device?
    pub fn has_hardware(&self) -> bool {
        self.link.is_some()
    }

    /// Maps the registers `M` of BAR `index`, for as long as the answer lives. A BAR is mapped once.
    ///
    /// Errors: `WRONG_DEVICE` without such a memory BAR, `BAR_TOO_SHORT` if the registers do not fit, both with a line in the log that says
    /// what there is; `BUSY` the second time, `NO_MEMORY`.
    pub fn map<M: RegisterMap>(&mut self, _cx: &mut Passive, index: usize) -> Result<Bar<M>> {
        // What a kernel makes of a mapping of no bytes is its own affair.
        const { assert!(M::LEN > 0, "a register map has at least one byte") }
        let len = self.bars.get(index).copied().flatten().ok_or_else(|| self.no_memory_bar(index))?;
        if len < M::LEN {
            return Err(too_short(index, len, M::LEN));
        }
        let bit = 1 << index;
        if self.mapped & bit != 0 {
            return Err(Status::BUSY.into());
        }
        let (id, bar) = self.id.zip(BarIndex::new(index)).ok_or(Status::WRONG_DEVICE)?;
        let IoMapping { base, .. } = kernel::map_bar(id, bar, map_len::<M>()).ok_or(Status::NO_MEMORY)?;
        self.mapped |= bit;
        Ok(Bar { base, _map: PhantomData })
    }

    /// Says in the log what memory BARs there are, once: a plugin may look for several. The error for one that is not among them.
    #[cfg_attr(kp_driver, optimize(size), cold, inline(never))]
    fn no_memory_bar(&mut self, index: usize) -> Error {
        if self.has_hardware() && !mem::replace(&mut self.has_told_bars, true) {
            let mut line = LogLine::<LINE>::new();
            line.push("BAR ");
            line.push_number(number(index));
            line.push(" is port I/O, or not there; memory BARs:");
            if self.bars.iter().all(Option::is_none) {
                line.push(" none");
            }
            for (bar, _) in (0..).zip(&self.bars).filter(|(_, len)| len.is_some()) {
                line.push(" ");
                line.push_number(bar);
            }
            kernel::log(line.text());
        }
        Status::WRONG_DEVICE.into()
    }

    /// Its configuration space, which may be kept. Errors: `WRONG_DEVICE` without hardware.
    pub fn config(&self) -> Result<Config> {
        let link = self.link.clone().ok_or(Status::WRONG_DEVICE)?;
        Ok(Config { link })
    }

    /// Lets the device start transfers of its own, or stops it, as [`Config::bus_master`]. Errors: `WRONG_DEVICE` without hardware.
    pub fn bus_master(&mut self, cx: &mut Passive, on: bool) -> Result<()> {
        self.link.as_ref().ok_or(Status::WRONG_DEVICE)?.bus_master(cx, on)
    }
}

/// Longest line about a BAR, in bytes.
const LINE: usize = 96;

/// Says in the log how long a BAR is, and its register map. The error for it.
#[cfg_attr(kp_driver, optimize(size), cold, inline(never))]
fn too_short(index: usize, len: usize, wanted: usize) -> Error {
    let mut line = LogLine::<LINE>::new();
    line.push("BAR ");
    line.push_number(number(index));
    line.push(" has ");
    line.push_number(number(len));
    line.push(" bytes, and its register map ");
    line.push_number(number(wanted));
    kernel::log(line.text());
    Status::BAR_TOO_SHORT.into()
}

/// As the log writes numbers.
fn number(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}

/// The registers of one BAR. Made by [`registers!`](crate::registers!).
pub trait RegisterMap: 'static {
    /// Length in bytes.
    const LEN: usize;
}

/// One register. Made by [`registers!`](crate::registers!).
pub trait Register: Copy {
    /// The map that it belongs to.
    type Map: RegisterMap;
    /// Its width: `u8`, `u16`, `u32` or `u64`.
    type Value: Width;
    /// Where it is in the map, in bytes.
    const OFFSET: usize;
}

/// A register that may be read.
#[diagnostic::on_unimplemented(message = "register `{Self}` is write-only", label = "cannot be read")]
pub trait Readable: Register {}

/// A register that may be written.
#[diagnostic::on_unimplemented(message = "register `{Self}` is read-only", label = "cannot be written")]
pub trait Writable: Register {}

mod sealed {
    pub trait Sealed {}
}

/// A register's width: `u8`, `u16`, `u32` or `u64`.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no register's width",
    label = "write `u8`, `u16`, `u32` or `u64`",
    note = "registers in a row are not in this version: give each a name"
)]
pub trait Width: sealed::Sealed + Copy {
    /// # Safety
    /// `address` is aligned and in a mapped BAR.
    #[doc(hidden)]
    unsafe fn read(address: usize) -> Self;
    /// # Safety
    /// `address` is aligned and in a mapped BAR.
    #[doc(hidden)]
    unsafe fn write(address: usize, value: Self);
    #[doc(hidden)]
    fn cut(value: u64) -> Self;
    #[doc(hidden)]
    fn widen(self) -> u64;
}

macro_rules! widths {
    ($($type:ty: $read:ident $write:ident;)*) => { $(
        impl sealed::Sealed for $type {}
        impl Width for $type {
            #[inline(always)]
            unsafe fn read(address: usize) -> Self {
                // SAFETY: aligned and mapped, by the caller's promise.
                unsafe { kernel::$read(address) }
            }
            #[inline(always)]
            unsafe fn write(address: usize, value: Self) {
                // SAFETY: aligned and mapped, by the caller's promise.
                unsafe { kernel::$write(address, value) }
            }
            #[inline(always)]
            fn cut(value: u64) -> Self {
                value as $type
            }
            #[inline(always)]
            fn widen(self) -> u64 {
                self.into()
            }
        }
    )* };
}
widths! {
    u8: mmio_read8 mmio_write8;
    u16: mmio_read16 mmio_write16;
    u32: mmio_read32 mmio_write32;
    u64: mmio_read64 mmio_write64;
}

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

/// A mapped BAR. Each access is one instruction, at any level, in program order.
///
/// INVARIANT: `M::LEN` bytes at `base` are mapped as long as this lives.
pub struct Bar<M: RegisterMap> {
    base: NonZeroUsize,
    /// Of this map alone. Two maps may be subtypes, one of the other, and of different lengths: `Map<fn(&'static u8)>` and
    /// `Map<for<'a> fn(&'a u8)>`, of a generic `Map`.
    _map: PhantomData<fn(M) -> M>,
}

impl<M: RegisterMap> Bar<M> {
    /// Reads a register. Any level.
    #[inline(always)]
    pub fn read<R: Readable<Map = M>>(&self, _register: R) -> R::Value {
        const { check::<R>() }
        // SAFETY: aligned and inside the map, as checked; the map is mapped.
        unsafe { R::Value::read(self.base.get().wrapping_add(R::OFFSET)) }
    }

    /// Writes a register. Any level.
    #[inline(always)]
    pub fn write<R: Writable<Map = M>>(&self, _register: R, value: R::Value) {
        const { check::<R>() }
        // SAFETY: aligned and inside the map, as checked; the map is mapped.
        unsafe { R::Value::write(self.base.get().wrapping_add(R::OFFSET), value) }
    }
}

/// Checked at each use, not only in `registers!`: anyone may write `impl Register`.
const fn check<R: Register>() {
    let placed = is_placed(R::OFFSET, size_of::<R::Value>(), R::Map::LEN);
    assert!(placed, "register is misaligned or outside its map");
}

/// Is a register of `size` bytes at `offset` aligned, and inside of a map of `len` bytes?
#[doc(hidden)]
pub const fn is_placed(offset: usize, size: usize, len: usize) -> bool {
    offset.is_multiple_of(size) && offset < len && len - offset >= size
}

/// Length of a map, in bytes. `Device::map` refuses one of no bytes.
const fn map_len<M: RegisterMap>() -> NonZeroUsize {
    match NonZeroUsize::new(M::LEN) {
        Some(len) => len,
        None => NonZeroUsize::MIN,
    }
}

impl<M: RegisterMap> Drop for Bar<M> {
    fn drop(&mut self) {
        // SAFETY: of `kernel::map_bar` with this length, and nobody uses it after this.
        unsafe { kernel::unmap_bar(IoMapping { base: self.base, len: map_len::<M>() }) }
    }
}

/// Declares the registers of a BAR.
///
/// ```
/// kp_core::registers! {
///     /// BAR 0, 0x20 bytes of it.
///     pub mod regs[0x20] {
///         /// Who is it?
///         0x00 ID: u32, RO { MINOR = 0..=7, MAJOR = 8..=15 };
///         0x08 CONTROL: u16, RW { ON = 0 };
///         0x10 ACKNOWLEDGE: u64, WO;
///     }
/// }
/// assert_eq!(regs::ID::MAJOR.of(0x0203), 2);
/// assert_eq!(regs::CONTROL::ON.set(0x10, 1), 0x11);
/// ```
/// `RO`, `WO`, `RW`: may be read, written, both. A bar is `Bar<regs::Map>`; it reads by `bar.read(regs::ID)`.
#[macro_export]
macro_rules! registers {
    ($(#[$map_meta:meta])* $visibility:vis mod $map:ident[$len:literal] {
        $( $(#[$meta:meta])* $offset:literal $name:ident : $type:ty, $access:ident $({
            $( $(#[$field_meta:meta])* $field:ident = $low:literal $(..= $high:literal)? ),* $(,)?
        })? ; )*
    }) => {
        $(#[$map_meta])*
        $visibility mod $map {
            /// All registers of the BAR.
            #[derive(Clone, Copy, Debug)]
            pub struct Map;
            impl $crate::RegisterMap for Map {
                const LEN: usize = $len;
            }
            $(
                $(#[$meta])*
                #[doc = ::core::concat!("\n\nOffset `", ::core::stringify!($offset), "`, `", ::core::stringify!($type), "`, ", ::core::stringify!($access), ".")]
                #[derive(Clone, Copy, Debug)]
                #[allow(non_camel_case_types, reason = "hardware names")]
                pub struct $name;
                impl $crate::Register for $name {
                    type Map = Map;
                    type Value = $type;
                    const OFFSET: usize = $offset;
                }
                const _: () = ::core::assert!(
                    $crate::__register_is_placed($offset, ::core::mem::size_of::<$type>(), $len),
                    ::core::concat!("register ", ::core::stringify!($name), " is misaligned or outside the map")
                );
                $crate::__access! { $access $name }
                $(
                    #[allow(dead_code, reason = "a map lists what there is, used or not")]
                    impl $name {
                        $(
                            $(#[$field_meta])*
                            #[doc = ::core::concat!("\n\nBits `", ::core::stringify!($low $(..= $high)?), "`.")]
                            pub const $field: $crate::Field<$name> = $crate::Field::new($low, $crate::__last!($low $($high)?));
                        )*
                    }
                    $(const _: () = { let _ = $name::$field; };)*
                )?
            )*
        }
    };
}

/// The last of one or two bit numbers.
#[doc(hidden)]
#[macro_export]
macro_rules! __last {
    ($low:literal) => {
        $low
    };
    ($low:literal $high:literal) => {
        $high
    };
}

/// What a register may be used for.
#[doc(hidden)]
#[macro_export]
macro_rules! __access {
    (RO $name:ident) => {
        impl $crate::Readable for $name {}
    };
    (WO $name:ident) => {
        impl $crate::Writable for $name {}
    };
    (RW $name:ident) => {
        impl $crate::Readable for $name {}
        impl $crate::Writable for $name {}
    };
    ($access:ident $name:ident) => {
        ::core::compile_error!(::core::concat!(
            "access of ",
            ::core::stringify!($name),
            " is `",
            ::core::stringify!($access),
            "`: write RO, WO or RW"
        ));
    };
}
