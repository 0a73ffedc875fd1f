//! Timers, on the host's clock.
use crate::{
    kernel::{Kernel, lock},
    nt::{Header, Kdpc, Ktimer},
};
use std::{
    sync::{Condvar, Mutex, PoisonError},
    time::{Duration, Instant},
};

#[derive(Default)]
pub(crate) struct Timers {
    set: Mutex<Vec<Timer>>,
    news: Condvar,
}

struct Timer {
    address: usize,
    due: Instant,
    period: Duration,
    dpc: usize,
}

impl Timers {
    pub(crate) fn changed(&self) {
        drop(lock(&self.set));
        self.news.notify_all();
    }

    /// Sets a timer, anew if it is set. Was it?
    pub(crate) fn set(
        &self,
        kernel: &Kernel,
        timer: *mut Ktimer,
        due: Instant,
        period_ms: u32,
        dpc: *mut Kdpc,
    ) -> bool {
        let address = timer.expose_provenance();
        let was_set = self.cancel(timer);
        kernel.dispatcher.set(timer.cast::<Header>(), 0);
        let period = Duration::from_millis(period_ms.into());
        let now = Instant::now();
        let due = now + due.saturating_duration_since(now) / kernel.options.haste.max(1);
        lock(&self.set).push(Timer { address, due, period, dpc: dpc.expose_provenance() });
        self.news.notify_all();
        was_set
    }

    /// Is one of these bytes a timer that is set?
    pub(crate) fn is_set_in(&self, start: usize, len: usize) -> bool {
        lock(&self.set).iter().any(|timer| (start..start + len).contains(&timer.address))
    }

    /// Was it set?
    pub(crate) fn cancel(&self, timer: *mut Ktimer) -> bool {
        let mut set = lock(&self.set);
        let before = set.len();
        set.retain(|it| it.address != timer.expose_provenance());
        set.len() != before
    }

    pub(crate) fn run(&self, kernel: &Kernel) {
        let mut set = lock(&self.set);
        while !kernel.is_stopped() {
            let now = Instant::now();
            let Some(at) = set.iter().position(|timer| timer.due <= now) else {
                let next = set.iter().map(|timer| timer.due - now).min().unwrap_or(Duration::from_secs(3600));
                set = self.news.wait_timeout(set, next).unwrap_or_else(PoisonError::into_inner).0;
                continue;
            };
            let (address, dpc) = (set[at].address, set[at].dpc);
            if set[at].period.is_zero() {
                set.swap_remove(at);
            } else {
                let period = set[at].period;
                set[at].due += period;
            }
            // With the lock held, so that a timer that was cancelled is not touched any more.
            kernel.dispatcher.set(std::ptr::with_exposed_provenance_mut(address), 1);
            if dpc != 0 {
                kernel.dpcs.queue(std::ptr::with_exposed_provenance_mut(dpc), 0, 0);
            }
        }
    }

    pub(crate) fn left(&self) -> Vec<String> {
        lock(&self.set).iter().map(|timer| format!("a timer at {:#x} that is set", timer.address)).collect()
    }
}
