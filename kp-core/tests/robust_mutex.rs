//! Requests that wait for another's turn: a process that is being killed waits for nobody, and everybody else for as long as it takes.
use kp_abi::{
    Status, interface,
    request::{ANY_VECTOR, kind},
};
use kp_core::*;
use kp_sim::{App, Mode, Process, Sim, edu::Edu, explore};
use kp_user::{Connection, Plugin};
use std::collections::BTreeSet;
use std::sync::{
    Arc, Mutex as StdMutex,
    atomic::{AtomicBool, Ordering::SeqCst},
};

/// How long the plugin takes to enable, in ms of the simulator's time.
const LONG_MS: u32 = 10_000;
const LONG_NS: u64 = 1_000_000 * LONG_MS as u64;

interface! {
    mod slow, version 1 {
        /// Nothing.
        fn nothing() = 1;
    }
}

/// What takes its time to enable its interrupt.
struct Slow;

impl Init for Slow {
    type Session = ();
    type Interrupt = ();
    fn init(_: &mut Passive, _: Device) -> Result<Self> {
        Ok(Slow)
    }
}

impl slow::Handler<Passive> for Slow {
    fn nothing(&self, _: &mut Passive, _: &()) -> Result<()> {
        Ok(())
    }
}

impl IntEnable for Slow {
    fn int_enable(&self, cx: &mut Passive, enabling: Enabling<'_, Self>) -> Result<()> {
        if enabling.data.is_empty() { Ok(()) } else { cx.sleep_ms(LONG_MS) }
    }
}

impl IntAtIrql for Slow {
    fn int_at_irql(&self, _: &mut Irql, _: &(), _: Source) -> Verdict {
        Verdict::NOT_MINE
    }
}

plugin! { Slow { name: "slow", devices: [0x1234:0x11e8], interface: slow, callbacks: [IntEnable, IntAtIrql] } }

/// An app in a process of its own, with a session.
fn app(sim: &Sim<Slow>, process: u32) -> (Arc<App<Slow>>, Plugin) {
    let app = Arc::new(sim.open_in(&Process::new(process), Mode::ReadWrite).unwrap());
    let plugin = Plugin::over(app.clone(), slow::INTERFACE, &[]).unwrap();
    (app, plugin)
}

/// What INT_ENABLE answers.
fn enable(app: &App<Slow>) -> Status {
    let answer = app.int_enable(kind::LINE, 1, 1, &[]);
    if answer.is_ok() {
        let _ = app.int_disable();
    }
    answer.err().map_or(Status::OK, |error| error.status)
}

/// One app's INT_ENABLE takes long. Another's, which waits for its turn meanwhile, is killed; a third one's waits.
#[test]
fn a_killed_process_gives_up_its_place_and_those_behind_it_move_up() {
    let seen = StdMutex::new(BTreeSet::new());
    explore(0..100, |world| {
        let sim = Sim::<Slow>::with(Edu::new()).unwrap();
        let [(one, _one), (two, _two), (three, _three)] = [1, 2, 3].map(|process| app(&sim, process));
        world.scope(|scope| {
            scope.spawn("slow", || {
                if one.int_enable(kind::LINE, 1, 1, &[1]).is_ok() {
                    one.int_disable().unwrap();
                }
            });
            scope.spawn("killed", || {
                let status = enable(&two);
                assert!(sim.now_ns() < LONG_NS, "it waited for the other's turn, and then was told {status}");
                seen.lock().unwrap().insert(status.name());
            });
            scope.spawn("killer", || two.kill());
            scope.spawn("behind", || {
                let status = enable(&three);
                assert!([Status::OK, Status::INTERRUPT_OWNED].contains(&status), "{status}");
            });
        });
    });
    let seen = seen.into_inner().unwrap();
    assert!(seen.contains("Interrupted"), "{seen:?}");
}

/// The process that is being killed may itself be in the turn that a removal waits for.
#[test]
fn a_removal_waits_for_the_lock_whatever_comes() {
    explore(0..50, |world| {
        let sim = Sim::<Slow>::with(Edu::new()).unwrap();
        let (one, _plugin) = app(&sim, 1);
        let done = AtomicBool::new(false);
        world.scope(|scope| {
            scope.spawn("slow", || {
                let _ = one.int_enable(kind::LINE, 1, 1, &[1]);
                done.store(true, SeqCst);
            });
            scope.spawn("killer", || one.kill());
            scope.spawn("removal", || sim.remove(true));
        });
        assert!(done.load(SeqCst));
        assert_eq!(one.int_count(ANY_VECTOR), Err(Status::DEVICE_GONE.into()));
    });
}
