//! BUFFER_REGISTER: an app's memory stays where it is as long as the request is pending whose out-buffer it is. The request is completed when the last
//! user of the pages has let go.
//!
//! It is cancelled when its thread ends, and so with its process, which Windows lets end only when all its requests are over. Then the buffer is
//! taken from the session. Who has the pages still, the device or the plugin, has [a while](PATIENCE_NS) to let go; then the device is stopped.
//!
//! | the users of the pages | until |
//! |---|---|
//! | kp-core; each mapping for a device | they leave |
//! | who serves the request | it has a cancel routine |
//! | the request | its cancel routine or its timer is taken out, or what either of them has begun is over |
//!
//! Who would leave the request alone takes its routine or timer out, and completes it. While either has begun ([`BUSY`], [`LATE`]), nobody else does.
use crate::{
    io::{
        buffered_request::BufferedRequest,
        device_object::DeviceObject,
        irp::{self, DeviceControl, Irp, PendingIrp},
        node::Node,
        outcome::Outcome,
        work_item::WorkItem,
    },
    kernel::{clock::relative, critical_region::CriticalRegion, dpc::Timer, leaks, pages::Pages, pool_box::PoolBox},
    nt::{self, *},
};
use core::{
    cell::Cell,
    ffi::c_void,
    num::NonZeroUsize,
    ptr::{self, NonNull},
    sync::atomic::Ordering::SeqCst,
};
use kp_abi::{
    Status,
    request::{self, BufferRegister, Head, Request},
    zerocopy::FromBytes,
};
use kp_core::{
    Passive, Plugin, Result,
    host::{Faulted, RawPages, Session, UserRequest, passive},
};

/// How long a device and its plugin have for letting go of the memory of an app that has ended, in ns.
const PATIENCE_NS: u64 = 5_000_000_000;

/// In the count of users: the request acts, as it was cancelled.
const BUSY: usize = 1 << (usize::BITS - 1);
/// The same, as its time is up. A bit of its own: what cancelling has begun may not have come to its end by then.
const LATE: usize = 1 << (usize::BITS - 2);

/// An app's pages, and their request.
#[repr(C)]
struct Pinned<P: Plugin> {
    /// The first.
    pages: Pages,
    irp: PendingIrp<DeviceControl>,
    /// Of the handle that the request came through, which goes after it.
    session: NonNull<Session<P>>,
    device: *mut nt::DeviceObject,
    work: WorkItem,
    timer: Timer,
    /// The time is up. By whoever acts for the request.
    is_late: Cell<bool>,
}

/// Serves a BUFFER_REGISTER, in the context in which it came.
pub(crate) fn serve<P: Plugin>(
    cx: &mut Passive,
    device: DeviceObject<'_, Node>,
    session: &Session<P>,
    irp: Irp<DeviceControl>,
) -> Outcome {
    match register(cx, &device, session, &irp) {
        Ok(pinned) => {
            let _ = irp.into_raw(); // the record's from here on
            // SAFETY: of `register`, which has left this function a user.
            unsafe { pend(pinned) };
            Outcome::Pending
        }
        Err(status) => Outcome::Done(irp, Err(status)),
    }
}

/// Registers the memory. What is refused is the request's own answer, as its out-buffer has no place for one.
fn register<P: Plugin>(
    cx: &mut Passive,
    device: &DeviceObject<'_, Node>,
    session: &Session<P>,
    irp: &Irp<DeviceControl>,
) -> Result<NonNull<Pinned<P>>, Status> {
    let mut reply = [0; size_of::<BufferRegister>()];
    let mut user = DirectRequest::<P> {
        buffers: BufferedRequest::direct(irp, &mut reply)?,
        irp,
        session: NonNull::from(session),
        device: device.as_raw(),
        pinned: None,
    };
    let served = session.request(cx, BufferRegister::NR, &mut user);
    let pinned = user.pinned.take();
    let status = status_in(&reply);
    let refused = match served {
        Err(status) => Some(status),
        Ok(_) if status != Status::OK.0 => Some(Status(status)),
        Ok(_) => None,
    };
    match (pinned, refused) {
        (Some(pinned), None) => Ok(pinned),
        (Some(pinned), Some(status)) => {
            // SAFETY: refused: kp-core has let go of it, and nobody else knows of it.
            drop(unsafe { PoolBox::from_raw(pinned) });
            leaks::PINNED.gone();
            Err(status)
        }
        (None, refused) => Err(refused.unwrap_or(Status::NO_REPLY)),
    }
}

/// The status in a head.
fn status_in(reply: &[u8]) -> u32 {
    Head::read_from_prefix(reply).map_or(Status::NO_REPLY.0, |(head, _)| head.status)
}

/// The request as kp-core sees it: its in-buffer, a head that nobody gets, and memory at address 0.
struct DirectRequest<'irp, P: Plugin> {
    buffers: BufferedRequest<'irp>,
    irp: &'irp Irp<DeviceControl>,
    session: NonNull<Session<P>>,
    device: *mut nt::DeviceObject,
    pinned: Option<NonNull<Pinned<P>>>,
}

impl<P: Plugin> DirectRequest<'_, P> {
    /// How many bytes the out-buffer has, if it is whole pages. None: it is not.
    fn len(&self) -> Option<usize> {
        // SAFETY: null, or the kernel's list, as long as the request.
        let mdl = unsafe { self.irp.mdl().as_ref() }?;
        (mdl.byte_offset == 0).then_some(mdl.byte_count as usize)
    }

    /// Is the out-buffer another device's memory, which the app has mapped?
    fn is_io_space(&self) -> bool {
        // SAFETY: null, or the kernel's list, as long as the request.
        unsafe { self.irp.mdl().as_ref() }.is_some_and(|mdl| mdl.flags & MDL_IO_SPACE != 0)
    }

    fn make(&self) -> Option<NonNull<Pinned<P>>> {
        let mdl = NonNull::new(self.irp.mdl())?;
        // SAFETY: this driver's device, which goes after the request.
        let work = unsafe { WorkItem::new(self.device) }?;
        let pinned = PoolBox::with(|| Pinned {
            // SAFETY: locked as long as the request is not completed, which is when the last user has left. There are three: see the module.
            pages: unsafe { Pages::new(mdl, 3, leave::<P>) },
            // SAFETY: the same request as `serve`'s, which gives that up if it succeeds; before, nobody uses this one.
            irp: PendingIrp::new(unsafe { Irp::from_raw(self.irp.tag().cast()) }),
            session: self.session,
            device: self.device,
            work,
            timer: Timer::unused(),
            is_late: Cell::new(false),
        })?;
        let pinned = pinned.into_raw();
        // SAFETY: new, and this function's.
        let record = unsafe { pinned.as_ref() };
        // SAFETY: it stays where it is; while the timer is set, the request is a user.
        unsafe { record.timer.init(on_timer::<P>, pinned.as_ptr().cast()) };
        leaks::PINNED.made_for_dma();
        Some(pinned)
    }
}

impl<P: Plugin> UserRequest for DirectRequest<'_, P> {
    fn read_header(&mut self, head: &mut [u8]) -> Result<(), Faulted> {
        self.buffers.read_header(head)
    }
    fn read_size(&mut self) -> Result<u32, Faulted> {
        self.buffers.read_size()
    }
    fn read_tail(&mut self, at: usize, bytes: &mut [u8]) -> Result<(), Faulted> {
        self.buffers.read_tail(at, bytes)
    }
    fn write(&mut self, at: usize, bytes: &[u8]) -> Result<(), Faulted> {
        UserRequest::write(&mut self.buffers, at, bytes)
    }
    fn answer(&mut self, status: u32, detail: u32) -> Result<(), Faulted> {
        self.buffers.answer(status, detail)
    }
    fn access_ok(&self, address: u64, len: usize) -> bool {
        address == 0 && self.len() == Some(len)
    }
    fn copy_from_user(&mut self, _: u64, _: &mut [u8]) -> Result<(), Faulted> {
        Err(Faulted)
    }
    fn copy_to_user(&mut self, _: u64, _: &[u8]) -> Result<(), Faulted> {
        Err(Faulted)
    }
    fn is_read_write(&self) -> bool {
        self.buffers.is_read_write()
    }
    fn can_pin(&self) -> bool {
        true
    }
    fn pin(&mut self, _: u64, _: NonZeroUsize, write: bool) -> Result<NonNull<RawPages>> {
        let is_read = request::in_direct_code(BufferRegister::NR) == Some(self.irp.parameters().io_control_code);
        if is_read && write {
            return Err(Status::BAD_FIELD.into()); // locked for less than is asked for
        }
        if self.is_io_space() {
            return Err(Status::NOT_PINNABLE.into());
        }
        let pinned = self.make().ok_or(Status::NO_MEMORY)?;
        self.pinned = Some(pinned);
        Ok(pinned.cast())
    }
}

/// Has the request stay pending.
///
/// # Safety
/// The caller is a user, who leaves, and the request is the record's.
unsafe fn pend<P: Plugin>(pinned: NonNull<Pinned<P>>) {
    // SAFETY: alive: the caller is a user.
    let record = unsafe { pinned.as_ref() };
    // SAFETY: the request is a user until its routine is taken out, or what that has begun is over.
    let is_cancelled = unsafe { record.irp.cancel_by(on_cancel::<P>, pinned.as_ptr().cast()) };
    if is_cancelled && record.irp.claim() {
        // SAFETY: the routine was taken out, so this acts for the request.
        unsafe { act(record, BUSY) };
    }
    // SAFETY: the caller's promise.
    unsafe { leave::<P>(pinned.cast()) };
}

/// A user leaves. Up to DISPATCH_LEVEL.
unsafe fn leave<P: Plugin>(pages: NonNull<Pages>) {
    let pinned = pages.cast::<Pinned<P>>();
    // SAFETY: alive: the caller is a user.
    let record = unsafe { pinned.as_ref() };
    let users = &record.pages.users;
    loop {
        let now = users.load(SeqCst);
        // With the request alone: its part is the caller's, if nobody acts for it.
        if now == 1 || now == 2 && record.claim() {
            // SAFETY: nobody else is a user any more.
            return unsafe { finish(pinned) };
        }
        if users.compare_exchange(now, now - 1, SeqCst, SeqCst).is_ok() {
            return;
        }
    }
}

impl<P: Plugin> Pinned<P> {
    /// Takes the cancel routine or the timer out. True: what the request is a user for is the caller's.
    fn claim(&self) -> bool {
        self.irp.claim() || self.timer.cancel()
    }

    /// Is the request the only user?
    fn is_alone(users: usize) -> bool {
        users & !(BUSY | LATE) == 1
    }
}

/// Completes the request. Up to DISPATCH_LEVEL.
///
/// # Safety
/// Nobody else is a user.
unsafe fn finish<P: Plugin>(pinned: NonNull<Pinned<P>>) {
    // SAFETY: of `make`, and nobody else's.
    let record = unsafe { PoolBox::from_raw(pinned) };
    // SAFETY: its routine was taken out, or has run, and it is completed here alone.
    let irp = unsafe { record.irp.claimed() };
    drop(record);
    leaks::PINNED.gone();
    irp.complete(STATUS_SUCCESS, 0);
}

/// Has [`on_work`] act for the request. Up to DISPATCH_LEVEL.
///
/// # Safety
/// The caller has taken its cancel routine out, or is that, for [`BUSY`]; or is its timer, for [`LATE`].
unsafe fn act<P: Plugin>(record: &Pinned<P>, why: usize) {
    record.pages.users.fetch_or(why, SeqCst);
    let context = ptr::from_ref(record).cast_mut().cast();
    // SAFETY: it is queued once at a time: by cancelling, and by the timer that what is queued then sets, when it has begun; the request is a user
    // until the routine has run, and the device goes after it.
    unsafe { record.work.queue(on_work::<P>, context) };
}

/// The request is cancelled.
unsafe extern "efiapi" fn on_cancel<P: Plugin>(_: *mut nt::DeviceObject, irp: *mut nt::Irp) {
    // SAFETY: the request is being cancelled by this routine.
    let record = unsafe { irp::cancelled(irp) }.cast::<Pinned<P>>();
    // SAFETY: put there with the routine: the request is a user.
    let record = unsafe { &*record };
    // SAFETY: this is its cancel routine.
    unsafe { act(record, BUSY) };
}

/// The time is up.
unsafe extern "efiapi" fn on_timer<P: Plugin>(_: *mut nt::Dpc, record: *mut c_void, _: *mut c_void, _: *mut c_void) {
    // SAFETY: the timer was not taken back: the request is a user.
    let record = unsafe { &*record.cast_const().cast::<Pinned<P>>() };
    // SAFETY: this is its timer.
    unsafe { act(record, LATE) };
}

/// What cancelling has begun. Passive.
unsafe extern "efiapi" fn on_work<P: Plugin>(_: *mut nt::DeviceObject, record: *mut c_void) {
    let _region = CriticalRegion::enter();
    let Some(pinned) = NonNull::new(record.cast::<Pinned<P>>()) else { return };
    // SAFETY: the request is a user.
    let record = unsafe { pinned.as_ref() };
    if record.is_late.replace(true) {
        // SAFETY: as above.
        unsafe { end(record) };
        if record.pages.users.fetch_sub(LATE | 1, SeqCst) == LATE | 1 {
            // SAFETY: nobody else is a user, and what cancelling has begun is over.
            unsafe { finish(pinned) };
        }
        return;
    }
    // SAFETY: the handle's, which goes after the request.
    let session = unsafe { record.session.as_ref() };
    // SAFETY: work items run at Passive.
    unsafe { passive(|cx| session.unregister(cx, pinned.cast())) };
    if Pinned::<P>::is_alone(record.pages.users.load(SeqCst)) {
        // SAFETY: nobody else is a user.
        return unsafe { finish(pinned) };
    }
    record.timer.set(relative(PATIENCE_NS));
    let users = &record.pages.users;
    loop {
        // While it is busy nobody else completes the request, so the record is there.
        let now = users.load(SeqCst);
        // Nobody is left if the time was up before this has come here, and what that began is over.
        if now == BUSY || Pinned::<P>::is_alone(now) && record.timer.cancel() {
            // SAFETY: nobody else is a user: who left saw that somebody acts.
            return unsafe { finish(pinned) };
        }
        if users.compare_exchange(now, now & !BUSY, SeqCst, SeqCst).is_ok() {
            return;
        }
    }
}

/// The time is up: the device is stopped, which frees what is kept for it, and what its plugin keeps.
///
/// # Safety
/// The request is a user; Passive.
unsafe fn end<P: Plugin>(record: &Pinned<P>) {
    if Pinned::<P>::is_alone(record.pages.users.load(SeqCst)) {
        return;
    }
    kp_core::log!("an app has ended, and its buffer is still used after 5 s: the device is stopped");
    // SAFETY: this driver's, which goes after the request.
    let device = unsafe { DeviceObject::<Node>::from_raw(record.device) };
    // SAFETY: as above; its extension begins with the node.
    unsafe { device.end_device(record.device) };
}
