//! Listening to an interrupt of the plugin's own: what INT_ENABLE and INT_DISABLE are for such a plugin. Nothing of the plugin's runs, and nothing
//! is connected.
//!
//! Sessions come and go while ISR and DPC run. So these touch what is a session's, its waker and its counter page, under the notifications'
//! lock alone. A wake-up comes after that lock: a port may take a step of a wait in it, which takes the lock. Who wakes is counted under it
//! instead, and whoever ends a listening waits until nobody does: a session is its owner until then.
use super::{
    IrqRequest,
    enable::Enabled,
    interrupt::Interrupts,
    kernel,
    notifications::{Notifications, Owner},
    session::Session,
    waker::Waker,
};
use crate::{AtMost, Dispatch, Error, Granted, Passive, Plugin, Result, Status};
use core::sync::atomic::Ordering::*;
use kp_abi::{Counters, request::ANY_VECTOR, ring::SHOWN_VECTORS};

/// How long the end of a listening waits between two looks at who wakes, in ns.
const LOOK_NS: u64 = 100_000;

impl<P: Plugin> Interrupts<P> {
    /// INT_ENABLE: the session listens from now on, if what it allows fits what there is. The caller is inside its gate.
    #[cfg_attr(kp_driver, optimize(size))]
    pub(super) fn listen(&self, cx: &mut Passive, session: &Session<P>, wanted: IrqRequest) -> Result<Enabled> {
        let waker = &session.context.waker;
        // Its wait has said that the listening is over, and who said so is not through yet.
        let over = self.notifications.with(cx, |notifications, _| {
            let is_over = notifications.check_owner(waker).is_ok() && !notifications.armed;
            is_over.then_some(notifications.generation)
        });
        if let Some(generation) = over {
            self.leave(cx, generation);
        }
        self.notifications.with(cx, |notifications, _| {
            match notifications.check_owner(waker) {
                Ok(()) => return Err(Status::ALREADY_ENABLED.into()),
                Err(error) if error == Status::INTERRUPT_OWNED => return Err(error),
                Err(_) => {}
            }
            let count = notifications.vectors.len() as u32;
            let fits = |bit: u32| wanted.kinds.bits() & bit != 0 && (wanted.min..=wanted.max).contains(&count);
            let Some(kind) = notifications.kind.filter(|kind| fits(kind.bit())) else {
                return Err(Status::NO_INTERRUPT.into());
            };
            // SAFETY: the session's tear-down ends its listening, and waits for who wakes it, before the session goes.
            let owner = unsafe { Owner::new(waker) };
            let generation = notifications.listen(owner);
            // SAFETY: the page lives as long as the session. It is published in under this lock alone, and detached at the listening's end.
            unsafe { self.counter_page.attach(session.kernel_page(), generation, count as usize) };
            self.publish(notifications);
            Ok(Enabled { kind, count, generation })
        })
    }

    /// INT_DISABLE: the session listens no more. The listening's number, and the counters.
    #[cfg_attr(kp_driver, optimize(size))]
    pub(super) fn end_listening(&self, cx: &mut Passive, session: &Session<P>) -> Result<(u64, Counters)> {
        let waker = &session.context.waker;
        let ended = self.notifications.with(cx, |notifications, _| {
            notifications.check_owner(waker)?;
            if !notifications.armed {
                return Err(Error::from(Status::NOT_ENABLED)); // somebody else is at it
            }
            self.end_locked(notifications);
            Ok((notifications.generation, notifications.counters(ANY_VECTOR)?))
        })?;
        waker.wake();
        self.leave(cx, ended.0);
        Ok(ended)
    }

    /// The session with this waker listens no more, if it did. When this returns nobody wakes it.
    #[cfg_attr(kp_driver, optimize(size))]
    pub(super) fn end_listening_of(&self, cx: &mut Passive, waker: &Waker) {
        let ended = self.notifications.with(cx, |notifications, _| {
            notifications.check_owner(waker).is_ok().then(|| {
                self.end_locked(notifications);
                notifications.generation
            })
        });
        if let Some(generation) = ended {
            waker.wake();
            self.leave(cx, generation);
        }
    }

    /// There is nothing to listen to, until an enabling begins: the waits of who listens end.
    #[cfg_attr(kp_driver, optimize(size))]
    pub(super) fn end_any_listening(&self, cx: &mut Passive) {
        let ended = self.notifications.with(cx, |notifications, _| {
            notifications.kind = None;
            self.end_locked(notifications);
            let owner = notifications.owner?;
            self.wakers.fetch_add(1, Relaxed);
            Some((owner, notifications.generation))
        });
        if let Some((owner, generation)) = ended {
            self.wake_counted(owner);
            self.leave(cx, generation);
        }
    }

    /// An enabling has got these vectors: if they are others than before, who listened does no more.
    #[cfg_attr(kp_driver, optimize(size))]
    pub(super) fn keep_listener(&self, cx: &mut Passive, granted: Granted) {
        let fits = |notifications: &mut Notifications| notifications.fits(granted.kind, granted.count as usize);
        if !self.notifications.with(cx, |notifications, _| fits(notifications)) {
            self.end_any_listening(cx);
        }
    }

    /// A DPC has run: so many notifications, and a storm perhaps.
    #[cfg_attr(kp_driver, optimize(size))]
    #[inline(never)]
    pub(super) fn tell_listener(&self, cx: &mut impl AtMost<Dispatch>, vector: u32, notified: u32, storm: bool) {
        let is_silent = notified == 0 && !storm;
        let listener = self.notifications.with(cx, |notifications, _| {
            notifications.notify_listener(vector, notified);
            notifications.storm |= storm;
            if self.counter_page.is_attached()
                && let Some(counters) = notifications.counters_of(vector)
            {
                self.counter_page.publish(vector, counters);
            }
            let listener = notifications.owner.filter(|_| notifications.armed && !is_silent)?;
            self.wakers.fetch_add(1, Relaxed);
            Some(listener)
        });
        if let Some(listener) = listener {
            self.wake_counted(listener);
        }
    }

    /// Wakes who was counted under the lock.
    fn wake_counted(&self, listener: Owner) {
        // SAFETY: counted in `wakers`: the session is not freed before that is over.
        unsafe { listener.wake() };
        self.wakers.fetch_sub(1, Release);
    }

    /// Nobody takes any more, and nothing is published.
    #[cfg_attr(kp_driver, optimize(size))]
    fn end_locked(&self, notifications: &mut Notifications) {
        notifications.armed = false;
        notifications.discard_pending();
        self.publish(notifications);
        self.counter_page.detach();
    }

    /// Publishes the counters as they are.
    #[cfg_attr(kp_driver, optimize(size))]
    fn publish(&self, notifications: &Notifications) {
        if self.counter_page.is_attached() {
            for vector in 0..SHOWN_VECTORS as u32 {
                let Some(counters) = notifications.counters_of(vector) else { break };
                self.counter_page.publish(vector, counters);
            }
        }
    }

    /// After [`end_locked`](Self::end_locked), of this listening: waits until nobody wakes its session, which then is not its owner any more.
    #[cfg_attr(kp_driver, optimize(size))]
    fn leave(&self, cx: &mut Passive, generation: u64) {
        loop {
            let is_over = self.notifications.with(cx, |notifications, _| {
                // Unless another thread has done it, and a session listens by now.
                let is_last = !notifications.armed && notifications.generation == generation;
                // Under the lock: nobody is counted any more once there is no owner.
                let is_over = !is_last || self.wakers.load(Acquire) == 0;
                if is_last && is_over {
                    notifications.owner = None;
                }
                is_over
            });
            if is_over {
                return;
            }
            kernel::sleep_ns(LOOK_NS);
        }
    }
}
