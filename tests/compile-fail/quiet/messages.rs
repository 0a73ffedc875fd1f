//! Messages, and what they carry, in all their forms.
#![no_std]
use kp_abi::{describe, interface, wire, zerocopy};

wire! {
    /// Any bytes are one.
    pub struct Sample: FromBytes {
        /// When.
        pub time: u64,
        /// What.
        pub values: [i16; 3],
        /// A gap.
        pub _pad: [u8; 2],
    }
    /// How.
    #[derive(Hash, Default)]
    pub enum Mode: u8 {
        /// Once.
        #[default]
        Single = 0,
        /// Again and again.
        Continuous = 1,
    }
    /// What besides.
    pub flags Options: u32 {
        /// Average.
        AVERAGE = 1 << 0,
        /// Drop what is late.
        DROP = 1 << 31,
    }
    /// All of it.
    pub struct Setup {
        /// How.
        pub mode: Mode,
        /// Which.
        pub channels: [bool; 3],
        /// What besides.
        pub options: Options,
    }
    /// Nothing at all.
    pub struct Nothing {}
    /// Wide ones.
    pub enum Wide: u64 {
        /// The first.
        First = 1,
        /// The last.
        Last = 0xffff_ffff_ffff_ffff,
    }
    /// A byte of bits.
    pub flags Bits: u8 {
        /// The only one.
        ONLY = 0x80,
    }
    pub(crate) struct Inner {
        pub(crate) word: u32,
        half: u16,
        byte: i8,
        truth: bool,
    }
    pub(crate) enum Choice: u16 {
        Only = 7,
    }
}

/// Declared by hand.
#[derive(Clone, Copy, Debug, zerocopy::FromBytes, zerocopy::IntoBytes, zerocopy::Immutable, zerocopy::KnownLayout)]
#[zerocopy(crate = "kp_abi::zerocopy")]
#[repr(C)]
pub struct Plain {
    a: u32,
    b: [u16; 2],
}
describe! { Plain { a, b } }

interface! {
    /// Every kind of parameter and of reply.
    pub mod every, version 3 {
        fn nothing() = 1;
        fn value(n: u32) -> u64 = 2;
        /// With words of its own.
        fn all(a: u8, b: i8, c: u16, d: i16, e: u32, f: i32, g: u64, h: i64, i: bool, j: [u32; 4], k: Setup, rest: &[u8]) -> Sample = 3;
        fn list(mode: Mode) -> [Sample] = 4;
        #[retired]
        fn old(n: u32) -> u32 = 5;
        /// Long gone.
        #[retired]
        /// Really.
        fn older() = 6;
        fn truth(options: Options, bits: Bits, wide: Wide) -> bool = 7;
        fn array() -> [u8; 16] = 8;
        fn data(samples: &[Sample]) -> [u8] = 9;
        fn lists(a: u32, b: u32, plain: &[u32],) -> [Plain] = 10;
        fn plain(plain: Plain, nothing: Nothing) -> Plain = 11;
    }
}
interface! {
    /// No message.
    pub mod empty, version 1 {}
}
interface! {
    /// Only lists.
    pub mod lists, version 1 {
        fn list() -> [u8] = 1;
    }
}
interface! {
    /// Only what is retired.
    pub mod retired, version 1 {
        #[retired]
        fn old() = 1;
    }
}
interface! {
    mod private, version 1 {
        fn inner(inner: Inner, choice: Choice) -> u32 = 1;
    }
}
interface! {
    pub(crate) mod within, version 1 {
        fn add(a: u32, b: u32) -> u32 = 1;
    }
}

/// What the crate does with what is its own.
#[must_use]
pub const fn own() -> u32 {
    let inner = Inner { word: 1, half: 1, byte: 1, truth: true };
    let _ = (private::INTERFACE, Choice::Only);
    inner.word + within::INTERFACE.version
}
