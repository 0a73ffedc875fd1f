//! INT_WAIT, in steps. A port that blocks a thread loops around [`Session::wait_step`], as [`Session::request`] does; a port that keeps
//! requests pending keeps the [`PendingWait`] with its request, and takes the next step whenever the session's wait queue is woken.
#![deny(unsafe_code)]
use super::{
    Deadline, Timeout, Woken, kernel,
    notifications::Notified,
    outcome::RequestResult,
    requests::read_struct,
    session::Session,
    user_request::{Faulted, UserRequest},
};
use crate::{AtMost, Dispatch, Passive, Plugin, Result, Status, limits};
use core::{mem::offset_of, sync::atomic::Ordering::*};
use kp_abi::{
    TransportStatus,
    request::{IntWait, NO_TIMEOUT},
    zerocopy::IntoBytes,
};

/// An INT_WAIT that is not over: it is counted among its session's, and belongs to one enabling. It ends in [`Session::wait_step`] or
/// [`Session::wait_end`]; one that is dropped stays counted.
#[must_use = "it is counted until it is ended"]
#[derive(Debug)]
pub struct PendingWait {
    generation: u64,
    deadline: Deadline,
    vector: u32,
    max: u32,
}

impl PendingWait {
    /// When its time is up, in ns as the port's `now_ns` counts. None: never.
    pub fn deadline_ns(&self) -> Option<u64> {
        self.deadline.ns()
    }

    /// It asks only: the first step answers.
    pub fn is_poll(&self) -> bool {
        self.deadline == Deadline::PAST
    }
}

/// How a wait ended.
#[must_use = "it may have taken notifications: give it to the app, or put them back"]
pub struct WaitAnswer(Result<Notified>);

impl WaitAnswer {
    /// The answer's status.
    pub fn status(&self) -> Status {
        self.0.as_ref().err().map_or(Status::OK, |error| error.status)
    }

    /// Writes the answer: what was taken, then status and detail. On an error nothing counts as written:
    /// [`Session::wait_put_back`] is next. The level is the user's.
    pub fn give(&self, user: &mut impl UserRequest) -> RequestResult {
        const FROM: usize = offset_of!(IntWait, got_vector);
        let given = match &self.0 {
            Ok(taken) => {
                const {
                    assert!(FROM + offset_of!(Notified, got) == offset_of!(IntWait, got));
                    assert!(FROM + offset_of!(Notified, available) == offset_of!(IntWait, available));
                    assert!(FROM + offset_of!(Notified, generation) == offset_of!(IntWait, generation));
                }
                user.write_with_answer(FROM, taken.as_bytes(), Status::OK.0, 0)
            }
            Err(error) => user.answer(error.status.0, error.detail),
        };
        given.map_err(|Faulted| TransportStatus::FAULT.status())
    }
}

impl<P: Plugin> Session<P> {
    /// INT_WAIT, up to where it may have to wait. None: it is refused, and the answer written. In the caller's context.
    ///
    /// Nothing is looked for yet. A port that keeps the wait pending puts it where `wait_queue_wake` of [`wait_queue`](Self::wait_queue) finds it, and
    /// then takes the first step: what came before was not lost, what comes later wakes.
    #[cfg_attr(kp_driver, optimize(size))]
    pub fn wait_start(&self, cx: &mut Passive, user: &mut impl UserRequest) -> Result<Option<PendingWait>, Status> {
        let wait = match read_struct::<IntWait>(user) {
            Ok(wait) => wait,
            Err(error) => return error.answer(user).map(|_| None),
        };
        match self.count_wait(cx, &wait) {
            Ok(wait) => Ok(Some(wait)),
            Err(error) => WaitAnswer(Err(error)).give(user).map(|()| None),
        }
    }

    #[cfg_attr(kp_driver, optimize(size))]
    fn count_wait(&self, cx: &mut Passive, wait: &IntWait) -> Result<PendingWait> {
        if wait.max == 0 {
            return Err(Status::BAD_FIELD.into());
        }
        if !self.is_open() {
            return Err(self.refusal_status().into());
        }
        // Which enabling it waits for is settled before it is counted: an app that sees it pending and disables ends it with IntDisabled.
        let generation = match self.device.interrupts() {
            Some(interrupts) => interrupts.waitable(cx, &self.context.waker),
            None if kernel::poisoned() => Err(Status::POISONED.into()),
            None => Err(Status::NOT_ENABLED.into()),
        };
        let generation = generation.map_err(|error| self.disabled_status(error))?;
        if self.waits.fetch_add(1, AcqRel) >= limits::MAX_WAITS {
            self.waits.fetch_sub(1, AcqRel);
            return Err(Status::TOO_MANY_WAITS.into());
        }
        let deadline = match wait.timeout_ns {
            0 => Deadline::PAST,
            ns => Deadline::after(Timeout::from_ns(ns)),
        };
        Ok(PendingWait { generation, deadline, vector: wait.vector, max: wait.max })
    }

    /// Is the wait over? `Err`: not yet. It is if there are notifications, or will be none: the interrupt is disabled or has been masked,
    /// the session is closed, the device gone, the plugin has panicked, the time is up.
    ///
    /// Due once after [`wait_start`](Self::wait_start), whenever the session's wait queue is woken, and at the deadline.
    #[inline]
    pub fn wait_step(&self, cx: &mut impl AtMost<Dispatch>, wait: PendingWait) -> Result<WaitAnswer, PendingWait> {
        match self.look_for(cx, &wait) {
            Some(answer) => {
                self.waits.fetch_sub(1, AcqRel);
                Ok(WaitAnswer(answer.map_err(|error| self.disabled_status(error))))
            }
            None => Err(wait),
        }
    }

    #[inline]
    fn look_for(&self, cx: &mut impl AtMost<Dispatch>, wait: &PendingWait) -> Option<Result<Notified>> {
        if kernel::poisoned() || !self.is_open() {
            return Some(Err(self.refusal_status().into()));
        }
        let interrupts = self.device.interrupts()?;
        match interrupts.dequeue(cx, &self.context.waker, wait.generation, wait.vector, wait.max) {
            Err(error) if error == Status::TIMEOUT => {}
            // The enabling that this wait belongs to has ended.
            Err(error) if error == Status::NOT_ENABLED || error == Status::INTERRUPT_OWNED => {
                return Some(Err(Status::INT_DISABLED.into()));
            }
            other => return Some(other),
        }
        wait.deadline.is_over().then(|| Err(Status::TIMEOUT.into()))
    }

    /// Ends a wait that is not over, and has taken nothing, with a status of the port's: it was cancelled, or cannot wait here.
    /// Passive and Dispatch.
    pub fn wait_end(&self, wait: PendingWait, status: Status) -> WaitAnswer {
        let PendingWait { .. } = wait;
        self.waits.fetch_sub(1, AcqRel);
        WaitAnswer(Err(status.into()))
    }

    /// Takes back an answer that could not be delivered. Wakes the session's wait queue.
    pub fn wait_put_back(&self, cx: &mut impl AtMost<Dispatch>, answer: WaitAnswer) {
        if let (Ok(taken), Some(interrupts)) = (answer.0, self.device.interrupts()) {
            interrupts.requeue(cx, taken);
            self.context.waker.wake();
        }
    }
}

/// INT_WAIT that blocks the calling thread. A signal leaves the rest of the time in the struct, for the call's restart.
#[inline(never)]
pub(super) fn serve<P: Plugin>(session: &Session<P>, cx: &mut Passive, user: &mut impl UserRequest) -> RequestResult {
    let Some(mut wait) = session.wait_start(cx, user)? else { return Ok(()) };
    loop {
        let wake_seq = session.context.waker.wake_seq();
        wait = match session.wait_step(cx, wait) {
            Ok(answer) => return answer.give(user).inspect_err(|_| session.wait_put_back(cx, answer)),
            Err(wait) => wait,
        };
        if session.context.waker.wait(wake_seq, wait.deadline) == Woken::Interrupted {
            let _ = user.write(offset_of!(IntWait, timeout_ns), wait.deadline.left().ns().as_bytes());
            let _ = session.wait_end(wait, Status::INTERRUPTED);
            return Err(Status::INTERRUPTED);
        }
    }
}

const _: () = assert!(size_of::<PendingWait>() == 24, "what docs/porting.md promises");
const _: () = assert!(Timeout::NEVER.ns() == NO_TIMEOUT, "what is left of a wait without a limit is none");
