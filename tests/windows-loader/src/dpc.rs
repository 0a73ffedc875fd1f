//! Deferred procedure calls: one queue, two processors that run it. A DPC leaves the queue before it runs, so it can be queued again and
//! start on the second processor meanwhile.
use crate::{
    cpu::{self, level},
    kernel::{Kernel, lock},
    nt::Kdpc,
};
use std::{
    collections::VecDeque,
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
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
    next: u64,
    is_withheld: bool,
    flushing: u32,
}

impl State {
    /// The oldest that has not ended.
    fn oldest(&self) -> u64 {
        self.queue.iter().chain(&self.running).map(|(number, _)| *number).min().unwrap_or(u64::MAX)
    }
}

impl Dpcs {
    pub(crate) fn changed(&self) {
        drop(lock(&self.state));
        self.news.notify_all();
    }

    fn wait<'g>(&self, state: MutexGuard<'g, State>) -> MutexGuard<'g, State> {
        self.news.wait(state).unwrap_or_else(PoisonError::into_inner)
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
        self.news.notify_all();
        while state.oldest() < end && !kernel.is_stopped() {
            state = self.wait(state);
        }
        state.flushing -= 1;
        (!kernel.is_stopped()).then_some(())
    }

    /// What a processor does.
    pub(crate) fn run(&self, kernel: &Kernel) {
        let mut state = lock(&self.state);
        while !kernel.is_stopped() {
            let may_run = !state.is_withheld || state.flushing > 0;
            let Some((number, address)) = may_run.then(|| state.queue.pop_front()).flatten() else {
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
