//! Seeded worlds: run the same story in many orders, and the one that failed again.
use crate::{misuse, schedule::Schedule, sync::lock, trace::Trace};
use std::{
    marker::PhantomData,
    ops::Range,
    panic::{self, AssertUnwindSafe},
    sync::{Arc, Mutex},
    thread,
};

/// How much of a trace a failure shows.
const TAIL: usize = 60;

/// One seeded world. A [`Sim`](crate::Sim) that is made in it runs by its schedule.
pub struct World {
    schedule: Arc<Schedule>,
    /// What the first thread that failed said.
    failure: Mutex<Option<String>>,
}

/// Where a world's threads are started. They have ended when [`World::scope`] returns.
pub struct Scope<'scope, 'env> {
    world: &'scope World,
    threads: &'scope thread::Scope<'scope, 'env>,
    _not_send: PhantomData<*const ()>,
}

/// One run of a seed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Run {
    /// What happened.
    pub trace: Trace,
    /// Why it failed, if it did.
    pub failure: Option<String>,
}

impl World {
    /// Starts threads with [`Scope::spawn`], and waits for them.
    ///
    /// Threads of a world wait for each other inside the kernel only: on a channel or a barrier of std the world stands still
    /// forever, since one thread runs at a time.
    pub fn scope<'env>(&'env self, start: impl for<'scope> FnOnce(&Scope<'scope, 'env>)) {
        let first = self.schedule.thread_count();
        let started = thread::scope(|threads| {
            let scope = Scope { world: self, threads, _not_send: PhantomData };
            let started = panic::catch_unwind(AssertUnwindSafe(|| start(&scope)));
            let joined = panic::catch_unwind(AssertUnwindSafe(|| self.schedule.join(first)));
            started.and(joined)
        });
        if let Err(payload) = started {
            panic::resume_unwind(payload);
        }
        let failure = lock(&self.failure).clone();
        if let Some(failure) = failure {
            panic!("{failure}");
        }
    }
}

impl<'scope> Scope<'scope, '_> {
    /// Starts a thread of the world. `name` is for the trace.
    pub fn spawn(&self, name: &'scope str, run: impl FnOnce() + Send + 'scope) {
        let world = self.world;
        let number = world.schedule.add_thread(name);
        self.threads.spawn(move || {
            world.schedule.run_thread(number, || {
                if let Err(payload) = panic::catch_unwind(AssertUnwindSafe(run)) {
                    misuse::take();
                    let text = format!("thread {name} panicked: {}", misuse::message(&*payload));
                    lock(&world.failure).get_or_insert(text);
                }
            });
        });
    }
}

/// Runs `story` with this seed. Every run of a seed is the same, as long as the story is.
///
/// The story's own thread is called `main`.
pub fn replay(seed: u64, story: impl FnOnce(&World)) -> Run {
    assert!(Schedule::current().is_none(), "a world inside a world: run one after the other");
    let world = World { schedule: Schedule::new(seed), failure: Mutex::default() };
    let main = world.schedule.add_thread("main");
    let story = || {
        story(&world);
        world.schedule.join_kernels();
    };
    let outcome = world.schedule.run_thread(main, || panic::catch_unwind(AssertUnwindSafe(story)));
    misuse::take();
    let failure = outcome.err().map(|payload| misuse::message(&*payload));
    let (events, threads) = world.schedule.take_events();
    Run { trace: Trace { seed, threads, events }, failure }
}

/// The first of these seeds with which `story` fails.
pub fn find(seeds: Range<u64>, mut story: impl FnMut(&World)) -> Option<Run> {
    seeds.map(|seed| replay(seed, &mut story)).find(|run| run.failure.is_some())
}

/// Runs `story` with each of these seeds. Panics at the first one that fails, with its seed and the end of its trace.
///
/// ```no_run
/// # fn story(_: &kp_sim::World) {}
/// kp_sim::explore(0..200, story);
/// // It panicked with "seed 17: …"? This is that run again:
/// let run = kp_sim::replay(17, story);
/// println!("{}", run.trace);
/// ```
pub fn explore(seeds: Range<u64>, story: impl FnMut(&World)) {
    if let Some(Run { trace, failure }) = find(seeds, story) {
        let why = failure.unwrap_or_default();
        let seed = trace.seed;
        panic!(
            "seed {seed}: {why}\nThe end of its trace; `kp_sim::replay({seed}, …)` is the same run again:\n{}",
            trace.tail(TAIL)
        );
    }
}
