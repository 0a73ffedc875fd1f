//! Plain data: the types that may travel, and the macros that declare them.
use crate::{Field, Type};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, TryFromBytes};

/// Plain data with one layout on every machine, without padding.
///
/// Integers of fixed width, `bool`, `()`, arrays of `Wire` types, and what [`wire!`](crate::wire!) declares. For a struct
/// that is declared elsewhere, [`describe!`](crate::describe!) writes the implementation.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot travel between an app and a driver",
    label = "not wire data",
    note = "use u8..u64, i8..i64, bool, arrays of them, or a type declared with `wire!`",
    note = "usize, references, String and Vec differ between machines; a trailing `&[T]` argument carries bulk data"
)]
pub trait Wire: TryFromBytes + IntoBytes + Immutable + KnownLayout + Copy + Send + Sync + 'static {
    /// The type as data.
    const SCHEMA: &'static Type;

    /// Is it a value of the type? Asked of values that came over the wire; finds what zerocopy cannot know, unknown flag
    /// bits. For all other types it is `true` at compile time.
    #[inline(always)]
    fn valid(&self) -> bool {
        true
    }
}

macro_rules! primitives {
    ($($ty:ty = $schema:expr;)*) => {
        $(impl Wire for $ty {
            const SCHEMA: &'static Type = &$schema;
        })*
    };
}
primitives! {
    () = Type::Unit;
    bool = Type::Bool;
    u8 = Type::Uint(1);
    u16 = Type::Uint(2);
    u32 = Type::Uint(4);
    u64 = Type::Uint(8);
    i8 = Type::Int(1);
    i16 = Type::Int(2);
    i32 = Type::Int(4);
    i64 = Type::Int(8);
}

impl<T: Wire, const N: usize> Wire for [T; N] {
    const SCHEMA: &'static Type = &Type::Array(Type::__of::<T>(), N);

    #[inline(always)]
    fn valid(&self) -> bool {
        self.iter().all(T::valid)
    }
}

/// A buffer that the app has registered with its session, in a message: by the number that the app has given it. On the wire it is a struct of one
/// `u32`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(transparent)]
pub struct Buffer(
    /// The number.
    pub u32,
);

impl Wire for Buffer {
    const SCHEMA: &'static Type = &Type::Struct {
        name: "kp_abi::Buffer",
        size: 4,
        fields: &[Field { name: "buffer", offset: 0, ty: &Type::Uint(4) }],
    };
}

/// Declares types that may travel: structs, enums of a width, and sets of flags.
///
/// ```
/// kp_abi::wire! {
///     /// One sample.
///     pub struct Sample: FromBytes {
///         /// When, in ns.
///         pub time: u64,
///         /// What, in mV.
///         pub millivolts: i32,
///         /// The channel.
///         pub channel: u16,
///         /// A gap must have a name: nothing travels that nobody wrote.
///         pub _pad: [u8; 2],
///     }
///     /// How to sample.
///     pub enum Mode: u8 {
///         /// One sample.
///         Single = 0,
///         /// Samples until stopped.
///         Continuous = 1,
///     }
///     /// What to do besides.
///     pub flags Options: u32 {
///         /// Average.
///         AVERAGE = 1 << 0,
///         /// Drop what is late.
///         DROP = 1 << 1,
///     }
///     /// A whole request. Bytes that are no `Mode`, or bits that are no `Options`, reach nobody.
///     pub struct Setup {
///         /// Which flags.
///         pub options: Options,
///         /// How.
///         pub mode: Mode,
///         /// Which channels.
///         pub channels: [bool; 3],
///     }
/// }
/// assert_eq!(size_of::<Setup>(), 8);
/// assert_eq!((Options::AVERAGE | Options::DROP).bits(), 3);
/// ```
///
/// - Structs are `#[repr(C)]`. Padding, and types of machine-dependent size, do not compile.
/// - `struct Name: FromBytes` says that any bytes are a value, which holds if it holds for each field: integers, arrays of
///   them, and other such structs. Only they can be the element of a `[T]` reply.
/// - Enums and flags have an unsigned width, `u8` to `u64`. A variant or bit that is added later changes the fingerprint
///   of every message that uses the type, so it needs a new type and a new message.
/// - Flags have the methods of [bitflags](https://docs.rs/bitflags/2).
/// - All are `Clone`, `Copy`, `Debug`, `PartialEq` and `Eq`; attributes are kept, so more can be derived.
#[macro_export]
macro_rules! wire {
    () => {};
    ($(#[$meta:meta])* $vis:vis struct $name:ident { $($fields:tt)* } $($rest:tt)*) => {
        $crate::__wire_struct! { TryFromBytes $(#[$meta])* $vis struct $name { $($fields)* } }
        $crate::wire! { $($rest)* }
    };
    ($(#[$meta:meta])* $vis:vis struct $name:ident : FromBytes { $($fields:tt)* } $($rest:tt)*) => {
        $crate::__wire_struct! { FromBytes $(#[$meta])* $vis struct $name { $($fields)* } }
        $crate::wire! { $($rest)* }
    };
    (
        $(#[$meta:meta])* $vis:vis enum $name:ident : $repr:ident {
            $($(#[$variant_meta:meta])* $variant:ident = $value:literal),* $(,)?
        }
        $($rest:tt)*
    ) => {
        $(#[$meta])*
        #[derive(
            Clone, Copy, Debug, PartialEq, Eq,
            $crate::zerocopy::TryFromBytes, $crate::zerocopy::IntoBytes,
            $crate::zerocopy::Immutable, $crate::zerocopy::KnownLayout,
        )]
        #[zerocopy(crate = "kp_abi::zerocopy")]
        #[repr($repr)]
        $vis enum $name {
            $($(#[$variant_meta])* $variant = $value),*
        }
        impl $crate::Wire for $name {
            const SCHEMA: &'static $crate::Type = &$crate::Type::Enum {
                name: stringify!($name),
                size: ::core::mem::size_of::<$name>(),
                variants: &[$((stringify!($variant), $value)),*],
            };
        }
        $crate::wire! { $($rest)* }
    };
    (
        $(#[$meta:meta])* $vis:vis flags $name:ident : $repr:ident {
            $($(#[$($bit_meta:tt)+])* $bit:ident = $value:expr),* $(,)?
        }
        $($rest:tt)*
    ) => {
        $(#[$meta])*
        #[derive(
            Clone, Copy, Debug, PartialEq, Eq,
            $crate::zerocopy::TryFromBytes, $crate::zerocopy::IntoBytes,
            $crate::zerocopy::Immutable, $crate::zerocopy::KnownLayout,
        )]
        #[zerocopy(crate = "kp_abi::zerocopy")]
        #[repr(transparent)]
        $vis struct $name($repr);
        $crate::bitflags::bitflags! {
            impl $name: $repr {
                $($(#[$($bit_meta)+])* const $bit = $value;)*
            }
        }
        impl $crate::Wire for $name {
            const SCHEMA: &'static $crate::Type = &$crate::Type::Flags {
                name: stringify!($name),
                size: ::core::mem::size_of::<$name>(),
                bits: &[$((stringify!($bit), $value)),*],
            };
            #[inline(always)]
            fn valid(&self) -> bool {
                $name::from_bits(self.0).is_some()
            }
        }
        $crate::wire! { $($rest)* }
    };
}

/// A struct of [`wire!`]; the first word is the derive that says which bytes are a value.
#[doc(hidden)]
#[macro_export]
macro_rules! __wire_struct {
    (
        $from:ident $(#[$meta:meta])* $vis:vis struct $name:ident {
            $($(#[$field_meta:meta])* $field_vis:vis $field:ident : $ty:ty),* $(,)?
        }
    ) => {
        $(#[$meta])*
        #[derive(
            Clone, Copy, Debug, PartialEq, Eq,
            $crate::zerocopy::$from, $crate::zerocopy::IntoBytes,
            $crate::zerocopy::Immutable, $crate::zerocopy::KnownLayout,
        )]
        #[zerocopy(crate = "kp_abi::zerocopy")]
        #[allow(clippy::pub_underscore_fields, reason = "a gap has a name, and is public for those who write the whole struct")]
        #[repr(C)]
        $vis struct $name {
            $($(#[$field_meta])* $field_vis $field: $ty),*
        }
        $crate::describe! { $name { $($field),* } }
        const _: () = assert!(
            ::core::mem::size_of::<$name>() == 0 $(+ ::core::mem::size_of::<$ty>())*,
            concat!(
                "`", stringify!($name),
                "` has padding, whose bytes would leak: reorder its fields, or name the gap (`_pad: [u8; 4]`)"
            )
        );
    };
}

/// Describes a struct that is declared without [`wire!`], so that it may travel.
///
/// The struct derives zerocopy's traits itself. All fields must be named, and in the order of the declaration.
///
/// ```
/// use kp_abi::{Type, Wire, zerocopy};
///
/// #[derive(Clone, Copy)]
/// #[derive(zerocopy::FromBytes, zerocopy::IntoBytes, zerocopy::Immutable, zerocopy::KnownLayout)]
/// # #[zerocopy(crate = "kp_abi::zerocopy")]
/// #[repr(C)]
/// pub struct Plain {
///     a: u32,
///     b: [u16; 2],
/// }
/// kp_abi::describe! { Plain { a, b } }
///
/// let Type::Struct { fields, .. } = Plain::SCHEMA else { unreachable!() };
/// assert_eq!((fields[1].name, fields[1].offset), ("b", 4));
/// ```
#[macro_export]
macro_rules! describe {
    ($name:ident { $($field:ident),* $(,)? }) => {
        impl $crate::Wire for $name {
            const SCHEMA: &'static $crate::Type = &$crate::Type::Struct {
                name: stringify!($name),
                size: ::core::mem::size_of::<$name>(),
                fields: &[$(
                    $crate::Field::__of(
                        stringify!($field),
                        ::core::mem::offset_of!($name, $field),
                        |value: &$name| &value.$field,
                    )
                ),*],
            };
            #[inline(always)]
            fn valid(&self) -> bool {
                true $(&& $crate::Wire::valid(&self.$field))*
            }
        }
        const _: () = assert!(::core::mem::align_of::<$name>() <= 8, "wire data is placed at multiples of 8, no more");
        // A field that is left out stops the build here.
        const _: fn($name) = |$name { $($field: _),* }| ();
    };
}
