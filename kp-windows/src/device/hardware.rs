//! A device as kp-core's kernel functions see it: its BARs, its configuration space, its interrupt. Kept in a record of its own, whose
//! address is the device's number.
use crate::{
    device::{
        bus::{self, Bus},
        command::Command,
        interrupt::Interrupt,
        mapping,
        msix_table::MsixTable,
        resources::{MemoryRange, Resources},
        stack_device::StackDevice,
    },
    kernel::{irql, pool_box::PoolBox},
};
use core::{
    num::NonZeroUsize,
    ptr::{from_ref, with_exposed_provenance},
};
use kp_abi::Status;
use kp_core::host::{BarKind, Caching, DeviceId, RawBar};

/// What START_DEVICE has assigned to a BAR.
#[derive(Clone, Copy)]
struct AssignedBar {
    raw: RawBar,
    /// Where its memory is for the processor; 0 for ports.
    physical: u64,
}

/// One started device.
pub(crate) struct Hardware {
    bars: [Option<AssignedBar>; 6],
    /// The bus's device object.
    pub(crate) pdo: StackDevice,
    pub(crate) interrupt: Interrupt,
}

impl Hardware {
    /// Of a device that its bus has started, with bus mastering off. NoMemory; WrongDevice if its resources are not its BARs'. Passive.
    ///
    /// # Safety
    /// `pdo` and `lower` are the device's; the resources are its own.
    pub(crate) unsafe fn new(
        pdo: StackDevice,
        lower: StackDevice,
        resources: &Resources<'_>,
    ) -> Result<PoolBox<Self>, Status> {
        let bus = Bus::of(lower).map_err(|status| {
            kp_core::log!("the bus gives no interface: {:#x}", status);
            Status::WRONG_DEVICE
        })?;
        let hardware = PoolBox::with(|| {
            let (bars, has_msix) = (bars(&bus, resources), bus.capability(bus::MSIX).is_some());
            let table = if has_msix && resources.lines.are_messages { MsixTable::of(lower) } else { None };
            Self { bars, pdo, interrupt: Interrupt::new(pdo, resources.lines, has_msix, table, Command::new(bus)) }
        });
        let hardware = hardware.ok_or(Status::NO_MEMORY)?;
        irql::allow_for(resources.lines.irql);
        hardware.apply();
        Ok(hardware)
    }

    /// Leaves the device as it was found. Passive.
    pub(crate) fn retire(&self) {
        self.interrupt.command.restore();
    }

    /// What kp-core names it by: its address.
    pub(crate) fn id(&self) -> Option<DeviceId> {
        DeviceId::new(from_ref(self).expose_provenance())
    }

    /// The device that kp-core names.
    ///
    /// # Safety
    /// The [id](Self::id) of a record that is not freed.
    #[inline]
    pub(crate) unsafe fn of<'a>(device: DeviceId) -> &'a Self {
        let record: *const Self = with_exposed_provenance(device.get());
        // SAFETY: a record that is not freed.
        unsafe { &*record }
    }

    fn bus(&self) -> &Bus {
        &self.interrupt.command.bus
    }

    /// The BARs that it was assigned.
    pub(crate) fn bars(&self) -> [Option<RawBar>; 6] {
        self.bars.map(|bar| bar.map(|bar| bar.raw))
    }

    /// `len` bytes of a memory BAR from `offset` on, mapped; 0: they cannot be. Passive.
    pub(crate) fn map(&self, bar: usize, offset: usize, len: usize, caching: Caching) -> usize {
        match self.bars.get(bar) {
            Some(Some(bar)) if offset.checked_add(len).is_some_and(|end| end <= bar.raw.len) && bar.physical != 0 => {
                mapping::map(bar.physical + offset as u64, len, caching).expose_provenance()
            }
            _ => 0,
        }
    }

    /// Does the device answer? Passive.
    pub(crate) fn is_present(&self) -> bool {
        self.bus().is_present()
    }

    pub(crate) fn config_read(&self, offset: u32, width: u32) -> u32 {
        let mut bytes = [0xFF; 4];
        self.bus().read(offset, &mut bytes[..width.min(4) as usize]);
        bytes[width.min(4) as usize..].fill(0);
        u32::from_le_bytes(bytes)
    }

    pub(crate) fn config_write(&self, offset: u32, width: u32, value: u32) {
        self.bus().write(offset, &value.to_le_bytes()[..width.min(4) as usize]);
    }

    /// Lets the device transfer, or not. Can it? Messages are transfers too.
    pub(crate) fn bus_master(&self, on: bool) -> bool {
        self.interrupt.command.want_master(on);
        self.apply();
        self.interrupt.command.is_master()
    }

    /// Sets the command register as everything asks for. Up to DISPATCH_LEVEL.
    pub(crate) fn apply(&self) {
        self.interrupt.apply();
    }
}

/// Which resource is which BAR: the plug-and-play manager lists what was assigned without their numbers, and in any order.
fn bars(bus: &Bus, resources: &Resources<'_>) -> [Option<AssignedBar>; 6] {
    let mut bytes = [0; 24];
    bus.read(bus::BARS, &mut bytes);
    let (registers, _) = bytes.as_chunks::<4>();
    addresses(registers).map(|decoded| assigned(decoded?, resources))
}

/// The resource of a BAR.
fn assigned(decoded: Decoded, resources: &Resources<'_>) -> Option<AssignedBar> {
    match decoded {
        Decoded::Memory { address, is_prefetchable } => {
            let MemoryRange { physical, len } = resources.memory_at(address)?;
            let kind = if is_prefetchable { BarKind::Prefetchable } else { BarKind::Memory };
            Some(AssignedBar { raw: RawBar { len: len as usize, kind }, physical })
        }
        Decoded::Ports { first } => {
            let len = resources.ports_at(first.into())?;
            let kind = BarKind::Ports(NonZeroUsize::new(first as usize)?);
            Some(AssignedBar { raw: RawBar { len: len as usize, kind }, physical: 0 })
        }
    }
}

/// What a BAR's register says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Decoded {
    Memory { address: u64, is_prefetchable: bool },
    Ports { first: u32 },
}

/// What is in each BAR's register.
fn addresses(registers: &[[u8; 4]]) -> [Option<Decoded>; 6] {
    let register = |index: usize| registers.get(index).map(|bytes| u32::from_le_bytes(*bytes));
    let mut addresses = [None; 6];
    let mut index = 0;
    while let Some(low) = register(index) {
        let is_memory = low & bus::BAR_IS_PORTS == 0;
        let is_wide = is_memory && low & bus::BAR_WIDTH == bus::BAR_IS_WIDE;
        // One with 64 bits has the next register for its upper half.
        let high = if is_wide { register(index + 1) } else { Some(0) };
        if let (true, Some(high)) = (is_memory, high) {
            let address = u64::from(low & bus::BAR_ADDRESS) | u64::from(high) << 32;
            let is_prefetchable = low & bus::BAR_IS_PREFETCHABLE != 0;
            addresses[index] = (address != 0).then_some(Decoded::Memory { address, is_prefetchable });
        }
        if !is_memory && low != u32::MAX && low & bus::BAR_PORT != 0 {
            addresses[index] = Some(Decoded::Ports { first: low & bus::BAR_PORT });
        }
        index += if is_wide { 2 } else { 1 };
    }
    addresses
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(registers: [u32; 6]) -> [Option<Decoded>; 6] {
        addresses(&registers.map(u32::to_le_bytes))
    }

    fn memory(address: u64, is_prefetchable: bool) -> Option<Decoded> {
        Some(Decoded::Memory { address, is_prefetchable })
    }

    #[test]
    fn a_bar_of_64_bits_has_two_registers() {
        let of = of([0xFEB0_0004, 0x12, 0xFEC0_0000, 0x0000_000C, 0x8000_0000, 0xFED0_0008]);
        let (first, third) = (memory(0x12_FEB0_0000, false), memory(0xFEC0_0000, false));
        assert_eq!(of, [first, None, third, memory(0x8000_0000 << 32, true), None, memory(0xFED0_0000, true)]);
    }

    #[test]
    fn ports_are_told_from_memory_and_what_is_not_there_from_both() {
        let ports = |first| Some(Decoded::Ports { first });
        let due = [ports(0xC000), None, memory(0xFEC0_0000, false), ports(0xE000), None, None];
        assert_eq!(of([0xC001, 0, 0xFEC0_0000, 0xE001, 1, 0]), due);
        assert_eq!(of([u32::MAX; 6]), [None; 6], "a device that does not answer");
        // There is no register for its upper half.
        assert_eq!(of([0, 0, 0, 0, 0, 0xFEC0_0004]), [None; 6]);
    }
}
