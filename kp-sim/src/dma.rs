//! What the device reaches by itself: an IOMMU with gaps, in which every address is used once.
//!
//! Bus addresses are random, never side by side, and never given again; the upper half of what the device reaches comes first, so that one which
//! loses its upper bits is found. What the device does elsewhere, or against the direction, fails the test.
use crate::{
    device::Memory,
    heap::{PageBlock, Pages},
    page::PAGE,
    random::Random,
};
use kp_core::host::DmaDirection;
use std::{backtrace::Backtrace, collections::BTreeMap, fmt, ops::Range, sync::Arc};

/// How many regions that are gone are remembered, for what is said of an access to them.
const REMEMBERED: usize = 64;

/// See the module.
pub(crate) struct DmaSpace {
    /// Memory at bus address 0 and up that a test has given.
    pub(crate) ram: Vec<u8>,
    /// What is mapped, by bus address.
    regions: BTreeMap<u64, Region>,
    gone: Vec<Gone>,
    /// The highest address that the device says it reaches.
    pub(crate) limit: u64,
    /// The highest address at which this machine maps anything.
    pub(crate) highest: u64,
    random: Random,
    /// The first access that failed.
    wrong: Option<String>,
    /// Pages that can be mapped at once, if that is limited.
    pub(crate) bounce: Option<usize>,
    /// How many pieces of pages were mapped so far.
    pub(crate) mapped: usize,
    /// Bus mastering is on.
    pub(crate) is_master: bool,
}

/// A part of the space.
pub(crate) struct Region {
    len: u64,
    kind: RegionKind,
}

enum RegionKind {
    /// Memory that processor and device share.
    Coherent(Arc<PageBlock>),
    /// A copy of a page, as in a bounce buffer.
    Copy { bytes: Box<[u8]>, direction: DmaDirection },
}

/// A region that is gone.
struct Gone {
    range: Range<u64>,
    since: Backtrace,
}

impl DmaSpace {
    pub(crate) fn new(ram: usize) -> Self {
        Self {
            ram: vec![0; ram],
            regions: BTreeMap::new(),
            gone: Vec::new(),
            limit: u64::MAX,
            highest: u64::MAX,
            random: Random(0xD3A),
            wrong: None,
            bounce: None,
            mapped: 0,
            is_master: false,
        }
    }

    pub(crate) fn live(&self) -> usize {
        self.regions.len()
    }

    /// A bus address for `len` bytes with a gap on both sides, within what it reaches. None: there is none left.
    fn place(&mut self, len: u64) -> Option<u64> {
        let page = PAGE as u64;
        let highest = self.limit.min(self.highest);
        let lowest = self.ram.len() as u64 + page;
        for attempt in 0..256 {
            let from = if attempt < 128 { (highest / 2).max(lowest) } else { lowest };
            let last = highest.checked_sub(len)?.checked_sub(page)?;
            if last < from {
                continue;
            }
            let at = from + self.random.below(last - from + 1);
            let at = at.checked_next_multiple_of(page)?;
            let wide = at - page..at + len + page;
            let is_used = self.regions.range(..wide.end).next_back().is_some_and(|(at, old)| at + old.len > wide.start);
            let was_used = self.gone.iter().any(|gone| gone.range.start < wide.end && wide.start < gone.range.end);
            if at >= lowest && !is_used && !was_used {
                return Some(at);
            }
        }
        None
    }

    /// Memory that processor and device share. Its bus address.
    pub(crate) fn map_coherent(&mut self, block: Arc<PageBlock>) -> Option<u64> {
        let len = block.len() as u64;
        let at = self.place(len)?;
        self.regions.insert(at, Region { len, kind: RegionKind::Coherent(block) });
        Some(at)
    }

    /// A copy of each piece of the range for the device: their bus addresses. None, and nothing is mapped: there is no place for so many.
    pub(crate) fn map_pages(
        &mut self,
        pages: &Pages,
        range: Range<usize>,
        direction: DmaDirection,
        bus: &mut [u64],
    ) -> Option<()> {
        let copies = self.regions.values().filter(|region| matches!(region.kind, RegionKind::Copy { .. })).count();
        if self.bounce.is_some_and(|most| copies + bus.len() > most) {
            return None;
        }
        for (i, piece) in pieces(range).enumerate() {
            let Some(at) = self.place(piece.len() as u64) else {
                bus[..i].iter().for_each(|at| _ = self.regions.remove(at));
                return None;
            };
            let mut bytes = vec![0; piece.len()].into_boxed_slice();
            pages.read(piece.start, &mut bytes);
            self.regions.insert(at, Region { len: piece.len() as u64, kind: RegionKind::Copy { bytes, direction } });
            bus[i] = at;
        }
        self.mapped += bus.len();
        Some(())
    }

    /// Undoes a mapping at this bus address. False: there is none.
    pub(crate) fn unmap(&mut self, at: u64) -> bool {
        let Some(region) = self.regions.remove(&at) else { return false };
        if self.gone.len() == REMEMBERED {
            self.gone.remove(0);
        }
        self.gone.push(Gone { range: at..at + region.len, since: Backtrace::capture() });
        true
    }

    /// Copies a range of pages, which the device has at `bus`, to what the device sees, or back.
    pub(crate) fn sync(&mut self, bus: &[u64], pages: &Pages, range: Range<usize>, for_device: bool) {
        for (at, piece) in bus.iter().zip(pieces(range)) {
            let Some(Region { kind: RegionKind::Copy { bytes, direction }, .. }) = self.regions.get_mut(at) else {
                return;
            };
            match (for_device, *direction) {
                (true, DmaDirection::ToDevice | DmaDirection::Both) => pages.read(piece.start, bytes),
                (false, DmaDirection::FromDevice | DmaDirection::Both) => pages.write(piece.start, bytes),
                _ => {}
            }
        }
    }

    /// The first access of the device that went wrong.
    pub(crate) fn take_wrong(&mut self) -> Option<String> {
        self.wrong.take()
    }

    /// Where an access goes: the region, and the offset there. None: nowhere.
    fn find(&mut self, address: u64, len: usize) -> Option<(&mut Region, usize)> {
        let (at, region) = self.regions.range_mut(..=address).next_back()?;
        let offset = address - at;
        (offset.checked_add(len as u64)? <= region.len).then_some((region, offset as usize))
    }

    /// Notes that an access has failed: how, and who unmapped what was there.
    fn fail(&mut self, what: fmt::Arguments<'_>, address: u64) -> bool {
        if self.wrong.is_none() {
            let gone = self.gone.iter().rev().find(|gone| gone.range.contains(&address));
            let was = gone.map_or(String::new(), |gone| format!(", which was unmapped at\n{}", gone.since));
            self.wrong = Some(format!("the device {what} at bus address {address:#x}{was}"));
        }
        false
    }
}

impl Memory for DmaSpace {
    fn read(&mut self, address: u64, into: &mut [u8]) -> bool {
        let len = into.len();
        if !self.is_master {
            return self.fail(format_args!("read {len} bytes while bus mastering is off (`Dma::enable`),"), address);
        }
        if self.ram.read(address, into) {
            return true;
        }
        match self.find(address, len) {
            Some((Region { kind: RegionKind::Coherent(block), .. }, at)) => block.read(at, into),
            Some((Region { kind: RegionKind::Copy { bytes, direction }, .. }, at)) => {
                if *direction == DmaDirection::FromDevice {
                    return self.fail(format_args!("read {len} bytes, which it may only write,"), address);
                }
                into.copy_from_slice(&bytes[at..at + len]);
            }
            None => return self.fail(format_args!("read {len} bytes that are not mapped"), address),
        }
        true
    }

    fn write(&mut self, address: u64, from: &[u8]) -> bool {
        let len = from.len();
        if !self.is_master {
            return self.fail(format_args!("wrote {len} bytes while bus mastering is off (`Dma::enable`),"), address);
        }
        if self.ram.write(address, from) {
            return true;
        }
        match self.find(address, len) {
            Some((Region { kind: RegionKind::Coherent(block), .. }, at)) => block.write(at, from),
            Some((Region { kind: RegionKind::Copy { bytes, direction }, .. }, at)) => {
                if *direction == DmaDirection::ToDevice {
                    return self.fail(format_args!("wrote {len} bytes, which it may only read,"), address);
                }
                bytes[at..at + len].copy_from_slice(from);
            }
            None => return self.fail(format_args!("wrote {len} bytes that are not mapped"), address),
        }
        true
    }
}

/// The parts of a range of bytes that lie in one page each.
pub(crate) fn pieces(range: Range<usize>) -> impl Iterator<Item = Range<usize>> {
    let mut at = range.start;
    std::iter::from_fn(move || {
        let end = (at / PAGE * PAGE + PAGE).min(range.end);
        let piece = at..end;
        at = end;
        (!piece.is_empty()).then_some(piece)
    })
}
