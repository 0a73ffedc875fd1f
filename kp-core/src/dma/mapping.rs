//! Pages that are shown to a device.
use super::{BusAddress, Direction, Dma, DmaLimits, OnBus, OnDevice, Pages, Segment, on_device::sealed::Sealed};
use crate::{
    AtMost, Dispatch, Passive, Result, Status,
    host::{DmaMemory, Mapped},
};
use core::{marker::PhantomData, ops::Range};
use kp_abi::ring::PAGE;

/// A range of [`Pages`] that is shown to a device, which may read or write it while it [has it](OnDevice).
///
/// INVARIANT: there is a bus address for each page that the range touches.
pub struct Mapping<D: Direction> {
    memory: DmaMemory<Mapped>,
    _direction: PhantomData<fn(D)>,
}

impl<D: Direction> Mapping<D> {
    /// Shows `range` of `pages` to the device, in bytes. The pages stay as long as this. Passive.
    ///
    /// Errors: `BAD_VALUE` for an empty range or one that the pages do not have, `READ_ONLY` if the device writes and the app has registered
    /// the buffer for reading, `DEVICE_GONE`; `NO_MEMORY` also if the machine cannot show so many pages at once, or they make more
    /// [segments](OnDevice::segments) than the device takes: a [`Transfer`](crate::Transfer) goes piece by piece.
    #[cfg_attr(kp_driver, optimize(size))]
    pub fn new(cx: &mut Passive, dma: &Dma, pages: &Pages, range: Range<usize>) -> Result<Self> {
        let mapping = Self::longest(cx, dma, pages, range.clone())?;
        if mapping.len() == range.len() { Ok(mapping) } else { Err(Status::NO_MEMORY.into()) }
    }

    /// As [`new`](Self::new), but for a range that is too long for the device's limits, of which it shows the beginning.
    #[cfg_attr(kp_driver, optimize(size))]
    #[inline(never)]
    pub(super) fn longest(cx: &mut Passive, dma: &Dma, pages: &Pages, range: Range<usize>) -> Result<Self> {
        Self::longest_inlined(cx, dma, pages, range)
    }

    /// [`longest`](Self::longest), for the one place where it is called most.
    #[inline(always)]
    pub(super) fn longest_inlined(cx: &mut Passive, dma: &Dma, pages: &Pages, range: Range<usize>) -> Result<Self> {
        if range.is_empty() || range.end > pages.len() {
            return Err(Status::BAD_VALUE.into());
        }
        if D::DEVICE_WRITES && !pages.is_writable() {
            return Err(Status::READ_ONLY.into());
        }
        let device = (dma.link(), dma.id(), dma.limits());
        let memory = DmaMemory::mapping(cx, device, pages.reference(), range, D::RAW, fits)?;
        Ok(Self { memory, _direction: PhantomData })
    }

    /// How many bytes.
    #[allow(clippy::len_without_is_empty, reason = "it is never empty")]
    pub fn len(&self) -> usize {
        self.memory.fits
    }

    /// Gives it to the device, which makes its bus addresses known: what was written before is seen by the device. At most Dispatch.
    pub fn hand_over<L: AtMost<Dispatch>>(self, _cx: &mut L) -> OnDevice<Self> {
        self.memory.sync_for_device();
        OnDevice::new(self)
    }

    /// The same, of one that was just made: the device sees what the pages had then.
    #[inline(always)]
    pub(super) fn hand_over_at_once(self) -> OnDevice<Self> {
        OnDevice::new(self)
    }
}

/// How much of `len` bytes the device takes in one transfer.
#[inline]
fn fits(limits: &DmaLimits, bus: &[u64], skip: usize, len: usize) -> usize {
    let most = usize::try_from(limits.max_segments()).unwrap_or(usize::MAX);
    Segments::new(bus, skip, len, limits).take(most).map(|segment| segment.len as usize).sum()
}

impl<D: Direction> OnDevice<Mapping<D>> {
    /// Where the device finds byte `offset`; what follows it in the same page follows it there. Any level. `BAD_VALUE`: there are fewer.
    #[inline]
    pub fn bus_at(&self, offset: usize) -> Result<BusAddress> {
        let Mapped { bus, skip, fits, .. } = &*self.memory;
        if offset >= *fits {
            return Err(Status::BAD_VALUE.into());
        }
        let address = address(bus, *skip, skip.wrapping_add(offset));
        address.map(BusAddress::new).ok_or(Status::BAD_VALUE.into())
    }

    /// The pieces that the device is to be told: neighbours are one, and none breaks the device's limits. Any level.
    pub fn segments(&self) -> Segments<'_> {
        let Mapped { bus, skip, fits, longest, boundary, .. } = &*self.memory;
        Segments { bus, skip: *skip, at: *skip, end: skip.wrapping_add(*fits), longest: *longest, boundary: *boundary }
    }

    /// Takes it back: the device has done with it, and what it wrote is seen. At most Dispatch.
    pub fn take_back<L: AtMost<Dispatch>>(self, _cx: &mut L) -> Mapping<D> {
        self.memory.sync_for_cpu();
        self.into_inner()
    }
}

impl<D: Direction> Sealed for Mapping<D> {
    fn keep(&self) {
        self.memory.keep();
    }
}
impl<D: Direction> OnBus for Mapping<D> {}

/// The pieces of a [`Mapping`]. Of [`OnDevice::segments`].
#[derive(Clone)]
pub struct Segments<'a> {
    bus: &'a [u64],
    skip: usize,
    /// Where the next piece begins, in bytes from the beginning of the first page.
    at: usize,
    end: usize,
    /// Of the device's limits: [`DmaLimits::max_segment`] and [`DmaLimits::segment_boundary`].
    longest: u32,
    boundary: u64,
}

impl<'a> Segments<'a> {
    fn new(bus: &'a [u64], skip: usize, len: usize, limits: &DmaLimits) -> Self {
        let (longest, boundary) = (limits.max_segment(), limits.segment_boundary());
        Self { bus, skip, at: skip, end: skip.wrapping_add(len), longest, boundary }
    }

    /// How long the next piece may be, which begins here for the device.
    #[inline(always)]
    fn most(&self, first: u64) -> u64 {
        let mut most = u64::from(self.longest).min((self.end - self.at) as u64);
        if let Some(past) = self.boundary.checked_sub(1) {
            most = most.min((past - (first & past)).saturating_add(1));
        }
        most
    }

    #[inline(always)]
    fn give(&mut self, first: u64, len: u64) -> Segment {
        self.at = self.at.wrapping_add(len as usize);
        Segment { at: BusAddress::new(first), len: len as u32 }
    }

    fn address(&self, at: usize) -> Option<u64> {
        address(self.bus, self.skip, at)
    }
}

impl Segments<'_> {
    /// The next piece of more than one page.
    #[inline(never)]
    fn next_of_pages(&mut self) -> Option<Segment> {
        let first = self.address(self.at)?;
        let most = self.most(first);
        // To the end of its page, and over the pages that follow it for the device too.
        let mut len = (PAGE - self.at % PAGE) as u64;
        while len < most && self.address(self.at.wrapping_add(len as usize)) == first.checked_add(len) {
            len = len.wrapping_add(PAGE as u64);
        }
        Some(self.give(first, len.min(most)))
    }
}

/// Where the device has byte `at` of the pages, of which the mapping begins with byte `skip` of the first.
#[inline]
fn address(bus: &[u64], skip: usize, at: usize) -> Option<u64> {
    let page = at / PAGE;
    let inside = if page == 0 { at.wrapping_sub(skip) } else { at % PAGE };
    Some(bus.get(page)?.wrapping_add(inside as u64))
}

impl Iterator for Segments<'_> {
    type Item = Segment;

    #[inline(always)]
    fn next(&mut self) -> Option<Segment> {
        if self.at >= self.end {
            return None;
        }
        if let [one] = self.bus {
            let first = one.wrapping_add((self.at - self.skip) as u64);
            return Some(self.give(first, self.most(first)));
        }
        self.next_of_pages()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec::Vec;

    /// The pieces of a mapping whose pages the device has at these addresses; the first of its first byte.
    fn pieces(bus: &[u64], skip: usize, len: usize, limits: DmaLimits) -> Vec<(u64, u32)> {
        Segments::new(bus, skip, len, &limits).map(|piece| (piece.at.raw(), piece.len)).collect()
    }

    const ANY: DmaLimits = DmaLimits::bits(64);

    #[test]
    fn neighbours_are_one_piece_and_others_are_not() {
        let bus = [0x1_0F00, 0x1_1000, 0x1_2000, 0x9_0000, 0x8_F000];
        let wanted = [(0x1_0F00, 0x2100), (0x9_0000, 0x1000), (0x8_F000, 0x10)];
        assert_eq!(pieces(&bus, 0xF00, 0x3110, ANY), wanted);
        assert_eq!(pieces(&bus, 0xF00, 1, ANY), [(0x1_0F00, 1)]);
        assert_eq!(pieces(&[u64::MAX - 0xFFF, 0], 0, 0x2000, ANY), [(u64::MAX - 0xFFF, 0x1000), (0, 0x1000)]);
    }

    #[test]
    fn no_piece_is_longer_than_the_device_takes() {
        let bus = [0x1_0000, 0x1_1000, 0x1_2000];
        let wanted = [(0x1_0000, 0x1800), (0x1_1800, 0x1800)];
        assert_eq!(pieces(&bus, 0, 0x3000, ANY.segment(0x1800)), wanted);
        let wanted = [(0x1_0FFF, 512), (0x1_11FF, 512), (0x1_13FF, 1)];
        assert_eq!(pieces(&[0x1_0FFF, 0x1_1000], 0xFFF, 1025, ANY.segment(512)), wanted);
    }

    #[test]
    fn no_piece_crosses_a_boundary() {
        let bus = [0x1_0F00, 0x1_1000, 0x1_2000, 0x1_3000, 0x1_4000];
        let wanted = [(0x1_0F00, 0x1100), (0x1_2000, 0x2000), (0x1_4000, 0x1000)];
        assert_eq!(pieces(&bus, 0xF00, 0x4100, ANY.boundary(0x2000)), wanted);
        let bus = [0xFFFF_F000, 0x1_0000_0000];
        let wanted = [(0xFFFF_F000, 0x1000), (0x1_0000_0000, 0x1000)];
        assert_eq!(pieces(&bus, 0, 0x2000, ANY.boundary(1 << 32)), wanted);
        assert_eq!(pieces(&bus, 0, 0x2000, ANY), [(0xFFFF_F000, 0x2000)]);
        assert_eq!(pieces(&bus, 0, 0x2000, ANY.boundary(1 << 63)), [(0xFFFF_F000, 0x2000)]);
    }
}
