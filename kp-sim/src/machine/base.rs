//! What a kernel owns: its parts, its clock, its log, and how its threads block.
//!
//! Free mode: threads are real, interrupts are delivered as soon as a thread's level lets them through. Seeded mode: the
//! world's schedule says which thread runs and when an interrupt comes.
use crate::{
    bus::Bus,
    clock::{READ_NS, STEP_NS},
    heap::Heap,
    live::Live,
    locks::Locks,
    misuse::misuse,
    schedule::Schedule,
    sync::lock,
    timers::Timers,
    vectors::Vectors,
    work_items::WorkItems,
};
use std::{
    collections::BTreeMap,
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::*},
    },
    time::{Duration, Instant},
};

/// How a test wants the kernel.
#[derive(Clone, Copy)]
pub(crate) struct Options {
    /// The fallible kernel call that fails, from 1; 0: none.
    pub(crate) fail_nth: u64,
    /// Kinds of interrupt that the machine offers, a mask.
    pub(crate) kinds: u32,
    /// Wait queues may be woken at Irql.
    pub(crate) wakes_at_irql: bool,
    /// Apps map no memory of the kernel's.
    pub(crate) no_mmap: bool,
    /// The app's memory for DMA, in bytes.
    pub(crate) ram: usize,
    /// Pages that can be shown to the device at once, if that is limited.
    pub(crate) bounce: Option<usize>,
    /// Bits of the bus addresses that the machine uses.
    pub(crate) bus_bits: u32,
    /// The log is printed, and not kept.
    pub(crate) prints_log: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            fail_nth: 0,
            kinds: 0,
            wakes_at_irql: false,
            no_mmap: false,
            ram: 0,
            bounce: None,
            bus_bits: 64,
            prints_log: false,
        }
    }
}

/// What changes under the machine's lock.
pub(crate) struct State {
    pub(crate) heap: Heap,
    pub(crate) locks: Locks,
    /// By their numbers: how often each was woken.
    pub(crate) wait_queues: BTreeMap<u32, u32>,
    pub(crate) next_wait_queue: u32,
    /// Handles that apps hold.
    pub(crate) handles: u32,
    /// No new handle is given out.
    pub(crate) is_unloading: bool,
    pub(crate) vectors: Vectors,
    pub(crate) timers: Timers,
    pub(crate) work_items: WorkItems,
    /// How often the host has masked a vector whose interrupt never ended, and no test has asked about it.
    pub(crate) storms: u32,
    fallible: u64,
    /// Threads asleep in free mode, and the real time up to which the clock has followed them.
    sleepers: u32,
    anchor: Instant,
}

pub(crate) struct Machine {
    /// Number in its world.
    id: u32,
    state: Mutex<State>,
    changed: Condvar,
    pub(crate) bus: Bus,
    clock: Arc<AtomicU64>,
    pub(super) world: Option<Arc<Schedule>>,
    poisoned: AtomicBool,
    options: Options,
    log: Mutex<Vec<String>>,
    /// How many frees at Irql were put off.
    pub(crate) deferred_frees: AtomicU32,
}

impl Machine {
    /// A kernel with this bus. It belongs to the world that the calling thread is in, if it is in one.
    pub(crate) fn new(bus: Bus, options: Options) -> Self {
        static MADE: AtomicU64 = AtomicU64::new(0);
        let world = Schedule::current();
        Self {
            id: world.as_ref().map_or(0, |world| world.new_member_id()),
            state: Mutex::new(State {
                heap: Heap::default(),
                locks: Locks::new(MADE.fetch_add(1, Relaxed)),
                wait_queues: BTreeMap::new(),
                next_wait_queue: 0,
                storms: 0,
                handles: 0,
                is_unloading: false,
                vectors: Vectors::default(),
                timers: Timers::default(),
                work_items: WorkItems::default(),
                fallible: 0,
                sleepers: 0,
                anchor: Instant::now(),
            }),
            changed: Condvar::new(),
            bus,
            clock: world.as_ref().map_or_else(Arc::default, |world| world.clock.clone()),
            world,
            poisoned: AtomicBool::new(false),
            options,
            log: Mutex::default(),
            deferred_frees: AtomicU32::new(0),
        }
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }

    /// What is given out and not back.
    pub(crate) fn live(&self) -> Live {
        let state = self.state();
        let (dma, pinned) = state.heap.count_dma();
        Live {
            allocations: state.heap.count(),
            locks: state.locks.count(),
            wait_queues: state.wait_queues.len(),
            mappings: self.bus.mappings(),
            interrupts: usize::from(state.vectors.are_taken()),
            timers: state.timers.count(),
            work_items: state.work_items.count(),
            handles: state.handles as usize,
            dma,
            pinned,
        }
    }

    pub(crate) fn options(&self) -> Options {
        self.options
    }

    /// Does the next fallible call fail?
    pub(crate) fn fails(&self) -> bool {
        let mut state = self.state();
        state.fallible += 1;
        state.fallible == self.options.fail_nth
    }

    /// Fallible kernel calls so far.
    pub(crate) fn fallible_calls(&self) -> u64 {
        self.state().fallible
    }

    pub(crate) fn write_log(&self, text: &str) {
        if self.options.prints_log {
            eprintln!("{text}");
        } else {
            lock(&self.log).push(text.to_owned());
        }
    }

    pub(crate) fn log_lines(&self) -> Vec<String> {
        lock(&self.log).clone()
    }

    /// Plugin code panics, on this thread. Every thread that waits checks its condition again.
    pub(crate) fn poison(&self, why: &str) {
        self.poisoned.store(true, Release);
        self.write_log(why);
        self.wake_all();
    }

    pub(crate) fn is_poisoned(&self) -> bool {
        self.poisoned.load(Acquire)
    }

    /// Refuses threads that the seeded world does not know.
    pub(crate) fn check_thread(&self) {
        if let Some(world) = &self.world
            && !world.is_mine()
        {
            misuse("a thread of no world entered a seeded kernel: start it with `scope.spawn` of the world's `scope`");
        }
    }

    // Around kernel calls.

    /// Before a kernel call takes effect: another thread may run first.
    pub(crate) fn schedule_point(&self, what: &'static str, value: u64) {
        if let Some(world) = &self.world
            && !std::thread::panicking()
        {
            world.schedule_point(what, value);
        }
    }

    // Time.

    pub(crate) fn now(&self) -> u64 {
        self.clock.load(Acquire)
    }

    /// Reads the clock.
    pub(crate) fn read_clock(&self) -> u64 {
        self.clock.fetch_add(READ_NS, AcqRel) + READ_NS
    }

    /// `ns` pass, for the clock and every device of this world; nothing is delivered.
    pub(crate) fn pass(&self, ns: u64) {
        match &self.world {
            Some(world) => world.pass(ns),
            None => {
                self.clock.fetch_add(ns, AcqRel);
                self.bus.advance(ns);
            }
        }
    }

    // Waiting.

    /// Lets others run, with the lock on `state` given back: until `channel` is woken, or the clock shows `until`, or earlier.
    /// `asleep`: time passes meanwhile.
    pub(super) fn block(&self, state: MutexGuard<'_, State>, channel: u64, until: Option<u64>, asleep: bool) {
        match &self.world {
            Some(world) => {
                drop(state);
                world.block(channel, until);
            }
            None => self.block_free(state, until, asleep),
        }
    }

    /// One slice of waiting in free mode. While a thread sleeps the clock follows real time.
    fn block_free(&self, mut state: MutexGuard<'_, State>, until: Option<u64>, asleep: bool) {
        let until = until.into_iter().chain(state.timers.next()).min();
        let left = until.map_or(u64::MAX, |until| until.saturating_sub(self.now()));
        let longest = if self.bus.has_device() { STEP_NS } else { 50 * STEP_NS };
        if asleep {
            if state.sleepers == 0 {
                state.anchor = Instant::now();
            }
            state.sleepers += 1;
        }
        let slice = Duration::from_nanos(left.min(longest));
        let waited = self.changed.wait_timeout(state, slice).unwrap_or_else(PoisonError::into_inner);
        let mut state = waited.0;
        if asleep {
            let now = Instant::now();
            let passed = now.saturating_duration_since(state.anchor);
            state.anchor = now;
            state.sleepers -= 1;
            drop(state);
            self.pass(u64::try_from(passed.as_nanos()).unwrap_or(u64::MAX));
        }
    }

    /// The threads that wait on `channel` check their conditions again.
    pub(crate) fn wake(&self, channel: u64) {
        match &self.world {
            Some(world) => world.wake(channel),
            None => {
                // Under the lock: a thread that has just checked its condition is waiting by now.
                let _state = self.state();
                self.changed.notify_all();
            }
        }
    }

    /// All threads that wait check their conditions again.
    pub(crate) fn wake_all(&self) {
        match &self.world {
            Some(world) => world.wake_all(),
            None => self.wake(0),
        }
    }

    /// A name for what threads of this machine wait on, unique in the world and the same in every run.
    pub(crate) fn channel(&self, kind: Channel, number: u32) -> u64 {
        u64::from(self.id) << 40 | (kind as u64) << 32 | u64::from(number)
    }
}

/// What a thread may wait on.
#[derive(Clone, Copy)]
pub(crate) enum Channel {
    Nothing = 1,
    Lock = 2,
    WaitQueue = 3,
    Interrupt = 4,
    Timer = 5,
    Work = 6,
}
