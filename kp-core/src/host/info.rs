//! What a driver's file says of its plugin, for the tool that has built it.
//!
//! The layout, little-endian: u32 version, u32 length of all of it, then entries: u16 tag, u16 length of the payload, payload. A tool
//! skips an entry whose tag it does not know if the tag has [`OPTIONAL`], and else refuses the file.
#![deny(unsafe_code)]
use crate::{MatchId, Plugin};

/// The layout's version.
const VERSION: u32 = 2;
/// Bit of a tag: a tool may do without the entry.
const OPTIONAL: u16 = 0x8000;
/// The name, in UTF-8.
const NAME: u16 = 1;
/// A PCI device: u16 vendor, device.
const PCI: u16 = 2;
/// A PCI device on a card: u16 vendor, device, subsystem vendor, subsystem.
const PCI_SUBSYSTEM: u16 = 3;
/// PCI devices of a class: u32 class, u32 mask.
const PCI_CLASS: u16 = 4;
/// Vectors: u32 at least, u32 at most. The driver keeps to it whether the tool knows or not.
const VECTORS: u16 = OPTIONAL | 5;

/// Bytes of version and length.
const HEADER: usize = 8;

/// Length of [`info`].
pub const fn info_len<P: Plugin>() -> usize {
    write::<P>(&mut [])
}

/// What a port puts into its driver's section `.kp_info`. `N` is [`info_len`].
pub const fn info<P: Plugin, const N: usize>() -> [u8; N] {
    let mut info = [0; N];
    write::<P>(&mut info);
    info
}

/// Writes all of it, or nothing where `info` has no room, and says how long it is.
const fn write<P: Plugin>(info: &mut [u8]) -> usize {
    P::TABLE.check();
    let mut at = entry(info, HEADER, NAME, P::TABLE.name.as_bytes());
    let mut i = 0;
    while i < P::TABLE.devices.len() {
        at = match P::TABLE.devices[i] {
            MatchId::Pci { vendor, device, subsystem: None } => entry(info, at, PCI, &halves(vendor, device)),
            MatchId::Pci { vendor, device, subsystem: Some((by, number)) } => {
                let (chip, card) = (halves(vendor, device), halves(by, number));
                entry(info, at, PCI_SUBSYSTEM, &pair(u32::from_le_bytes(chip), u32::from_le_bytes(card)))
            }
            MatchId::PciClass { class, mask } => entry(info, at, PCI_CLASS, &pair(class, mask)),
        };
        i += 1;
    }
    let (least, most) = P::TABLE.vectors;
    at = entry(info, at, VECTORS, &pair(least, most));
    put(info, 0, &pair(VERSION, at as u32));
    at
}

const fn entry(info: &mut [u8], at: usize, tag: u16, payload: &[u8]) -> usize {
    let at = put(info, at, &halves(tag, payload.len() as u16));
    put(info, at, payload)
}

/// Two half words as bytes.
const fn halves(first: u16, second: u16) -> [u8; 4] {
    let (a, b) = (first.to_le_bytes(), second.to_le_bytes());
    [a[0], a[1], b[0], b[1]]
}

/// Two words as bytes.
const fn pair(first: u32, second: u32) -> [u8; 8] {
    let (a, b) = (first.to_le_bytes(), second.to_le_bytes());
    [a[0], a[1], a[2], a[3], b[0], b[1], b[2], b[3]]
}

const fn put(info: &mut [u8], at: usize, bytes: &[u8]) -> usize {
    let mut i = 0;
    while i < bytes.len() && !info.is_empty() {
        info[at + i] = bytes[i];
        i += 1;
    }
    at + bytes.len()
}
