//! Work that threads of the system do at Passive: drivers' work items, and the I/O manager's own.
use crate::{
    cpu::{self, level},
    kernel::{Kernel, lock},
    rule::{Broken, Rule},
};
use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Condvar, Mutex, PoisonError},
};

#[derive(Default)]
pub(crate) struct Works {
    state: Mutex<State>,
    news: Condvar,
}

#[derive(Default)]
struct State {
    queue: VecDeque<Work>,
    /// Work items that drivers have allocated: their device, and whether they are queued.
    items: BTreeMap<usize, (usize, bool)>,
    running: usize,
    /// Of those, the ones that may last.
    lasting: usize,
}

enum Work {
    /// `lasts`: it may, since it is no request's, and is the driver itself.
    Item {
        item: usize,
        routine: usize,
        context: usize,
        lasts: bool,
    },
    Own(Box<dyn FnOnce() + Send>),
}

impl Work {
    fn lasts(&self) -> bool {
        matches!(self, Work::Item { lasts: true, .. })
    }
}

impl Works {
    pub(crate) fn changed(&self) {
        drop(lock(&self.state));
        self.news.notify_all();
    }

    /// A work item of this device.
    pub(crate) fn allocate(&self, item: usize, device: usize) {
        lock(&self.state).items.insert(item, (device, false));
    }

    pub(crate) fn free(&self, item: usize) -> Result<(), Broken> {
        match lock(&self.state).items.remove(&item) {
            Some((_, false)) => Ok(()),
            Some((_, true)) => {
                Err(Rule::WorkItemFreed.broken(format!("the work item {item:#x} is freed while it is queued")))
            }
            None => Err(Rule::WorkItemFreed.broken(format!("{item:#x} is freed as a work item, but is none"))),
        }
    }

    pub(crate) fn queue(&self, item: usize, routine: usize, context: usize, lasts: bool) -> Result<(), Broken> {
        let mut state = lock(&self.state);
        match state.items.get_mut(&item) {
            None => return Err(Rule::WorkItemQueued.broken(format!("{item:#x} is queued as a work item, but is none"))),
            Some((_, true)) => {
                return Err(Rule::WorkItemQueued.broken(format!("the work item {item:#x} is queued twice")));
            }
            Some((_, queued)) => *queued = true,
        }
        state.queue.push_back(Work::Item { item, routine, context, lasts });
        drop(state);
        self.news.notify_all();
        Ok(())
    }

    /// Has a thread of the system do something.
    pub(crate) fn later(&self, f: impl FnOnce() + Send + 'static) {
        lock(&self.state).queue.push_back(Work::Own(Box::new(f)));
        self.news.notify_all();
    }

    /// Waits until nothing is queued and nothing runs, but for what may last, unless that is to be over by now.
    pub(crate) fn wait_until_idle(&self, kernel: &Kernel, lasting_too: bool) {
        let mut state = lock(&self.state);
        let is_busy = |state: &State| {
            let counts = |work: &Work| lasting_too || !work.lasts();
            let running = if lasting_too { state.running } else { state.running - state.lasting };
            running > 0 || state.queue.iter().any(counts)
        };
        while is_busy(&state) && !kernel.is_stopped() {
            state = self.news.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    pub(crate) fn run(&self, kernel: &Kernel) {
        let mut state = lock(&self.state);
        while !kernel.is_stopped() {
            let Some(work) = state.queue.pop_front() else {
                state = self.news.wait(state).unwrap_or_else(PoisonError::into_inner);
                continue;
            };
            let lasts = work.lasts();
            state.running += 1;
            state.lasting += usize::from(lasts);
            let device = match &work {
                Work::Item { item, .. } => state.items.get_mut(item).map_or(0, |(device, queued)| {
                    *queued = false;
                    *device
                }),
                Work::Own(_) => 0,
            };
            drop(state);
            match work {
                // A work item may be freed by its own routine.
                Work::Item { item, routine, context, .. } => {
                    cpu::call("a work item", routine, level::PASSIVE, &[device, context, item]);
                }
                Work::Own(f) => f(),
            }
            state = lock(&self.state);
            state.running -= 1;
            state.lasting -= usize::from(lasts);
            self.news.notify_all();
        }
    }

    pub(crate) fn left(&self) -> Vec<String> {
        let state = lock(&self.state);
        let mut left: Vec<String> = state.items.keys().map(|item| format!("a work item at {item:#x}")).collect();
        left.extend((0..state.queue.len() + state.running).map(|_| "work that has not ended".to_owned()));
        left
    }
}
