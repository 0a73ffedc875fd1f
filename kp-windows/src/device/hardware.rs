//! A device as kp-core's kernel functions see it: its BARs, its configuration space, its interrupt. Kept in a record of its own, whose
//! address is the device's number.
use crate::{
    device::{
        bus::{self, Bus},
        command::Command,
        interrupt::Interrupt,
        mapping,
        resources::{MemoryRange, Resources},
        stack_device::StackDevice,
    },
    kernel::{irql, pool_box::PoolBox},
};
use core::ptr::{from_ref, with_exposed_provenance};
use kp_abi::Status;
use kp_core::host::DeviceId;

/// One started device.
pub(crate) struct Hardware {
    bars: [MemoryRange; 6],
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
            Self { bars, interrupt: Interrupt::new(pdo, resources.lines, has_msix, Command::new(bus)) }
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

    /// Lengths of the memory BARs.
    pub(crate) fn lengths(&self) -> [Option<usize>; 6] {
        self.bars.map(|bar| (bar.len != 0).then_some(bar.len as usize))
    }

    /// The first `len` bytes of a BAR, mapped; 0: it cannot. Passive.
    pub(crate) fn map(&self, bar: usize, len: usize) -> usize {
        match self.bars.get(bar) {
            Some(bar) if len as u64 <= bar.len => mapping::map(bar.physical, len).expose_provenance(),
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

    pub(crate) fn bus_master(&self, on: bool) {
        self.interrupt.command.want_master(on);
        self.apply();
    }

    /// Sets the command register as everything asks for. Up to DISPATCH_LEVEL.
    pub(crate) fn apply(&self) {
        self.interrupt.apply();
    }
}

/// Which memory is which BAR: the plug-and-play manager lists what was assigned without their numbers, and in any order.
fn bars(bus: &Bus, resources: &Resources<'_>) -> [MemoryRange; 6] {
    let mut bytes = [0; 24];
    bus.read(bus::BARS, &mut bytes);
    let (registers, _) = bytes.as_chunks::<4>();
    let mut bars = [MemoryRange::default(); 6];
    for (bar, address) in bars.iter_mut().zip(addresses(registers)) {
        *bar = address.and_then(|address| resources.at_bus_address(address)).unwrap_or_default();
    }
    bars
}

/// The address in each memory BAR's register.
fn addresses(registers: &[[u8; 4]]) -> [Option<u64>; 6] {
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
            addresses[index] = (address != 0).then_some(address);
        }
        index += if is_wide { 2 } else { 1 };
    }
    addresses
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(registers: [u32; 6]) -> [Option<u64>; 6] {
        addresses(&registers.map(u32::to_le_bytes))
    }

    #[test]
    fn a_bar_of_64_bits_has_two_registers() {
        let of = of([0xFEB0_0004, 0x12, 0xFEC0_0000, 0x0000_000C, 0x8000_0000, 0xFED0_0008]);
        let wide = [Some(0x12_FEB0_0000), None, Some(0xFEC0_0000), Some(0x8000_0000 << 32), None, Some(0xFED0_0000)];
        assert_eq!(of, wide);
    }

    #[test]
    fn ports_and_what_is_not_there_are_no_memory() {
        assert_eq!(of([0xC001, 0, 0xFEC0_0000, 0xE001, 0, 0]), [None, None, Some(0xFEC0_0000), None, None, None]);
        assert_eq!(of([u32::MAX; 6]), [None; 6], "a device that does not answer");
        // There is no register for its upper half.
        assert_eq!(of([0, 0, 0, 0, 0, 0xFEC0_0004]), [None; 6]);
    }
}
