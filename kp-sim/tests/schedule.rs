//! Seeded worlds: a planted race is found, found again, and gone when it is fixed.
use core::sync::atomic::{AtomicBool, AtomicU32, Ordering::*};
use kp_abi::request::kind;
use kp_core::*;
use kp_sim::{Sim, World, edu::Edu, explore, find, replay};

registers! {
    mod regs[0x68] {
        0x24 INTERRUPT_STATUS: u32, RO;
        0x60 RAISE: u32, WO;
        0x64 ACKNOWLEDGE: u32, WO;
    }
}

/// Events that the interrupt counts and a call takes.
pub struct Counter {
    bar: Bar<regs::Map>,
    events: AtomicU32,
    /// Take as it should be, in one step.
    is_fixed: AtomicBool,
}

impl Init for Counter {
    type Session = ();
    type Interrupt = ();
    fn init(cx: &mut Passive, mut device: Device) -> Result<Self> {
        Ok(Counter { bar: device.map(cx, 0)?, events: AtomicU32::new(0), is_fixed: AtomicBool::new(false) })
    }
}

kp_abi::interface! {
    mod counter, version 1 {
        fn raise() = 1;
        /// Events since the last time.
        fn take() -> u32 = 2;
        fn fix() = 3;
    }
}

impl counter::Handler<Passive> for Counter {
    fn raise(&self, _: &mut Passive, _: &()) -> Result<()> {
        self.bar.write(regs::RAISE, 1);
        Ok(())
    }
    fn take(&self, _: &mut Passive, _: &()) -> Result<u32> {
        if self.is_fixed.load(Relaxed) {
            return Ok(self.events.swap(0, Relaxed));
        }
        // The planted race: what the interrupt adds between the two is lost.
        let events = self.events.load(Relaxed);
        self.bar.write(regs::ACKNOWLEDGE, 0);
        self.events.store(0, Relaxed);
        Ok(events)
    }
    fn fix(&self, _: &mut Passive, _: &()) -> Result<()> {
        self.is_fixed.store(true, Relaxed);
        Ok(())
    }
}

impl IntAtIrql for Counter {
    fn int_at_irql(&self, _: &mut Irql, _: &(), _: Source) -> Verdict {
        let bits = self.bar.read(regs::INTERRUPT_STATUS);
        if bits == 0 {
            return Verdict::NOT_MINE;
        }
        self.bar.write(regs::ACKNOWLEDGE, bits);
        self.events.fetch_add(1, Relaxed);
        Verdict::DEFER
    }
}

plugin! { Counter { name: "counter", interface: counter, callbacks: [IntAtIrql] } }

/// One thread raises, another takes: no event is lost.
fn story(world: &World, fixed: bool) {
    let sim = Sim::<Counter>::with(Edu::new()).unwrap();
    let plugin = sim.connect(counter::INTERFACE).unwrap();
    let client = counter::Client(&plugin);
    if fixed {
        client.fix().unwrap();
    }
    plugin.connection().int_enable(kind::LINE, 1, 1, &[]).unwrap();
    let taken = AtomicU32::new(0);
    world.scope(|scope| {
        scope.spawn("raiser", || (0..3).for_each(|_| client.raise().unwrap()));
        scope.spawn("taker", || {
            for _ in 0..3 {
                taken.fetch_add(client.take().unwrap(), Relaxed);
            }
        });
    });
    let counters = plugin.connection().int_disable().unwrap().1;
    let left = client.take().unwrap();
    assert_eq!(u64::from(taken.into_inner() + left), counters.received, "events were lost");
}

const SEEDS: core::ops::Range<u64> = 0..200;

#[test]
fn a_planted_race_is_found_and_found_again() {
    let found = find(SEEDS, |world| story(world, false)).expect("no seed found the race");
    assert!(found.failure.as_ref().is_some_and(|why| why.contains("events were lost")), "{found:?}");
    for _ in 0..10 {
        assert_eq!(replay(found.trace.seed, |world| story(world, false)), found);
    }
}

#[test]
fn the_fixed_plugin_passes_the_same_seeds() {
    explore(SEEDS, |world| story(world, true));
}

#[test]
fn seeds_differ() {
    let traces: Vec<_> = (0..8).map(|seed| replay(seed, |world| story(world, true)).trace.events).collect();
    let differs = |at: &usize| traces[at + 1..].iter().all(|other| *other != traces[*at]);
    assert!((0..traces.len()).all(|at| differs(&at)), "two seeds gave one run");
}

#[test]
fn a_failure_names_its_seed_and_shows_the_end_of_the_trace() {
    let failing = std::panic::catch_unwind(|| explore(SEEDS, |world| story(world, false)));
    let text = *failing.unwrap_err().downcast::<String>().unwrap();
    assert!(text.starts_with("seed ") && text.contains("events were lost"), "{text}");
    assert!(text.contains("taker  write 0x64") && text.contains("isr 0x0"), "{text}");
}

#[test]
fn a_wait_that_nobody_ends_is_reported() {
    let run = replay(1, |world| {
        let sim = Sim::<Counter>::with(Edu::new()).unwrap();
        let plugin = sim.connect(counter::INTERFACE).unwrap();
        plugin.connection().int_enable(kind::LINE, 1, 1, &[]).unwrap();
        world.scope(|scope| {
            scope.spawn("waiter", || {
                let _ = plugin.connection().int_wait(u64::MAX, 0, 1);
            });
        });
    });
    let why = run.failure.expect("it ended");
    assert!(why.contains("nothing will wake any") && why.contains("waiter"), "{why}");
}

#[test]
fn time_is_simulated() {
    let began = std::time::Instant::now();
    explore(0..2, |_| {
        let sim = Sim::<Counter>::with(Edu::new()).unwrap();
        let plugin = sim.connect(counter::INTERFACE).unwrap();
        plugin.connection().int_enable(kind::LINE, 1, 1, &[]).unwrap();
        let waited = plugin.connection().int_wait(50_000_000_000, 0, 1);
        assert_eq!(waited, Err(Status::TIMEOUT.into()));
        assert!((50_000_000_000..51_000_000_000).contains(&sim.now_ns()));
    });
    assert!(began.elapsed().as_secs() < 20, "it waited in real time");
}

#[test]
fn a_thread_of_no_world_is_refused() {
    let run = replay(0, |_| {
        let sim = Sim::<Counter>::with(Edu::new()).unwrap();
        let refused = std::thread::scope(|scope| scope.spawn(|| sim.advance(1)).join());
        let text = *refused.unwrap_err().downcast::<String>().unwrap();
        assert!(text.contains("a thread of no world entered a seeded kernel"), "{text}");
    });
    assert_eq!(run.failure, None);
}
