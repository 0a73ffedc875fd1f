//! A device's own transfers, by the kernel's adapter object: what it reaches, and memory that it shares with the processor. What is mapped for it is
//! in `dma_mapping`, the lists of that in `dma_list`.
use crate::{
    device::stack_device::StackDevice,
    kernel::{
        clock,
        late::{self, LateNode},
        leaks,
        pool_box::PoolBox,
    },
    nt::*,
};
use core::{
    num::NonZeroUsize,
    ptr::{self, NonNull, with_exposed_provenance},
    sync::atomic::{AtomicU32, Ordering::*},
};
use kp_abi::{Status, limits};
use kp_core::{
    DmaLimits,
    host::{CoherentMemory, DmaId},
};

/// How long [`Adapter::close`] waits between two looks, in ns.
const LOOK_NS: u64 = 1_000_000;

/// Shared memory is cached. Where the machine is not coherent, the kernel does otherwise.
const CACHE_ENABLED: u8 = 1;

/// An adapter object of the kernel's, for one device. INVARIANT: `raw` is open.
pub(crate) struct Adapter {
    raw: NonNull<DmaAdapter>,
    pub(super) pdo: StackDevice,
    pub(super) highest: u64,
    /// The table is one of version 3.
    has_v3: bool,
    /// Memory that was dropped too high up.
    late: late::Stack,
    /// Lists that were asked for and have not come, of which nobody waits any more.
    pub(super) awaited: AtomicU32,
}

impl Adapter {
    /// Opens the adapter of a device. NoDma: this machine has none. Passive.
    pub(crate) fn open(pdo: StackDevice, limits: &DmaLimits) -> Result<DmaId, Status> {
        let (raw, has_v3) = get(pdo, limits).ok_or(Status::NO_DMA)?;
        let highest = limits.highest();
        let (late, awaited) = (late::Stack::new(), AtomicU32::new(0));
        let adapter = Self { raw, pdo, highest, has_v3, late, awaited };
        match PoolBox::new(adapter) {
            Ok(adapter) => {
                leaks::DMA.made_for_dma();
                DmaId::new(adapter.into_raw().as_ptr().expose_provenance()).ok_or(Status::NO_DMA)
            }
            Err(adapter) => {
                adapter.put();
                Err(Status::NO_MEMORY)
            }
        }
    }

    /// The adapter that kp-core names.
    ///
    /// # Safety
    /// Of [`open`](Self::open), and not closed.
    pub(crate) unsafe fn of<'a>(dma: DmaId) -> &'a Self {
        let place: *const Self = with_exposed_provenance(dma.get());
        // SAFETY: the caller's promise.
        unsafe { &*place }
    }

    /// Closes it, when what was put off is done. Passive.
    ///
    /// # Safety
    /// Of [`open`](Self::open), once; all that was made with it is freed.
    pub(crate) unsafe fn close(dma: DmaId) {
        late::settle();
        // SAFETY: the caller's promise.
        let this = NonNull::from(unsafe { Self::of(dma) });
        // SAFETY: of `open`, and taken back once.
        let this = unsafe { PoolBox::from_raw(this) };
        this.drain();
        // A list that has come late needs the adapter.
        while this.awaited.load(Acquire) != 0 {
            clock::sleep(LOOK_NS);
        }
        this.put();
        leaks::DMA.gone();
    }

    fn put(&self) {
        // SAFETY: open, and not used again: both callers drop the value.
        unsafe { (self.operations().put_adapter)(self.raw.as_ptr()) };
    }

    pub(super) fn as_raw(&self) -> *mut DmaAdapter {
        self.raw.as_ptr()
    }

    pub(super) fn operations(&self) -> &DmaOperations {
        // SAFETY: the kernel's object, as long as it is open.
        let operations = unsafe { self.raw.as_ref() }.operations;
        // SAFETY: its table, of version 2 at least.
        unsafe { &*operations }
    }

    /// What version 3 adds. None: the table is of version 2.
    pub(super) fn operations3(&self) -> Option<&DmaOperations3> {
        let operations = ptr::from_ref(self.operations()).cast::<DmaOperations3>();
        // SAFETY: its table, which is as long.
        self.has_v3.then(|| unsafe { &*operations })
    }

    /// Gives back what was dropped too high up: its own alone, so nobody else is at it when the adapter is closed. Passive.
    pub(super) fn drain(&self) {
        self.late.run_all();
    }

    /// Memory that the device and the processor share, zeroed; None: no memory. Passive.
    pub(crate) fn allocate(&self, len: NonZeroUsize) -> Option<CoherentMemory> {
        self.drain();
        let bytes = u32::try_from(len.get()).ok()?;
        let (adapter, mut bus) = (self.as_raw(), 0);
        let start = match self.operations3() {
            Some(operations) => {
                let allocate = operations.allocate_common_buffer_ex;
                // SAFETY: open; the places are readable and writable.
                unsafe { allocate(adapter, &self.highest, bytes, &mut bus, CACHE_ENABLED, 0) }
            }
            // SAFETY: open; the place is writable.
            None => unsafe { (self.operations().allocate_common_buffer)(adapter, bytes, &mut bus, CACHE_ENABLED) },
        };
        let memory = CoherentMemory { start: NonNull::new(start.cast())?, bus, len };
        leaks::DMA.made_for_dma();
        let fits = bus.checked_add(len.get() as u64 - 1).is_some_and(|last| last <= self.highest);
        if !fits || !bus.is_multiple_of(4096) {
            // SAFETY: just made, and nobody's.
            unsafe { self.free_now(memory) };
            return None;
        }
        let start = memory.start.as_ptr().cast::<u64>();
        for at in (0..len.get()).step_by(8) {
            // SAFETY: inside of it, which is whole pages. By words: what is not cached may want them aligned.
            unsafe { start.wrapping_byte_add(at).write_volatile(0) };
        }
        Some(memory)
    }

    /// Gives it back. Any level.
    ///
    /// # Safety
    /// Of [`allocate`](Self::allocate), and not used again, neither by the device.
    pub(crate) unsafe fn free(&self, memory: CoherentMemory) {
        let late = LateBuffer { late: LateNode::new(free_late), adapter: self, memory };
        let node = memory.start.cast::<LateBuffer>();
        // SAFETY: the memory itself, a page at least, which nobody uses.
        unsafe { node.write(late) };
        // SAFETY: written above; the adapter stays open until what was put off is done.
        unsafe { late::at_passive(&self.late, node.cast()) };
    }

    /// As [`free`](Self::free). Passive.
    ///
    /// # Safety
    /// As there.
    unsafe fn free_now(&self, memory: CoherentMemory) {
        let (len, start) = (memory.len.get() as u32, memory.start.as_ptr().cast());
        // SAFETY: the caller's promise; as it was allocated.
        unsafe { (self.operations().free_common_buffer)(self.as_raw(), len, memory.bus, start, CACHE_ENABLED) };
        leaks::DMA.gone();
    }
}

/// Memory that is to be freed: it is its own node.
#[repr(C)]
struct LateBuffer {
    late: LateNode,
    adapter: *const Adapter,
    memory: CoherentMemory,
}

unsafe fn free_late(node: NonNull<LateNode>) {
    // SAFETY: of `free`, in memory that is nobody else's.
    let LateBuffer { adapter, memory, .. } = unsafe { node.cast::<LateBuffer>().read() };
    // SAFETY: open: closing waits for this.
    let adapter = unsafe { &*adapter };
    // SAFETY: what `free` was promised.
    unsafe { adapter.free_now(memory) };
}

/// The kernel's adapter for the device, and whether its table is of version 3, which every Windows has that the driver is for; a bus driver with
/// adapters of its own may not. Passive.
fn get(pdo: StackDevice, limits: &DmaLimits) -> Option<(NonNull<DmaAdapter>, bool)> {
    let bits = limits.address_bits();
    [3, 2].into_iter().find_map(|version| {
        let description = DeviceDescription {
            version,
            master: 1,
            scatter_gather: 1,
            _demand_mode: 0,
            _auto_initialize: 0,
            // Version 2 knows 64, 32 and, without both, 24 bits.
            dma32_bit_addresses: u8::from(bits >= 32),
            _ignore_count: 0,
            _reserved: 0,
            dma64_bit_addresses: u8::from(bits == 64),
            _bus_number: 0,
            _dma_channel: 0,
            interface_type: PCI_BUS,
            _dma_width: 0,
            _dma_speed: 0,
            // As long as a buffer may be. What the machine then takes at once, it says when it is asked.
            maximum_length: limits::MAX_BUFFER as u32,
            _dma_port: 0,
            dma_address_width: bits,
            _controller_instance: 0,
            _request_line: 0,
            _device_address: 0,
        };
        let mut map_registers = 0;
        // SAFETY: the bus's device; both places are on this stack.
        let raw = unsafe { IoGetDmaAdapter(pdo.as_raw(), &description, &mut map_registers) };
        let raw = NonNull::new(raw)?;
        // SAFETY: just given.
        let operations = unsafe { raw.as_ref() }.operations;
        // SAFETY: its table, of version 2 at least.
        let size = unsafe { (*operations).size };
        Some((raw, version == 3 && size as usize >= size_of::<DmaOperations3>()))
    })
}
