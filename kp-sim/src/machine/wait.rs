//! Waiting: for time, for a word, for whatever a closure says.
use super::{Channel, Machine, State};
use crate::{misuse::misuse, task::Task};
use kp_core::host::{Timeout, WaitKind, Woken};
use std::{
    sync::atomic::{AtomicU32, Ordering::*},
    time::{Duration, Instant},
};

/// How long, in real time, a thread may wait for a device that sleeps.
const PATIENCE: Duration = Duration::from_secs(5);

/// From here on, in ns, a wait with a coarse limit ends before its time: by an eighth.
const COARSE: u64 = 100_000_000;

/// What `wait_queue_wait` is asked for.
pub(crate) struct WordWait<'a> {
    pub(crate) queue: u32,
    pub(crate) word: &'a AtomicU32,
    pub(crate) seen: u32,
    pub(crate) timeout: Timeout,
    pub(crate) kind: WaitKind,
}

impl Machine {
    /// Waits until `done` says so, at most until the clock shows `until`. `asleep`: time passes meanwhile.
    pub(super) fn wait_for(
        &self,
        task: &Task,
        channel: u64,
        until: Option<u64>,
        asleep: bool,
        mut done: impl FnMut(&mut State) -> bool,
    ) -> bool {
        let began = Instant::now();
        loop {
            let mut state = self.state();
            if done(&mut state) {
                return true;
            }
            if until.is_some_and(|until| self.now() >= until) {
                return false;
            }
            if until.is_none() && self.bus.is_asleep() && began.elapsed() >= PATIENCE {
                drop(state);
                misuse(
                    "a thread waits for a device that sleeps, and nobody resumes it: call `Sim::resume` in another thread",
                );
            }
            self.block(state, channel, until, asleep);
            if !std::thread::panicking() {
                self.interrupts(task);
            }
        }
    }

    /// Waits until a queue has been woken otherwise than `seen` times, the thread is killed, or the plugin has panicked. How often it has.
    #[cfg(target_os = "linux")]
    pub(crate) fn wait_wakes(&self, task: &Task, queue: u32, seen: Option<u32>) -> u32 {
        let mut wakes = 0;
        self.wait_for(task, self.channel(Channel::WaitQueue, queue), None, true, |state| {
            wakes = state.wait_queues.get(&queue).copied().unwrap_or_default();
            let is_killed = task.process.as_ref().is_some_and(|process| process.is_killed());
            Some(wakes) != seen || is_killed || self.is_poisoned()
        });
        wakes
    }

    /// Sleeps for `ns`; nothing ends it early.
    pub(crate) fn sleep(&self, task: &Task, ns: u64) {
        let until = self.now().saturating_add(ns);
        self.wait_for(task, self.channel(Channel::Nothing, 0), Some(until), true, |_| false);
    }

    /// Waits for a change of `word`.
    pub(crate) fn wait_word(&self, task: &Task, wait: WordWait<'_>) -> Woken {
        let ns = match wait.timeout.ns() {
            ns if wait.timeout.is_coarse() && ns >= COARSE => ns - ns / 8,
            ns => ns,
        };
        let until = (!wait.timeout.is_never()).then(|| self.now().saturating_add(ns));
        let mut signalled = false;
        let changed = self.wait_for(task, self.channel(Channel::WaitQueue, wait.queue), until, true, |_| {
            let panic_ends = wait.kind != WaitKind::Uninterruptible || until.is_none();
            let poisoned = panic_ends && self.is_poisoned();
            if poisoned || wait.word.load(Acquire) != wait.seen {
                return true;
            }
            signalled = task.process.as_ref().is_some_and(|process| process.take_signal(wait.kind));
            signalled
        });
        match (changed, signalled) {
            (_, true) => Woken::Interrupted,
            (true, false) => Woken::Changed,
            (false, false) => Woken::Timeout,
        }
    }
}
