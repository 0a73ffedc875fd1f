//! What apps open: a device object's extension begins with it, be it the control device of a plugin without hardware or one of a stack.
use crate::{io::irp::Tag, kernel::names::Name, nt::*};
use core::{
    cell::UnsafeCell,
    ptr,
    sync::atomic::{AtomicPtr, AtomicU32, Ordering::*},
};
use kp_core::{
    Plugin,
    host::{BoundDevice, passive},
};

/// Handles and whether there may be more, and the plugin behind them.
pub(crate) struct Node {
    /// State in the upper byte, number of handles below.
    word: AtomicU32,
    /// By `BoundDevice::into_raw`; null: none is bound. INVARIANT: not changed while a handle is made.
    driver: AtomicPtr<()>,
    /// What stops the device when it does not let go of an app's memory: an [`EndDevice`]; null: it was not started yet.
    end_device: AtomicPtr<()>,
    remove_lock: UnsafeCell<RemoveLock>,
}

/// May a handle be made?
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub(crate) enum State {
    /// Not started, stopped, or gone.
    Closed = 0,
    Open = 1 << 24,
    /// The kernel asks whether the device could be stopped.
    StopPending = 2 << 24,
    /// The kernel asks whether the device could be removed.
    RemovePending = 3 << 24,
}

/// Stops a device, whose object this is. Passive.
pub(crate) type EndDevice = unsafe fn(*mut DeviceObject);

const HANDLES: u32 = (1 << 24) - 1;
/// What the checked kernel shows as the lock's owner.
const TAG: u32 = u32::from_le_bytes(*b"kpRs");
const LOCK_SIZE: u32 = size_of::<RemoveLock>() as u32;

impl Node {
    /// A closed one, whose lock is not [initialised](Self::init_remove_lock).
    pub(crate) const fn new() -> Self {
        Self {
            word: AtomicU32::new(0),
            driver: AtomicPtr::new(ptr::null_mut()),
            end_device: AtomicPtr::new(ptr::null_mut()),
            remove_lock: UnsafeCell::new(RemoveLock::UNUSED),
        }
    }

    /// Before anybody [acquires](Self::acquire_remove_lock) it.
    ///
    /// # Safety
    /// Called once; the node stays where it is from here on.
    pub(crate) unsafe fn init_remove_lock(&self) {
        // SAFETY: zero, writable, and where it stays.
        unsafe { IoInitializeRemoveLockEx(self.remove_lock.get(), TAG, 0, 0, LOCK_SIZE) };
    }

    /// Keeps the device from being deleted until [`release_remove_lock`](Self::release_remove_lock). An error: it is being deleted.
    pub(crate) fn acquire_remove_lock(&self, tag: Tag) -> Result<(), NtStatus> {
        let lock = self.remove_lock.get();
        // SAFETY: initialised with the node.
        let status = unsafe { IoAcquireRemoveLockEx(lock, tag, c"".as_ptr().cast(), 1, LOCK_SIZE) };
        if status < 0 { Err(status) } else { Ok(()) }
    }

    /// Undoes [`acquire_remove_lock`](Self::acquire_remove_lock) of the same tag. Up to DISPATCH_LEVEL.
    pub(crate) fn release_remove_lock(&self, tag: Tag) {
        // SAFETY: initialised with the node, and acquired with this tag.
        unsafe { IoReleaseRemoveLockEx(self.remove_lock.get(), tag, LOCK_SIZE) };
    }

    /// Undoes [`acquire_remove_lock`](Self::acquire_remove_lock) for the last time: waits for all others, and lets nobody in any more. Passive.
    pub(crate) fn release_remove_lock_and_wait(&self, tag: Tag) {
        // SAFETY: initialised with the node, and acquired with this tag.
        unsafe { IoReleaseRemoveLockAndWaitEx(self.remove_lock.get(), tag, LOCK_SIZE) };
    }

    /// Runs `f` while the device cannot be deleted. An error: it is being deleted.
    pub(crate) fn with_remove_lock<R>(&self, tag: Tag, f: impl FnOnce() -> R) -> Result<R, NtStatus> {
        self.acquire_remove_lock(tag)?;
        let result = f();
        self.release_remove_lock(tag);
        Ok(result)
    }

    /// Counts a handle, if one may be made.
    pub(crate) fn add_handle(&self) -> bool {
        let more = |word: u32| (word & !HANDLES == State::Open as u32 && word & HANDLES != HANDLES).then(|| word + 1);
        self.word.fetch_update(AcqRel, Acquire, more).is_ok()
    }

    pub(crate) fn drop_handle(&self) {
        self.word.fetch_sub(1, Release);
    }

    pub(crate) fn set(&self, state: State) {
        let with_handles = |word: u32| Some(word & HANDLES | state as u32);
        let _ = self.word.fetch_update(AcqRel, Acquire, with_handles);
    }

    /// From one state to another. False: it was not in that state, or `unless_open` and there are handles.
    pub(crate) fn change(&self, from: State, to: State, unless_open: bool) -> bool {
        let change = |word: u32| {
            let fits = word & !HANDLES == from as u32 && (!unless_open || word & HANDLES == 0);
            fits.then_some(word & HANDLES | to as u32)
        };
        self.word.fetch_update(AcqRel, Acquire, change).is_ok()
    }

    /// Puts a bound driver there. None is.
    pub(crate) fn put<P: Plugin>(&self, driver: BoundDevice<P>) {
        self.driver.store(driver.into_raw().cast_mut(), Release);
    }

    /// From now on `end` stops the device that this is the node of.
    pub(crate) fn end_by(&self, end: EndDevice) {
        self.end_device.store(end as *mut (), Release);
    }

    /// Stops the device: every session ends, and then its plugin. Passive.
    ///
    /// # Safety
    /// The device whose node this is, which is not deleted meanwhile.
    pub(crate) unsafe fn end_device(&self, device: *mut DeviceObject) {
        let end = self.end_device.load(Acquire);
        if end.is_null() {
            return;
        }
        // SAFETY: `end_by` has put one there.
        let end = unsafe { core::mem::transmute::<*mut (), EndDevice>(end) };
        // SAFETY: the caller's promise.
        unsafe { end(device) };
    }

    /// Runs `f` with the driver, if one is bound.
    ///
    /// # Safety
    /// It is one of `P`, and is not [taken](Self::take) meanwhile.
    pub(crate) unsafe fn with<P: Plugin, R>(&self, f: impl FnOnce(&BoundDevice<P>) -> R) -> Option<R> {
        let driver = self.driver.load(Acquire);
        if driver.is_null() {
            return None;
        }
        // SAFETY: `put` has put one of `P` there, and nobody takes it meanwhile.
        Some(unsafe { BoundDevice::<P>::borrow_raw(driver, f) })
    }

    /// Gives the driver up, if one is bound.
    ///
    /// # Safety
    /// It is one of `P`; no handle is being made.
    pub(crate) unsafe fn take<P: Plugin>(&self) -> Option<BoundDevice<P>> {
        let driver = self.driver.swap(ptr::null_mut(), AcqRel);
        if driver.is_null() {
            return None;
        }
        // SAFETY: `put` has put it there, and the swap has taken it out.
        Some(unsafe { BoundDevice::<P>::from_raw(driver) })
    }
}

/// Ends every session of a driver, then its plugin. False: the plugin has panicked, and what it may use has to stay for good. Passive.
///
/// # Safety
/// At Passive, without a level of kp-core's on the stack; the driver is not told of a suspend or resume at the same time.
pub(crate) unsafe fn end<P: Plugin>(driver: &BoundDevice<P>, present: bool) -> bool {
    // SAFETY: nothing else is told of the device's life at the same time.
    let remove = |cx: &mut kp_core::Passive| unsafe { driver.remove(cx, present) };
    // SAFETY: at Passive.
    unsafe { passive(remove) }
}

/// The name under which apps find it: `\\.\kp-<plugin>`, and a number behind it for those with a device.
pub(crate) fn link_name<P: Plugin>(instance: Option<u32>) -> Name {
    let mut digits = [0; 10];
    match instance {
        None => Name::new(&["\\DosDevices\\kp-", P::TABLE.name]),
        Some(number) => Name::new(&["\\DosDevices\\kp-", P::TABLE.name, ".", decimal(number, &mut digits)]),
    }
}

fn decimal(mut number: u32, digits: &mut [u8; 10]) -> &str {
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            return core::str::from_utf8(&digits[at..]).unwrap_or_default();
        }
    }
}
