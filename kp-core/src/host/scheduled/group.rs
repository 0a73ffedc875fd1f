//! The timers and work items of one device.
use super::{runs::Runs, timer::TimerRecord, work_item::WorkRecord};
use crate::{
    KBox, KVec, Mutex, Passive, Result, Status,
    host::{Deadline, LogLine, kernel},
    limits,
};
use core::{
    ptr::NonNull,
    sync::atomic::{AtomicUsize, Ordering::*},
};

/// What ports call for a plugin's timers and work items. None: the plugin has no callback for them.
#[derive(Clone, Copy)]
pub(crate) struct Entries {
    pub(crate) timer: Option<unsafe fn(*const ())>,
    pub(crate) work: Option<unsafe fn(*const ())>,
}

/// All of them, shared by the device's record and whatever its plugin keeps. What is in it stays until the last reference goes, but for what
/// the port has: that goes with the device.
struct Shared {
    references: AtomicUsize,
    runs: Runs,
    entries: Entries,
    items: Mutex<Items>,
}

/// Each in a place of its own. All of it is made in `init`.
struct Items {
    timers: KVec<KBox<TimerRecord>>,
    work: KVec<KBox<WorkRecord>>,
}

impl Items {
    /// May there be one more with this number? `taken`: there is one. As many may run at once as a gate lets in.
    fn check(&self, taken: bool) -> Result<()> {
        let is_full = self.timers.len() + self.work.len() >= limits::MAX_CALLS as usize;
        if taken || is_full { Err(Status::BUSY.into()) } else { Ok(()) }
    }
}

/// A counted reference to them. INVARIANT: the record lives as long as it.
pub(crate) struct Scheduled(NonNull<Shared>);
// SAFETY: a counted reference to something Send and Sync.
unsafe impl Send for Scheduled {}
// SAFETY: what is shared is under locks, or atomic.
unsafe impl Sync for Scheduled {}

impl Clone for Scheduled {
    fn clone(&self) -> Self {
        self.shared().references.fetch_add(1, Relaxed);
        Self(self.0)
    }
}

impl Drop for Scheduled {
    #[cfg_attr(kp_driver, optimize(size))]
    fn drop(&mut self) {
        if self.shared().references.fetch_sub(1, AcqRel) == 1 {
            // SAFETY: the last reference; the record came from a KBox.
            drop(unsafe { KBox::from_raw(self.0) });
        }
    }
}

impl Scheduled {
    /// None yet, and none may run.
    #[cfg_attr(kp_driver, optimize(size))]
    pub(crate) fn new(cx: &mut Passive, entries: Entries) -> Result<Self> {
        let items = Mutex::new(cx, Items { timers: KVec::new(), work: KVec::new() })?;
        let shared = Shared { references: AtomicUsize::new(1), runs: Runs::new(cx)?, entries, items };
        Ok(Self(KBox::new(cx, shared)?.into_raw()))
    }

    fn shared(&self) -> &Shared {
        // SAFETY: the invariant.
        unsafe { self.0.as_ref() }
    }

    /// A timer that is not started. It lives as long as this.
    #[cfg_attr(kp_driver, optimize(size))]
    pub(crate) fn timer(&self, cx: &mut Passive, number: u16) -> Result<NonNull<TimerRecord>> {
        let shared = self.shared();
        let entry = shared.entries.timer.ok_or_else(|| unlisted("TimerAtDpc"))?;
        shared.items.with(cx, |items, cx| {
            items.check(items.timers.iter().any(|timer| timer.number == number))?;
            items.timers.reserve(cx, 1)?;
            let timer = TimerRecord::new(cx, number, &shared.runs, entry)?;
            let place = NonNull::from(&*timer);
            items.timers.push(cx, timer)?;
            Ok(place)
        })
    }

    /// A work item that is not queued. It lives as long as this.
    #[cfg_attr(kp_driver, optimize(size))]
    pub(crate) fn work_item(&self, cx: &mut Passive, number: u16) -> Result<NonNull<WorkRecord>> {
        let shared = self.shared();
        let entry = shared.entries.work.ok_or_else(|| unlisted("Work"))?;
        shared.items.with(cx, |items, cx| {
            items.check(items.work.iter().any(|work| work.number == number))?;
            items.work.reserve(cx, 1)?;
            let work = WorkRecord::new(cx, number, &shared.runs, entry)?;
            let place = NonNull::from(&*work);
            items.work.push(cx, work)?;
            Ok(place)
        })
    }

    /// The plugin's value is in the device's record: from now on they run, first those that are due already.
    #[cfg_attr(kp_driver, optimize(size))]
    pub(in crate::host) fn open(&self, cx: &mut Passive, device: *const ()) {
        self.shared().runs.open(device);
        self.look(cx);
    }

    /// None runs from now on; waits for those that run, until then. False: somebody runs still.
    pub(in crate::host) fn pause(&self, until: Deadline) -> bool {
        self.shared().runs.pause(until)
    }

    /// The time of those that run is up: their sleeps end, with Suspended.
    pub(in crate::host) fn cancel_for_suspend(&self, cx: &mut Passive) {
        self.shared().runs.context.waker.cancel_for_suspend(cx);
    }

    /// The pause is over: they run again, first those that were due in it.
    #[cfg_attr(kp_driver, optimize(size))]
    pub(in crate::host) fn resume(&self, cx: &mut Passive) {
        self.shared().runs.resume();
        self.look(cx);
    }

    /// Has what was held back run.
    #[cfg_attr(kp_driver, optimize(size))]
    fn look(&self, cx: &mut Passive) {
        self.shared().items.with(cx, |items, cx| {
            items.timers.iter().for_each(|timer| timer.resume(cx));
            items.work.iter().for_each(|work| work.resume(cx));
        });
    }

    /// The device goes: timers are stopped, the sleeps of work end, and it is waited for. When it returns none runs, and none will. False: plugin
    /// code has panicked, and what runs may never end; the timers are stopped, and what the port has of them stays.
    #[cfg_attr(kp_driver, optimize(size))]
    pub(in crate::host) fn end(&self, cx: &mut Passive) -> bool {
        let shared = self.shared();
        let drained = shared.runs.end(cx);
        shared.items.with(cx, |items, cx| {
            items.timers.iter().for_each(|timer| timer.end(cx, drained));
            if drained {
                items.work.iter().for_each(|work| work.end(cx));
            }
        });
        drained
    }
}

/// The error for what would never run, and a line that says why.
#[cfg_attr(kp_driver, optimize(size), cold, inline(never))]
pub(crate) fn unlisted(callback: &str) -> crate::Error {
    let mut line = LogLine::<64>::new();
    line.push("the plugin's callbacks have no `");
    line.push(callback);
    line.push("`");
    kernel::log(line.text());
    Status::BAD_VALUE.into()
}
