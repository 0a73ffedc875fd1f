//! A device as kp-core's kernel functions see it: its BARs, its configuration space, its interrupt. Kept in a record of its own, whose
//! address is the device's number.
use crate::{
    device::{
        bus::{self, Bus},
        interrupt::Interrupt,
        mapping,
        resources::{Memory, Resources},
    },
    kernel::{irql, memory, parameters},
    nt::*,
};
use core::{
    cell::UnsafeCell,
    ptr::NonNull,
    sync::atomic::{AtomicBool, Ordering::*},
};
use kp_abi::Status;

/// One started device.
pub(crate) struct Hardware {
    pub(crate) pdo: *mut DeviceObject,
    bars: [Memory; 6],
    bus: Bus,
    pub(crate) interrupt: Interrupt,
    /// For reading and writing the command register.
    command: UnsafeCell<SpinLock>,
    /// The plugin wants the device to start transfers.
    wants_master: AtomicBool,
    /// The command register's bits of ours, as they were found.
    found: u16,
}

/// Bits of the command register that this driver sets and clears.
const OURS: u16 = bus::BUS_MASTER | bus::NO_LINE;

impl Hardware {
    /// Of a device that its bus has started, with bus mastering off. NoMemory; WrongDevice if its resources are not its BARs'. Passive.
    ///
    /// # Safety
    /// `pdo` and `lower` are the device's, alive until the record is [freed](Self::free); the resources are its own.
    pub(crate) unsafe fn new(
        pdo: *mut DeviceObject,
        lower: *mut DeviceObject,
        resources: &Resources<'_>,
    ) -> Result<NonNull<Self>, Status> {
        // SAFETY: the caller's promise.
        let bus = unsafe { Bus::of(lower) }.map_err(|status| {
            kp_core::log!("the bus gives no interface: {:#x}", status);
            Status::WRONG_DEVICE
        })?;
        let place = memory::alloc(size_of::<Self>(), align_of::<Self>()).cast::<Self>();
        let place = NonNull::new(place).ok_or(Status::NO_MEMORY)?;
        let hardware = Self {
            pdo,
            bars: bars(&bus, resources),
            found: bus.read_u16(bus::COMMAND) & OURS,
            interrupt: Interrupt::new(resources.lines, bus.capability(bus::MSIX).is_some()),
            bus,
            command: UnsafeCell::new(0),
            wants_master: AtomicBool::new(false),
        };
        irql::allow_for(resources.lines.irql);
        // SAFETY: fresh memory of this size.
        unsafe { place.write(hardware) };
        // SAFETY: written above, and where it stays.
        unsafe { place.as_ref() }.apply();
        Ok(place)
    }

    /// Frees the record. Passive.
    ///
    /// # Safety
    /// It came from [`new`](Self::new), its interrupt is disconnected, nothing uses it any more.
    pub(crate) unsafe fn free(this: NonNull<Self>) {
        // SAFETY: the caller's promise.
        let hardware = unsafe { this.as_ref() };
        // One that interrupts still keeps its line off: nobody listens to it any more, and others may have the same line.
        let interrupts = hardware.bus.read_u16(bus::STATUS) & bus::INTERRUPTS != 0;
        let off = if interrupts { bus::NO_LINE } else { 0 };
        hardware.set_command(OURS, hardware.found & !bus::BUS_MASTER | off);
        // SAFETY: the caller's promise.
        unsafe { this.drop_in_place() };
        // SAFETY: from `alloc`, and nobody's any more.
        unsafe { memory::free(this.cast().as_ptr(), align_of::<Self>()) };
    }

    /// The device that kp-core names by number. None: no device.
    ///
    /// # Safety
    /// 0, or the address of a record that is not freed.
    #[inline]
    pub(crate) unsafe fn of<'a>(device: usize) -> Option<&'a Self> {
        let record: *const Self = core::ptr::with_exposed_provenance(device);
        // SAFETY: the caller's promise.
        unsafe { record.as_ref() }
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
        self.bus.is_present()
    }

    pub(crate) fn config_read(&self, offset: u32, width: u32) -> u32 {
        let mut bytes = [0xFF; 4];
        self.bus.read(offset, &mut bytes[..width.min(4) as usize]);
        bytes[width.min(4) as usize..].fill(0);
        u32::from_le_bytes(bytes)
    }

    pub(crate) fn config_write(&self, offset: u32, width: u32, value: u32) {
        self.bus.write(offset, &value.to_le_bytes()[..width.min(4) as usize]);
    }

    pub(crate) fn bus_master(&self, on: bool) {
        self.wants_master.store(on, Relaxed);
        self.apply();
    }

    /// Sets the command register as everything asks for: messages are transfers of the device's own; a line is off but while it is
    /// connected; what never ends is off. Up to DISPATCH_LEVEL.
    pub(crate) fn apply(&self) {
        let wants_master = self.wants_master.load(Relaxed);
        let (master, line) = self.interrupt.needs(wants_master);
        let bits = if master { bus::BUS_MASTER } else { 0 } | if line { 0 } else { bus::NO_LINE };
        let mask = if self.interrupt.is_line() { OURS } else { bus::BUS_MASTER };
        self.set_command(mask, bits);
    }

    /// Sets the masked bits of the command register, unless it is to be left alone.
    fn set_command(&self, mask: u16, bits: u16) {
        if parameters::leave_command() {
            return;
        }
        let lock = self.command.get();
        // SAFETY: the record's own lock, at DISPATCH_LEVEL or below.
        let before = unsafe { KeAcquireSpinLockRaiseToDpc(lock) };
        let old = self.bus.read_u16(bus::COMMAND);
        let new = old & !mask | bits & mask;
        if new != old && self.bus.is_present() {
            self.bus.write(bus::COMMAND, &new.to_le_bytes());
        }
        // SAFETY: taken above.
        unsafe { KeReleaseSpinLock(lock, before) };
    }
}

/// Which memory is which BAR: the plug-and-play manager lists what was assigned without their numbers, and in any order.
fn bars(bus: &Bus, resources: &Resources<'_>) -> [Memory; 6] {
    let mut bytes = [0; 24];
    bus.read(bus::BARS, &mut bytes);
    let (registers, _) = bytes.as_chunks::<4>();
    let mut bars = [Memory::default(); 6];
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
