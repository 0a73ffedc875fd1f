//! Objects that threads wait for: events and timers. Their state is in the driver's memory; one lock guards all of it.
use crate::{
    cpu,
    kernel::{Kernel, lock},
    nt::{Header, NtStatus, STATUS_SUCCESS, STATUS_TIMEOUT, STATUS_USER_APC},
    rule::Rule,
};
use std::{
    sync::{
        Condvar, Mutex,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::Instant,
};

/// Kinds of object, as in the header's first byte.
pub(crate) mod kind {
    /// An event that stays set.
    pub(crate) const NOTIFICATION: u8 = 0;
    /// An event that lets one waiter through.
    pub(crate) const SYNCHRONIZATION: u8 = 1;
    /// A timer that stays set.
    pub(crate) const NOTIFICATION_TIMER: u8 = 8;
    /// A timer that lets one waiter through.
    pub(crate) const SYNCHRONIZATION_TIMER: u8 = 9;
}

/// The lock, and news that an object has changed.
#[derive(Default)]
pub(crate) struct Dispatcher {
    lock: Mutex<()>,
    /// Threads in a wait.
    waiting: AtomicUsize,
    news: Condvar,
}

impl Dispatcher {
    /// Wakes all waiters, to look again.
    pub(crate) fn changed(&self) {
        drop(lock(&self.lock));
        self.news.notify_all();
    }

    /// Threads that wait for an object, or for time to pass.
    pub(crate) fn waiting(&self) -> usize {
        self.waiting.load(Relaxed)
    }

    /// Changes an object's state, and answers the state before.
    pub(crate) fn set(&self, object: *mut Header, to: i32) -> i32 {
        let guard = lock(&self.lock);
        // SAFETY: an initialised object of the driver's, or of this crate's; all of its readers and writers hold the lock.
        let before = unsafe { std::mem::replace(&mut (*object).signal_state, to) };
        drop(guard);
        if to != 0 {
            self.news.notify_all();
        }
        before
    }

    /// Waits until an object is set; a wait that the process's end may cut short is `alertable`. None: the run has ended.
    pub(crate) fn wait(
        &self,
        kernel: &Kernel,
        object: Option<*mut Header>,
        alertable: bool,
        deadline: Option<Instant>,
    ) -> Option<NtStatus> {
        if cpu::in_power_dispatch() && deadline.is_none_or(|deadline| deadline > Instant::now()) {
            cpu::fail(Rule::PowerNotBlocked.broken("a power request's dispatch routine waits"));
        }
        if cpu::process().is_some() && !cpu::in_critical_region() && deadline.is_none_or(|at| at > Instant::now()) {
            cpu::fail(Rule::WaitGuarded.broken("an app's thread waits in the driver, in no critical region"));
        }
        let _waiting = Waiting::begin(&self.waiting);
        let process = cpu::process();
        let mut guard = lock(&self.lock);
        loop {
            if kernel.is_stopped() {
                return None;
            }
            if object.is_some_and(take) {
                return Some(STATUS_SUCCESS);
            }
            if alertable && !cpu::in_critical_region() && process.as_ref().is_some_and(|process| process.is_dying()) {
                return Some(STATUS_USER_APC);
            }
            guard = match deadline {
                None => self.news.wait(guard).unwrap_or_else(std::sync::PoisonError::into_inner),
                Some(deadline) => {
                    let now = Instant::now();
                    if now >= deadline {
                        return Some(STATUS_TIMEOUT);
                    }
                    let waited = self.news.wait_timeout(guard, deadline - now);
                    waited.unwrap_or_else(std::sync::PoisonError::into_inner).0
                }
            };
        }
    }
}

/// Counts a thread as long as it waits.
struct Waiting<'c>(&'c AtomicUsize);

impl<'c> Waiting<'c> {
    fn begin(count: &'c AtomicUsize) -> Self {
        count.fetch_add(1, Relaxed);
        Self(count)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}

/// Is the object set? One that lets only one through is clear afterwards.
fn take(object: *mut Header) -> bool {
    // SAFETY: as in `set`; the caller holds the lock.
    let header = unsafe { &mut *object };
    let set = header.signal_state != 0;
    if set && matches!(header.kind, kind::SYNCHRONIZATION | kind::SYNCHRONIZATION_TIMER) {
        header.signal_state = 0;
    }
    set
}
