//! `registers!`.

/// Declares registers: a [`RegisterMap`](crate::RegisterMap) in each module.
///
/// ```
/// kp_core::registers! {
///     /// BAR 0, 0x200 bytes of it.
///     pub mod regs[0x200] {
///         /// Who is it?
///         0x00 ID: u32, RO { MINOR = 0..=7, MAJOR = 8..=15 };
///         0x08 CONTROL: u16, RW { ON = 0 };
///         0x10 ACKNOWLEDGE: u64, WO;
///         /// An array of registers.
///         0x40 TABLE: [u32; 8], RW { VALID = 31 };
///         /// Four blocks of registers, one each 0x40 bytes.
///         0x100 CHANNEL: [channel; 4 stride 0x40];
///     }
///     /// What each channel has.
///     pub mod channel[0x10] {
///         0x00 START: u32, WO;
///         0x08 ADDRESS: u64, RW;
///     }
/// }
///
/// fn start(bar: &kp_core::Bar<regs::Map>, channel: usize, address: u64) -> kp_core::Result<()> {
///     let channel = bar.regs().block(regs::CHANNEL, channel)?;
///     channel.write(channel::ADDRESS, address);
///     channel.write(channel::START, bar.regs().item(regs::TABLE, 7)?.read());
///     Ok(())
/// }
///
/// # fn main() {
/// assert_eq!(regs::ID::MAJOR.of(0x0203), 2);
/// assert_eq!(regs::CONTROL::ON.set(0x10, 1), 0x11);
/// assert_eq!(regs::CONTROL::ON.mask(), 1);
/// # }
/// ```
/// `RO`, `WO`, `RW`: may be read, written, both. A bar is `Bar<regs::Map>`; it reads by `bar.read(regs::ID)`. Its arrays and blocks are reached
/// by [`regs`](crate::Bar::regs). `regs::Map::REGISTERS` is all of it as [data](crate::RegisterInfo). Blocks are described by a module beside, in the same `registers!` or another, and not inside of a
/// function.
#[macro_export]
macro_rules! registers {
    ($(
        $(#[$map_meta:meta])* $visibility:vis mod $map:ident[$len:literal] {
            $( $(#[$($meta:tt)*])* $offset:literal $name:ident : $kind:tt $(, $access:ident)? $({ $($fields:tt)* })? ; )*
        }
    )+) => { $(
        $(#[$map_meta])*
        $visibility mod $map {
            /// All of these registers.
            #[derive(Clone, Copy, Debug)]
            pub struct Map;
            impl $crate::RegisterMap for Map {
                const LEN: usize = $len;
                const ALIGN: usize = $crate::__registers::widest(&[$( $crate::__register_align!($name $kind) ),*]);
            }
            impl Map {
                /// The registers as data, in the order of their declaration.
                #[allow(dead_code, reason = "for tools, if at all")]
                pub const REGISTERS: &'static [$crate::RegisterInfo] = &[
                    $( $crate::__register_info! { [$(#[$($meta)*])*] $offset $name $kind $($access)? $({ $($fields)* })? } ),*
                ];
            }
            $( $crate::__register! { [$(#[$($meta)*])*] $len, $offset $name $kind $($access)? $({ $($fields)* })? } )*
        }
    )+ };
}

/// Where something of a map has to lie.
#[doc(hidden)]
#[macro_export]
macro_rules! __register_align {
    ($name:ident [$block:ident; $count:literal stride $stride:literal]) => {
        <<$name as $crate::Blocks>::Block as $crate::RegisterMap>::ALIGN
    };
    ($name:ident $type:tt) => {
        ::core::mem::size_of::<<$name as $crate::Register>::Value>()
    };
}

/// One entry of a map: a register, an array of them, or of blocks.
#[doc(hidden)]
#[macro_export]
macro_rules! __register {
    ([$($meta:tt)*] $len:literal, $offset:literal $name:ident [$block:ident; $count:literal stride $stride:literal]) => {
        $($meta)*
        #[doc = ::core::concat!("\n\nOffset `", ::core::stringify!($offset), "`, ", ::core::stringify!($count), " of `", ::core::stringify!($block), "`, each `", ::core::stringify!($stride), "` bytes.")]
        #[derive(Clone, Copy, Debug)]
        #[allow(non_camel_case_types, dead_code, reason = "hardware names; a map lists what there is, used or not")]
        pub struct $name;
        impl $crate::Blocks for $name {
            type Map = Map;
            type Block = super::$block::Map;
            const OFFSET: usize = $offset;
            const STRIDE: usize = $stride;
            const COUNT: usize = $count;
        }
        const _: () = ::core::assert!(
            <super::$block::Map as $crate::RegisterMap>::LEN <= $stride,
            ::core::concat!("the blocks of ", ::core::stringify!($name), " overlap: they are longer than their stride")
        );
        const _: () = ::core::assert!(
            $crate::__registers::is_placed(
                $offset,
                <super::$block::Map as $crate::RegisterMap>::LEN,
                $stride,
                $count,
                <super::$block::Map as $crate::RegisterMap>::ALIGN,
                $len
            ),
            ::core::concat!("the blocks of ", ::core::stringify!($name), " are misaligned or outside the map")
        );
    };
    ([$($meta:tt)*] $len:literal, $offset:literal $name:ident [$type:ty; $count:literal] $access:ident $($fields:tt)?) => {
        $crate::__register! { @ [$($meta)*] $offset $name $type, ::core::concat!("[", ::core::stringify!($type), "; ", ::core::stringify!($count), "]"), $access $($fields)? }
        impl $crate::Array for $name {
            const COUNT: usize = $count;
        }
        $crate::__register_placed! { $len, $offset $name $type, $count }
    };
    ([$($meta:tt)*] $len:literal, $offset:literal $name:ident [$($kind:tt)*] $($rest:tt)*) => {
        ::core::compile_error!(::core::concat!(
            ::core::stringify!($name),
            ": write `[u32; 8], RW` for an array of registers, `[channel; 8 stride 0x40]` for an array of blocks"
        ));
    };
    ([$($meta:tt)*] $len:literal, $offset:literal $name:ident $type:tt $access:ident $($fields:tt)?) => {
        $crate::__register! { @ [$($meta)*] $offset $name $type, ::core::stringify!($type), $access $($fields)? }
        impl $crate::Single for $name {}
        $crate::__register_placed! { $len, $offset $name $type, 1 }
    };
    ([$($meta:tt)*] $len:literal, $offset:literal $name:ident $type:tt $($fields:tt)?) => {
        ::core::compile_error!(::core::concat!(::core::stringify!($name), " has no access: write RO, WO or RW behind its type"));
    };
    (@ [$($meta:tt)*] $offset:literal $name:ident $type:ty, $shown:expr, $access:ident $({
        $( $(#[$($field_meta:tt)*])* $field:ident = $low:literal $(..= $high:literal)? ),* $(,)?
    })?) => {
        $($meta)*
        #[doc = ::core::concat!("\n\nOffset `", ::core::stringify!($offset), "`, `", $shown, "`, ", ::core::stringify!($access), ".")]
        #[derive(Clone, Copy, Debug)]
        #[allow(non_camel_case_types, reason = "hardware names")]
        pub struct $name;
        impl $crate::Register for $name {
            type Map = Map;
            type Value = $type;
            const OFFSET: usize = $offset;
        }
        $crate::__access! { $access $name }
        $(
            #[allow(dead_code, reason = "a map lists what there is, used or not")]
            impl $name {
                $(
                    $(#[$($field_meta)*])*
                    #[doc = ::core::concat!("\n\nBits `", ::core::stringify!($low $(..= $high)?), "`.")]
                    pub const $field: $crate::Field<$name> = $crate::Field::new($low, $crate::__last!($low $($high)?));
                )*
            }
            $(const _: () = { let _ = $name::$field; };)*
        )?
    };
}

/// Is it where it can be?
#[doc(hidden)]
#[macro_export]
macro_rules! __register_placed {
    ($len:literal, $offset:literal $name:ident $type:ty, $count:literal) => {
        const _: () = {
            const SIZE: usize = ::core::mem::size_of::<$type>();
            ::core::assert!(
                ($offset as usize).is_multiple_of(SIZE),
                ::core::concat!(
                    "register ",
                    ::core::stringify!($name),
                    " is misaligned: ",
                    ::core::stringify!($offset),
                    " is no multiple of the size of ",
                    ::core::stringify!($type)
                )
            );
            ::core::assert!(
                $crate::__registers::is_placed($offset, SIZE, SIZE, $count, SIZE, $len),
                ::core::concat!(
                    "register ",
                    ::core::stringify!($name),
                    " is outside the map, which has ",
                    ::core::stringify!($len),
                    " bytes"
                )
            );
        };
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
