//! Waiting until other code of the plugin has done something.
#![deny(unsafe_code)]
use crate::{
    AtMost, Dispatch, Passive, Result, Status,
    host::{Deadline, EventCount, Timeout},
};

/// Where calls wait until other code of the plugin has done something: an interrupt's DPC, a timer, another call.
///
/// It has no state of its own: what is waited for is in an atomic or under a lock, is changed first, and then those who wait are woken. It may
/// be dropped anywhere. An interrupt that no app has enabled wakes nobody.
///
/// ```
/// # use kp_core::*;
/// # use core::sync::atomic::{AtomicBool, Ordering::*};
/// # struct Card { done: AtomicBool, finished: WaitQueue }
/// # impl Card {
/// fn int_at_dpc(&self, cx: &mut Dispatch, _: &(), _: Source, _count: u32) -> u32 {
///     self.done.store(true, Release);
///     self.finished.wake(cx);
///     0 // no app is notified: a call waits
/// }
/// fn transfer(&self, cx: &mut Passive) -> Result<()> {
///     self.finished.wait_until(cx, 1000, |_| self.done.load(Acquire))
/// }
/// # }
/// ```
pub struct WaitQueue(EventCount);

impl WaitQueue {
    /// A queue in which nobody waits. Errors: `NO_MEMORY`.
    pub fn new(cx: &mut Passive) -> Result<Self> {
        EventCount::new(cx).map(Self)
    }

    /// Has all who wait ask their condition again. At Dispatch and below: an ISR defers, and its DPC wakes.
    #[inline]
    pub fn wake<L: AtMost<Dispatch>>(&self, _cx: &mut L) {
        self.0.wake();
    }

    /// Waits until `condition` says true, for at most `ms` milliseconds; `u32::MAX` is without a limit, and cheaper. It is asked at once, after each [`wake`](Self::wake), and once more
    /// when the time is up: no wake-up is missed. It is lent the level: it may take a lock. The end of the time is never early. How late it is noticed is the
    /// kernel's affair: of 100 ms and more on Linux up to an eighth and two ticks, as by `wait_event_timeout`; of less, and elsewhere, as a sleep's.
    ///
    /// Errors: `TIMEOUT` if the time is up; else as [`sleep_ms`](Passive::sleep_ms): `CLOSED`, `INTERRUPTED`, `SUSPENDED`, `POISONED`. In
    /// `init`, `close`, `int_disarm`, `int_disable` and `event` nothing else ends the wait, but for a panic one without a limit.
    pub fn wait_until(&self, cx: &mut Passive, ms: u32, mut condition: impl FnMut(&mut Passive) -> bool) -> Result<()> {
        let limit = if ms == u32::MAX { Timeout::NEVER } else { Timeout::from_ns(u64::from(ms) * 1_000_000) };
        let (mut deadline, mut is_over) = (None::<Deadline>, false);
        loop {
            // In this order: what has changed since is seen by the question, or a wake-up after it ends the wait.
            let seen = self.0.seen();
            if condition(cx) {
                return Ok(());
            }
            if is_over {
                return Err(Status::TIMEOUT.into());
            }
            // A wait that ends well reads the clock once: not after a wake-up for what it waits for.
            let (left, until) = match deadline {
                Some(until) => (until.left(), until),
                None => (limit, Deadline::after(limit)),
            };
            deadline = Some(until);
            if left.ns() == 0 {
                is_over = true; // and it is asked once more
                continue;
            }
            match cx.wait_on(&self.0, seen, left.coarse()) {
                Status::OK => {}
                Status::TIMEOUT => is_over = until.is_over(),
                ended => return Err(ended.into()),
            }
        }
    }
}
