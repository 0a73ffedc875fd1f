//! The clock: in a guest that counts one nanosecond per instruction, the time-stamp counter is the count of instructions.
use std::hint::black_box;

/// Instructions since the guest was started. The reading itself is part of every measure, and subtracted as [`pair`].
#[inline(always)]
pub fn now() -> u64 {
    // SAFETY: every x86-64 CPU has the instruction, and Linux lets processes use it.
    unsafe { core::arch::x86_64::_rdtsc() }
}

/// What two readings with nothing between them cost: the median of many.
pub fn pair() -> u64 {
    let mut readings: Vec<u64> = (0..1001)
        .map(|_| {
            let start = now();
            now() - start
        })
        .collect();
    readings.sort_unstable();
    readings[readings.len() / 2]
}

/// Does the clock count instructions? A thousand turns of a loop of two must be two thousand.
pub fn check() -> Result<(), String> {
    let turns = 1000u64;
    let start = now();
    // SAFETY: counts a register down.
    unsafe {
        core::arch::asm!("2: dec {0}", "jnz 2b", inout(reg) black_box(turns) => _);
    }
    let counted = now() - start;
    match counted {
        2000..2030 => Ok(()),
        _ => Err(format!("2000 instructions count as {counted}: this guest's clock does not count instructions")),
    }
}

/// From now on this thread runs only when nothing else does.
pub fn run_when_idle() {
    let parameters = libc::sched_param { sched_priority: 0 };
    // SAFETY: this thread, and parameters that live.
    let answer = unsafe { libc::sched_setscheduler(0, libc::SCHED_IDLE, &parameters) };
    assert_eq!(answer, 0, "a thread may become idle");
}

/// Costs of one thing, measured often.
pub struct Sample(Vec<u64>);

impl Sample {
    /// Measures `f` so often, after some times that do not count. `pair` is what the clock itself costs.
    #[inline(always)]
    pub fn of(count: usize, pair: u64, mut f: impl FnMut()) -> Self {
        let mut costs = Vec::with_capacity(count);
        for _ in 0..64 {
            f();
        }
        for _ in 0..count {
            let start = now();
            f();
            costs.push((now() - start).saturating_sub(pair));
        }
        Self::new(costs)
    }

    /// Costs that were measured elsewhere.
    pub fn new(mut costs: Vec<u64>) -> Self {
        costs.sort_unstable();
        Self(costs)
    }

    /// Prints the line of this measure.
    pub fn print(&self, name: &str) {
        let Self(costs) = self;
        println!("{name} {} {} {}", costs.len(), costs[0], costs[costs.len() / 2]);
    }
}
