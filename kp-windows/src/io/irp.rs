//! The kernel's requests, IRPs. [`Irp`] is one that is this driver's: what answers it or passes it on takes it, so nobody touches it afterwards.
use crate::{
    device::stack_device::StackDevice,
    kernel::event::Event,
    nt::{self, *},
};
use core::{
    ffi::c_void,
    marker::PhantomData,
    mem::transmute,
    ptr,
    sync::atomic::{AtomicUsize, Ordering::SeqCst},
};

/// A kind of request, by its major function.
pub(crate) trait Kind {
    const MAJOR: usize;
}

macro_rules! kinds {
    ($($kind:ident = $major:ident),*) => { $(
        pub(crate) enum $kind {}
        impl Kind for $kind {
            const MAJOR: usize = major::$major;
        }
    )* };
}

kinds! {
    Create = CREATE, Cleanup = CLEANUP, Close = CLOSE, DeviceControl = DEVICE_CONTROL,
    Pnp = PNP, Power = POWER, SystemControl = SYSTEM_CONTROL
}

/// A request of one [`Kind`] that is this driver's, until it is completed or passed on.
#[must_use = "a request is completed or passed on once"]
pub(crate) struct Irp<K> {
    raw: *mut nt::Irp,
    kind: PhantomData<K>,
}

/// What a request is told apart by while its remove lock is held, also when it is not this driver's any more.
pub(crate) type Tag = *mut c_void;

impl<K> Irp<K> {
    /// # Safety
    /// A request of this kind, and this driver's from here on: nobody else uses it until the value is used up.
    pub(crate) unsafe fn from_raw(raw: *mut nt::Irp) -> Self {
        Self { raw, kind: PhantomData }
    }

    /// Gives it up; [`from_raw`](Self::from_raw) takes it back.
    pub(crate) fn into_raw(self) -> *mut nt::Irp {
        self.raw
    }

    pub(crate) fn tag(&self) -> Tag {
        self.raw.cast()
    }

    fn request(&self) -> &nt::Irp {
        // SAFETY: alive, and this driver's.
        unsafe { &*self.raw }
    }

    fn request_mut(&mut self) -> &mut nt::Irp {
        // SAFETY: alive, and this driver's alone.
        unsafe { &mut *self.raw }
    }

    /// This driver's part of the request.
    pub(crate) fn location(&self) -> &IoStackLocation {
        // SAFETY: the kernel has filled in this driver's location, which is there as long as the request.
        unsafe { &*self.request().current_stack_location }
    }

    fn location_mut(&mut self) -> &mut IoStackLocation {
        // SAFETY: this driver's location, which is there as long as the request.
        unsafe { &mut *self.request().current_stack_location }
    }

    pub(crate) fn minor(&self) -> u8 {
        self.location().minor_function
    }

    /// The file object. None: a driver has sent the request, and it belongs to no handle.
    pub(crate) fn file(&self) -> Option<&FileObject> {
        // SAFETY: null, or an object that outlives the request.
        unsafe { self.location().file_object.as_ref() }
    }

    pub(crate) fn file_mut(&mut self) -> Option<&mut FileObject> {
        // SAFETY: null, or an object that outlives the request, whose contexts are this driver's.
        unsafe { self.location().file_object.as_mut() }
    }

    /// What drivers below have answered.
    pub(crate) fn status(&self) -> NtStatus {
        self.request().io_status.status
    }

    pub(crate) fn set_status(&mut self, status: NtStatus) {
        self.request_mut().io_status.status = status;
    }

    /// Answers the request. The answer goes back to the kernel too. Up to DISPATCH_LEVEL.
    pub(crate) fn complete(self, status: NtStatus, written: usize) -> NtStatus {
        complete(self.raw, status, written)
    }

    /// Answers the request with what is already in it, or was put there by drivers below. Up to DISPATCH_LEVEL.
    pub(crate) fn complete_as(self, status: NtStatus) -> NtStatus {
        let written = self.request().io_status.information;
        self.complete(status, written)
    }

    /// The request will be completed later: its dispatch function answers STATUS_PENDING.
    pub(crate) fn mark_pending(&mut self) {
        self.location_mut().control |= control::PENDING;
    }

    /// Passes the request on as it is, and forgets it.
    pub(crate) fn forward(mut self, lower: StackDevice) -> NtStatus {
        let request = self.request_mut();
        request.current_location += 1;
        request.current_stack_location = request.current_stack_location.wrapping_add(1);
        call(lower, self.raw)
    }

    /// Passes the request on; it is `done`'s when it is completed, up to DISPATCH_LEVEL.
    ///
    /// # Safety
    /// `done` may be called once with this request and this context, whenever it is completed.
    pub(crate) unsafe fn forward_then(self, lower: StackDevice, done: Completion, context: *mut c_void) -> NtStatus {
        forward_then(lower, self.raw, done, context)
    }

    /// Passes the request on and waits until the drivers below have answered it; it is this driver's again then. Passive.
    pub(crate) fn forward_and_wait(&mut self, lower: StackDevice) -> NtStatus {
        Event::on_stack(|event| {
            let context = ptr::from_ref(event).cast_mut().cast();
            if forward_then(lower, self.raw, set_event, context) == STATUS_PENDING {
                event.wait(wait_reason::EXECUTIVE, None);
            }
        });
        self.status() // completed, and kept by `set_event`
    }
}

// The same code for all kinds.

fn complete(irp: *mut nt::Irp, status: NtStatus, written: usize) -> NtStatus {
    // SAFETY: this driver's, given up by the caller.
    unsafe { (*irp).io_status = IoStatusBlock { status, information: written } };
    // SAFETY: the same request, which is not used again.
    unsafe { IofCompleteRequest(irp, 0) };
    status
}

fn call(lower: StackDevice, irp: *mut nt::Irp) -> NtStatus {
    // SAFETY: a request with a location for the device below, given up by the caller.
    unsafe { IofCallDriver(lower.as_raw(), irp) }
}

fn forward_then(lower: StackDevice, irp: *mut nt::Irp, done: Completion, context: *mut c_void) -> NtStatus {
    // SAFETY: this driver's.
    let here = unsafe { (*irp).current_stack_location };
    let next = here.wrapping_sub(1);
    // SAFETY: a request has a location for each device of the stack, and there is one below.
    unsafe { ptr::copy_nonoverlapping(here, next, 1) };
    // SAFETY: the location of the device below, written above.
    let next = unsafe { &mut *next };
    next.control = control::INVOKE_ALWAYS;
    next.completion_routine = Some(done);
    next.context = context;
    call(lower, irp)
}

/// Sets the event that is its context, and keeps the request.
unsafe extern "efiapi" fn set_event(_: *mut nt::DeviceObject, _: *mut nt::Irp, event: *mut c_void) -> NtStatus {
    // SAFETY: the event of `forward_and_wait`, which waits for it if the request was pending, and else is still on the stack.
    unsafe { &*event.cast::<Event>() }.set();
    STATUS_MORE_PROCESSING_REQUIRED
}

impl Irp<Create> {
    /// Does a 32-bit process open?
    pub(crate) fn is_32bit(&self) -> bool {
        // SAFETY: alive.
        unsafe { IoIs32bitProcess(self.raw) != 0 }
    }

    /// Who was let in. None: Wine, which does not say.
    pub(crate) fn security_context(&self) -> Option<&SecurityContext> {
        // SAFETY: CREATE has these parameters.
        let context = unsafe { self.location().parameters.create }.security_context;
        // SAFETY: null, or the kernel's, as long as the request.
        unsafe { context.as_ref() }
    }
}

impl Irp<DeviceControl> {
    pub(crate) fn parameters(&self) -> DeviceControlParameters {
        // SAFETY: a device control has these parameters.
        unsafe { self.location().parameters.device_control }
    }

    pub(crate) fn system_buffer(&self) -> *mut u8 {
        self.request().system_buffer.cast()
    }

    /// The list of pages of an out-buffer that comes directly; null: it has no bytes.
    pub(crate) fn mdl(&self) -> *mut Mdl {
        self.request().mdl
    }

    pub(crate) fn user_buffer(&self) -> *mut u8 {
        self.request().user_buffer.cast()
    }

    /// Does it come from the process that runs? User addresses mean something only there: a driver above may have passed it on elsewhere.
    pub(crate) fn is_of_this_process(&self) -> bool {
        // SAFETY: alive.
        let sender = unsafe { IoGetRequestorProcess(self.raw) };
        self.request().requestor_mode == mode::USER && sender == IoGetCurrentProcess()
    }
}

impl Irp<Pnp> {
    /// Of a START_DEVICE: what is assigned.
    pub(crate) fn start_device(&self) -> StartDeviceParameters {
        // SAFETY: two addresses, which any bits are.
        unsafe { self.location().parameters.start_device }
    }
}

impl Irp<Power> {
    pub(crate) fn parameters(&self) -> PowerParameters {
        // SAFETY: numbers, which any bits are. SET_POWER and QUERY_POWER have these parameters.
        unsafe { self.location().parameters.power }
    }
}

/// A request that is answered later, and has a cancel routine meanwhile. Who takes the routine out of the request completes it; if the
/// kernel has it, that is the routine. INVARIANT: when the request is completed, no function of the value is
/// called any more.
pub(crate) struct PendingIrp<K>(Irp<K>);

impl<K> PendingIrp<K> {
    /// A request that is not pending yet.
    pub(crate) fn new(irp: Irp<K>) -> Self {
        Self(irp)
    }

    /// Undoes [`new`](Self::new).
    pub(crate) fn into_irp(self) -> Irp<K> {
        self.0
    }

    /// Makes it pending: its dispatch function answers STATUS_PENDING. `routine` cancels it from here on, and [sees](cancelled) the context.
    /// True: it is cancelled already.
    ///
    /// # Safety
    /// `routine` may be called with this request, and its context is what it expects, until the routine is taken out.
    pub(crate) unsafe fn cancel_by(&self, routine: Cancel, context: *mut c_void) -> bool {
        let request = self.0.raw;
        // SAFETY: alive.
        let location = unsafe { (*request).current_stack_location };
        // SAFETY: this driver's location, which is there as long as the request.
        unsafe { (*location).control |= control::PENDING };
        // SAFETY: alive, and this driver's place in it.
        unsafe { (*request).driver_context[0] = context };
        self.exchange(Some(routine));
        // SAFETY: alive. IoCancelIrp sets this before looking for the routine.
        let cancel = unsafe { &raw const (*request).cancel };
        // SAFETY: alive.
        unsafe { cancel.read_volatile() != 0 }
    }

    /// Takes the cancel routine out. True: it was there, so the caller [answers](Self::claimed) the request.
    pub(crate) fn claim(&self) -> bool {
        self.exchange(None).is_some()
    }

    /// IoSetCancelRoutine.
    fn exchange(&self, routine: Option<Cancel>) -> Option<Cancel> {
        // SAFETY: two views of a pointer that may be null.
        let new = unsafe { transmute::<Option<Cancel>, usize>(routine) };
        // SAFETY: alive.
        let place = unsafe { &raw mut (*self.0.raw).cancel_routine };
        // SAFETY: aligned and alive; the kernel too uses it with atomic exchanges only.
        let old = unsafe { AtomicUsize::from_ptr(place.cast()) }.swap(new, SeqCst);
        // SAFETY: what was there was put there by this function.
        unsafe { transmute::<usize, Option<Cancel>>(old) }
    }

    /// The request, to be answered.
    ///
    /// # Safety
    /// Called once, by who was told so by [`claim`](Self::claim), or by the request's cancel routine.
    pub(crate) unsafe fn claimed(&self) -> Irp<K> {
        Irp { raw: self.0.raw, kind: PhantomData }
    }
}

/// What a cancel routine does first: it lets other requests be cancelled. The answer is what [`PendingIrp::cancel_by`] was given.
///
/// # Safety
/// The request's cancel routine runs.
pub(crate) unsafe fn cancelled(irp: *mut nt::Irp) -> *mut c_void {
    // SAFETY: alive until its cancel routine completes it.
    let request = unsafe { &*irp };
    let context = request.driver_context[0];
    // SAFETY: the kernel has taken its lock for this routine, which gives it back.
    unsafe { IoReleaseCancelSpinLock(request.cancel_irql) };
    context
}
