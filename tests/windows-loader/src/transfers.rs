//! Devices' own transfers: the adapters that drivers have, and the memory that each device reaches through them.
use crate::{
    kernel::{Kernel, lock},
    rule::{Broken, Rule},
    space::PAGE,
    trap,
};
use kp_sim::device::Memory;
use std::{
    collections::BTreeMap,
    fmt,
    ops::Range,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

/// What is in memory that nobody has written.
const NOISE: u8 = 0xA5;

/// All of it.
#[derive(Default)]
pub(crate) struct Transfers {
    state: Mutex<State>,
    /// How many pages have been given bus addresses that stand for no page: below 16 MiB, and above.
    low: AtomicU64,
    remapped: AtomicU64,
}

#[derive(Default)]
struct State {
    adapters: BTreeMap<usize, Adapter>,
    regions: Vec<Region>,
    /// Map registers in use.
    registers: u32,
    /// Drivers that wait for some.
    waiting: Vec<(u32, Resume)>,
    /// The first access that went wrong.
    wrong: Option<Broken>,
}

/// What is done once there are map registers.
pub(crate) type Resume = Box<dyn FnOnce() + Send>;

struct Adapter {
    slot: usize,
    highest: u64,
}

/// A part of a device's space.
struct Region {
    slot: usize,
    bus: Range<u64>,
    seen: Seen,
    /// Address of the list or the buffer that it is of.
    owner: usize,
    /// The device may write.
    is_written: bool,
}

enum Seen {
    /// Memory where it is.
    Memory(usize),
    /// A copy of what is at this address.
    Copy { bytes: Vec<u8>, of: usize },
}

impl Transfers {
    pub(crate) fn add_adapter(&self, adapter: usize, slot: usize, highest: u64) {
        lock(&self.state).adapters.insert(adapter, Adapter { slot, highest });
    }

    /// The slot and the reach of an adapter.
    pub(crate) fn adapter(&self, adapter: usize) -> Result<(usize, u64), Broken> {
        let state = lock(&self.state);
        let found = state.adapters.get(&adapter).map(|adapter| (adapter.slot, adapter.highest));
        found.ok_or_else(|| Rule::AdapterLive.broken(format!("{adapter:#x} is no adapter, or was put back")))
    }

    /// PutDmaAdapter.
    pub(crate) fn remove_adapter(&self, adapter: usize) -> Result<(), Broken> {
        let (slot, _) = self.adapter(adapter)?;
        let mut state = lock(&self.state);
        if state.regions.iter().any(|region| region.slot == slot) {
            return Err(Rule::AdapterEmpty.broken("an adapter is put back while its device has memory"));
        }
        state.adapters.remove(&adapter);
        Ok(())
    }

    /// Bus addresses for `pages` pages that are nobody's, up to `highest`. None: there are none.
    pub(crate) fn remap(&self, pages: u64, highest: u64) -> Option<u64> {
        let is_low = highest < 1 << 24;
        let (first, counter) = if is_low { (0x100, &self.low) } else { (0x8000, &self.remapped) };
        let page = first + counter.fetch_add(pages + 1, Relaxed);
        let at = page * PAGE as u64;
        (at + pages * PAGE as u64 - 1 <= highest).then_some(at)
    }

    /// Shows memory to a device.
    pub(crate) fn show(&self, slot: usize, bus: u64, at: usize, len: usize, owner: usize, is_written: bool) {
        let seen = Seen::Memory(at);
        lock(&self.state).regions.push(Region { slot, bus: bus..bus + len as u64, seen, owner, is_written });
    }

    /// Shows a copy of memory to a device, as map registers do: of what is there, if the device reads it, else of noise.
    pub(crate) fn show_copy(&self, slot: usize, bus: u64, at: usize, len: usize, owner: usize, is_written: bool) {
        let mut bytes = vec![NOISE; len];
        if !is_written {
            trap::copy(bytes.as_mut_ptr().expose_provenance(), at, len);
        }
        let seen = Seen::Copy { bytes, of: at };
        lock(&self.state).regions.push(Region { slot, bus: bus..bus + len as u64, seen, owner, is_written });
    }

    /// Takes away what was shown. What a device has written to a copy is in the memory then. False: nothing was.
    pub(crate) fn hide(&self, owner: usize) -> bool {
        let mut state = lock(&self.state);
        let (gone, kept) = std::mem::take(&mut state.regions).into_iter().partition(|region| region.owner == owner);
        state.regions = kept;
        drop(state);
        let gone: Vec<Region> = gone;
        for region in &gone {
            if let (Seen::Copy { bytes, of }, true) = (&region.seen, region.is_written) {
                trap::copy(*of, bytes.as_ptr().expose_provenance(), bytes.len());
            }
        }
        !gone.is_empty()
    }

    /// Takes a common buffer away from its device. False: this is none.
    pub(crate) fn free_common(&self, slot: usize, memory: usize, bus: u64, len: usize) -> bool {
        let mut state = lock(&self.state);
        let is_it = |region: &Region| {
            let is_there = region.owner == memory && matches!(region.seen, Seen::Memory(at) if at == memory);
            is_there && region.slot == slot && region.bus == (bus..bus + len as u64)
        };
        let found = state.regions.iter().position(is_it);
        found.map(|at| state.regions.remove(at)).is_some()
    }

    /// Does a device reach memory of these bytes?
    pub(crate) fn reaches(&self, at: usize, len: usize) -> bool {
        lock(&self.state).regions.iter().any(|region| {
            let from = match region.seen {
                Seen::Memory(from) => from,
                Seen::Copy { of, .. } => of,
            };
            from < at + len && at < from + (region.bus.end - region.bus.start) as usize
        })
    }

    /// Takes map registers of the machine's, now or, with `later`, when there are so many. False: there are not.
    pub(crate) fn take_registers(&self, kernel: &Kernel, count: u32, later: Option<Resume>) -> bool {
        let Some(all) = kernel.options.map_registers else { return true };
        let mut state = lock(&self.state);
        if state.registers + count <= all {
            state.registers += count;
            return true;
        }
        if let Some(later) = later {
            state.waiting.push((count, later));
        }
        false
    }

    /// Gives map registers back. What waited for them goes on, in this call.
    pub(crate) fn give_registers(&self, kernel: &Kernel, count: u32) {
        let Some(all) = kernel.options.map_registers else { return };
        let mut state = lock(&self.state);
        state.registers -= count;
        let Some(wanted) = state.waiting.first().map(|(wanted, _)| *wanted) else { return };
        if state.registers + wanted > all {
            return;
        }
        state.registers += wanted;
        let (_, resume) = state.waiting.remove(0);
        drop(state);
        resume();
    }

    /// The first access of a device that went wrong.
    pub(crate) fn take_wrong(&self) -> Option<Broken> {
        lock(&self.state).wrong.take()
    }

    pub(crate) fn left(&self) -> Vec<String> {
        let state = lock(&self.state);
        let regions = state.regions.iter().map(|region| {
            format!("the device in slot {} has {} bytes", region.slot, region.bus.end - region.bus.start)
        });
        let adapters = state.adapters.keys().map(|at| format!("the adapter at {at:#x}"));
        regions.chain(adapters).collect()
    }

    fn access(&self, slot: usize, address: u64, len: usize, writes: bool, f: impl FnOnce(&mut [u8], usize)) -> bool {
        let mut state = lock(&self.state);
        let end = address.saturating_add(len as u64);
        let fits = |region: &&mut Region| region.slot == slot && region.bus.start <= address && end <= region.bus.end;
        let mut found: Vec<&mut Region> = state.regions.iter_mut().filter(fits).collect();
        let may = found.iter().position(|region| region.is_written || !writes);
        if let Some(index) = may {
            let region = found.swap_remove(index);
            let offset = (address - region.bus.start) as usize;
            match &mut region.seen {
                Seen::Memory(at) => f(&mut [], *at + offset),
                Seen::Copy { bytes, .. } => f(&mut bytes[offset..offset + len], 0),
            }
            return true;
        }
        let why = if found.is_empty() { "which are not mapped for it" } else { "which it may only read" };
        let what = if writes { "wrote" } else { "read" };
        fail(&mut state.wrong, format_args!("a device {what} {len} bytes at bus address {address:#x}, {why}"));
        false
    }
}

fn fail(wrong: &mut Option<Broken>, what: fmt::Arguments<'_>) {
    wrong.get_or_insert_with(|| Rule::DeviceMapped.broken(what.to_string()));
}

/// Memory as one device sees it.
pub(crate) struct View {
    pub(crate) slot: usize,
    pub(crate) transfers: Arc<Transfers>,
}

impl Memory for View {
    fn read(&mut self, address: u64, into: &mut [u8]) -> bool {
        let (place, len) = (into.as_mut_ptr().expose_provenance(), into.len());
        self.transfers.access(self.slot, address, len, false, |copy, at| {
            let from = if copy.is_empty() { at } else { copy.as_ptr().expose_provenance() };
            trap::copy(place, from, len);
        })
    }

    fn write(&mut self, address: u64, from: &[u8]) -> bool {
        let (place, len) = (from.as_ptr().expose_provenance(), from.len());
        self.transfers.access(self.slot, address, len, true, |copy, at| {
            let to = if copy.is_empty() { at } else { copy.as_mut_ptr().expose_provenance() };
            trap::copy(to, place, len);
        })
    }
}
