//! INT_WAIT that is not over: its request stays pending, in a list of its handle. A notification, a timer, the end of the session or a
//! cancellation completes it, whichever comes first.
//!
//! Who may complete a request is settled by its cancel routine: whoever takes the routine out of the request. If the kernel has it, its
//! routine completes the request, also when the wait has been answered meanwhile.
use crate::{
    io::{
        buffered_request::BufferedRequest,
        control::{self, Outcome},
        irp,
    },
    kernel::{
        memory, port,
        wait_queue::{self, WaitQueue},
    },
    nt::*,
    ntstatus,
};
use core::{
    cell::{Cell, UnsafeCell},
    ffi::c_void,
    mem::transmute,
    ptr::{self, NonNull},
    sync::atomic::{AtomicU32, AtomicUsize, Ordering::*},
};
use kp_abi::Status;
use kp_core::{
    AtMost, Dispatch, Passive, Plugin,
    host::{PendingWait, Session, WaitAnswer, dispatch},
};

/// The waits of one handle.
pub(crate) struct Waits<P: Plugin> {
    session: NonNull<Session<P>>,
    lock: UnsafeCell<SpinLock>,
    /// Under `lock`.
    first: UnsafeCell<*const Entry<P>>,
    /// Deferred calls of timers that were not taken back, and have not returned.
    timers: AtomicU32,
}

/// One pending request. Its users are the request, and the timer while it is set.
struct Entry<P: Plugin> {
    irp: *mut Irp,
    waits: *const Waits<P>,
    users: AtomicU32,
    timer: UnsafeCell<Timer>,
    dpc: UnsafeCell<Dpc>,
    // Under the list's lock while it is listed; then whoever has taken it out has them.
    state: Cell<State>,
    previous: Cell<*const Entry<P>>,
    next: Cell<*const Entry<P>>,
    /// Under the list's lock.
    listed: Cell<bool>,
}

enum State {
    Waiting(PendingWait),
    /// Over. If it is listed, the kernel is cancelling the request.
    Answered(WaitAnswer),
    /// Being looked at, or completed.
    Taken,
}

/// The list of waits, under its lock.
struct List<'a, P: Plugin>(&'a mut *const Entry<P>);

/// What was taken out of the list, to be completed outside of its lock: a list through `next`.
struct Finished<P: Plugin>(*const Entry<P>);

impl<P: Plugin> Waits<P> {
    pub(crate) fn new(session: NonNull<Session<P>>) -> Self {
        let (lock, first) = (UnsafeCell::new(0), UnsafeCell::new(ptr::null()));
        Self { session, lock, first, timers: AtomicU32::new(0) }
    }

    fn session(&self) -> &Session<P> {
        // SAFETY: alive as long as the handle.
        unsafe { self.session.as_ref() }
    }

    /// Has the session's queue step them. Once, where they stay.
    pub(crate) fn watch(&self) {
        let queue = self.session().wait_queue().cast::<WaitQueue>();
        // SAFETY: the session's queue, which goes before this does.
        unsafe { wait_queue::watch(queue, step_all::<P>, ptr::from_ref(self).cast()) };
    }

    /// Runs `f` with the list, under its lock. Up to DISPATCH_LEVEL.
    fn locked<R>(&self, f: impl FnOnce(&mut Dispatch, &mut List<'_, P>) -> R) -> R {
        // SAFETY: the list's own lock.
        let irql = unsafe { KeAcquireSpinLockRaiseToDpc(self.lock.get()) };
        // SAFETY: under the lock.
        let list = &mut List(unsafe { &mut *self.first.get() });
        // SAFETY: at DISPATCH_LEVEL until the lock is released.
        let result = unsafe { dispatch(|cx| f(cx, list)) };
        // SAFETY: taken above.
        unsafe { KeReleaseSpinLock(self.lock.get(), irql) };
        result
    }

    /// Serves an INT_WAIT.
    ///
    /// # Safety
    /// A request of this handle, and `user` its own, in the context in which it came. If the answer is Pending, it is not used again.
    pub(crate) unsafe fn serve(
        &self,
        cx: &mut Passive,
        irp: *mut Irp,
        user: &mut BufferedRequest,
    ) -> Result<Outcome, Status> {
        let session = self.session();
        let Some(mut wait) = session.wait_start(cx, user)? else { return Ok(Outcome::Done(user.written())) };
        if wait.is_poll() {
            match session.wait_step(cx, wait) {
                Ok(answer) => return self.give(cx, answer, user).map(Outcome::Done),
                Err(again) => wait = again,
            }
        }
        // SAFETY: the caller's promise.
        if unsafe { irp::file(irp) }.is_none_or(|file| file.flags & FILE_SYNCHRONOUS != 0) {
            return self.give(cx, session.wait_end(wait, Status::NEEDS_OVERLAPPED), user).map(Outcome::Done);
        }
        // SAFETY: the caller's promise.
        match unsafe { Entry::new(irp, self, wait) } {
            Ok(entry) => {
                // SAFETY: the caller's promise.
                unsafe { irp::mark_pending(irp) };
                self.begin(entry);
                Ok(Outcome::Pending)
            }
            Err(wait) => {
                let _ = session.wait_end(wait, Status::NO_MEMORY);
                Err(Status::NO_MEMORY)
            }
        }
    }

    /// Writes an answer, or takes it back. How much is the reply.
    fn give(
        &self,
        cx: &mut impl AtMost<Dispatch>,
        answer: WaitAnswer,
        user: &mut BufferedRequest,
    ) -> Result<usize, Status> {
        match answer.give(user) {
            Ok(()) => Ok(user.written()),
            Err(status) => {
                self.session().wait_put_back(cx, answer);
                Err(status)
            }
        }
    }

    /// Lists a pending request, and then looks for the first time.
    fn begin(&self, entry: &Entry<P>) {
        let mut finished = Finished(ptr::null());
        self.locked(|cx, list| {
            list.insert(entry);
            entry.set_timer();
            // SAFETY: a request of this driver, which is pending.
            unsafe { (*entry.irp).driver_context[0] = ptr::from_ref(entry).cast_mut().cast() };
            entry.set_cancel_routine(Some(on_cancel::<P>));
            // SAFETY: as above. Whoever cancels sets this before looking for the routine.
            let cancel = unsafe { &raw const (*entry.irp).cancel };
            // SAFETY: as above.
            let cancelled = unsafe { cancel.read_volatile() } != 0;
            if cancelled {
                list.claim(entry, &mut finished);
            } else {
                self.step(cx, list, entry, &mut finished);
            }
        });
        self.finish(finished);
    }

    /// Looks whether a wait in the list is over.
    fn step(&self, cx: &mut Dispatch, list: &mut List<'_, P>, entry: &Entry<P>, finished: &mut Finished<P>) {
        match entry.state.replace(State::Taken) {
            State::Waiting(wait) => match self.session().wait_step(cx, wait) {
                Ok(answer) => {
                    entry.state.set(State::Answered(answer));
                    list.claim(entry, finished);
                }
                Err(wait) => entry.state.set(State::Waiting(wait)),
            },
            answered => entry.state.set(answered),
        }
    }

    /// Looks at all.
    fn step_all(&self) {
        let mut finished = Finished(ptr::null());
        self.locked(|cx, list| list.each(|list, entry| self.step(cx, list, entry, &mut finished)));
        self.finish(finished);
    }

    /// Cancels all that are pending. Passive.
    pub(crate) fn cancel_all(&self) {
        let mut finished = Finished(ptr::null());
        self.locked(|_, list| list.each(|list, entry| list.claim(entry, &mut finished)));
        self.finish(finished);
    }

    /// Waits until no timer's call leads here any more. No request is pending, and none comes. Passive.
    pub(crate) fn settle(&self) {
        while self.timers.load(Acquire) != 0 {
            KeFlushQueuedDpcs();
        }
    }

    /// Completes what was taken out of the list. The handle may go as soon as the last one is completed.
    fn finish(&self, finished: Finished<P>) {
        let mut at = finished.0;
        // SAFETY: out of the list, and not left yet.
        while let Some(entry) = unsafe { at.as_ref() } {
            entry.drop_timer();
            let irp = entry.irp;
            let state = entry.state.replace(State::Taken);
            let next = entry.next.get();
            // SAFETY: the request is not its user any more.
            unsafe { Entry::leave(at) };
            // SAFETY: its cancel routine was taken out: nobody else completes it.
            unsafe { self.complete(irp, state) };
            at = next;
        }
    }

    /// Completes a request with its answer; cancelled, if it has none.
    ///
    /// # Safety
    /// A pending request of this handle that nobody else completes, and that is not used again.
    unsafe fn complete(&self, irp: *mut Irp, state: State) {
        let give = |cx: &mut Dispatch, answer: WaitAnswer| {
            // SAFETY: an INT_WAIT, whose buffer is the kernel's.
            match unsafe { control::buffered_request(irp) } {
                Ok(mut user) => self.give(cx, answer, &mut user),
                Err(status) => {
                    self.session().wait_put_back(cx, answer);
                    Err(status)
                }
            }
        };
        let done = match state {
            // SAFETY: requests are completed up to DISPATCH_LEVEL.
            State::Answered(answer) => unsafe { dispatch(|cx| give(cx, answer)) },
            State::Waiting(wait) => {
                let _ = self.session().wait_end(wait, Status::INTERRUPTED);
                Err(Status::INTERRUPTED)
            }
            State::Taken => Err(Status::INTERRUPTED),
        };
        let (status, written) = match done {
            Ok(written) => (STATUS_SUCCESS, written),
            Err(status) => (ntstatus(status), 0),
        };
        // SAFETY: the caller's promise.
        unsafe { irp::complete(irp, status, written) };
    }
}

/// What the session's queue calls. Up to DISPATCH_LEVEL.
unsafe fn step_all<P: Plugin>(waits: *const ()) {
    // SAFETY: given by `watch`.
    unsafe { &*waits.cast::<Waits<P>>() }.step_all();
}

/// A request is cancelled: its own wait ends. If that has been answered, the answer stands.
unsafe extern "efiapi" fn on_cancel<P: Plugin>(_: *mut DeviceObject, irp: *mut Irp) {
    // SAFETY: the request is being cancelled by this routine.
    let request = unsafe { &*irp };
    let entry = request.driver_context[0].cast::<Entry<P>>();
    // SAFETY: the kernel has taken its lock for this routine, which gives it back.
    unsafe { IoReleaseCancelSpinLock(request.cancel_irql) };
    // SAFETY: put there before the routine, and alive: nobody but this routine completes the request.
    let entry = unsafe { &*entry };
    // SAFETY: as above: the handle goes after the request.
    let waits = unsafe { &*entry.waits };
    let mut finished = Finished(ptr::null());
    waits.locked(|_, list| list.remove(entry, &mut finished));
    waits.finish(finished);
}

impl<P: Plugin> List<'_, P> {
    fn insert(&mut self, entry: &Entry<P>) {
        // SAFETY: what is in the list is alive.
        if let Some(first) = unsafe { self.0.as_ref() } {
            first.previous.set(entry);
        }
        entry.next.set(*self.0);
        *self.0 = entry;
        entry.listed.set(true);
    }

    /// Takes an entry out of the list, to be completed.
    fn remove(&mut self, entry: &Entry<P>, finished: &mut Finished<P>) {
        let (previous, next) = (entry.previous.get(), entry.next.get());
        // SAFETY: what is in the list is alive.
        match unsafe { previous.as_ref() } {
            Some(previous) => previous.next.set(next),
            None => *self.0 = next,
        }
        // SAFETY: as above.
        if let Some(next) = unsafe { next.as_ref() } {
            next.previous.set(previous);
        }
        entry.next.set(finished.0);
        finished.0 = entry;
        entry.listed.set(false);
    }

    /// Takes an entry out, unless the kernel is cancelling its request: its routine does so then.
    fn claim(&mut self, entry: &Entry<P>, finished: &mut Finished<P>) {
        if entry.set_cancel_routine(None).is_some() {
            self.remove(entry, finished);
        }
    }

    /// Runs `f` for each entry, which it may take out.
    fn each(&mut self, mut f: impl FnMut(&mut Self, &Entry<P>)) {
        let mut at = *self.0;
        // SAFETY: what is in the list is alive.
        while let Some(entry) = unsafe { at.as_ref() } {
            at = entry.next.get();
            f(self, entry);
        }
    }
}

impl<P: Plugin> Entry<P> {
    /// Err: no memory. Passive.
    ///
    /// # Safety
    /// `irp` is a request of the handle whose `waits` these are. The entry is alive until the request [leaves](Self::leave) it.
    unsafe fn new<'a>(irp: *mut Irp, waits: &Waits<P>, wait: PendingWait) -> Result<&'a Self, PendingWait> {
        let place = memory::alloc(size_of::<Self>(), align_of::<Self>()).cast::<Self>();
        if place.is_null() {
            return Err(wait);
        }
        let entry = Self {
            irp,
            waits,
            users: AtomicU32::new(1),
            timer: UnsafeCell::new(Timer::UNUSED),
            dpc: UnsafeCell::new(Dpc::UNUSED),
            state: Cell::new(State::Waiting(wait)),
            previous: Cell::new(ptr::null()),
            next: Cell::new(ptr::null()),
            listed: Cell::new(false),
        };
        // SAFETY: fresh memory of this size.
        unsafe { place.write(entry) };
        // SAFETY: written above.
        let entry = unsafe { &*place };
        // SAFETY: the entry's own, where it stays.
        unsafe { KeInitializeTimer(entry.timer.get()) };
        // SAFETY: as above.
        unsafe { KeInitializeDpc(entry.dpc.get(), on_timer::<P>, place.cast()) };
        Ok(entry)
    }

    /// IoSetCancelRoutine: puts one into the request, and takes out what was there.
    fn set_cancel_routine(&self, routine: Option<Cancel>) -> Option<Cancel> {
        // SAFETY: two views of a pointer that may be null.
        let new = unsafe { transmute::<Option<Cancel>, usize>(routine) };
        // SAFETY: listed: the request is pending.
        let place = unsafe { &raw mut (*self.irp).cancel_routine };
        // SAFETY: aligned and alive; the kernel too uses it with atomic exchanges only.
        let old = unsafe { AtomicUsize::from_ptr(place.cast()) }.swap(new, SeqCst);
        // SAFETY: as above: what was there was put there by this function.
        unsafe { transmute::<usize, Option<Cancel>>(old) }
    }

    /// Has the list looked at when the time is up. Under the list's lock, listed, the timer not set.
    fn set_timer(&self) {
        let state = self.state.replace(State::Taken);
        let deadline = if let State::Waiting(wait) = &state { wait.deadline_ns() } else { None };
        self.state.set(state);
        let Some(deadline) = deadline else { return };
        self.users.fetch_add(1, Relaxed);
        self.waits().timers.fetch_add(1, Relaxed);
        let due = wait_queue::relative(deadline.saturating_sub(port::now_ns()));
        // SAFETY: initialised by `new`, and not set.
        unsafe { KeSetTimer(self.timer.get(), due, self.dpc.get()) };
    }

    /// Takes the timer back, if its call has not begun.
    fn drop_timer(&self) {
        // SAFETY: initialised by `new`.
        if unsafe { KeCancelTimer(self.timer.get()) } != 0 {
            self.users.fetch_sub(1, Relaxed);
            self.waits().timers.fetch_sub(1, Release);
        }
    }

    fn waits(&self) -> &Waits<P> {
        // SAFETY: the handle goes after its requests, and waits for their timers.
        unsafe { &*self.waits }
    }

    /// One user less; the last one frees it.
    ///
    /// # Safety
    /// The caller is a user, and does not use it again. Up to DISPATCH_LEVEL.
    unsafe fn leave(this: *const Self) {
        // SAFETY: the caller's promise.
        if unsafe { &(*this).users }.fetch_sub(1, AcqRel) != 1 {
            return;
        }
        let place = this.cast_mut();
        // SAFETY: nobody uses it.
        unsafe { place.drop_in_place() };
        // SAFETY: from `alloc`.
        unsafe { memory::free(place.cast(), align_of::<Self>()) };
    }
}

/// A wait's time is up.
unsafe extern "efiapi" fn on_timer<P: Plugin>(_: *mut Dpc, entry: *mut c_void, _: *mut c_void, _: *mut c_void) {
    // SAFETY: the timer is a user of the entry.
    let entry = unsafe { &*entry.cast_const().cast::<Entry<P>>() };
    // `settle` waits for this call before the handle goes.
    let waits = ptr::from_ref(entry.waits());
    // SAFETY: as above.
    let waits = unsafe { &*waits };
    waits.step_all();
    waits.locked(|_, _| {
        if entry.listed.get() {
            entry.set_timer(); // it came before its time
        }
    });
    // SAFETY: this call's use of it.
    unsafe { Entry::leave(entry) };
    waits.timers.fetch_sub(1, Release);
}
