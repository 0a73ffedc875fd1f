//! The kernel's list of where a device has pages, a scatter/gather list.
use crate::{
    device::dma::Adapter,
    kernel::{clock, event::Event, pool_box::PoolBox, spin_lock::SpinLock},
    nt::*,
};
use core::{
    ffi::c_void,
    ptr::{self, NonNull},
    slice,
    sync::atomic::{AtomicPtr, AtomicU32, Ordering::*},
};

/// A list of the kernel's, which its owner [puts back](Self::put).
pub(super) struct List {
    raw: NonNull<ScatterGatherList>,
    to_device: bool,
}

/// How long a list of version 2 is waited for, in ns. It comes at once, unless others have the map registers.
const PATIENCE_NS: u64 = 100_000_000;

impl List {
    /// A list of `len` bytes of pages, from `offset` on. None: the machine has no memory or map registers for so many. Passive.
    ///
    /// # Safety
    /// The pages stay until the list is put back, and have these bytes; `context` stays as long.
    pub(super) unsafe fn get(
        adapter: &Adapter,
        context: *mut TransferContext,
        mdl: *mut Mdl,
        offset: usize,
        len: u32,
        to_device: bool,
    ) -> Option<Self> {
        let raw = match adapter.operations3() {
            // SAFETY: the caller's promise.
            Some(operations) => unsafe { now(adapter, operations, context, mdl, offset, len, to_device) },
            // SAFETY: the caller's promise.
            None => unsafe { soon(adapter, mdl, offset, len, to_device) },
        };
        Some(Self { raw: raw?, to_device })
    }

    /// Where the device has the pages, piece by piece.
    pub(super) fn elements(&self) -> &[ScatterGatherElement] {
        let list = self.raw.as_ptr();
        // SAFETY: the kernel's list, until it is put back.
        let count = unsafe { (*list).number_of_elements } as usize;
        // SAFETY: as above.
        let first = unsafe { &raw const (*list).elements };
        // SAFETY: so many stand behind the list's head.
        unsafe { slice::from_raw_parts(first.cast(), count) }
    }

    /// Gives it back. Up to DISPATCH_LEVEL.
    pub(super) fn put(self, adapter: &Adapter) {
        // SAFETY: the kernel's list of this adapter, once.
        at_dispatch(|| unsafe { put_raw(adapter, self.raw.as_ptr(), self.to_device) });
    }
}

/// Runs `f` at DISPATCH_LEVEL. Up to that level.
fn at_dispatch<R>(f: impl FnOnce() -> R) -> R {
    SpinLock::new(()).with(|()| f()) // a lock that nobody else has
}

/// # Safety
/// A list of this adapter, once; at DISPATCH_LEVEL.
unsafe fn put_raw(adapter: &Adapter, list: *mut ScatterGatherList, to_device: bool) {
    // SAFETY: the caller's promise.
    unsafe { (adapter.operations().put_list)(adapter.as_raw(), list, to_device.into()) };
}

/// As [`List::get`], of version 3: the list comes in the call, or not at all.
///
/// The function that is called with it is given, as without one the list would have to be freed by another function than PutScatterGatherList.
///
/// # Safety
/// As there.
unsafe fn now(
    adapter: &Adapter,
    operations: &DmaOperations3,
    context: *mut TransferContext,
    mdl: *mut Mdl,
    offset: usize,
    len: u32,
    to_device: bool,
) -> Option<NonNull<ScatterGatherList>> {
    let mut list: *mut ScatterGatherList = ptr::null_mut();
    let place = (&raw mut list).cast::<c_void>();
    // SAFETY: open; the context is writable.
    if unsafe { (operations.initialize_transfer_context)(adapter.as_raw(), context) } < 0 {
        return None;
    }
    let get = operations.get_list_ex;
    let (raw, pdo, offset, flags) = (adapter.as_raw(), adapter.pdo.as_raw(), offset as u64, DMA_SYNCHRONOUS_CALLBACK);
    // SAFETY: the caller's promise; `place` is writable until the call is over, in which `on_list` is called, if at all.
    let status = at_dispatch(|| unsafe {
        get(
            raw,
            pdo,
            context,
            mdl,
            offset,
            len,
            flags,
            Some(on_list),
            place,
            to_device.into(),
            ptr::null_mut(),
            ptr::null_mut(),
            ptr::null_mut(),
        )
    });
    if status < 0 { None } else { NonNull::new(list) }
}

/// A list of version 3 is there.
unsafe extern "efiapi" fn on_list(
    _: *mut DeviceObject,
    _: *mut c_void,
    list: *mut ScatterGatherList,
    place: *mut c_void,
) {
    // SAFETY: the place of `now`, whose call this is in.
    unsafe { place.cast::<*mut ScatterGatherList>().write(list) };
}

/// Who waits for a list of version 2, and the list.
struct Awaited {
    came: Event,
    state: AtomicU32,
    list: AtomicPtr<ScatterGatherList>,
    adapter: *const Adapter,
    to_device: bool,
}

/// Values of [`Awaited::state`]: nobody has answered; the list is there; nobody waits any more.
const WAITS: u32 = 0;
const CAME: u32 = 1;
const GIVEN_UP: u32 = 2;

/// As [`List::get`], of version 2, which may keep the call until there are map registers: whoever has those may be who waits here, so it waits
/// for a while only.
///
/// # Safety
/// As there.
unsafe fn soon(
    adapter: &Adapter,
    mdl: *mut Mdl,
    offset: usize,
    len: u32,
    to_device: bool,
) -> Option<NonNull<ScatterGatherList>> {
    let awaited = PoolBox::with(|| Awaited {
        came: Event::unused(),
        state: AtomicU32::new(WAITS),
        list: AtomicPtr::new(ptr::null_mut()),
        adapter,
        to_device,
    })?;
    // SAFETY: new, and it stays in the pool where it is.
    unsafe { awaited.came.init() };
    let awaited = awaited.into_raw();
    adapter.awaited.fetch_add(1, Relaxed);
    // SAFETY: alive as long as the pages.
    let start = unsafe { (*mdl).start_va };
    // SAFETY: as above.
    let skip = unsafe { (*mdl).byte_offset } as usize;
    let at = start.wrapping_byte_add(skip + offset);
    let (get, raw, pdo, place) =
        (adapter.operations().get_list, adapter.as_raw(), adapter.pdo.as_raw(), awaited.as_ptr().cast());
    // SAFETY: the caller's promise; `on_late_list` is called once with the record, which stays until then.
    let status = at_dispatch(|| unsafe { get(raw, pdo, mdl, at, len, on_late_list, place, to_device.into()) });
    if status < 0 {
        // SAFETY: it is not called, so the record is this function's alone.
        unsafe { finish(awaited) };
        return None;
    }
    // SAFETY: alive: this is one of its two users.
    let record = unsafe { awaited.as_ref() };
    record.came.wait(wait_reason::EXECUTIVE, Some(clock::relative(PATIENCE_NS)));
    if record.state.compare_exchange(WAITS, GIVEN_UP, AcqRel, Acquire).is_ok() {
        return None; // the record is `on_late_list`'s now
    }
    let list = record.list.load(Acquire);
    // SAFETY: it has been called, and has left the record.
    unsafe { finish(awaited) };
    NonNull::new(list)
}

/// A list of version 2 is there.
unsafe extern "efiapi" fn on_late_list(
    _: *mut DeviceObject,
    _: *mut c_void,
    list: *mut ScatterGatherList,
    place: *mut c_void,
) {
    let awaited = place.cast::<Awaited>();
    // SAFETY: the record of `soon`, of which this call is a user.
    let record = unsafe { &*awaited };
    record.list.store(list, Release);
    if record.state.compare_exchange(WAITS, CAME, AcqRel, Acquire).is_ok() {
        record.came.set();
        return;
    }
    // SAFETY: open: closing waits for this.
    let adapter = unsafe { &*record.adapter };
    // SAFETY: the list of this call, at DISPATCH_LEVEL, which nobody else has.
    unsafe { put_raw(adapter, list, record.to_device) };
    // SAFETY: nobody waits any more.
    unsafe { finish(NonNull::from(record)) };
}

/// Frees a record, and counts it off.
///
/// # Safety
/// Of [`soon`], and not used again.
unsafe fn finish(awaited: NonNull<Awaited>) {
    // SAFETY: the caller's promise.
    let record = unsafe { PoolBox::from_raw(awaited) };
    let adapter = record.adapter;
    drop(record);
    // SAFETY: open: closing waits for this.
    unsafe { &*adapter }.awaited.fetch_sub(1, Release);
}
