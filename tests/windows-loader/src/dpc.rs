//! Deferred procedure calls: one queue, two processors that run it. A DPC leaves the queue before it runs, so it can be queued again and
//! start on the second processor meanwhile.
//!
//! A flush is played as weakly as its page describes it: what is queued while it runs may come after it, so it does.
use crate::{
    cpu::{self, level},
    kernel::{Kernel, lock},
    nt::Kdpc,
};
use std::{
    collections::VecDeque,
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

#[derive(Default)]
pub(crate) struct Dpcs {
    state: Mutex<State>,
    news: Condvar,
}

#[derive(Default)]
struct State {
    /// Number of the queueing, and the KDPC.
    queue: VecDeque<(u64, usize)>,
    running: Vec<(u64, usize)>,
    /// Those that run DPCs.
    threads: Vec<usize>,
    next: u64,
    is_withheld: bool,
    flushing: u32,
    /// A DPC that completes a request is stopped there.
    is_stopping: bool,
    /// How many are.
    stopped: u32,
    /// From this number on nothing runs until that time: it was queued during a flush.
    held_back: Option<(u64, Option<Instant>)>,
}

/// How long what was queued during a flush is held back after it.
const HELD_BACK: Duration = Duration::from_millis(10);

impl State {
    /// The oldest that has not ended.
    fn oldest(&self) -> u64 {
        self.queue.iter().chain(&self.running).map(|(number, _)| *number).min().unwrap_or(u64::MAX)
    }

    /// The next that may run.
    fn take(&mut self) -> Option<(u64, usize)> {
        if self.held_back.is_some_and(|(_, until)| until.is_some_and(|until| until <= Instant::now())) {
            self.held_back = None;
        }
        let may_run = !self.is_withheld || self.flushing > 0;
        let end = self.held_back.map_or(u64::MAX, |(end, _)| end);
        let is_next = may_run && self.queue.front().is_some_and(|(number, _)| *number < end);
        is_next.then(|| self.queue.pop_front()).flatten()
    }
}

impl Dpcs {
    pub(crate) fn changed(&self) {
        drop(lock(&self.state));
        self.news.notify_all();
    }

    fn wait<'g>(&self, state: MutexGuard<'g, State>) -> MutexGuard<'g, State> {
        match state.held_back {
            Some((_, Some(until))) => {
                let left = until.saturating_duration_since(Instant::now());
                self.news.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0
            }
            _ => self.news.wait(state).unwrap_or_else(PoisonError::into_inner),
        }
    }

    pub(crate) fn withhold(&self, withhold: bool) {
        lock(&self.state).is_withheld = withhold;
        self.changed();
    }

    /// Queues a DPC with its two arguments. False: it is in the queue already, and nothing changes.
    pub(crate) fn queue(&self, dpc: *mut Kdpc, argument1: usize, argument2: usize) -> bool {
        let mut state = lock(&self.state);
        let address = dpc.expose_provenance();
        if state.queue.iter().any(|(_, queued)| *queued == address) {
            return false;
        }
        // SAFETY: an initialised KDPC of the driver's; not queued, so nobody else reads its arguments.
        unsafe { ((*dpc).argument1, (*dpc).argument2, (*dpc).data) = (argument1, argument2, 1) };
        let number = state.next;
        state.next += 1;
        state.queue.push_back((number, address));
        drop(state);
        self.news.notify_all();
        true
    }

    /// Has DPCs stop where they complete a request, or lets them go on.
    pub(crate) fn stop_in_completions(&self, stop: bool) {
        lock(&self.state).is_stopping = stop;
        self.changed();
    }

    /// Waits until a DPC has stopped so, or, with `flush`, until a flush runs. False: the run has ended.
    pub(crate) fn wait_until_stopped(&self, kernel: &Kernel, flush: bool) -> bool {
        let mut state = lock(&self.state);
        while !kernel.is_stopped() && if flush { state.flushing == 0 } else { state.stopped == 0 } {
            state = self.wait(state);
        }
        !kernel.is_stopped()
    }

    /// A request is completed, by a DPC if this thread runs one.
    pub(crate) fn completes(&self, kernel: &Kernel) {
        let me = cpu::thread_id();
        let mut state = lock(&self.state);
        if !state.is_stopping || !state.threads.contains(&me) {
            return;
        }
        state.stopped += 1;
        self.news.notify_all();
        while state.is_stopping && !kernel.is_stopped() {
            state = self.wait(state);
        }
        state.stopped -= 1;
    }

    /// Is one of these bytes a DPC that is queued?
    pub(crate) fn is_queued_in(&self, start: usize, len: usize) -> bool {
        lock(&self.state).queue.iter().any(|(_, dpc)| (start..start + len).contains(dpc))
    }

    /// Takes a DPC out of the queue. False: it was not there.
    pub(crate) fn remove(&self, dpc: *mut Kdpc) -> bool {
        let mut state = lock(&self.state);
        let address = dpc.expose_provenance();
        let Some(at) = state.queue.iter().position(|(_, queued)| *queued == address) else { return false };
        state.queue.remove(at);
        // SAFETY: the driver's, just taken out of the queue.
        unsafe { (*dpc).data = 0 };
        true
    }

    /// Waits until every DPC that is queued now has run. None: the run has ended.
    pub(crate) fn flush(&self, kernel: &Kernel) -> Option<()> {
        let mut state = lock(&self.state);
        let end = state.next;
        state.flushing += 1;
        state.held_back = Some((end, None));
        self.news.notify_all();
        while state.oldest() < end && !kernel.is_stopped() {
            state = self.wait(state);
        }
        state.flushing -= 1;
        if state.flushing == 0 {
            state.held_back = Some((end, Some(Instant::now() + HELD_BACK)));
            self.news.notify_all();
        }
        (!kernel.is_stopped()).then_some(())
    }

    /// What a processor does.
    pub(crate) fn run(&self, kernel: &Kernel) {
        let mut state = lock(&self.state);
        state.threads.push(cpu::thread_id());
        while !kernel.is_stopped() {
            let Some((number, address)) = state.take() else {
                state = self.wait(state);
                continue;
            };
            let dpc = std::ptr::with_exposed_provenance_mut::<Kdpc>(address);
            // SAFETY: queued, so it is initialised and alive.
            let [routine, context, argument1, argument2] = unsafe {
                (*dpc).data = 0;
                [(*dpc).routine, (*dpc).context, (*dpc).argument1, (*dpc).argument2]
            };
            state.running.push((number, address));
            drop(state);
            cpu::call("a DPC", routine, level::DISPATCH, &[address, context, argument1, argument2]);
            state = lock(&self.state);
            state.running.retain(|(running, _)| *running != number);
            self.news.notify_all();
        }
    }

    pub(crate) fn left(&self) -> Vec<String> {
        let state = lock(&self.state);
        state
            .queue
            .iter()
            .chain(&state.running)
            .map(|(_, address)| format!("a DPC at {address:#x} that has not ended"))
            .collect()
    }
}
