//! A plugin of timers and work items, which notes what runs, when, and whether it may.
use kp_abi::interface;
use kp_core::*;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::*};

/// Timers 0 and 1 are the apps' to start. This one is started in `init`.
const FROM_INIT: u16 = 2;
/// Item 0 is the apps' to queue, and so are its sleeps. This one is queued in `init`.
const QUEUED_IN_INIT: u16 = 1;

/// Ends a run that is held. Of one test, of real threads.
pub static LET_GO: AtomicBool = AtomicBool::new(false);

/// What is noted of one timer or item.
#[derive(Default)]
struct Notes {
    runs: AtomicU32,
    /// When the last one began.
    at_ns: AtomicU64,
    is_inside: AtomicBool,
}

/// The plugin.
pub struct Clockwork {
    timers: [Timer; 3],
    items: [WorkItem; 2],
    timer_notes: [Notes; 3],
    item_notes: [Notes; 2],
    /// `event` has quieted the device, and nothing may run.
    is_quiet: AtomicBool,
    /// Runs that overlapped, or came while nothing may run.
    wrong: AtomicU32,
    /// How long item 0 sleeps, and how that ended.
    sleep_ms: AtomicU32,
    slept: AtomicU32,
    /// Item 0's next run lasts until [`LET_GO`].
    is_held: AtomicBool,
    worked: WaitQueue,
}

impl Init for Clockwork {
    type Session = ();
    type Interrupt = ();
    fn init(cx: &mut Passive, mut device: Device) -> Result<Self> {
        let timers = [device.timer(cx, 0)?, device.timer(cx, 1)?, device.timer(cx, FROM_INIT)?];
        let items = [device.work_item(cx, 0)?, device.work_item(cx, QUEUED_IN_INIT)?];
        assert_eq!(device.timer(cx, 1).err(), Some(Status::BUSY.into()));
        assert_eq!(device.work_item(cx, 1).err(), Some(Status::BUSY.into()));
        timers[2].start(cx, 0, None);
        items[1].queue(cx);
        cx.sleep_us(50)?;
        Ok(Clockwork {
            timers,
            items,
            timer_notes: Default::default(),
            item_notes: Default::default(),
            is_quiet: AtomicBool::new(false),
            wrong: AtomicU32::new(0),
            sleep_ms: AtomicU32::new(0),
            slept: AtomicU32::new(!0),
            is_held: AtomicBool::new(false),
            worked: WaitQueue::new(cx)?,
        })
    }
}

impl Open for Clockwork {
    fn open(&self, _: &mut Passive, _: &Caller, _: &[u8]) -> Result<()> {
        Ok(())
    }
    /// Has its work done before it goes.
    fn close(&self, cx: &mut Passive, (): ()) {
        let notes = &self.item_notes[usize::from(QUEUED_IN_INIT)];
        let before = notes.runs.load(Acquire);
        self.items[usize::from(QUEUED_IN_INIT)].queue(cx);
        let done = |_: &mut Passive| notes.runs.load(Acquire) != before && !notes.is_inside.load(Acquire);
        if let Err(error) = self.worked.wait_until(cx, 60_000, done) {
            log!("close waits for work that does not run: {}", error.status.name());
        }
    }
}

impl Drop for Clockwork {
    fn drop(&mut self) {
        log!("the plugin is dropped");
    }
}

impl Clockwork {
    /// One run.
    fn run<C>(&self, cx: &mut C, notes: &Notes, now: u64, f: impl FnOnce(&mut C)) {
        if notes.is_inside.swap(true, AcqRel) || self.is_quiet.load(Acquire) {
            self.wrong.fetch_add(1, Relaxed);
            log!("a run that must not be");
        }
        notes.at_ns.store(now, Relaxed);
        notes.runs.fetch_add(1, AcqRel);
        f(cx);
        if self.is_quiet.load(Acquire) {
            self.wrong.fetch_add(1, Relaxed);
        }
        notes.is_inside.store(false, Release);
    }
}

impl TimerAtDpc for Clockwork {
    fn timer_at_dpc(&self, cx: &mut Dispatch, timer: u16) {
        let now = cx.now_ns();
        self.run(cx, &self.timer_notes[usize::from(timer)], now, |cx| {
            cx.stall_us(2);
            if timer == 1 {
                self.items[0].queue(cx);
            }
        });
    }
}

impl Work for Clockwork {
    fn work(&self, cx: &mut Passive, item: u16) {
        let now = cx.now_ns();
        self.run(cx, &self.item_notes[usize::from(item)], now, |cx| {
            self.worked.wake(cx);
            while item == 0 && self.is_held.load(Acquire) && !LET_GO.load(Acquire) {
                std::thread::yield_now();
            }
            let ms = if item == 0 { self.sleep_ms.swap(0, AcqRel) } else { 0 };
            if ms != 0 {
                // Half of it as a sleep, half as a wait: either ends early.
                let slept = cx.sleep_ms(ms / 2);
                let slept = slept.and_then(|()| match self.worked.wait_until(cx, ms / 2, |_| false) {
                    Err(error) if error != Status::TIMEOUT => Err(error),
                    _ => Ok(()),
                });
                let status = slept.err().map_or(Status::OK, |error| error.status);
                self.slept.store(status.0, Release);
                log!("work's sleep: {}", status.name());
            }
            cx.stall_us(1);
        });
        self.worked.wake(cx);
    }
}

impl Event for Clockwork {
    fn event(&self, cx: &mut Passive, happening: Happening) -> Deliver {
        let is_quiet = matches!(happening, Happening::Suspend | Happening::ResetPrepare);
        self.is_quiet.store(is_quiet, Release);
        cx.stall_us(3);
        Deliver::Swallow
    }
}

interface! {
    pub mod messages, version 1 {
        /// Starts a timer; a period of 0 is none.
        fn start(timer: u16, first_us: u32, period_us: u32) = 1;
        /// Stops it, and waits until it does not run.
        fn stop(timer: u16) = 2;
        /// Queues an item so often, without a look in between.
        fn queue(item: u16, times: u32) = 3;
        /// Item 0's next run sleeps so long.
        fn sleeps(ms: u32) = 4;
        /// How often a timer has run.
        fn timer_runs(timer: u16) -> u32 = 5;
        /// When it ran last.
        fn timer_at(timer: u16) -> u64 = 6;
        /// How often an item has run.
        fn item_runs(item: u16) -> u32 = 7;
        /// Runs that must not be.
        fn wrong() -> u32 = 8;
        /// What item 0's last sleep answered.
        fn slept() -> u32 = 9;
        /// Panics.
        fn panic() = 10;
        /// Waits until item 0 has run so often.
        fn wait_for(runs: u32) = 11;
        /// Item 0's next run lasts, whatever happens, until it is let go.
        fn hold() = 12;
    }
}

impl messages::Handler<Passive> for Clockwork {
    fn start(&self, cx: &mut Passive, _: &(), timer: u16, first_us: u32, period_us: u32) -> Result<()> {
        self.timers[usize::from(timer)].start(cx, first_us, (period_us != 0).then_some(period_us));
        Ok(())
    }
    fn stop(&self, cx: &mut Passive, _: &(), timer: u16) -> Result<()> {
        self.timers[usize::from(timer)].stop(cx);
        cx.poll(100, |_| !self.timer_notes[usize::from(timer)].is_inside.load(Acquire))
    }
    fn queue(&self, cx: &mut Passive, _: &(), item: u16, times: u32) -> Result<()> {
        (0..times).for_each(|_| self.items[usize::from(item)].queue(cx));
        Ok(())
    }
    fn sleeps(&self, _: &mut Passive, _: &(), ms: u32) -> Result<()> {
        self.sleep_ms.store(ms, Release);
        Ok(())
    }
    fn timer_runs(&self, _: &mut Passive, _: &(), timer: u16) -> Result<u32> {
        Ok(self.timer_notes[usize::from(timer)].runs.load(Acquire))
    }
    fn timer_at(&self, _: &mut Passive, _: &(), timer: u16) -> Result<u64> {
        Ok(self.timer_notes[usize::from(timer)].at_ns.load(Acquire))
    }
    fn item_runs(&self, _: &mut Passive, _: &(), item: u16) -> Result<u32> {
        Ok(self.item_notes[usize::from(item)].runs.load(Acquire))
    }
    fn wrong(&self, _: &mut Passive, _: &()) -> Result<u32> {
        Ok(self.wrong.load(Acquire))
    }
    fn slept(&self, _: &mut Passive, _: &()) -> Result<u32> {
        Ok(self.slept.load(Acquire))
    }
    fn panic(&self, _: &mut Passive, _: &()) -> Result<()> {
        self.is_quiet.store(true, Release);
        panic!("planted")
    }
    fn hold(&self, _: &mut Passive, _: &()) -> Result<()> {
        self.is_held.store(true, Release);
        Ok(())
    }
    fn wait_for(&self, cx: &mut Passive, _: &(), runs: u32) -> Result<()> {
        self.worked.wait_until(cx, 60_000, |_| self.item_notes[0].runs.load(Acquire) >= runs)
    }
}

plugin! { Clockwork { name: "clockwork", interface: messages, callbacks: [Open, TimerAtDpc, Work, Event] } }
