//! What START assigns: where a device's BARs are, and the two lists in which the plug-and-play manager says so.
//!
//! Microsoft's pages: "CM_PARTIAL_RESOURCE_DESCRIPTOR structure (wdm.h)" for the descriptors, "Using Interrupt Resource Descriptors" for how
//! many there are of messages, "Mapping Bus-Relative Addresses to Virtual Addresses" for what the two lists have in common. BARs: PCI Local
//! Bus Specification 3.0, section 6.2.5.1.
use crate::{bus::Assigned, slot::Slot};
use kp_sim::device::{BarKind, DeviceModel, IrqKind};

/// How a device's BARs are made, and what else is in the lists.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Shape {
    /// Memory BARs with 64 bits of address, by number. They are above 4 GiB, and have the next BAR's place too.
    pub wide: Vec<usize>,
    /// Memory BARs whose memory may be read ahead of time.
    pub prefetchable: Vec<usize>,
    /// BARs of I/O ports, and how many ports each has.
    pub ports: Vec<(usize, u32)>,
    /// The processor reaches the ports in its memory, as those do that have no ports.
    pub ports_are_memory: bool,
    /// The lists are not in the order of the BARs, and have in them what is none of a driver's business.
    pub mixed: bool,
    /// BARs that are in neither list: the plug-and-play manager has not assigned them.
    pub unlisted: Vec<usize>,
    /// The bus says no address of the device.
    pub has_no_address: bool,
}

impl Shape {
    /// Everything at once: its first BAR has 64 bits, the third one ports, and the lists are mixed.
    pub fn mixed() -> Self {
        Self { wide: vec![0], prefetchable: vec![0], ports: vec![(2, 0x20)], mixed: true, ..Self::default() }
    }
}

/// A base address register that is there.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bar {
    /// Its address on the bus.
    pub(crate) bus: u64,
    /// Its address for the processor.
    pub(crate) physical: u64,
    pub(crate) len: u64,
    kind: Kind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Memory { is_wide: bool, is_prefetchable: bool },
    Ports { are_memory: bool },
}

/// Where BARs of 32 bits, BARs of 64 bits, and ports are on the bus.
const BELOW_4_GIB: u64 = 0xE000_0000;
const ABOVE_4_GIB: u64 = 0x60_0000_0000;
const PORTS: u64 = 0xC000;
/// What one slot has of each.
const PER_SLOT: [u64; 3] = [0x400_0000, 0x10_0000_0000, 0x400];
/// What the processor adds to that: addresses of the bus and of the processor are two things.
const TRANSLATION: u64 = 0x4000_0000_0000;

/// The BARs of the device in a slot of this number. From one start to the next they move.
///
/// # Panics
/// If the shape does not fit the device.
pub(crate) fn bars(slot: usize, starts: usize, device: &dyn DeviceModel, shape: &Shape) -> [Option<Bar>; 6] {
    let [mut low, mut high, mut port] = std::array::from_fn(|i| {
        [BELOW_4_GIB, ABOVE_4_GIB, PORTS][i] + (2 * slot + starts % 2) as u64 * PER_SLOT[i] / 2
    });
    let place = |next: &mut u64, len: u64| {
        let bus = next.next_multiple_of(len);
        *next = bus + len;
        bus
    };
    let mut bars = [None; 6];
    for (n, bar) in bars.iter_mut().enumerate() {
        let ports = shape.ports.iter().find(|(at, _)| *at == n).map(|(_, count)| u64::from(*count));
        let own = device.bar_len(n).map(|len| (len, device.bar_kind(n)));
        *bar = match (own, ports) {
            (None, None) => None,
            (Some(_), Some(_)) => panic!("BAR {n} is the device's"),
            (None, Some(len)) | (Some((len, BarKind::Ports)), None) => {
                let bus = place(&mut port, len);
                let physical = if shape.ports_are_memory { bus + 2 * TRANSLATION } else { bus };
                Some(Bar { bus, physical, len, kind: Kind::Ports { are_memory: shape.ports_are_memory } })
            }
            (Some((len, kind)), None) => {
                let is_wide = shape.wide.contains(&n);
                let bus = place(if is_wide { &mut high } else { &mut low }, len);
                let is_prefetchable = shape.prefetchable.contains(&n) || kind == BarKind::Prefetchable;
                Some(Bar { bus, physical: bus + TRANSLATION, len, kind: Kind::Memory { is_wide, is_prefetchable } })
            }
        };
        let takes_two = n > 0 && shape.wide.contains(&(n - 1));
        assert!(bar.is_none() || !takes_two, "BAR {n} is the upper half of the one before");
        assert!(!shape.wide.contains(&n) || n < 5, "there is no BAR behind the last one");
    }
    bars
}

/// What stands in the BARs' registers.
pub(crate) fn registers(bars: &[Option<Bar>; 6]) -> [u32; 6] {
    let mut registers = [0; 6];
    for (n, bar) in bars.iter().enumerate() {
        let Some(bar) = bar else { continue };
        registers[n] = bar.bus as u32
            | match bar.kind {
                Kind::Ports { .. } => 1,
                Kind::Memory { is_wide, is_prefetchable } => {
                    if is_wide {
                        registers[n + 1] = (bar.bus >> 32) as u32;
                    }
                    u32::from(is_wide) << 2 | u32::from(is_prefetchable) << 3
                }
            };
    }
    registers
}

impl Bar {
    /// Is the memory at these addresses of the processor's the BAR's?
    pub(crate) fn has(&self, physical: u64, len: usize) -> bool {
        let is_memory = matches!(self.kind, Kind::Memory { .. });
        is_memory && physical >= self.physical && physical + len as u64 <= self.physical + self.len
    }

    /// Are these ports the BAR's, for the processor too?
    pub(crate) fn has_ports(&self, first: u64, width: u8) -> bool {
        let are_ports = self.kind == Kind::Ports { are_memory: false };
        are_ports && first >= self.bus && first + u64::from(width) <= self.bus + self.len
    }

    fn descriptor(&self, translated: bool) -> Descriptor {
        let start = if translated { self.physical } else { self.bus };
        match self.kind {
            Kind::Memory { is_prefetchable, .. } => {
                memory(start, self.len, if is_prefetchable { PREFETCHABLE } else { 0 })
            }
            Kind::Ports { are_memory: true } if translated => memory(start, self.len, 0),
            Kind::Ports { .. } => {
                let words = [start as u32, (start >> 32) as u32, self.len as u32, 0];
                descriptor(PORT, EXCLUSIVE, PORT_IO | PORT_16_BIT | PORT_POSITIVE, words)
            }
        }
    }
}

/// Kinds of descriptor, who shares, and flags.
const PORT: u32 = 1;
const INTERRUPT: u32 = 2;
const MEMORY: u32 = 3;
const BUS_NUMBER: u32 = 6;
const MEMORY_LARGE: u32 = 7;
const DEVICE_PRIVATE: u32 = 129;
const EXCLUSIVE: u32 = 1;
const SHARED: u32 = 3;
const PREFETCHABLE: u32 = 4;
const LARGE_40: u32 = 0x200;
const LARGE_48: u32 = 0x400;
const LARGE_64: u32 = 0x800;
const PORT_IO: u32 = 1;
const PORT_16_BIT: u32 = 0x10;
const PORT_POSITIVE: u32 = 0x20;
const LATCHED_MESSAGE: u32 = 3;

/// The words of one descriptor.
type Descriptor = [u32; 5];

fn descriptor(kind: u32, share: u32, flags: u32, [a, b, c, d]: [u32; 4]) -> Descriptor {
    [kind | share << 8 | flags << 16, a, b, c, d]
}

/// Memory: large memory if its length does not fit, which counts in units of 2⁸, 2¹⁶ or 2³² bytes.
fn memory(start: u64, len: u64, flags: u32) -> Descriptor {
    let sizes =
        [(MEMORY, 0, 0), (MEMORY_LARGE, LARGE_40, 8), (MEMORY_LARGE, LARGE_48, 16), (MEMORY_LARGE, LARGE_64, 32)];
    let fits = |&(_, _, shift): &(u32, u32, u32)| len >> shift << shift == len && len >> shift <= u64::from(u32::MAX);
    let (kind, large, shift) = sizes.into_iter().find(fits).expect("a BAR's length is a power of two");
    descriptor(kind, EXCLUSIVE, flags | large, [start as u32, (start >> 32) as u32, (len >> shift) as u32, 0])
}

/// What an interrupt is for the processor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Vector {
    /// The level at which it comes.
    pub(crate) irql: u8,
    pub(crate) number: u32,
}

/// Of every device's line: there is one, and all devices are on it.
pub(crate) const LINE: Vector = Vector { irql: 8, number: 0x81 };

/// Of a message. MSI: all of them have one level, and numbers in a row. MSI-X: each has its own.
pub(crate) fn message(slot: usize, signal: IrqKind, message: u16) -> Vector {
    const LEVELS: [u8; 4] = [9, 5, 11, 7];
    let which = if signal == IrqKind::MsiX { usize::from(message) } else { 0 };
    let irql = LEVELS[(slot + which) % LEVELS.len()];
    Vector { irql, number: u32::from(irql) << 4 | u32::from(message) & 0xF }
}

/// Both lists, raw and translated, as the words of a CM_RESOURCE_LIST: what is at one place in one is at the same place in the other.
pub(crate) fn lists(slot: &Slot, assigned: Assigned) -> [Vec<u32>; 2] {
    [false, true].map(|translated| {
        let bars = slot.bars();
        let listed =
            bars.iter().enumerate().filter(|(n, _)| !slot.shape.unlisted.contains(n)).filter_map(|(_, bar)| *bar);
        let mut descriptors: Vec<Descriptor> = listed.map(|bar| bar.descriptor(translated)).collect();
        descriptors.extend(interrupts(slot, assigned, translated));
        if slot.shape.mixed {
            descriptors = mixed(slot.number, &descriptors);
        }
        const PCI_BUS: u32 = 5;
        let mut words = vec![1, PCI_BUS, slot.place().bus, 1 << 16 | 1, descriptors.len() as u32];
        words.extend(descriptors.into_iter().flatten());
        words
    })
}

/// In another order, with descriptors between them that are the bus's own.
fn mixed(slot: usize, descriptors: &[Descriptor]) -> Vec<Descriptor> {
    let mut mixed = vec![descriptor(BUS_NUMBER, EXCLUSIVE, 0, [slot as u32, 1, 0, 0])];
    for (n, each) in descriptors.iter().enumerate().rev() {
        mixed.push(*each);
        // What the bus driver keeps there for itself looks like an address below.
        mixed.push(descriptor(DEVICE_PRIVATE, EXCLUSIVE, 0, [1, n as u32, BELOW_4_GIB as u32, 0]));
    }
    mixed
}

fn interrupts(slot: &Slot, assigned: Assigned, translated: bool) -> Vec<Descriptor> {
    const ANY_PROCESSOR: [u32; 2] = [u32::MAX; 2];
    let [any_low, any_high] = ANY_PROCESSOR;
    // Level in the lower half and group in the upper one; the group and the number of messages in the raw form.
    let message = |first: u16, count: u16| {
        let Vector { irql, number } = message(slot.number, slot.messages(), first);
        let level_or_count = if translated { u32::from(irql) } else { u32::from(count) << 16 };
        descriptor(INTERRUPT, EXCLUSIVE, LATCHED_MESSAGE, [level_or_count, number, any_low, any_high])
    };
    match assigned {
        Assigned::Nothing => Vec::new(),
        Assigned::Line => {
            let pin = 11;
            let [level, vector] = if translated { [LINE.irql.into(), LINE.number] } else { [pin, pin] };
            vec![descriptor(INTERRUPT, SHARED, 0, [level, vector, any_low, any_high])]
        }
        // "When using MSI, the driver only receives one interrupt resource descriptor ... When using MSI-X, the driver receives a separate
        // resource descriptor for each interrupt message."
        Assigned::Messages(count) if slot.messages() == IrqKind::MsiX => (0..count).map(|n| message(n, 1)).collect(),
        Assigned::Messages(count) => vec![message(0, count)],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_length_is_written_in_the_smallest_unit_that_it_fits() {
        let words = |len: u64| {
            let [head, _, _, units, _] = memory(0, len, 0);
            (head & 0xFF, head >> 16, units)
        };
        assert_eq!(words(0x8000_0000), (MEMORY, 0, 0x8000_0000));
        assert_eq!(words(1 << 32), (MEMORY_LARGE, LARGE_40, 1 << 24));
        assert_eq!(words(1 << 41), (MEMORY_LARGE, LARGE_48, 1 << 25));
        assert_eq!(words(1 << 50), (MEMORY_LARGE, LARGE_64, 1 << 18));
    }
}
