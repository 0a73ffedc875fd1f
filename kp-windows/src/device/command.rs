//! The command register, which this driver has written by what a device's plugin and its interrupt need.
use crate::{
    device::bus::{self, Bus},
    kernel::{parameters, spin_lock::SpinLock},
};
use core::sync::atomic::{AtomicBool, Ordering::Relaxed};

/// Bits of the command register that this driver sets and clears.
const OURS: u16 = bus::BUS_MASTER | bus::NO_LINE;

/// A device's command register, and its bus.
pub(crate) struct Command {
    pub(crate) bus: Bus,
    /// Held for reading and writing the register.
    lock: SpinLock<()>,
    /// The plugin wants the device to start transfers.
    wants_master: AtomicBool,
    /// This driver's bits, as they were found.
    found: u16,
}

/// What an interrupt needs of the register.
pub(crate) struct InterruptNeeds {
    /// The device is assigned a line.
    pub(crate) has_line: bool,
    /// The line is to be raised.
    pub(crate) line: bool,
    /// Messages are to be sent, which are transfers of the device's own.
    pub(crate) messages: bool,
    /// It has interrupted without end.
    pub(crate) masked: bool,
}

impl Command {
    pub(crate) fn new(bus: Bus) -> Self {
        let found = bus.read_u16(bus::COMMAND) & OURS;
        Self { bus, lock: SpinLock::new(()), wants_master: AtomicBool::new(false), found }
    }

    /// Before [`apply`](Self::apply).
    pub(crate) fn want_master(&self, on: bool) {
        self.wants_master.store(on, Relaxed);
    }

    /// May the device transfer, as the register is now?
    pub(crate) fn is_master(&self) -> bool {
        self.bus.read_u16(bus::COMMAND) & bus::BUS_MASTER != 0
    }

    /// Sets the register as everything asks for: a line is off but while it is connected; what never ends is off. Up to DISPATCH_LEVEL.
    pub(crate) fn apply(&self, needs: &InterruptNeeds) {
        let InterruptNeeds { has_line, line, messages, masked } = *needs;
        let master = (self.wants_master.load(Relaxed) || messages) && !(messages && masked);
        let bits = if master { bus::BUS_MASTER } else { 0 } | if line && !masked { 0 } else { bus::NO_LINE };
        self.set(if has_line { OURS } else { bus::BUS_MASTER }, bits);
    }

    /// Sets it as it was found, without transfers. Up to DISPATCH_LEVEL.
    pub(crate) fn restore(&self) {
        // One that interrupts still keeps its line off: nobody listens to it any more, and others may have the same line.
        let interrupts = self.bus.read_u16(bus::STATUS) & bus::INTERRUPTS != 0;
        let off = if interrupts { bus::NO_LINE } else { 0 };
        self.set(OURS, self.found & !bus::BUS_MASTER | off);
    }

    /// Sets the masked bits, unless the register is to be left alone.
    fn set(&self, mask: u16, bits: u16) {
        if parameters::leave_command() {
            return;
        }
        self.lock.with(|()| {
            let old = self.bus.read_u16(bus::COMMAND);
            let new = old & !mask | bits & mask;
            if new != old && self.bus.is_present() {
                self.bus.write(bus::COMMAND, &new.to_le_bytes());
            }
        });
    }
}
