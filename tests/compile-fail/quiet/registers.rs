//! Register maps in all their forms.
#![no_std]
use kp_core::{Bar, registers};

registers! {
    /// Every width, access and kind of field.
    pub mod all[0x40] {
        0x00 BYTE: u8, RO;
        0x01 BYTE_OF_FIELDS: u8, RW { LOW = 0, REST = 1..=7 };
        0x02 HALF: u16, WO;
        0x04 WORD: u32, RW { NOTHING_ELSE = 31 };
        /// With words of its own.
        0x08 LONG: u64, RO {
            /// A field too.
            TOP = 63,
            ALL = 0..=63,
        };
        0x10 WITHOUT_FIELDS: u32, RO {};
        0x3f LAST: u8, WO;
    }
}
registers! {
    /// One register, which is all there is.
    pub mod one[1] {
        0 ONLY: u8, RW;
    }
}
registers! {
    pub(crate) mod within[8] {
        0 VALUE: u64, RW { EVEN = 0 };
    }
}
registers! {
    mod private[0x1000] {
        0x0ffe VALUE: u16, RW { ANY = 0..=15 };
        0x0000 UNUSED: u32, RO { ANY = 0..=15 };
    }
}
registers! {
    /// Of which nothing is known yet.
    pub mod none[4] {}
}

/// The forms at work.
#[must_use]
pub fn sum(all: &Bar<all::Map>, one: &Bar<one::Map>) -> u64 {
    one.write(one::ONLY, all::BYTE_OF_FIELDS::REST.set(0, 3));
    u64::from(all.read(all::BYTE)) + all::LONG::TOP.of(all.read(all::LONG))
}

/// The plugin's own.
pub struct Card(Bar<within::Map>, Bar<private::Map>);

impl Card {
    /// Uses what only this crate knows.
    #[must_use]
    pub fn look(&self) -> bool {
        within::VALUE::EVEN.is_set(self.0.read(within::VALUE))
            || private::VALUE::ANY.is_set(self.1.read(private::VALUE))
    }
}

/// The registers as data, for who looks.
pub const COUNT: usize = all::Map::REGISTERS.len();
