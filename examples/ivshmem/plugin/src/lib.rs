//! QEMU's ivshmem-doorbell, as a device with several MSI-X vectors: it rings its own doorbell. Each vector is counted by itself.
#![no_std]
#![forbid(unsafe_code)]

use core::sync::atomic::{AtomicU32, Ordering::Relaxed};
pub use ivshmem_interface::{SILENT, VECTORS, ivshmem};
use kp_core::*;

registers! {
    /// BAR 0. Source: QEMU's documentation, docs/specs/ivshmem-spec.
    pub mod regs[0x10] {
        /// This device's number among its peers.
        0x08 IV_POSITION: u32, RO;
        /// Raises a vector of a peer, which may be this device itself.
        0x0c DOORBELL: u32, WO { VECTOR = 0..=15, PEER = 16..=31 };
    }
}

/// One device.
pub struct Ivshmem {
    bar: Bar<regs::Map>,
    /// Interrupts of each vector since the latest enabling.
    rung: [AtomicU32; VECTORS],
}

impl Init for Ivshmem {
    type Session = ();
    type Interrupt = ();
    fn init(cx: &mut Passive, mut device: Device) -> Result<Self> {
        Ok(Ivshmem { bar: device.map::<regs::Map>(cx, 0)?, rung: Default::default() })
    }
}

impl ivshmem::Handler<Passive> for Ivshmem {
    fn position(&self, _: &mut Passive, _: &()) -> Result<u32> {
        Ok(self.bar.read(regs::IV_POSITION))
    }

    fn ring(&self, _: &mut Passive, _: &(), vector: u32) -> Result<()> {
        if vector as usize >= VECTORS {
            return Err(Status::BAD_VALUE.into());
        }
        let this = self.bar.read(regs::IV_POSITION);
        self.bar.write(regs::DOORBELL, this << 16 | vector);
        Ok(())
    }

    fn rung(&self, _: &mut Passive, _: &()) -> Result<[u32; VECTORS]> {
        Ok(core::array::from_fn(|vector| self.rung[vector].load(Relaxed)))
    }
}

impl IntEnable for Ivshmem {
    fn int_enable(&self, _: &mut Passive, _: Enabling<'_, Self>) -> Result<()> {
        self.rung.iter().for_each(|count| count.store(0, Relaxed));
        Ok(())
    }
}

impl IntAtIrql for Ivshmem {
    fn int_at_irql(&self, _: &mut Irql, _: &(), source: Source) -> Verdict {
        // A message needs no acknowledgement, and its vector says whose it is.
        let Source::Message(vector) = source else { return Verdict::NOT_MINE };
        let Some(count) = self.rung.get(usize::from(vector)) else { return Verdict::NOT_MINE };
        count.fetch_add(1, Relaxed);
        Verdict::DEFER
    }
}

impl IntAtDpc for Ivshmem {
    fn int_at_dpc(&self, _: &mut Dispatch, _: &(), source: Source, count: u32) -> u32 {
        if source == Source::Message(SILENT as u16) { 0 } else { count }
    }
}

plugin! {
    Ivshmem {
        name: "ivshmem",
        devices: [0x1af4:0x1110],
        vectors: 1..=4,
        interface: ivshmem,
        callbacks: [IntEnable, IntAtIrql, IntAtDpc],
    }
}
