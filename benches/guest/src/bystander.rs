//! Who runs while the measured call sleeps: tells when the call fell asleep, and when the interrupt came that ended its sleep.
use crate::{clock, clock::Sample};
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::*},
    },
    thread::JoinHandle,
    time::Duration,
};

/// How long a transfer of edu's engine takes: to a whole millisecond, so many after that in which it was started, in ns.
const ENGINE: u64 = 100_000_000;
const MILLISECOND: u64 = 1_000_000;
/// How long before the engine's end the bystander is awake again, in ns. It may be late: the kernel's timers have 50 µs.
const EARLY: u64 = 300_000;

#[derive(Default)]
struct Shared {
    wanted: AtomicU64,
    asleep: AtomicU64,
    last: AtomicU64,
    over: AtomicBool,
}

/// A thread that runs only when nothing else does.
///
/// The clock is read by nobody but by it while a call sleeps: first when it gets to run, then, close to the engine's end, again and again. What
/// lies between is not counted: the 100 ms of the engine, and the kernel's ticks in them.
pub struct Bystander {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

impl Bystander {
    /// Starts it.
    pub fn start() -> Self {
        let shared = Arc::new(Shared::default());
        let its = shared.clone();
        let thread = std::thread::spawn(move || {
            clock::run_when_idle();
            let mut done = 0;
            while !its.over.load(Relaxed) {
                let wanted = its.wanted.load(Acquire);
                if wanted == done {
                    continue;
                }
                done = wanted;
                let first = clock::now();
                its.asleep.store(first, Relaxed);
                let end = (first / MILLISECOND) * MILLISECOND + ENGINE;
                // The guest is idle then, and its clock moves on at once.
                std::thread::sleep(Duration::from_nanos(end - EARLY - first));
                while its.wanted.load(Relaxed) == done && !its.over.load(Relaxed) {
                    its.last.store(clock::now(), Relaxed);
                }
            }
        });
        Self { shared, thread: Some(thread) }
    }

    /// Measures a call that sleeps once, until edu's engine has done a transfer: from its beginning to its sleep, and from the interrupt to its
    /// return. Prints both, and first their sum.
    pub fn measure(
        &self,
        name: &str,
        turns: usize,
        pair: u64,
        mut call: impl FnMut() -> Result<(), String>,
    ) -> Result<(), String> {
        let shared = &*self.shared;
        let (mut starts, mut ends, mut sums) = (vec![], vec![], vec![]);
        for turn in 0..turns + 8 {
            // Not so late in a millisecond that it is over before the engine starts.
            while clock::now() % MILLISECOND > MILLISECOND / 2 {}
            shared.wanted.fetch_add(1, Release);
            let begin = clock::now();
            call()?;
            let end = clock::now();
            let (asleep, last) = (shared.asleep.load(Relaxed), shared.last.load(Relaxed));
            // The bystander has slept too long: nobody knows when the interrupt came.
            let was_awake = begin < asleep && asleep + ENGINE / 2 < last && last < end;
            if turn >= 8 && was_awake {
                let (start, finish) = ((asleep - begin).saturating_sub(pair), (end - last).saturating_sub(pair));
                starts.push(start);
                ends.push(finish);
                sums.push(start + finish);
            }
        }
        if sums.len() < turns * 3 / 4 {
            return Err(format!(
                "{name}: only {} of {turns} transfers ended while the bystander was awake",
                sums.len()
            ));
        }
        Sample::new(sums).print(name);
        Sample::new(starts).print(&format!("{name}-to-sleep"));
        Sample::new(ends).print(&format!("{name}-from-interrupt"));
        Ok(())
    }
}

impl Drop for Bystander {
    fn drop(&mut self) {
        self.shared.over.store(true, Relaxed);
        if let Some(thread) = self.thread.take() {
            // It has said what was wrong.
            let _ = thread.join();
        }
    }
}
