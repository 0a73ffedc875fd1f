//! INT_WAIT that is not over: its request stays pending, in a list of its handle. A notification, a timer, the end of the session or a
//! cancellation completes it, whichever comes first.
//!
//! Who may complete a request is settled by its cancel routine: who takes the routine out of the request does. If the kernel has it, its
//! routine completes the request, also when the wait has been answered meanwhile.
use crate::{
    io::{
        buffered_request::BufferedRequest,
        irp::{self, DeviceControl, Irp, PendingIrp},
        outcome::Outcome,
    },
    kernel::{
        clock::{now_ns, relative},
        dpc::Timer,
        list::{Linked, Links, List},
        pool_box::PoolBox,
        spin_lock::SpinLock,
        wait_queue::{self, WaitQueue},
    },
    nt::{self, *},
};
use core::{
    cell::Cell,
    ffi::c_void,
    ptr::{self, NonNull},
    sync::atomic::{AtomicU32, Ordering::*},
};
use kp_abi::Status;
use kp_core::{
    AtMost, Dispatch, Passive, Plugin,
    host::{PendingWait, Session, WaitAnswer, dispatch},
};

/// The waits of one handle.
pub(crate) struct Waits<P: Plugin> {
    session: NonNull<Session<P>>,
    list: SpinLock<List<Entry<P>>>,
    /// DPCs of timers that were not taken back, and have not returned.
    timers: AtomicU32,
}

/// One pending request. Its users are the request, and the timer while it is set.
struct Entry<P: Plugin> {
    irp: PendingIrp<DeviceControl>,
    waits: *const Waits<P>,
    users: AtomicU32,
    timer: Timer,
    // Under the list's lock while it is listed; then the thread that has taken it out has them.
    state: Cell<State>,
    /// In the list, or among what was taken out of it.
    links: Links<Self>,
    /// Under the list's lock.
    listed: Cell<bool>,
}

impl<P: Plugin> Linked for Entry<P> {
    fn links(&self) -> &Links<Self> {
        &self.links
    }
}

enum State {
    Waiting(PendingWait),
    /// Over. If it is listed, the kernel is cancelling the request.
    Answered(WaitAnswer),
    /// Being looked at, or completed.
    Taken,
}

/// How far a wait is when it has begun.
enum Begun {
    /// It is over, and this much of the out-buffer is the reply.
    Answered(usize),
    Pending(PendingWait),
}

/// What was taken out of the list, to be completed outside of its lock.
type Finished<P> = List<Entry<P>>;

impl<P: Plugin> Waits<P> {
    pub(crate) fn new(session: NonNull<Session<P>>) -> Self {
        Self { session, list: SpinLock::new(List::new()), timers: AtomicU32::new(0) }
    }

    pub(crate) fn session(&self) -> &Session<P> {
        // SAFETY: alive until CLOSE frees both.
        unsafe { self.session.as_ref() }
    }

    /// Has the session's queue step them. Once, where they stay.
    pub(crate) fn watch(&self) {
        let queue = self.session().wait_queue().as_ptr().cast::<WaitQueue>();
        // SAFETY: the session's queue, which goes before this does.
        unsafe { wait_queue::watch(queue, step_all::<P>, ptr::from_ref(self).cast()) };
    }

    /// Runs `f` with the list, under its lock. Up to DISPATCH_LEVEL.
    fn locked<R>(&self, f: impl FnOnce(&mut Dispatch, &mut List<Entry<P>>) -> R) -> R {
        // SAFETY: at DISPATCH_LEVEL under a spin lock.
        self.list.with(|list| unsafe { dispatch(|cx| f(cx, list)) })
    }

    /// Serves an INT_WAIT of this handle, in the context in which it came.
    pub(crate) fn serve(&self, cx: &mut Passive, irp: Irp<DeviceControl>) -> Outcome {
        match self.answer_now(cx, &irp) {
            Ok(Begun::Answered(written)) => Outcome::Done(irp, Ok(written)),
            Ok(Begun::Pending(wait)) => self.pend(irp, wait),
            Err(status) => Outcome::Done(irp, Err(status)),
        }
    }

    /// Begins a wait, and answers what need not or cannot stay pending.
    fn answer_now(&self, cx: &mut Passive, irp: &Irp<DeviceControl>) -> Result<Begun, Status> {
        let user = &mut BufferedRequest::buffered(irp)?;
        let session = self.session();
        let Some(mut wait) = session.wait_start(cx, user)? else { return Ok(Begun::Answered(user.written())) };
        if wait.is_poll() {
            match session.wait_step(cx, wait) {
                Ok(answer) => return self.give(cx, answer, user).map(Begun::Answered),
                Err(again) => wait = again,
            }
        }
        if irp.file().is_none_or(|file| file.flags & FILE_SYNCHRONOUS != 0) {
            let refused = session.wait_end(wait, Status::NEEDS_OVERLAPPED);
            return self.give(cx, refused, user).map(Begun::Answered);
        }
        Ok(Begun::Pending(wait))
    }

    /// Has a request stay pending. NoMemory. Passive.
    fn pend(&self, irp: Irp<DeviceControl>, wait: PendingWait) -> Outcome {
        match PoolBox::new(Entry::new(irp, self, wait)) {
            Ok(entry) => {
                let entry = entry.into_raw();
                // SAFETY: in the pool, until the request, which this function begins with, and the timer have left it.
                self.begin(unsafe { entry.as_ref() });
                Outcome::Pending
            }
            Err(entry) => {
                if let State::Waiting(wait) = entry.state.into_inner() {
                    let _ = self.session().wait_end(wait, Status::NO_MEMORY);
                }
                Outcome::Done(entry.irp.into_irp(), Err(Status::NO_MEMORY))
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

    /// Lists a request, makes it pending, and then looks for the first time.
    fn begin(&self, entry: &Entry<P>) {
        let mut finished = Finished::new();
        // SAFETY: new, and in the pool; the timer that is set is a user of the entry.
        unsafe { entry.timer.init(on_timer::<P>, ptr::from_ref(entry).cast_mut().cast()) };
        self.locked(|cx, list| {
            // SAFETY: new, and in the pool; it is taken out before the request leaves it.
            unsafe { list.insert(entry) };
            entry.listed.set(true);
            entry.set_timer();
            // SAFETY: the entry is in the list, and stays until the routine is taken out or has run.
            if unsafe { entry.irp.cancel_by(on_cancel::<P>, ptr::from_ref(entry).cast_mut().cast()) } {
                entry.claim(list, &mut finished);
            } else {
                self.step(cx, list, entry, &mut finished);
            }
        });
        self.finish(finished);
    }

    /// Looks whether a wait in the list is over.
    fn step(&self, cx: &mut Dispatch, list: &mut List<Entry<P>>, entry: &Entry<P>, finished: &mut Finished<P>) {
        match entry.state.replace(State::Taken) {
            State::Waiting(wait) => match self.session().wait_step(cx, wait) {
                Ok(answer) => {
                    entry.state.set(State::Answered(answer));
                    entry.claim(list, finished);
                }
                Err(wait) => entry.state.set(State::Waiting(wait)),
            },
            answered => entry.state.set(answered),
        }
    }

    /// Looks at all.
    fn step_all(&self) {
        let mut finished = Finished::new();
        self.locked(|cx, list| list.each(|list, entry| self.step(cx, list, entry, &mut finished)));
        self.finish(finished);
    }

    /// Cancels all that are pending. Passive.
    pub(crate) fn cancel_all(&self) {
        let mut finished = Finished::new();
        self.locked(|_, list| list.each(|list, entry| entry.claim(list, &mut finished)));
        self.finish(finished);
    }

    /// Waits until no timer's call leads here any more. No request is pending, and none comes. Passive.
    pub(crate) fn settle(&self) {
        while self.timers.load(Acquire) != 0 {
            KeFlushQueuedDpcs();
        }
    }

    /// Completes what was taken out of the list. The handle may go as soon as the last one is completed.
    fn finish(&self, mut finished: Finished<P>) {
        while let Some(place) = finished.pop() {
            // SAFETY: out of the list, and not left yet.
            let entry = unsafe { place.as_ref() };
            entry.drop_timer();
            let state = entry.state.replace(State::Taken);
            // SAFETY: its cancel routine was taken out, or has put it here: nobody else completes it.
            let irp = unsafe { entry.irp.claimed() };
            // SAFETY: the request is not its user any more.
            unsafe { Entry::leave(place) };
            self.complete(irp, state);
        }
    }

    /// Completes a request of this handle with its answer; cancelled, if it has none. Up to DISPATCH_LEVEL.
    fn complete(&self, irp: Irp<DeviceControl>, state: State) {
        let give = |cx: &mut Dispatch, answer: WaitAnswer| match BufferedRequest::buffered(&irp) {
            Ok(mut user) => self.give(cx, answer, &mut user),
            Err(status) => {
                self.session().wait_put_back(cx, answer);
                Err(status)
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
        Outcome::Done(irp, done).complete();
    }
}

/// What the session's queue calls. Up to DISPATCH_LEVEL.
unsafe fn step_all<P: Plugin>(waits: *const ()) {
    // SAFETY: given by `watch`.
    unsafe { &*waits.cast::<Waits<P>>() }.step_all();
}

/// A request is cancelled: its own wait ends. If that has been answered, the answer stands.
unsafe extern "efiapi" fn on_cancel<P: Plugin>(_: *mut nt::DeviceObject, irp: *mut nt::Irp) {
    // SAFETY: the request is being cancelled by this routine.
    let entry = unsafe { irp::cancelled(irp) }.cast::<Entry<P>>();
    // SAFETY: put there with the routine, and alive: nobody but this routine completes the request.
    let entry = unsafe { &*entry };
    let waits = entry.waits();
    let mut finished = Finished::new();
    waits.locked(|_, list| entry.take_out(list, &mut finished));
    waits.finish(finished);
}

impl<P: Plugin> Entry<P> {
    /// `irp` is a request of the handle whose `waits` these are.
    fn new(irp: Irp<DeviceControl>, waits: &Waits<P>, wait: PendingWait) -> Self {
        Self {
            irp: PendingIrp::new(irp),
            waits,
            users: AtomicU32::new(1),
            timer: Timer::unused(),
            state: Cell::new(State::Waiting(wait)),
            links: Links::new(),
            listed: Cell::new(false),
        }
    }

    /// Takes it out of the list, to be completed.
    fn take_out(&self, list: &mut List<Self>, finished: &mut Finished<P>) {
        // SAFETY: listed: nobody else takes it out, by whom the request is claimed.
        unsafe { list.remove(self) };
        // SAFETY: in no list any more; alive until `finish` has taken it.
        unsafe { finished.insert(self) };
        self.listed.set(false);
    }

    /// Takes it out, unless the kernel is cancelling its request: its routine does so then.
    fn claim(&self, list: &mut List<Self>, finished: &mut Finished<P>) {
        if self.irp.claim() {
            self.take_out(list, finished);
        }
    }

    /// Has the list looked at when the time is up. Under the list's lock, listed, the timer not set.
    fn set_timer(&self) {
        let state = self.state.replace(State::Taken);
        let deadline = if let State::Waiting(wait) = &state { wait.deadline_ns() } else { None };
        self.state.set(state);
        let Some(deadline) = deadline else { return };
        self.users.fetch_add(1, Relaxed);
        self.waits().timers.fetch_add(1, Relaxed);
        let due = relative(deadline.saturating_sub(now_ns()));
        self.timer.set(due);
    }

    /// Takes the timer back, if its call has not begun.
    fn drop_timer(&self) {
        if self.timer.cancel() {
            self.users.fetch_sub(1, Relaxed);
            self.waits().timers.fetch_sub(1, Release);
        }
    }

    fn waits<'a>(&self) -> &'a Waits<P> {
        // SAFETY: the handle goes after its requests, and waits for their timers.
        unsafe { &*self.waits }
    }

    /// One user less; the last one frees it.
    ///
    /// # Safety
    /// The caller is a user, and does not use it again. Up to DISPATCH_LEVEL.
    unsafe fn leave(this: NonNull<Self>) {
        // SAFETY: alive: the caller is a user.
        if unsafe { this.as_ref() }.users.fetch_sub(1, AcqRel) != 1 {
            return;
        }
        // SAFETY: from the pool, and nobody uses it.
        drop(unsafe { PoolBox::from_raw(this) });
    }
}

/// A wait's time is up.
unsafe extern "efiapi" fn on_timer<P: Plugin>(_: *mut nt::Dpc, entry: *mut c_void, _: *mut c_void, _: *mut c_void) {
    // SAFETY: the timer is a user of the entry.
    let entry = unsafe { &*entry.cast_const().cast::<Entry<P>>() };
    let waits = entry.waits(); // `settle` waits for this call before the handle goes
    waits.step_all();
    waits.locked(|_, _| {
        if entry.listed.get() {
            entry.set_timer(); // it came before its time
        }
    });
    // SAFETY: this call's use of it.
    unsafe { Entry::leave(NonNull::from(entry)) };
    waits.timers.fetch_sub(1, Release);
}
