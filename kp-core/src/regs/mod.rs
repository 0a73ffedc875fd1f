//! Registers: width, access and offset are the compiler's business, a length is checked once.
mod access;
mod bar;
mod field;
mod info;
mod macros;
mod space;
mod span;
mod window;

pub use access::{Item, Regs};
pub use bar::Bar;
pub use field::Field;
#[doc(hidden)]
pub use info::line;
pub use info::{FieldInfo, RegisterAccess, RegisterInfo, RegisterKind};
pub use space::{BarSpace, Memory, Mmio, Ports, Space, Width};
pub(crate) use span::Span;
pub use window::Window;

use core::num::NonZeroUsize;

/// Of these types alone, and of no subtypes of theirs.
type Invariant<M, S> = fn(M, S) -> (M, S);

/// Registers that lie together: a BAR, a part of one, or one of the blocks that it repeats. Made by [`registers!`](crate::registers!).
pub trait RegisterMap: 'static {
    /// Length in bytes.
    const LEN: usize;
    /// At a multiple of how many bytes it lies: its widest register's width, or more.
    const ALIGN: usize = 8;
}

/// One register, or an array of them. Made by [`registers!`](crate::registers!).
pub trait Register: Copy {
    /// The map that it belongs to.
    type Map: RegisterMap;
    /// Its width: `u8`, `u16`, `u32` or `u64`.
    type Value: Width;
    /// Where it is in the map, in bytes; an array's first.
    const OFFSET: usize;
}

/// A register that is one, and no array.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is an array of registers, not one",
    label = "which of them?",
    note = "`regs().item({Self}, i)` is one of them, and `read_array` reads several"
)]
pub trait Single: Register {}

/// Registers of one width, one behind the other.
#[diagnostic::on_unimplemented(message = "`{Self}` is no array of registers")]
pub trait Array: Register {
    /// How many.
    const COUNT: usize;
}

/// A map that repeats, at equal distances. Made by [`registers!`](crate::registers!).
#[diagnostic::on_unimplemented(message = "`{Self}` is no array of blocks")]
pub trait Blocks: Copy {
    /// The map that they belong to.
    type Map: RegisterMap;
    /// What each of them has.
    type Block: RegisterMap;
    /// Where the first is in the map, in bytes.
    const OFFSET: usize;
    /// From one to the next, in bytes.
    const STRIDE: usize;
    /// How many.
    const COUNT: usize;
}

/// A register that may be read.
#[diagnostic::on_unimplemented(message = "register `{Self}` is write-only", label = "cannot be read")]
pub trait Readable: Register {}

/// A register that may be written.
#[diagnostic::on_unimplemented(message = "register `{Self}` is read-only", label = "cannot be written")]
pub trait Writable: Register {}

/// Length of a map, in bytes. `Device::map` refuses one of no bytes.
pub(crate) const fn map_len<M: RegisterMap>() -> NonZeroUsize {
    match NonZeroUsize::new(M::LEN) {
        Some(len) => len,
        None => NonZeroUsize::MIN,
    }
}

/// Do `count` things of `size` bytes, `stride` apart, lie inside of a map of `len` bytes, each at a multiple of `align`?
#[doc(hidden)]
pub const fn is_placed(offset: usize, size: usize, stride: usize, count: usize, align: usize, len: usize) -> bool {
    if count == 0 || !offset.is_multiple_of(align) || !stride.is_multiple_of(align) {
        return false;
    }
    let Some(before) = (count - 1).checked_mul(stride) else { return false };
    let Some(last) = before.checked_add(offset) else { return false };
    last <= len && len - last >= size
}

/// The largest of some alignments.
#[doc(hidden)]
pub const fn widest(aligns: &[usize]) -> usize {
    let mut widest = 1;
    let mut i = 0;
    while i < aligns.len() {
        if aligns[i] > widest {
            widest = aligns[i];
        }
        i += 1;
    }
    widest
}

/// Checked at each use, not only in `registers!`: anyone may write `impl Register`.
const fn check<R: Register, S: Space>(count: usize) {
    let size = size_of::<R::Value>();
    assert!(size <= S::WIDEST, "register is wider than an access of its space can be");
    let placed = is_placed(R::OFFSET, size, size, count, size, R::Map::LEN);
    assert!(placed && R::Map::ALIGN.is_multiple_of(size), "register is misaligned or outside its map");
}

/// The same for blocks.
const fn check_blocks<B: Blocks>() {
    let (len, align) = (B::Block::LEN, B::Block::ALIGN);
    let placed = align != 0 && is_placed(B::OFFSET, len, B::STRIDE, B::COUNT, align, B::Map::LEN);
    assert!(placed && B::Map::ALIGN.is_multiple_of(align), "blocks are misaligned or outside their map");
}
