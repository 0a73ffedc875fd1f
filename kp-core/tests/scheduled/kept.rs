//! What a plugin keeps for longer than its device, and what it forgets.
use crate::pass;
use kp_core::*;
use kp_sim::{Sim, explore};
use std::sync::{
    Mutex,
    atomic::{AtomicU32, Ordering::*},
};

static KEPT: Mutex<Option<(Timer, WorkItem)>> = Mutex::new(None);
static RUNS: AtomicU32 = AtomicU32::new(0);

/// Keeps what it makes out of its value's reach.
struct Keeper;

impl Init for Keeper {
    type Session = ();
    type Interrupt = ();
    fn init(cx: &mut Passive, mut device: Device) -> Result<Self> {
        let dropped = device.timer(cx, 1)?;
        dropped.start(cx, 1000, Some(1000));
        let lock = SpinLock::<_, Irql>::new(cx, Some(dropped))?;
        lock.with(cx, |timer, _| *timer = None);
        let (timer, item) = (device.timer(cx, 0)?, device.work_item(cx, 0)?);
        timer.start(cx, 1000, Some(1000));
        *KEPT.lock().unwrap() = Some((timer, item));
        // As many as there may be.
        let more: Vec<_> = (2..).map_while(|number| device.timer(cx, number).ok()).collect();
        assert_eq!(more.len(), 61);
        Ok(Keeper)
    }
}

impl TimerAtDpc for Keeper {
    fn timer_at_dpc(&self, _: &mut Dispatch, timer: u16) {
        RUNS.fetch_add(1 + 1000 * u32::from(timer), Relaxed);
    }
}

impl Work for Keeper {
    fn work(&self, _: &mut Passive, _: u16) {
        RUNS.fetch_add(100_000, Relaxed);
    }
}

plugin! { Keeper { name: "keeper", callbacks: [TimerAtDpc, Work] } }

#[test]
fn what_is_kept_does_nothing_once_the_device_is_gone_and_what_is_dropped_runs_no_more() {
    explore(0..10, |_| {
        RUNS.store(0, Relaxed);
        let sim = Sim::<Keeper>::new().unwrap();
        pass(&sim, 5000);
        let runs = RUNS.load(Relaxed);
        assert!((4..1000).contains(&runs), "{runs}: the timer that was dropped ran, or the other one did not");
        sim.remove(true);
        let (timer, item) = KEPT.lock().unwrap().take().unwrap();
        sim.enter(|cx| {
            timer.start(cx, 0, Some(1));
            item.queue(cx);
            timer.stop(cx);
            timer.start(cx, 0, None);
        });
        let after = RUNS.load(Relaxed);
        pass(&sim, 5000);
        assert_eq!(RUNS.load(Relaxed), after);
        sim.enter(|_| drop((timer, item)));
        assert_eq!(sim.unload(), Ok(()));
    });
}

mod unlisted {
    use kp_core::*;

    /// Asks for what its callbacks have no place for.
    pub struct Unlisted;

    impl Init for Unlisted {
        type Session = ();
        type Interrupt = ();
        fn init(cx: &mut Passive, mut device: Device) -> Result<Self> {
            assert_eq!(device.timer(cx, 0).err(), Some(Status::BAD_VALUE.into()));
            assert_eq!(device.work_item(cx, 0).err(), Some(Status::BAD_VALUE.into()));
            Ok(Unlisted)
        }
    }

    plugin! { Unlisted { name: "unlisted", callbacks: [] } }
}

#[test]
fn without_the_callback_there_is_no_timer_and_no_work_item_and_the_log_says_why() {
    let sim = Sim::<unlisted::Unlisted>::new().unwrap();
    let said = ["TimerAtDpc", "Work"].map(|callback| format!("the plugin's callbacks have no `{callback}`"));
    assert_eq!(sim.log(), said);
}
