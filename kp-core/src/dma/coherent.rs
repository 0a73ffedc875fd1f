//! Memory that a device and the processor share at every moment.
use super::{BusAddress, Dma, OnBus, OnDevice, on_device::sealed::Sealed};
use crate::{
    Memory, Passive, RegisterMap, Regs, Result, Status,
    host::{CoherentMemory, DmaMemory},
};
use core::{marker::PhantomData, num::NonZeroUsize};
use kp_abi::ring::PAGE;

/// Memory that a device and the processor share at every moment: descriptor rings, mailboxes. `count` register maps, one behind the other, zeroed
/// and contiguous for the device, from the beginning of a page on.
///
/// It is read and written as registers are, one word at a time: each read acquires, each write releases. So a descriptor is seen in the order in
/// which it was written, and what an owner bit guards is seen after it.
///
/// A ring of a card that receives in pieces of an app's buffer:
///
/// ```
/// # use kp_core::*;
/// registers! {
///     mod descriptor[0x10] {
///         0x0 ADDRESS: u64, RW;
///         0x8 LEN: u16, RW;
///         0xC STATUS: u8, RW { DONE = 0 };
///     }
/// }
/// struct Ring {
///     descriptors: OnDevice<Coherent<descriptor::Map>>,
///     next: usize,
/// }
/// impl Ring {
///     fn new(cx: &mut Passive, dma: &Dma, count: usize) -> Result<Self> {
///         Ok(Ring { descriptors: Coherent::new(cx, dma, count)?.hand_over(), next: 0 })
///     }
///     /// Where the card finds the ring. What it has there stays so: it is the card's until it has forgotten it.
///     fn bus(&self) -> Result<BusAddress> {
///         self.descriptors.bus(0)
///     }
///     /// Gives the card one piece more, as soon as a register says so. Which descriptor it has.
///     fn push(&mut self, buffer: &OnDevice<Mapping<FromDevice>>, offset: usize) -> Result<usize> {
///         let (i, at) = (self.next, buffer.bus_at(offset)?);
///         let it = self.descriptors.at(i)?;
///         it.write(descriptor::STATUS, 0);
///         it.write(descriptor::ADDRESS, at.raw());
///         self.next = (i + 1) % self.descriptors.count();
///         Ok(i)
///     }
///     /// How much the card has received by a descriptor; None: nothing yet. Only then is `buffer` taken back.
///     fn received(&self, i: usize) -> Result<Option<u16>> {
///         let it = self.descriptors.at(i)?;
///         let is_done = descriptor::STATUS::DONE.is_set(it.read(descriptor::STATUS));
///         Ok(is_done.then(|| it.read(descriptor::LEN)))
///     }
/// }
/// ```
///
/// INVARIANT: `count` times `M::LEN` bytes at `base`, a multiple of 4096, are alive as long as this, and at `bus` for the device.
pub struct Coherent<M: RegisterMap> {
    memory: DmaMemory<CoherentMemory>,
    base: usize,
    bus: u64,
    count: usize,
    _map: PhantomData<fn(M) -> M>,
}

impl<M: RegisterMap> Coherent<M> {
    /// New memory for `count` maps. Passive.
    ///
    /// Errors: `BAD_VALUE` for none, `DEVICE_GONE`; `NO_MEMORY` also while 256 MiB that were dropped on the device are kept.
    pub fn new(cx: &mut Passive, dma: &Dma, count: usize) -> Result<Self> {
        const {
            assert!(M::LEN > 0, "a register map has at least one byte");
            assert!(
                M::ALIGN <= PAGE && M::LEN.is_multiple_of(M::ALIGN),
                "a map's length is a multiple of its widest register's"
            );
        }
        let len =
            M::LEN.checked_mul(count).and_then(|len| len.checked_next_multiple_of(PAGE)).ok_or(Status::NO_MEMORY)?;
        let len = NonZeroUsize::new(len).ok_or(Status::BAD_VALUE)?;
        let memory = DmaMemory::coherent(cx, dma.link(), dma.id(), len)?;
        let (base, bus) = (memory.start.as_ptr().expose_provenance(), memory.bus);
        Ok(Self { memory, base, bus, count, _map: PhantomData })
    }

    /// How many maps.
    pub fn count(&self) -> usize {
        self.count
    }

    /// Map `i`. Any level. `BAD_VALUE`: there are fewer.
    #[inline(always)]
    pub fn at(&self, i: usize) -> Result<Regs<'_, M, Memory>> {
        if i >= self.count {
            return Err(Status::BAD_VALUE.into());
        }
        // SAFETY: the invariant, for map `i`, which is at a multiple of `M::ALIGN`: its length is one.
        Ok(unsafe { Regs::new(self.base.wrapping_add(i.wrapping_mul(M::LEN))) })
    }

    /// Gives it to the device, which makes its bus address known. Any level.
    pub fn hand_over(self) -> OnDevice<Self> {
        OnDevice::new(self)
    }
}

impl<M: RegisterMap> OnDevice<Coherent<M>> {
    /// Where the device finds map `i`. Any level. `BAD_VALUE`: there are fewer.
    #[inline(always)]
    pub fn bus(&self, i: usize) -> Result<BusAddress> {
        if i >= self.count {
            return Err(Status::BAD_VALUE.into());
        }
        Ok(BusAddress::new(self.bus.wrapping_add(i.wrapping_mul(M::LEN) as u64)))
    }

    /// Takes it back: the device does not use it any more. Any level.
    pub fn take_back(self) -> Coherent<M> {
        self.into_inner()
    }
}

impl<M: RegisterMap> Sealed for Coherent<M> {
    fn keep(&self) {
        self.memory.keep();
    }
}
impl<M: RegisterMap> OnBus for Coherent<M> {}
