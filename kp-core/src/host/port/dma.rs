//! Transfers of a device's own: what memory it reaches, and memory that it shares with the processor at every moment.
use super::{DeviceId, RawPages, contract};
use crate::{DmaLimits, Result};
use core::{num::NonZeroUsize, ptr::NonNull};

/// A device's access to memory, as the port names it: from `dma_open` until `dma_close`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DmaId(NonZeroUsize);

impl DmaId {
    /// None for 0, which names nothing.
    pub const fn new(id: usize) -> Option<Self> {
        match NonZeroUsize::new(id) {
            Some(id) => Some(Self(id)),
            None => None,
        }
    }

    /// The port's number or address.
    #[inline]
    pub const fn get(self) -> usize {
        self.0.get()
    }
}

/// Memory that a device and the processor share, contiguous for both, from a multiple of 4096 on.
#[derive(Clone, Copy, Debug)]
pub struct CoherentMemory {
    /// Where the processor has it.
    pub start: NonNull<u8>,
    /// Where the device has it: its bus address.
    pub bus: u64,
    /// Length in bytes: whole pages of 4096.
    pub len: NonZeroUsize,
}

/// Who writes, and who reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum DmaDirection {
    /// The device reads.
    ToDevice = 0,
    /// The device writes.
    FromDevice = 1,
    /// The device reads and writes.
    Both = 2,
}

/// Pages that are mapped for a device. kp-core never looks into it.
#[repr(C)]
pub struct RawMapping {
    _opaque: [u8; 0],
}

contract! { ($)
    /// Transfers of a device's own.
    unsafe trait Dma, exported by __export_dma;

    /// Says what the device reaches. NoDma: no memory of this machine is within that, or the port has no transfers. Passive; once for a device
    /// between its binding and `dma_close`.
    safe fn dma_open(device: DeviceId, limits: &DmaLimits) -> Result<DmaId>;
    /// The device transfers no more, and all that was made with `dma` is freed: the port does what it has put off. Passive.
    unsafe fn dma_close(dma: DmaId) -> ();
    /// Does an IOMMU keep the device from all memory but what is mapped for it? False where the port cannot tell. Passive; it is asked once.
    safe fn dma_is_isolated(dma: DmaId) -> bool;
    /// `len` bytes of zeros, whole pages of 4096, within the limits; None: no memory. What the processor writes there the device sees without more
    /// ado, and the other way round. Passive.
    safe fn coherent_alloc(dma: DmaId, len: NonZeroUsize) -> Option<CoherentMemory>;
    /// Undoes `coherent_alloc`. Any level, as `free`.
    unsafe fn coherent_free(dma: DmaId, memory: CoherentMemory) -> ();
    /// Maps `len` bytes of pages for a device, from `offset` on. Bus addresses: of the first byte, and then of the beginning of each further 4096
    /// bytes of the pages that the range touches; `bus` has a place for each. All or nothing. None: no memory, or the device or the machine takes no
    /// so many at once. What the pages have by then is seen by the device, as after `dma_sync_for_device`. Passive.
    unsafe fn dma_map(dma: DmaId, pages: NonNull<RawPages>, offset: usize, len: usize, direction: DmaDirection, bus: &mut [u64]) -> Option<NonNull<RawMapping>>;
    /// Undoes `dma_map`. The pages are there until this returns; a port that undoes it later keeps them until that is done. Any level, as `free`.
    unsafe fn dma_unmap(dma: DmaId, mapping: NonNull<RawMapping>) -> ();
    /// Is what the processor writes seen by the device at once, and the other way round? Then it needs no sync. The answer does not change. Passive.
    unsafe fn dma_is_direct(dma: DmaId, mapping: NonNull<RawMapping>) -> bool;
    /// Of a mapping that is not direct: the device sees what the processor has written. Passive and Dispatch.
    unsafe fn dma_sync_for_device(dma: DmaId, mapping: NonNull<RawMapping>) -> ();
    /// Of a mapping that is not direct: the processor sees what the device has written. Passive and Dispatch.
    unsafe fn dma_sync_for_cpu(dma: DmaId, mapping: NonNull<RawMapping>) -> ();
}
