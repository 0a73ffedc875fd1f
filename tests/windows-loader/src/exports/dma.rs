//! Lists of pages, adapters, and the functions of an adapter's table, which drivers reach through it alone: their names here are no exports of Windows'.
use crate::{
    cpu::{self, checked},
    exports::exports,
    kernel::{Kernel, lock},
    nt::{DeviceObject, Mdl, NtStatus, STATUS_INSUFFICIENT_RESOURCES, STATUS_INVALID_PARAMETER, STATUS_SUCCESS},
    rule::Rule,
    space::{PAGE, Protection},
};
use std::{ffi::c_void, ptr, sync::Arc};

/// DMA_ADAPTER, and the table behind it.
#[repr(C)]
struct Adapter {
    version: u16,
    size: u16,
    operations: usize,
    /// DMA_OPERATIONS: its size, and its functions.
    table: [usize; 41],
}

/// DEVICE_DESCRIPTION, as far as it is looked at.
#[repr(C)]
struct Description {
    version: u32,
    master: u8,
    scatter_gather: u8,
    _modes: [u8; 2],
    is_32bit: u8,
    _count: [u8; 2],
    is_64bit: u8,
    _bus: [u32; 2],
    interface: i32,
    _width: [u32; 2],
    maximum_length: u32,
    _port: u32,
    address_width: u32,
}

/// The functions of the table that are played, by their place in it.
const PLAYED: &[(usize, &str)] = &[
    (1, "DmaOperations_PutDmaAdapter"),
    (2, "DmaOperations_AllocateCommonBuffer"),
    (3, "DmaOperations_FreeCommonBuffer"),
    (11, "DmaOperations_GetScatterGatherList"),
    (12, "DmaOperations_PutScatterGatherList"),
    (18, "DmaOperations_InitializeDmaTransferContext"),
    (19, "DmaOperations_AllocateCommonBufferEx"),
    (24, "DmaOperations_GetScatterGatherListEx"),
];
/// Words of the table in versions 2 and 3.
const WORDS: [usize; 2] = [16, 41];

extern "efiapi" fn not_played() {
    cpu::fail(Rule::AdapterFunction.broken("a function of an adapter's table that is not played was called"));
}

/// In a context that was initialised.
const INITIALISED: u64 = 0x4D58_4446_4E54_584C;

fn adapter_of(adapter: *mut c_void) -> (usize, u64) {
    checked(cpu::kernel().transfers.adapter(adapter.expose_provenance()))
}

/// A common buffer: its address, and to `bus` the device's.
fn common_buffer(adapter: *mut c_void, highest: u64, len: u32, bus: *mut u64) -> *mut c_void {
    let kernel = cpu::kernel();
    let (slot, reach) = adapter_of(adapter);
    let pages = (len as usize).div_ceil(PAGE);
    let Some(at) = kernel.transfers.remap(pages as u64, reach.min(highest)) else { return ptr::null_mut() };
    let memory = kernel.space.take(len as usize, Protection::ReadWrite);
    // SAFETY: just taken. Nobody says that it is zeroed.
    unsafe { ptr::write_bytes(ptr::with_exposed_provenance_mut::<u8>(memory), 0xA5, pages * PAGE) };
    kernel.transfers.show(slot, at, memory, len as usize, memory, true);
    // SAFETY: the driver's place.
    unsafe { *bus = at };
    ptr::with_exposed_provenance_mut(memory)
}

/// A part of a list of pages, which a device is to see.
struct Part {
    at: usize,
    len: usize,
    /// Its pages' numbers.
    pages: Vec<u64>,
}

/// How a device sees a part: addresses and lengths in bytes.
struct Seen {
    elements: Vec<(u64, u32)>,
    /// As a copy, where its pages are not.
    is_copy: bool,
}

impl Part {
    /// `len` bytes of a list's, from `offset` on. Ends the run if there is no such list, or it has fewer.
    fn of(kernel: &Kernel, mdl: *mut Mdl, offset: usize, len: usize) -> Self {
        let Some((at, room)) = kernel.page_lists.place(mdl.expose_provenance(), offset) else {
            cpu::fail(Rule::PagesListed.broken(format!("{mdl:p} is no list of pages with {offset} bytes")));
        };
        if len == 0 || len > room {
            cpu::fail(
                Rule::PagesListed.broken(format!("{len} bytes are asked for of a list of pages with {room} left")),
            );
        }
        let first = ((at - offset) % PAGE + offset) / PAGE;
        let numbers = mdl.wrapping_add(1).cast::<u64>().wrapping_add(first);
        let count = (at % PAGE + len).div_ceil(PAGE);
        // SAFETY: a list of the kernel's has a number for each of its pages.
        let pages = (0..count).map(|page| unsafe { numbers.wrapping_add(page).read() }).collect();
        Self { at, len, pages }
    }

    /// The same by MmGetMdlVirtualAddress and what is added to it.
    fn at(kernel: &Kernel, mdl: *mut Mdl, address: usize, len: usize) -> Self {
        let is_list = kernel.page_lists.place(mdl.expose_provenance(), 0).is_some();
        // SAFETY: a list of the kernel's.
        let start = is_list.then(|| unsafe { (*mdl).start_va + (*mdl).byte_offset as usize });
        match start.and_then(|start| address.checked_sub(start)) {
            Some(offset) => Self::of(kernel, mdl, offset, len),
            None => cpu::fail(Rule::PagesListed.broken(format!("{mdl:p} is no list of pages at {address:#x}"))),
        }
    }

    /// How many map registers it takes.
    fn registers(&self) -> u32 {
        self.pages.len() as u32
    }

    /// How a device with this reach sees it. None: there are no addresses left.
    fn seen(&self, kernel: &Kernel, reach: u64) -> Option<Seen> {
        let is_far = self.pages.iter().any(|page| (page + 1) * PAGE as u64 - 1 > reach);
        if kernel.options.map_registers.is_some() || is_far {
            let bus = kernel.transfers.remap(self.pages.len() as u64, reach)?;
            return Some(Seen { elements: vec![(bus + (self.at % PAGE) as u64, self.len as u32)], is_copy: true });
        }
        let mut elements: Vec<(u64, u32)> = Vec::new();
        let mut left = self.len;
        for (i, page) in self.pages.iter().enumerate() {
            let inside = if i == 0 { self.at % PAGE } else { 0 };
            let piece = (PAGE - inside).min(left);
            let bus = page * PAGE as u64 + inside as u64;
            match elements.last_mut() {
                Some((start, length)) if *start + u64::from(*length) == bus => *length += piece as u32,
                _ => elements.push((bus, piece as u32)),
            }
            left -= piece;
        }
        Some(Seen { elements, is_copy: false })
    }
}

/// A list that is made: SCATTER_GATHER_LIST, whose `Reserved` has the map registers that it took.
fn make_list(kernel: &Kernel, slot: usize, part: &Part, seen: &Seen, to_device: bool) -> usize {
    let list = kernel.allocate(16 + 24 * seen.elements.len(), b"SgLi", true);
    let place = ptr::with_exposed_provenance_mut::<u64>(list);
    let registers = if kernel.options.map_registers.is_some() { u64::from(part.registers()) } else { 0 };
    // SAFETY: fresh memory of this size.
    unsafe {
        place.write(seen.elements.len() as u64);
        place.wrapping_add(1).write(registers << 1 | u64::from(to_device));
    }
    let mut at = part.at;
    for (i, (bus, length)) in seen.elements.iter().enumerate() {
        // SAFETY: as above.
        unsafe {
            place.wrapping_add(2 + 3 * i).write(*bus);
            place.wrapping_add(3 + 3 * i).write((*length).into());
        }
        let length = *length as usize;
        if seen.is_copy {
            kernel.transfers.show_copy(slot, *bus, at, length, list, !to_device);
        } else {
            kernel.transfers.show(slot, *bus, at, length, list, !to_device);
        }
        at += length;
    }
    list
}

/// Calls a driver's DRIVER_LIST_CONTROL, at DISPATCH_LEVEL.
fn tell(routine: usize, device: usize, list: usize, context: usize) {
    cpu::call("a list's routine", routine, cpu::level::DISPATCH, &[device, 0, list, context]);
}

exports! {
    [0..=2] fails null fn MmAllocatePagesForMdlEx(_lowest: u64, _highest: u64, skip: u64, len: usize, _cache: i32, flags: u32) -> *mut Mdl {
        const FULLY: u32 = 4;
        if skip != 0 || flags != FULLY {
            cpu::fail(Rule::PagesPlayed.broken(format!("MmAllocatePagesForMdlEx: the flags {flags:#x} are not played")));
        }
        let kernel = cpu::kernel();
        ptr::with_exposed_provenance_mut(kernel.page_lists.allocate(&kernel, len))
    }

    [0..=2] fn MmFreePagesFromMdl(mdl: *mut Mdl) {
        let kernel = cpu::kernel();
        checked(kernel.page_lists.free_pages(&kernel, mdl));
    }

    [0..=2] fails null fn MmMapLockedPagesSpecifyCache(mdl: *mut Mdl, mode: i8, _cache: i32, wanted: usize, bug_check: u32, _priority: u32) -> *mut c_void {
        if mode != 0 || wanted != 0 || bug_check != 0 {
            cpu::fail(Rule::PagesPlayed.broken("MmMapLockedPagesSpecifyCache: into a process, at an address or with a bug check"));
        }
        ptr::with_exposed_provenance_mut(checked(cpu::kernel().page_lists.map(mdl)))
    }

    [0..=2] fn MmUnmapLockedPages(address: *mut c_void, mdl: *mut Mdl) {
        checked(cpu::kernel().page_lists.unmap(address.expose_provenance(), mdl));
    }

    [0..=2] fn KeFlushIoBuffers(mdl: *mut Mdl, _read: u8, _dma: u8) {
        if cpu::kernel().page_lists.place(mdl.expose_provenance(), 0).is_none() {
            cpu::fail(Rule::PagesListed.broken(format!("KeFlushIoBuffers: {mdl:p} is no list of pages")));
        }
    }

    [0..=0] fails null fn IoGetDmaAdapter(physical: *mut DeviceObject, description: *const Description, map_registers: *mut u32) -> *mut c_void {
        let kernel = cpu::kernel();
        // SAFETY: the driver's description.
        let d = unsafe { &*description };
        let bits = match (d.version, d.is_32bit, d.is_64bit) {
            (3, ..) => d.address_width,
            (2, _, 1) => 64,
            (2, 1, _) => 32,
            (2, ..) => 24,
            _ => 0,
        };
        if !(1..=64).contains(&bits) || d.master != 1 || d.scatter_gather != 1 || d.interface != 5 || d.maximum_length == 0 {
            cpu::fail(Rule::AdapterDescribed.broken(format!("IoGetDmaAdapter: version {}, {bits} bits", d.version)));
        }
        if d.version == 3 && kernel.options.old_adapters {
            return ptr::null_mut();
        }
        let Some(slot) = lock(&kernel.slots).get(&physical.expose_provenance()).map(|slot| slot.number) else {
            return ptr::null_mut();
        };
        let address = kernel.allocate(size_of::<Adapter>(), b"DmaA", true);
        let place = ptr::with_exposed_provenance_mut::<Adapter>(address);
        let words = WORDS[usize::from(d.version == 3)];
        let mut table = [(not_played as *const ()).expose_provenance(); 41];
        table[0] = 8 * words;
        table[words..].fill(0);
        for &(at, name) in PLAYED.iter().filter(|(at, _)| *at < words) {
            table[at] = kernel.thunks.find(name).expect("it is exported");
        }
        let operations = address + std::mem::offset_of!(Adapter, table);
        // SAFETY: fresh memory of this size; the driver's place.
        unsafe {
            place.write(Adapter { version: 1, size: 16, operations, table });
            *map_registers = kernel.options.map_registers.unwrap_or(1 << 20);
        }
        kernel.transfers.add_adapter(address, slot, u64::MAX >> (64 - bits));
        place.cast()
    }

    [0..=2] fn DmaOperations_PutDmaAdapter(adapter: *mut c_void) {
        let kernel = cpu::kernel();
        checked(kernel.transfers.remove_adapter(adapter.expose_provenance()));
        checked(kernel.pool.free(adapter.expose_provenance(), None));
    }

    [0..=0] fails null fn DmaOperations_AllocateCommonBuffer(adapter: *mut c_void, len: u32, bus: *mut u64, _cached: u8) -> *mut c_void {
        common_buffer(adapter, u64::MAX, len, bus)
    }

    [0..=0] fails null fn DmaOperations_AllocateCommonBufferEx(adapter: *mut c_void, highest: *const u64, len: u32, bus: *mut u64, _cached: u8, _node: u32) -> *mut c_void {
        // SAFETY: null, or the driver's number.
        common_buffer(adapter, unsafe { highest.as_ref() }.copied().unwrap_or(u64::MAX), len, bus)
    }

    [0..=0] fn DmaOperations_FreeCommonBuffer(adapter: *mut c_void, len: u32, bus: u64, memory: *mut c_void, _cached: u8) {
        let (slot, _) = adapter_of(adapter);
        let kernel = cpu::kernel();
        if !kernel.transfers.free_common(slot, memory.expose_provenance(), bus, len as usize) {
            let what = format!("FreeCommonBuffer: {len} bytes at {memory:p} and {bus:#x} are no common buffer of the device's");
            cpu::fail(Rule::CommonBufferFreed.broken(what));
        }
        kernel.space.protect(memory.expose_provenance(), (len as usize).next_multiple_of(PAGE), Protection::None);
    }

    [0..=2] fails status fn DmaOperations_InitializeDmaTransferContext(adapter: *mut c_void, context: *mut u64) -> NtStatus {
        adapter_of(adapter);
        // SAFETY: the driver's context of 128 bytes.
        unsafe { (0..16).for_each(|word| context.wrapping_add(word).write(INITIALISED)) };
        STATUS_SUCCESS
    }

    [2..=2] fails status fn DmaOperations_GetScatterGatherList(adapter: *mut c_void, device: *mut DeviceObject, mdl: *mut Mdl, at: usize, len: u32, routine: usize, context: usize, to_device: u8) -> NtStatus {
        let kernel = cpu::kernel();
        let (slot, reach) = adapter_of(adapter);
        let part = Part::at(&kernel, mdl, at, len as usize);
        let count = part.registers();
        if kernel.options.map_registers.is_some_and(|all| count > all) {
            return STATUS_INSUFFICIENT_RESOURCES;
        }
        let Some(seen) = part.seen(&kernel, reach) else { return STATUS_INSUFFICIENT_RESOURCES };
        let device = device.expose_provenance();
        let shown = Arc::new((part, seen));
        let run = move || {
            let list = make_list(&cpu::kernel(), slot, &shown.0, &shown.1, to_device != 0);
            tell(routine, device, list, context);
        };
        if kernel.transfers.take_registers(&kernel, count, Some(Box::new(run.clone()))) {
            run();
        }
        STATUS_SUCCESS
    }

    [0..=2] fails status fn DmaOperations_GetScatterGatherListEx(adapter: *mut c_void, device: *mut DeviceObject, transfer: *const u64, mdl: *mut Mdl, offset: u64, len: u32, flags: u32, routine: usize, context: usize, to_device: u8, _done: usize, _done_context: usize, out: *mut usize) -> NtStatus {
        const SYNCHRONOUS: u32 = 1;
        let kernel = cpu::kernel();
        let (slot, reach) = adapter_of(adapter);
        // SAFETY: the driver's context.
        if unsafe { transfer.read() } != INITIALISED || flags != SYNCHRONOUS || routine == 0 {
            return STATUS_INVALID_PARAMETER;
        }
        let part = Part::of(&kernel, mdl, offset as usize, len as usize);
        let Some(seen) = part.seen(&kernel, reach) else { return STATUS_INSUFFICIENT_RESOURCES };
        if !kernel.transfers.take_registers(&kernel, part.registers(), None) {
            return STATUS_INSUFFICIENT_RESOURCES;
        }
        let list = make_list(&kernel, slot, &part, &seen, to_device != 0);
        if !out.is_null() {
            // SAFETY: the driver's place.
            unsafe { *out = list };
        }
        tell(routine, device.expose_provenance(), list, context);
        STATUS_SUCCESS
    }

    [2..=2] fn DmaOperations_PutScatterGatherList(adapter: *mut c_void, list: *mut u64, to_device: u8) {
        adapter_of(adapter);
        let kernel = cpu::kernel();
        let address = list.expose_provenance();
        let is_list = kernel.pool.len_of(address).is_some_and(|len| len >= 16);
        // SAFETY: read only if it is a block of the pool.
        let marks = if is_list { unsafe { list.wrapping_add(1).read() } } else { u64::MAX };
        let was_hidden = is_list && kernel.transfers.hide(address);
        if !was_hidden || marks & 1 != u64::from(to_device) {
            cpu::fail(Rule::ListPut.broken(format!("PutScatterGatherList: {list:p} is no list of this direction")));
        }
        checked(kernel.pool.free(address, None));
        kernel.transfers.give_registers(&kernel, (marks >> 1) as u32);
    }
}
