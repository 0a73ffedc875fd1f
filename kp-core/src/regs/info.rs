//! Registers as data: what `registers!` was told, for tools and for tests. A driver that does not use it does not have it.

/// A register, an array of them, or of blocks. `Map::REGISTERS` of [`registers!`](crate::registers!) has one for each line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RegisterInfo {
    /// Its name.
    pub name: &'static str,
    /// Its documentation, line by line, each without the space that stands behind `///`.
    pub doc: &'static [&'static str],
    /// Bytes from the start of its map, or of its block; of an array, to the first.
    pub offset: usize,
    /// How many there are; 1 if it is no array.
    pub count: usize,
    /// Bytes from one to the next.
    pub stride: usize,
    /// What is there.
    pub kind: RegisterKind,
}

/// What a [`RegisterInfo`] is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RegisterKind {
    /// A register, or registers.
    Register {
        /// Its width: 8, 16, 32 or 64.
        bits: u32,
        /// What it may be used for.
        access: RegisterAccess,
        /// Its bit fields.
        fields: &'static [FieldInfo],
    },
    /// Blocks: what each of them has.
    Blocks(&'static [RegisterInfo]),
}

/// What a register may be used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RegisterAccess {
    /// `RO`.
    ReadOnly,
    /// `WO`.
    WriteOnly,
    /// `RW`.
    ReadWrite,
}

/// Some bits of a register.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FieldInfo {
    /// Its name.
    pub name: &'static str,
    /// Its documentation, as that of a [`RegisterInfo`].
    pub doc: &'static [&'static str],
    /// Its lowest bit.
    pub low: u32,
    /// Its highest bit.
    pub high: u32,
}

impl RegisterInfo {
    /// Of a line that [`registers!`](crate::registers!) refuses, in words of its own.
    #[doc(hidden)]
    pub const REFUSED: Self =
        Self { name: "", doc: &[], offset: 0, count: 0, stride: 0, kind: RegisterKind::Blocks(&[]) };
}

/// A line of documentation: `/// Text.` is the line ` Text.`
#[doc(hidden)]
pub const fn line(doc: &'static str) -> &'static str {
    match doc.as_bytes() {
        [b' ', ..] => doc.split_at(1).1,
        _ => doc,
    }
}

/// One line of a map → what it says.
#[doc(hidden)]
#[macro_export]
macro_rules! __register_info {
    ([$($meta:tt)*] $offset:literal $name:ident [$block:ident; $count:literal stride $stride:literal]) => {
        $crate::RegisterInfo {
            name: ::core::stringify!($name),
            doc: $crate::__register_docs!([] $($meta)*),
            offset: $offset,
            count: $count,
            stride: $stride,
            kind: $crate::RegisterKind::Blocks(super::$block::Map::REGISTERS),
        }
    };
    ([$($meta:tt)*] $offset:literal $name:ident [$type:ty; $count:literal] $access:ident $({ $($fields:tt)* })?) => {
        $crate::__register_info! { @ [$($meta)*] $offset $name $count $access { $($($fields)*)? } }
    };
    ([$($meta:tt)*] $offset:literal $name:ident [$($kind:tt)*] $($rest:tt)*) => {
        $crate::RegisterInfo::REFUSED
    };
    ([$($meta:tt)*] $offset:literal $name:ident $type:tt $access:ident $({ $($fields:tt)* })?) => {
        $crate::__register_info! { @ [$($meta)*] $offset $name 1 $access { $($($fields)*)? } }
    };
    ([$($meta:tt)*] $offset:literal $name:ident $type:tt $($fields:tt)?) => {
        $crate::RegisterInfo::REFUSED
    };
    (@ [$($meta:tt)*] $offset:literal $name:ident $count:literal $access:ident {
        $( $(#[$($field_meta:tt)*])* $field:ident = $low:literal $(..= $high:literal)? ),* $(,)?
    }) => {
        $crate::RegisterInfo {
            name: ::core::stringify!($name),
            doc: $crate::__register_docs!([] $($meta)*),
            offset: $offset,
            count: $count,
            stride: ::core::mem::size_of::<<$name as $crate::Register>::Value>(),
            kind: $crate::RegisterKind::Register {
                bits: 8 * ::core::mem::size_of::<<$name as $crate::Register>::Value>() as u32,
                access: $crate::__register_access!($access),
                fields: &[$(
                    $crate::FieldInfo {
                        name: ::core::stringify!($field),
                        doc: $crate::__register_docs!([] $(#[$($field_meta)*])*),
                        low: $low,
                        high: $crate::__last!($low $($high)?),
                    }
                ),*],
            },
        }
    };
}

/// Attributes → the lines of documentation among them.
#[doc(hidden)]
#[macro_export]
macro_rules! __register_docs {
    ([$($done:expr,)*]) => {
        &[$($done),*]
    };
    ([$($done:expr,)*] #[doc = $doc:expr] $($rest:tt)*) => {
        $crate::__register_docs!([$($done,)* $crate::__registers::line($doc),] $($rest)*)
    };
    ([$($done:expr,)*] #[$($other:tt)*] $($rest:tt)*) => {
        $crate::__register_docs!([$($done,)*] $($rest)*)
    };
}

/// The word for an access → what it means. Another word is refused elsewhere.
#[doc(hidden)]
#[macro_export]
macro_rules! __register_access {
    (RO) => {
        $crate::RegisterAccess::ReadOnly
    };
    (WO) => {
        $crate::RegisterAccess::WriteOnly
    };
    ($other:ident) => {
        $crate::RegisterAccess::ReadWrite
    };
}
