//! A map's table says what its declaration says, line by line.
use kp_core::{FieldInfo, RegisterAccess::*, RegisterInfo, RegisterKind::*, registers};

registers! {
    /// Not of a register.
    mod regs[0x400] {
        /// Who is it?
        ///
        ///  Indented.
        0x00 ID: u32, RO {
            /// The lesser.
            MINOR = 0..=7,
            MAJOR = 8..=15,
        };
        0x08 GO: u8, WO;
        #[doc = concat!("Made ", "up.")]
        0x10 KEYS: [u64; 3], RW { VALID = 63 };
        #[allow(unused, reason = "no documentation")]
        /// Four of them.
        0x100 CHANNEL: [channel; 4 stride 0xB8];
    }
    mod channel[0x50] {
        0x02 START: u16, RW;
        0x10 PART: [part; 2 stride 0x20];
    }
    mod part[0x20] {}
}

const REGISTER: RegisterInfo = RegisterInfo {
    name: "",
    doc: &[],
    offset: 0,
    count: 1,
    stride: 4,
    kind: Register { bits: 32, access: ReadOnly, fields: &[] },
};

#[test]
fn a_map_has_a_table_of_its_registers() {
    let id = &[
        FieldInfo { name: "MINOR", doc: &["The lesser."], low: 0, high: 7 },
        FieldInfo { name: "MAJOR", doc: &[], low: 8, high: 15 },
    ];
    let part = RegisterInfo { name: "PART", offset: 0x10, count: 2, stride: 0x20, kind: Blocks(&[]), ..REGISTER };
    let start = Register { bits: 16, access: ReadWrite, fields: &[] };
    let channel = [RegisterInfo { name: "START", offset: 2, stride: 2, kind: start, ..REGISTER }, part];
    let valid = &[FieldInfo { name: "VALID", doc: &[], low: 63, high: 63 }];
    let keys = Register { bits: 64, access: ReadWrite, fields: valid };
    let due = [
        RegisterInfo {
            name: "ID",
            doc: &["Who is it?", "", " Indented."],
            kind: Register { bits: 32, access: ReadOnly, fields: id },
            ..REGISTER
        },
        RegisterInfo {
            name: "GO",
            offset: 8,
            stride: 1,
            kind: Register { bits: 8, access: WriteOnly, fields: &[] },
            ..REGISTER
        },
        RegisterInfo { name: "KEYS", doc: &["Made up."], offset: 0x10, count: 3, stride: 8, kind: keys },
        RegisterInfo {
            name: "CHANNEL",
            doc: &["Four of them."],
            offset: 0x100,
            count: 4,
            stride: 0xB8,
            kind: Blocks(channel::Map::REGISTERS),
        },
    ];
    assert_eq!(regs::Map::REGISTERS, due);
    assert_eq!(channel::Map::REGISTERS, channel);
    assert_eq!(part::Map::REGISTERS, []);
}
