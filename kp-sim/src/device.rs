//! What hardware looks like to a host: the trait that a device model implements.
//!
//! A model is driven from outside. It has no threads and no clock: the host reads and writes its
//! registers, says how interrupts are sent, and tells it with [`DeviceModel::advance`] that time
//! has passed. So a test runs the same way every time.
//!
//! Two models come with this crate: [`crate::edu::Edu`], and `kp_sim::qtest::Qemu`, not on Windows, which hands
//! every access to the device inside a real QEMU.
//!
//! A model of one's own, for the card that ticks (the README's plugin, `examples/ticker`), and a test of that plugin:
//!
//! ```
//! use kp_sim::Sim;
//! use kp_sim::device::{DeviceModel, Identity, IrqKind, Memory};
//! use kp_user::Enable;
//! use std::time::Duration;
//! use ticker::{Ticker, ticker as messages};
//!
//! #[derive(Default)]
//! struct Card {
//!     ticks: u32,
//!     ticked: bool,
//!     listened_to: bool,
//! }
//!
//! impl DeviceModel for Card {
//!     fn identity(&self) -> Identity {
//!         Identity { vendor: 0x1234, device: 0x5678 }
//!     }
//!     fn read(&mut self, _: usize, offset: u64, _: u8, _: &mut dyn Memory) -> u64 {
//!         match offset {
//!             0 => self.ticks.into(),
//!             4 => self.ticked.into(),
//!             _ => u64::MAX,
//!         }
//!     }
//!     fn write(&mut self, _: usize, offset: u64, _: u8, _: u64, _: &mut dyn Memory) {
//!         self.ticked &= offset != 8; // ACKNOWLEDGE
//!     }
//!     fn vectors(&self, kind: IrqKind) -> u16 {
//!         (kind == IrqKind::Line).into()
//!     }
//!     fn select(&mut self, kind: Option<IrqKind>, _: u16) {
//!         self.listened_to = kind == Some(IrqKind::Line);
//!     }
//!     fn line(&mut self) -> bool {
//!         self.listened_to && self.ticked
//!     }
//!     fn reset(&mut self) {
//!         *self = Self::default();
//!     }
//! }
//!
//! let sim = Sim::<Ticker>::with(Card::default()).unwrap();
//! let plugin = sim.connect(messages::INTERFACE).unwrap();
//! let interrupts = plugin.interrupts(Enable::any()).unwrap();
//! sim.device(|card: &mut Card| {
//!     card.ticks += 1;
//!     card.ticked = true;
//! });
//! assert_eq!(interrupts.wait(Duration::from_secs(1)).unwrap().got, 1);
//! assert_eq!(messages::Client(&plugin).ticks(), Ok(1));
//! ```
use crate::page::PAGE;

/// Who the device is: the two numbers a PCI bus matches drivers with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Identity {
    /// The PCI vendor id.
    pub vendor: u16,
    /// The PCI device id.
    pub device: u16,
}

pub use kp_core::IrqKind;

/// What a BAR is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BarKind {
    /// Memory, of registers.
    Memory,
    /// Memory of which reading has no effects.
    Prefetchable,
    /// Ports; at most 256, as on a PC.
    Ports,
}

/// The host's memory as a device's DMA sees it. Addresses are bus addresses, in bytes.
///
/// An access that answers false fails the test by itself, with where it was and why. So a model does not assert that it is true: it goes
/// on, as a card does.
pub trait Memory {
    /// Fills `into` from `address` on. Answers false, and changes nothing, if any of these bytes
    /// may not be read by the device.
    fn read(&mut self, address: u64, into: &mut [u8]) -> bool;

    /// Stores `from` at `address`. Answers false, and stores nothing, if any of these bytes may not
    /// be written by the device.
    fn write(&mut self, address: u64, from: &[u8]) -> bool;
}

/// Plain memory that begins at bus address 0, for testing a model on its own.
impl Memory for Vec<u8> {
    fn read(&mut self, address: u64, into: &mut [u8]) -> bool {
        let bytes = span(address, into.len()).and_then(|span| self.get(span));
        bytes.is_some_and(|bytes| {
            into.copy_from_slice(bytes);
            true
        })
    }

    fn write(&mut self, address: u64, from: &[u8]) -> bool {
        let bytes = span(address, from.len()).and_then(|span| self.get_mut(span));
        bytes.is_some_and(|bytes| {
            bytes.copy_from_slice(from);
            true
        })
    }
}

/// The indices of `len` bytes at `address`, if they can be indices at all.
fn span(address: u64, len: usize) -> Option<std::ops::Range<usize>> {
    let start = usize::try_from(address).ok()?;
    Some(start..start.checked_add(len)?)
}

/// A device: its registers, its interrupts and its DMA.
///
/// The host calls one method at a time. Interrupts are collected by the host: it looks at
/// [`line`](Self::line) and [`take_message`](Self::take_message) after every call that may have
/// changed them (register accesses and [`advance`](Self::advance)).
///
/// Everything but [`identity`](Self::identity) has a default: a device with one page of registers, which read as all ones. A card with
/// registers of its own has `read` and `write` besides, which makes 12 lines with its struct. One that interrupts has `vectors`, `select`,
/// and `line` or `take_message`; one that takes its time has `advance`; one with a state of its own has `reset`.
pub trait DeviceModel: Send {
    /// Which device this is.
    fn identity(&self) -> Identity;

    /// The length in bytes of BAR number `bar` (0 to 5), or `None` if there is none. By default BAR 0 has a page.
    fn bar_len(&self, bar: usize) -> Option<u64> {
        (bar == 0).then_some(PAGE as u64)
    }

    /// What a BAR is. By default memory.
    fn bar_kind(&self, bar: usize) -> BarKind {
        let _ = bar;
        BarKind::Memory
    }

    /// Reads `width` bytes (1, 2 or 4), little end first, of configuration space. `None` where the device has nothing of its own to say: there
    /// the host answers with what it keeps itself: who the device is, and no capabilities. [`ConfigSpace`](crate::ConfigSpace) is one to answer
    /// from.
    fn config_read(&mut self, offset: u16, width: u8) -> Option<u32> {
        let _ = (offset, width);
        None
    }

    /// Writes the low `width` bytes (1, 2 or 4) of `value` to configuration space. False where the device has nothing of its own: there the
    /// host keeps what it keeps.
    fn config_write(&mut self, offset: u16, width: u8, value: u32) -> bool {
        let _ = (offset, width, value);
        false
    }

    /// Reads `width` bytes (1, 2, 4 or 8), little end first, at `offset` bytes into the BAR.
    /// What the device does not answer reads as it does on its bus; mostly all ones.
    fn read(&mut self, bar: usize, offset: u64, width: u8, ram: &mut dyn Memory) -> u64 {
        let _ = (bar, offset, ram);
        ones(width)
    }

    /// Writes the low `width` bytes (1, 2, 4 or 8) of `value` at `offset` bytes into the BAR.
    fn write(&mut self, bar: usize, offset: u64, width: u8, value: u64, ram: &mut dyn Memory) {
        let _ = (bar, offset, width, value, ram);
    }

    /// How many vectors the device has of this kind; 0 if it does not have the kind.
    /// A device with a line has one.
    fn vectors(&self, kind: IrqKind) -> u16 {
        let _ = kind;
        0
    }

    /// The host chooses how interrupts are sent, and how many vectors it listens to. `None` turns
    /// them off: messages disabled and INTx masked, as after power on.
    fn select(&mut self, kind: Option<IrqKind>, count: u16) {
        let _ = (kind, count);
    }

    /// Whether the INTx wire is raised now. Asked while [`IrqKind::Line`] is selected.
    fn line(&mut self) -> bool {
        false
    }

    /// The oldest message that was sent and not yet taken, as its vector number from 0.
    fn take_message(&mut self) -> Option<u16> {
        None
    }

    /// The host allows or forbids the device to reach memory by itself: DMA and messages. Forbidden after power on. A model that reads or writes
    /// memory while it is forbidden fails the test.
    fn bus_master(&mut self, on: bool) {
        let _ = on;
    }

    /// `ns` nanoseconds pass. Whatever ends in that time has ended when this returns.
    fn advance(&mut self, ns: u64, ram: &mut dyn Memory) {
        let _ = (ns, ram);
    }

    /// Power off and on: everything the host has set is forgotten.
    fn reset(&mut self) {}

    /// Why the device is dead, in one line, if it is. A dead device reads as all ones, ignores
    /// writes and sends nothing until [`reset`](Self::reset).
    fn fault(&self) -> Option<&str> {
        None
    }
}

/// All ones in the low `width` bytes: what an access reads that nobody answers.
pub(crate) fn ones(width: u8) -> u64 {
    if width >= 8 { u64::MAX } else { (1 << (8 * width)) - 1 }
}

/// Splits an access into aligned ones, as QEMU's bus does before its device sees them: each part as
/// wide as its own alignment and what is left allow. Gives offset and width of each.
pub(crate) fn aligned_parts(offset: u64, width: u8) -> impl Iterator<Item = (u64, u8)> {
    let mut at = offset;
    let end = offset + u64::from(width);
    std::iter::from_fn(move || {
        let fits = |size: &u8| at.is_multiple_of(u64::from(*size)) && at + u64::from(*size) <= end;
        let size = [8, 4, 2, 1].into_iter().find(fits)?;
        at += u64::from(size);
        Some((at - u64::from(size), size))
    })
}
